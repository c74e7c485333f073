"""train_distill.py from a teacher to a student: what it computes."""

import json
import math

import pytest
import torch

from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from model.files.loading import load_model
from scripts import diagnose
from tests.stages.table import NEW_NETWORK
from tests.stages.workshop import Workshop, same
from training.engine import machine, speed
from training.stages import on_policy

RUN = ("--epochs=6", "--eval_interval=6", "--val_ratio=0.2", "--learning_rate=0.01")
WHOLE_FILE = ("--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1", "--max_seq_len=64")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "distill")


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


# --- what it computes -------------------------------------------------------------------------------


def test_it_learns_from_teacher_and_data(workshop, finished, capsys):
    """The teacher here knows nothing of the data, so the two pull apart, and both are heard."""
    first, last = finished.metrics[0], finished.metrics[-1]
    of_data, of_teacher = (workshop.train(f"all_{alpha}", *RUN, f"--alpha={alpha}").metrics[-1] for alpha in (1, 0))
    assert of_teacher["kl"] < 0.5 * first["kl"] and of_teacher["teacher_agreement"] > first["teacher_agreement"] + 0.2
    assert of_teacher["kl"] < last["kl"] < of_data["kl"] and of_data["ce"] < last["ce"] < of_teacher["ce"]
    assert last["ce"] < first["ce"] - 1 and last["val_loss"] < first["ce"] - 1 and "val_token_accuracy" in last
    for line in finished.metrics:
        assert "token_accuracy" in line and all(math.isfinite(value) for value in line.values())
        assert line["loss"] == pytest.approx(0.5 * line["ce"] + 0.5 * line["kl"], rel=1e-4)
        assert "on_policy" not in line
    assert "learns from" in finished.said and "verdict   healthy" in finished.said
    assert load_model(finished.weight_file).stage == "distill"
    diagnose.main([str(finished.logs)])
    assert f"eval_model.py --model_mode 1 --weight_path {finished.weight_file}" in capsys.readouterr().out


def logits_alone(workshop, weight: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N, V] and tokens [N] at the trained places of a file, each conversation on its own, in float64."""
    loaded, logits, tokens = load_model(workshop.folder / weight), [], []
    renderer = ChatRenderer(loaded.tokenizer)
    for line in (workshop.folder / name).read_text("utf-8").splitlines():
        (chat,) = renderer.render([from_conversations(json.loads(line))])
        ids, trained = torch.tensor(chat.ids).long(), torch.tensor(chat.trained)
        with torch.no_grad():
            logits.append(loaded.model(ids[None, :-1])[0][trained[1:]].double())
        tokens.append(ids[1:][trained[1:]])
    return torch.cat(logits), torch.cat(tokens)


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jsd"])
def test_the_first_loss_is_the_mean_over_the_answers_each_scored_alone(workshop, kind):
    words = (f"--loss_type={kind}", "--alpha=0.25", "--temperature=2", *(["--jsd_beta=0.3"] if kind == "jsd" else []))
    line = workshop.train(f"alone_{kind}", *WHOLE_FILE, *words, data=("chat_a.jsonl",)).metrics[0]
    student, tokens = logits_alone(workshop, "start.pth", "chat_a.jsonl")
    teacher, _ = logits_alone(workshop, "teacher.pth", "chat_a.jsonl")
    p, q = (teacher / 2).softmax(-1), (student / 2).softmax(-1)
    m = 0.3 * p + 0.7 * q
    kl = {
        "forward_kl": p * (p / q).log(),
        "reverse_kl": q * (q / p).log(),
        "jsd": 0.3 * p * (p / m).log() + 0.7 * q * (q / m).log(),
    }[kind]
    kl, ce = 4 * kl.sum(-1).mean().item(), torch.nn.functional.cross_entropy(student, tokens).item()
    assert line["tokens"] == len(tokens)
    assert (line["kl"], line["ce"]) == (pytest.approx(kl, rel=1e-4), pytest.approx(ce, rel=1e-4))
    assert line["loss"] == pytest.approx(0.25 * ce + 0.75 * kl, rel=1e-4)
    agreed = (student.argmax(-1) == teacher.argmax(-1)).double().mean().item()
    assert line["teacher_agreement"] == pytest.approx(agreed, abs=1e-6)


@pytest.mark.parametrize(
    "words, said", [((), "about 4 min"), (("--teacher_top_k=8",), "about 3 min"), (("--on_policy=0.5",), "")]
)
def test_the_time_of_the_plan_counts_a_teacher_that_is_asked_in_every_step(workshop, monkeypatch, words, said):
    """A step of the student takes as long as three passes of its size, here a minute; the teacher is as large."""
    monkeypatch.setattr(machine, "FEW_OPERATIONS", 0)
    monkeypatch.setattr(speed, "micro_batch_seconds", lambda *_: 30.0)
    teacher = ("--teacher_weight", workshop.folder / "start.pth")
    found = workshop.train(f"time{len(said)}", *teacher, *words, "--max_steps=3", "--compile=off")
    plan = next(line for line in found.said.splitlines() if line.startswith("steps     3, "))
    assert (said in plan) if said else "about" not in plan


def test_hard_labels_alone_are_fine_tuning(workshop):
    words = ("--epochs=2", "--val_ratio=0.2", "--eval_interval=4", "--learning_rate=0.01")
    distilled = workshop.train("hard", *words, "--alpha=1")
    tuned = Workshop(workshop.folder, "full_sft").train("hard", *words)
    assert len(distilled.metrics) == len(tuned.metrics) > 4
    for a, b in zip(distilled.metrics, tuned.metrics, strict=True):
        for name in ("loss", "lr", "token_accuracy", "tokens"):
            assert a[name] == pytest.approx(b[name], rel=1e-4, abs=1e-4), name


def test_a_student_that_is_its_teacher_has_nothing_to_learn(workshop):
    words = ("--alpha=0", "--max_steps=1", "--learning_rate=0.01", f"--teacher_weight={workshop.folder / 'start.pth'}")
    result = workshop.train("itself", *words)
    (line,) = result.metrics
    assert abs(line["kl"]) < 1e-6 and line["teacher_agreement"] == 1 and line["grad_norm"] < 1e-5


@pytest.mark.parametrize("words", [(), ("--teacher_top_k=8",)])
def test_neither_micro_batches_nor_packing_change_the_curve(workshop, words):
    common = ("--epochs=2", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.003", "--temperature=2", *words)
    curves = [
        workshop.train(f"split_{len(words)}", *common, f"--batch_size={rows}", f"--accumulation_steps={8 // rows}")
        for rows in (8, 4, 1)
    ]
    for curve in curves[1:]:
        for a, b in zip(curve.metrics, curves[0].metrics, strict=True):
            assert a == pytest.approx(b, abs=2e-5)


def test_texts_are_learned_from_as_well_by_a_new_student(workshop):
    words = ("--epochs=3", "--val_ratio=0.2", "--learning_rate=0.01", "--eval_interval=10", "--alpha=0")
    result = workshop.train("texts", *words, data=("a.jsonl", "b.jsonl"))
    assert result.metrics[-1]["kl"] < 0.8 * result.metrics[0]["kl"] and "val_loss" in result.metrics[-1]

    new = workshop.train("new", "--max_steps=1", "--preset=tiny", data=("a.jsonl",), begins=NEW_NETWORK)
    assert new.metrics[0]["ce"] == pytest.approx(math.log(272), abs=0.3)


# --- a teacher that is asked once -------------------------------------------------------------------


def test_all_but_one_of_the_teachers_tokens_are_as_good_as_the_teacher(workshop, finished):
    result = workshop.train("kept", *RUN, "--teacher_top_k=271")
    for a, b in zip(result.metrics, finished.metrics, strict=True):
        assert a == pytest.approx(b, abs=2e-3)


def test_few_tokens_are_enough_to_learn_from(workshop):
    result = workshop.train("few", *RUN, "--teacher_top_k=8", "--alpha=0")
    first, last = result.metrics[0], result.metrics[-1]
    assert last["kl"] < 0.5 * first["kl"] and last["teacher_agreement"] > first["teacher_agreement"] + 0.1


# --- the student's own answers ----------------------------------------------------------------------


def test_answers_of_the_student_are_judged_by_the_teacher_alone(workshop):
    words = ("--epochs=8", "--eval_interval=0", "--val_ratio=0", "--learning_rate=0.01", "--max_new_tokens=6")
    result = workshop.train("own", *words, "--on_policy=1", "--alpha=0.9")
    for line in result.metrics:
        assert line["on_policy"] == 1 and line["loss"] == pytest.approx(line["kl"], rel=1e-5)
        assert "ce" not in line and "token_accuracy" not in line
    tenth = len(result.metrics) // 10
    kl = [line["kl"] for line in result.metrics]
    assert sum(kl[-tenth:]) < 0.8 * sum(kl[:tenth])


def test_prompts_without_answers_are_answered_by_the_student(workshop):
    """The same prompts with answers give the same weights: no answer of the data is read."""
    asked = [{"question": f"What is {number} and {number}?", "answers": [number]} for number in range(8)]
    (workshop.folder / "asked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    answered = [{"question": one["question"], "answer": "?"} for one in asked]
    (workshop.folder / "answered.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answered))
    words = (*WHOLE_FILE, "--on_policy=1", "--max_new_tokens=8")
    one, other = (workshop.train(name, *words, data=(f"{name}.jsonl",)) for name in ("asked", "answered"))
    assert "8 prompts, 0 left out as too long" in one.said and "this run has no validation" in one.said
    assert same(one.weights, other.weights)
    _, refused = workshop.fails("refused", "--max_steps=1", "--on_policy=0.5", data=("asked.jsonl",))
    assert "this is a prompt, for train_grpo.py, train_ppo.py and train_distill.py --on_policy 1" in refused


def test_some_steps_are_the_students_and_the_others_as_ever(workshop):
    words = ("--epochs=2", "--eval_interval=0", "--val_ratio=0", "--max_new_tokens=6")
    result = workshop.train("some", *words, "--on_policy=0.5")
    sampled = [line["on_policy"] for line in result.metrics]
    assert set(sampled) == {0, 1}
    assert sampled == [int(on_policy.is_on_policy(42, step, 0.5)) for step in range(len(sampled))]
    for line in result.metrics:
        assert ("ce" in line) == (line["on_policy"] == 0)
