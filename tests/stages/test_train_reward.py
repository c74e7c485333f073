"""train_reward.py from pairs or scores to weights: what it computes and what it refuses."""

import json
import math
import re
import shutil
import statistics

import pytest
import torch

import eval_model
from dataset.records.documents import detect_format
from dataset.records.preferences import PREFERENCE
from dataset.rendering import ChatRenderer
from model.errors import SproutError
from model.files.adapters import open_lora
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.files.reward import Spread, load_reward, load_reward_adapters
from model.whole import SCORE
from scripts import diagnose, export_hf
from tests.stages.workshop import Workshop, same, write_scored
from training.stages.arguments import run_main

RUN = ("--epochs=6", "--eval_interval=4", "--val_ratio=0.2", "--learning_rate=0.01")
SHORT = ("--epochs=2", "--val_ratio=0", "--eval_interval=0", "--learning_rate=0.01")
NAMES = {"accuracy", "margin", "min_reward", "mean_reward", "max_reward"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    workshop = Workshop.create(tmp_path_factory.mktemp("workshop"), "reward")
    write_scored(workshop.folder / "scored.jsonl", 24, seed=1)
    return workshop


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN)


def rewards_by_hand(model, tokenizer, record, kind=PREFERENCE) -> list[float]:
    """Of each conversation of a record on its own, up to the end of its answer."""
    found = []
    for one in ChatRenderer(tokenizer).render(detect_format(record, kind).read(record).conversations):
        end = one.trained.nonzero()[0][-1] + 1
        with torch.no_grad():
            found.append(model(torch.tensor(one.ids[:end]).long()[None])[0, -1].item())
    return found


def records(workshop, *names) -> list[dict]:
    return [json.loads(line) for name in names for line in (workshop.folder / name).read_text("utf-8").splitlines()]


def test_it_learns_which_answer_is_better(finished):
    first, last = finished.metrics[0], finished.metrics[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert {first[name] for name in NAMES} == {0}
    assert last["loss"] < 0.2 and last["accuracy"] == 1 and last["margin"] > 1
    assert last["val_accuracy"] > 0.8 and last["val_loss"] < 0.6
    for line in finished.metrics:
        assert NAMES <= line.keys() and all(math.isfinite(value) for value in line.values())
        assert line["min_reward"] <= line["mean_reward"] <= line["max_reward"]
    loaded = load_reward(finished.weight_file)
    assert loaded.stage == "reward" and loaded.facts["step"] == last["step"]
    assert re.findall("warning: (.*?) has", finished.said) == ["what is held out"]  # 8 pairs are few
    assert finished.said.count("warning") == 1 and "verdict   healthy" in finished.said


def test_the_held_out_figures_are_those_of_each_conversation_alone(workshop):
    words = ("--epochs=2", "--learning_rate=0.01", "--val_path", str(workshop.folder / "pairs_b.jsonl"))
    words += ("--eval_interval=100",)  # as often as asked, and so on all of them
    result = workshop.train("held_out", *words, data=("pairs_a.jsonl",))
    loaded, last = load_reward(result.weight_file), result.metrics[-1]
    pairs = [rewards_by_hand(loaded.model, loaded.tokenizer, one) for one in records(workshop, "pairs_b.jsonl")]
    assert last["val_accuracy"] == pytest.approx(sum(chosen > rejected for chosen, rejected in pairs) / len(pairs))
    assert last["val_margin"] == pytest.approx(
        sum(chosen - rejected for chosen, rejected in pairs) / len(pairs), abs=1e-5
    )
    assert last["val_mean_reward"] == pytest.approx(sum(map(sum, pairs)) / 2 / len(pairs), abs=1e-5)


def test_the_weight_stores_how_the_rewards_of_its_training_answers_are_spread(workshop, tmp_path):
    """Those of each conversation alone, also after an export; a weight that is written again stores the same."""
    result = workshop.train("spread", *SHORT, data=("pairs_a.jsonl",))
    loaded = load_reward(result.weight_file)
    spread = Spread.of(loaded.facts)
    every = [
        r for one in records(workshop, "pairs_a.jsonl") for r in rewards_by_hand(loaded.model, loaded.tokenizer, one)
    ]
    assert spread.answers == len(every) == 32
    assert spread.mean == pytest.approx(statistics.fmean(every), abs=1e-5)
    assert spread.deviation == pytest.approx(statistics.pstdev(every), abs=1e-5)
    normalised = [spread.normalised(reward) for reward in every]
    assert abs(statistics.fmean(normalised)) < 1e-4 and statistics.pstdev(normalised) == pytest.approx(1, abs=1e-4)
    export_hf.main(["--weight_path", str(result.weight_file), "--save_dir", str(tmp_path / "hf")])
    assert Spread.of(load_reward(tmp_path / "hf").facts) == spread
    facts = result.facts
    result.weight_file.unlink()
    workshop.train("spread", *SHORT, "--resume", data=("pairs_a.jsonl",))
    assert {**result.facts, "arguments": 0} == {**facts, "arguments": 0}


def test_the_spread_is_measured_on_a_part_of_many_answers(workshop, monkeypatch):
    monkeypatch.setattr("training.stages.rewards.ANSWERS_MEASURED", 3)
    result = workshop.train("part", "--max_steps=1", "--val_ratio=0", data=("scored.jsonl",))
    assert 3 <= Spread.of(result.facts).answers < 24


@pytest.mark.parametrize(
    "stored",
    [None, 3, {}, {"mean": 0}, *({"mean": 0.0, "deviation": d, "answers": 9} for d in (0.0, math.nan, "x", 10**400))],
)
def test_a_weight_without_a_usable_spread_has_none(stored):
    assert Spread.of({"rewards": stored}) is None and Spread.of({}) is None


def test_another_kind_of_loss_learns_too(workshop):
    result = workshop.train("hinge", *SHORT, "--epochs=6", "--loss_type=hinge", "--hinge_margin=2")
    assert result.losses[0] == pytest.approx(2) and result.losses[-1] < 0.5


def test_a_margin_asks_for_more(workshop):
    """The first loss is that of equal rewards and the margins of the records."""
    margins = [0.5, 2, 0, 1]
    with open(workshop.folder / "margins.jsonl", "w", encoding="utf-8") as file:
        for number, margin in enumerate(margins):
            file.write(json.dumps({"prompt": f"{number}", "chosen": "a", "rejected": "b", "margin": margin}) + "\n")
    words = ("--max_steps=1", "--val_ratio=0", "--batch_size=8", "--accumulation_steps=1")
    loss = workshop.train("margins", *words, data=("margins.jsonl",)).losses[0]
    assert loss == pytest.approx(sum(math.log1p(math.exp(margin)) for margin in margins) / 4, rel=1e-5)


def test_scores_are_learned_as_they_are(workshop):
    """mse is chosen by the data; the score follows from the letter of the question."""
    write_scored(workshop.folder / "more_scored.jsonl", 12, seed=2)
    words = ("--epochs=40", f"--val_path={workshop.folder / 'more_scored.jsonl'}", "--learning_rate=0.01")
    result = workshop.train("scored", *words, data=("scored.jsonl",))
    last = result.metrics[-1]
    assert result.losses[0] > 2 and last["loss"] < 0.3 and last["val_explained"] > 0.5
    assert "accuracy" not in last and 0 < last["mean_reward"] < 4


def test_ranked_choices_are_all_their_pairs(workshop):
    choices = [{"text": text, "rank": rank} for rank, text in enumerate("abcd")]
    (workshop.folder / "ranked.jsonl").write_text(json.dumps({"input": "x", "choices": choices}) + "\n")
    result = workshop.train("ranked", "--max_steps=1", "--val_ratio=0", data=("ranked.jsonl",))
    assert "6 pairs" in result.said


def test_neither_micro_batches_nor_packing_change_the_curve(workshop):
    common = (*SHORT, "--max_seq_len=32")
    curves = [
        workshop.train(f"split_{rows}", *common, f"--batch_size={rows}", f"--accumulation_steps={8 // rows}")
        for rows in (8, 4, 1)
    ]
    for curve in curves[1:]:
        for a, b in zip(curve.metrics, curves[0].metrics, strict=True):
            assert a == pytest.approx(b, abs=2e-4)


def test_what_is_too_long_is_left_out_and_counted(workshop):
    long = {"prompt": "x", "chosen": "a" * 40, "rejected": "b"}
    lines = (workshop.folder / "pairs_a.jsonl").read_text("utf-8") + json.dumps(long) + "\n"
    (workshop.folder / "long.jsonl").write_text(lines, encoding="utf-8")
    result = workshop.train("long", "--max_steps=1", "--val_ratio=0", data=("long.jsonl",))
    assert "17 pairs, 1 left out as longer than 32 tokens" in result.said


def test_adapters_learn_with_their_head_and_leave_the_network(workshop):
    workshop.train("lora", *RUN, "--lora", "--lora_rank=4")
    assert not list((workshop.folder / "lora").glob("*.pth"))
    adapters = open_lora(workshop.folder / "lora" / "lora" / "reward_32.pth")
    assert adapters.stage == "reward" and SCORE in adapters.weights
    loaded = load_reward_adapters(adapters, workshop.folder / "start.pth")
    assert Spread.of(loaded.facts).answers >= 20
    pairs = [rewards_by_hand(loaded.model, loaded.tokenizer, one) for one in records(workshop, "pairs_a.jsonl")]
    assert sum(chosen > rejected for chosen, rejected in pairs) >= 0.8 * len(pairs)
    state = read_checkpoint(workshop.folder / "lora" / "lora" / "reward_32_resume.pth")
    assert same(state["networks"]["model"], adapters.weights)


# --- what is refused --------------------------------------------------------------------------------


def refused(capsys, main, *words) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        run_main(lambda: main([str(word) for word in words]))
    return stopped.value.code, capsys.readouterr().err.splitlines()[-1]


def test_a_reward_model_is_no_language_model_and_the_other_way_round(workshop, finished, capsys):
    words = ("--weight_path", finished.weight_file, "--device", "cpu", "--prompt", "a")
    code, sentence = refused(capsys, eval_model.main, *words)
    assert code == 1 and "is a reward model, which scores answers and writes none" in sentence
    code, message = workshop.fails("again", "--from_weight", str(finished.weight_file))
    assert code == 1 and "is a reward model" in message and message.count("\n") == 1
    with pytest.raises(SproutError, match="is a language model, not a reward model"):
        load_reward(workshop.folder / "start.pth")
    assert load_model(workshop.folder / "start.pth").stage == "pretrain"


def test_adapters_of_a_reward_model_do_not_chat(workshop, capsys):
    workshop.train("adapted", "--max_steps=1", "--lora")
    path = workshop.folder / "adapted" / "lora" / "reward_32.pth"
    code, sentence = refused(capsys, eval_model.main, "--lora", path, "--device", "cpu", "--prompt", "a")
    assert code == 1 and "holds the adapters of a reward model" in sentence


def test_preferences_by_dpo_take_no_scores(workshop):
    command = Workshop(workshop.folder, "dpo")
    code, message = command.fails("dpo", "--max_steps=1", data=("scored.jsonl",))
    assert code == 1 and "this is an answer with a score, for train_reward.py" in message
    assert "scored.jsonl:1" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "data, loss, named",
    [
        ("scored.jsonl", "bt", "--loss_type bt is not for scored answers, which the data are: give mse"),
        ("pairs_a.jsonl", "mse", "--loss_type mse is not for pairs, which the data are: give bt or hinge"),
    ],
)
def test_a_loss_for_other_data_is_refused(workshop, data, loss, named):
    code, message = workshop.fails("other", f"--loss_type={loss}", data=(data,))
    assert code == 2 and named in message and message.count("\n") == 1
    assert not (workshop.folder / "other" / "cache").exists()  # before data are read, which may take minutes


def test_a_flag_of_pairs_is_refused_with_scored_answers(workshop):
    code, message = workshop.fails("centered", "--center=50", "--max_steps=1", data=("scored.jsonl",))
    assert code == 2 and "--center means nothing to scored answers" in message and message.count("\n") == 1


def test_pairs_and_scores_do_not_mix(workshop):
    code, message = workshop.fails("mixed", "--max_steps=1", data=("pairs_a.jsonl", "scored.jsonl"))
    assert code == 1 and "scored.jsonl:1" in message and "the record is of another kind" in message


@pytest.mark.parametrize(
    "line, words",
    [
        ({"text": "a document"}, "the record is of another kind"),
        ({"prompt": "a", "chosen": "b"}, "the shape is unknown"),
        ({"input": "a", "score": 1}, "the shape is unknown"),
    ],
)
def test_what_is_neither_is_said_with_its_place(workshop, line, words):
    (workshop.folder / "bad.jsonl").write_text(json.dumps(line) + "\n")
    code, message = workshop.fails("bad", "--max_steps=1", data=("bad.jsonl",))
    assert code == 1 and "bad.jsonl:1" in message and words in message and message.count("\n") == 1


def test_the_curve_of_rewards_has_a_verdict(finished, tmp_path, capsys):
    diagnose.main([str(finished.logs)])
    said = capsys.readouterr().out
    assert "healthy" in said and "has 8 records, too few to judge by" in said
    assert f"scripts/score.py --prompt 'Who are you?' --answer 'A fox.' --weight_path {finished.weight_file}" in said

    logs = shutil.copytree(finished.logs, tmp_path / "logs")
    (logs / "run.json").write_text(json.dumps(json.loads((logs / "run.json").read_text()) | {"held_out": 80}))
    diagnose.main([str(logs)])
    assert "the better answer preferred in 100% of the pairs" in capsys.readouterr().out
