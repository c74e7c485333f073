"""train_distill.py from a teacher to a student: what it computes, what it keeps, and what it refuses."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from model.files.checkpoint import save_weights
from model.files.huggingface import export_folder
from model.files.loading import load_model
from model.text.tokenizer import Tokenizer
from scripts import diagnose
from tests.stages.table import NEW_NETWORK, SHAPE, SIZE
from tests.stages.workshop import Workshop, same
from tests.support import make_tokenizer, random_network
from tests.training.support import SMALL
from training.engine import machine, speed
from training.stages import on_policy
from training.stages.teacher import Teacher

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


def test_what_the_teacher_said_is_found_again_and_made_anew_when_damaged(workshop):
    words = ("--max_steps=2", "--teacher_top_k=4")
    expected = workshop.train("cached", *words)
    cache = expected.folder / "cache" / "teacher"
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {"ids.bin", "logs.bin", "offsets.bin", "meta.json"} <= before.keys()
    assert workshop.train("cached", *words).losses == expected.losses
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    content = bytearray((folder / "logs.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "logs.bin").write_bytes(content)
    assert workshop.train("cached", *words).losses == expected.losses
    assert (folder / "logs.bin").stat().st_mtime_ns != before["logs.bin"]

    for other in (("--temperature=2",), ("--teacher_top_k=5",), ("--max_seq_len=40",)):
        workshop.train("cached", *words, *other)
    assert sum(path.is_dir() for path in cache.iterdir()) == 4


def test_the_cache_of_a_teacher_is_not_that_of_another(workshop):
    network = load_model(workshop.folder / "teacher.pth")
    save_weights(workshop.folder / "same.pth", network.model, network.tokenizer, stage="full_sft")
    other = random_network(network.model.config, seed=5)
    save_weights(workshop.folder / "other.pth", other, network.tokenizer, stage="full_sft")
    folders = []
    for name in ("teacher.pth", "same.pth", "other.pth"):
        words = ("--max_steps=1", "--teacher_top_k=4", f"--teacher_weight={workshop.folder / name}")
        workshop.train("of_teacher", *words)
        folders.append(sum(path.is_dir() for path in (workshop.folder / "of_teacher/cache/teacher").iterdir()))
    assert folders == [1, 1, 2]


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


# --- where it begins --------------------------------------------------------------------------------


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_folders_that_transformers_saved_are_teacher_and_student(workshop, config_type):
    """The teacher's embedding has rows that no token has, as imported ones may."""
    tokenizer, folders = Tokenizer.load(workshop.folder / "tokenizer"), {}
    for seed, (role, rows) in enumerate({"student": 0, "teacher": 8}.items()):
        folder = folders[role] = workshop.folder / f"{config_type.model_type}_{role}"
        torch.manual_seed(seed)
        size = tokenizer.vocab_size + rows
        config = config_type(vocab_size=size, max_position_embeddings=64, head_dim=16, **SHAPE)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save(folder)
    out = f"from_{config_type.model_type}"
    words = (f"--from_weight={folders['student']}", f"--teacher_weight={folders['teacher']}")
    workshop.train(out, "--max_steps=3", *words)
    loaded = load_model(workshop.result(out).weight_file)
    export_folder(workshop.folder / "again", loaded.model, loaded.tokenizer)
    again = AutoModelForCausalLM.from_pretrained(workshop.folder / "again")
    assert again.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(again(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


def test_a_teacher_is_looked_for_by_its_name_in_the_output_folder(workshop):
    folder = workshop.folder / "named"
    folder.mkdir()
    (folder / f"full_sft_{SIZE}.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    said = workshop.train("named", "--max_steps=1", "--teacher_weight=full_sft").said
    assert f"learns from {folder / f'full_sft_{SIZE}.pth'}" in said


def test_a_teacher_may_end_its_texts_otherwise(workshop):
    """As an instruct model does, and not the base that learns from it: their ids are the same."""
    loaded = load_model(workshop.folder / "teacher.pth")
    config = json.dumps(loaded.tokenizer.config | {"bos_token": None, "eos_token": "<|endoftext|>"})
    tokenizer = Tokenizer.from_files(loaded.tokenizer.files | {"tokenizer_config.json": config})
    assert tokenizer.fingerprint != loaded.tokenizer.fingerprint
    save_weights(workshop.folder / "instruct.pth", loaded.model, tokenizer, stage="full_sft")
    words = "--max_steps=1", "--alpha=0"
    taught = workshop.train("instruct", *words, f"--teacher_weight={workshop.folder / 'instruct.pth'}")
    assert same(taught.weights, workshop.train("teacher", *words).weights)


@pytest.mark.parametrize(
    "words, named",
    [
        (("--alpha=0.1",), "alpha was 0.5, is 0.1"),
        (("--on_policy=0.5",), "on_policy was 0.0, is 0.5"),
        (("--teacher_top_k=4",), "data.teacher was"),
    ],
)
def test_another_loss_or_teacher_is_refused_on_resuming_by_name(workshop, words, named):
    result = workshop.train("other_loss", "--max_steps=2")
    code, message = workshop.fails("other_loss", "--max_steps=2", "--resume", *words)
    assert code == 2 and named in message and message.count("\n") == 1
    assert same(result.weights, workshop.result("other_loss").weights)


# --- what cannot be done ----------------------------------------------------------------------------


def refusal(workshop, *words) -> str:
    code, message = workshop.fails("refused", "--max_steps=1", *words)
    assert code == 2 and message.count("\n") == 1, message
    return message


def test_a_teacher_with_another_tokenizer_is_refused(workshop):
    tokenizer = make_tokenizer(("ab",))
    network = load_model(workshop.folder / "teacher.pth").model
    other = random_network(network.config.replace(vocab_size=tokenizer.vocab_size))
    save_weights(workshop.folder / "foreign.pth", other, tokenizer, stage="full_sft")
    message = refusal(workshop, f"--teacher_weight={workshop.folder / 'foreign.pth'}")
    assert "foreign.pth has another tokenizer than the student" in message


@pytest.mark.parametrize(
    "words, named",
    [
        (("--on_policy=0.5", "--teacher_top_k=4"), "give one of the two"),
        (("--teacher_top_k=272",), "not less than all 272 tokens"),
        (("--loss_type=jsd", "--jsd_beta=0"), "--jsd_beta 0"),
        (("--max_new_tokens=9",), "--max_new_tokens is for sampled answers: give --on_policy"),
        (("--alpha=1.5",), "--alpha"),
        (("--on_policy=-0.1",), "--on_policy"),
        (("--temperature=0",), "--temperature"),
        (("--teacher_weight=nobody",), "no weight called nobody"),
        (("--teacher_weight=gone.pth",), "gone.pth does not exist"),
        (("--max_seq_len=65",), "--max_seq_len 65"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(workshop, words, named):
    assert named in refusal(workshop, *words)


def test_a_preset_beside_a_weight_names_both_sizes(workshop):
    message = refusal(workshop, "--preset=tiny", f"--from_weight={workshop.folder / 'teacher.pth'}")
    assert "--preset tiny makes a new network (hidden 256, 4 layers), but " in message
    assert "teacher.pth has its own size (hidden " in message and "leave out --preset to go on with it" in message


def test_a_size_beside_a_weight_names_the_way_to_a_smaller_student(workshop):
    message = refusal(workshop, "--num_hidden_layers=1", f"--from_weight={workshop.folder / 'teacher.pth'}")
    assert "teacher.pth, which has 2: leave the flag out, or give --from_weight none for a student" in message


def test_several_teachers_of_a_name_want_a_path(workshop):
    folder = workshop.folder / "refused"
    folder.mkdir(exist_ok=True)
    for size in (32, 40):
        (folder / f"mentor_{size}.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    assert "or choose by a path" in refusal(workshop, "--teacher_weight=mentor")


def test_own_answers_to_texts_are_refused(workshop):
    code, message = workshop.fails("texts_own", "--max_steps=1", "--on_policy=0.5", data=("a.jsonl",))
    assert code == 2 and "--on_policy answers conversations" in message and message.count("\n") == 1


def test_a_teacher_that_rotates_otherwise_is_another_one():
    """Its predictions must not be taken from the cache of the first, whose weights are the same."""
    first = random_network(SMALL)
    second = random_network(SMALL.replace(rope_theta=2 * SMALL.rope_theta))
    second.load_state_dict(first.state_dict())
    names = {Teacher(network, "somewhere").name for network in (first, random_network(SMALL), second)}
    assert len(names) == 2
