"""Several runs side by side: what differs, and whether the difference of their ends is more than chance."""

import json
import math
import random

import pytest

from tests.training.page.logs import write_run
from training.page.left import what_is_left
from training.page.page import page_of
from training.page.seeds import compare, pooled_deviation
from training.page.several import BESIDE_THE_POINT, differing, sentences, settings_of
from training.stages.arguments import (
    NOTHING,
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
)


def runs_of(folder, **ends):
    """Runs by name: (end, flags)."""
    return [what_is_left(write_run(folder / name, end=end, **flags)) for name, (end, flags) in ends.items()]


def test_one_seed_says_nothing(tmp_path):
    runs = runs_of(tmp_path, a=(4.0, {}), b=(3.9, {"learning_rate": 0.01}))
    assert differing(runs) == {"--learning_rate": ["0.02", "0.01"]}
    said = " ".join(sentences(runs, "loss"))
    assert "One seed says nothing" in said and "b against a: loss -0.1000; whether that is more than chance" in said


@pytest.mark.parametrize("end, words", [(3.5, "more than seeds explain"), (4.02, "no more than seeds explain")])
def test_the_spread_of_the_seeds_is_the_measure(tmp_path, end, words):
    seeds = {f"a{seed}": (4.0 + 0.01 * seed, {"seed": seed, "weight_name": f"a{seed}"}) for seed in (1, 2, 3)}
    said = sentences(runs_of(tmp_path, **seeds, b=(end, {"learning_rate": 0.01})), "loss")
    assert "a1 + a2 + a3: 3 seeds, loss 4.0100 to 4.0300, mean 4.0200." in said
    # t with 2 degrees of freedom 4.303, deviation 0.01, sqrt(1/3 + 1)
    bound = 4.303 * 0.01 * math.sqrt(4 / 3)
    assert (
        said[-1]
        == f"b against a1 + a2 + a3: loss {end - 4.02:+.4f}, {words}: up to {bound:.4f} is chance in 19 of 20 cases."
    )


def test_what_cannot_be_compared_is_said(tmp_path):
    runs = runs_of(tmp_path, a=(4.0, {}), b=(3.9, {"data_path": ["other.jsonl"]}))
    runs.append(what_is_left(write_run(tmp_path / "c", planned=80)))
    said = " ".join(sentences(runs, "loss"))
    assert "c has not come to its end" in said and "The runs differ in --data_path" in said and "c against" not in said


def test_a_run_that_was_changed_on_the_way_is_no_further_seed(tmp_path):
    runs = runs_of(tmp_path, a=(4.0, {"seed": 1}), b=(4.1, {"seed": 2}), c=(4.9, {"seed": 3, "allow_changed": True}))
    assert [[left.name for left in group] for group in settings_of(runs)] == [["a", "b"], ["c"]]
    said = " ".join(sentences(runs, "loss"))
    assert "a + b: 2 seeds" in said and "c was changed on the way (--allow_changed) and is a setting of its own" in said


def test_runs_of_one_name_are_told_apart_and_ways_from_the_beginning_are_seeds(tmp_path):
    """Each seed has its own tokenizer, data and weights, in a folder of its own."""
    paths = [
        write_run(
            tmp_path / f"seed{seed}_{rate}" / "logs" / "full_sft_64",
            end=4.0 + 0.01 * seed - 10 * rate,
            seed=seed,
            learning_rate=rate,
            data_path=[f"out/seed{seed}/sample/sft.jsonl:0.5"],
            from_weight=f"out/seed{seed}/pretrain_64.pth",
        )
        for rate in (0.01, 0.02)
        for seed in (1, 2)
    ]
    page = page_of(paths)
    for label in ("seed1_0.01/full_sft_64", "seed2_0.02/full_sft_64"):
        assert f"<h2>{label}</h2>" in page and f">{label}</text>" in page
    assert "seed1_0.01/full_sft_64 + seed2_0.01/full_sft_64: 2 seeds, loss 3.9100 to 3.9200" in page
    assert page.count(" against ") == 1 and "loss -0.1000, more than seeds explain" in page
    assert "differ in --data_path" not in page


def test_other_folders_are_other_data_and_other_starts(tmp_path):
    texts = {name: (4.0, {"data_path": [f"{name}/train.jsonl"]}) for name in ("wiki", "news")}
    assert "The runs differ in --data_path" in " ".join(sentences(runs_of(tmp_path / "texts", **texts), "loss"))
    starts = {
        name: (4.0, {"seed": seed, "from_weight": f"{name}/pretrain_64.pth"})
        for seed, name in enumerate(("muon", "adamw"))
    }
    assert len(settings_of(runs_of(tmp_path / "starts", **starts))) == 2


def test_folders_tell_runs_of_one_seed_apart(tmp_path):
    starts = {name: (end, {"from_weight": f"{name}/pretrain_64.pth"}) for name, end in (("a", 4.0), ("b", 3.0))}
    assert "b against a: loss -1.0000" in " ".join(sentences(runs_of(tmp_path, **starts), "loss"))


def test_a_seed_that_was_run_twice_counts_once_by_its_mean(tmp_path):
    ends = {"a": (3.092, 42), "b": (2.5, 42), "c": (3.0, 1), "d": (2.0, 1)}
    runs = runs_of(tmp_path, **{name: (end, {"seed": seed, "out_dir": name}) for name, (end, seed) in ends.items()})
    for several in (runs, runs[::-1]):
        said = " ".join(sentences(several, "loss"))
        assert "2 seeds, loss 2.0000 to 3.0920, mean 2.6480." in said
        assert "seed 42 was run 2 times, loss 2.5000 to 3.0920; their mean counts as one seed." in said
    runs[0].facts["environment"] = runs[2].facts["environment"] = {"commit": "def"}
    assert [[left.name for left in group] for group in settings_of(runs)] == [["a", "c"], ["b", "d"]]
    said = " ".join(sentences(runs, "loss"))
    assert "a + c: 2 seeds, loss 3.0000 to 3.0920" in said and "b + d: 2 seeds, loss 2.0000 to 2.5000" in said


def test_other_code_is_another_setting_and_is_named(tmp_path):
    """A script that was edited, in a checkout that was not clean before either."""
    ends = {"a1": (4.0, 1), "a2": (4.02, 2), "b1": (3.0, 1), "b2": (3.02, 2), "b3": (3.01, 3)}
    runs = runs_of(tmp_path, **{name: (end, {"seed": seed}) for name, (end, seed) in ends.items()})
    assert len(settings_of(runs)) == 1  # of earlier versions, which did not keep it
    for left in runs:
        left.facts["code"] = {"train_pretrain.py": left.name[0], "model/config.py": "c", f"{left.name}.py": left.name}
    assert [[left.name for left in group] for group in settings_of(runs)] == [["a1", "a2"], ["b1", "b2", "b3"]]
    assert differing(runs) == {
        "--seed": ["1", "2", "1", "2", "3"],
        "code of train_pretrain.py": ["a", "a", "b", "b", "b"],
    }
    assert "b1 + b2 + b3 against a1 + a2: loss -1.0000, more than seeds explain" in " ".join(sentences(runs, "loss"))
    for left in runs:
        left.facts["code"] = {f"{number}.py": left.name[0] for number in range(12)}
    assert differing(runs)["code of 12 files"] == ["version 1"] * 2 + ["version 2"] * 3


def test_data_of_another_size_are_other_data(tmp_path):
    runs = runs_of(tmp_path, a=(4.0, {"seed": 1}), b=(4.1, {"seed": 2}))
    assert len(settings_of(runs)) == 1
    runs[1].facts["tokens_per_epoch"] = 7
    assert len(settings_of(runs)) == 2


def test_pairs_that_are_not_listed_are_counted(tmp_path):
    runs = runs_of(tmp_path, **{f"run{i}": (4.0, {"learning_rate": 0.01 * (i + 1)}) for i in range(6)})
    assert sentences(runs, "loss")[-1] == "5 more pairs are not listed: give fewer runs to compare."


def test_flags_that_are_not_known_are_not_called_equal(tmp_path):
    paths = [write_run(tmp_path / name) for name in ("a", "b")]
    assert "No flag, and nothing around them." in page_of(paths)
    run = paths[1].with_name("run.json")
    facts = json.loads(run.read_text())
    run.write_text(json.dumps({name: value for name, value in facts.items() if name not in ("flags", "environment")}))
    page = page_of(paths)
    assert "The flags of b are not known." in page and "No flag, and nothing" not in page


def test_only_runs_of_one_stage_are_compared(tmp_path):
    paths = [write_run(tmp_path / name) for name in ("a", "b")]
    assert "2 runs side by side" in page_of(paths)
    run = paths[1].with_name("run.json")
    run.write_text(run.read_text().replace('"pretrain"', '"full_sft"'))
    assert "side by side" not in page_of(paths)


def test_what_decides_nothing_is_what_the_flags_declare():
    parser = StageParser()
    add_data_arguments(parser, "")
    add_model_arguments(parser, None)
    add_optimization_arguments(parser, "muon", 0.1)
    add_run_arguments(parser, "a")
    decides = parser.parse_args([]).decides
    assert {name for name, what in decides.items() if what == NOTHING} | {"seed"} == BESIDE_THE_POINT


def test_the_spread_is_pooled_over_settings():
    assert pooled_deviation({"a": [1.0], "b": [2.0]}) is None
    deviation, freedom = pooled_deviation({"a": [1.0, 3.0], "b": [5.0, 5.0, 8.0], "c": [9.0]})
    assert freedom == 3 and deviation == pytest.approx(math.sqrt((2 + 6) / 3))
    assert compare({"a": [1.0], "b": [2.0]}, "a", "b").is_more is None


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_chance_alone_is_taken_for_more_in_one_of_twenty_cases(seeds):
    noise = random.Random(seeds)
    cases = [{n: [noise.gauss(0, 1) for _ in range(seeds)] for n in "ab"} for _ in range(4000)]
    assert sum(compare(each, "a", "b").is_more for each in cases) / len(cases) == pytest.approx(0.05, abs=0.015)
