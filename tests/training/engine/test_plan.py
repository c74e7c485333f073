"""The plan of a run: every row once an epoch, defaults by rule, flags above all."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.rows.texts import TEXTS
from model.config import PRESETS
from model.device import choose_device
from model.errors import UsageError
from model.transformer import Transformer
from tests.training.support import SMALL, flags
from training.engine import plan as rules
from training.engine.memory import Footprint
from training.engine.plan import Plan, make_plan, plan_for, rows_of_a_step, tokens_per_step_rule
from training.engine.repetition import warnings_about_passes
from training.report.description import FEWEST_JUDGED, amount, longer
from training.stages.starting_point import Origin


def small_plan(**changes) -> Plan:
    values = {
        "epochs": 2,
        "rows_per_epoch": 10,
        "row_length": 16,
        "batch_size": 2,
        "accumulation_steps": 2,
        "world_size": 1,
        "max_steps": None,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "schedule": "wsd",
    }
    return Plan(**values | changes)


def planned(*words: str, rows=10_000, length=512, world_size=1, **more) -> Plan:
    return make_plan(flags(*words), rows_per_epoch=rows, row_length=length, world_size=world_size, **more)


# --- rows -------------------------------------------------------------------------------------------


@given(*(st.integers(1, high) for high in (4, 40, 5, 4, 3)))
def test_every_row_comes_exactly_once_an_epoch(epochs, rows, batch_size, accumulation, world_size):
    plan = small_plan(
        epochs=epochs,
        rows_per_epoch=rows,
        batch_size=batch_size,
        accumulation_steps=accumulation,
        world_size=world_size,
    )
    seen: dict[int, list[int]] = {epoch: [] for epoch in range(epochs)}
    for step in range(plan.steps):
        epoch, places = plan.rows_of_step(step)
        assert 1 <= len(places) <= plan.rows_per_step
        seen[epoch] += places
    assert all(places == list(range(rows)) for places in seen.values())


def test_the_last_step_of_an_epoch_has_the_rows_that_are_left():
    plan = small_plan()
    assert [plan.rows_of_step(step) for step in (2, 3)] == [(0, range(8, 10)), (1, range(4))]
    assert plan.steps == 6


@pytest.mark.parametrize("asked, steps", [(4, 4), (6, 6), (100, 6)])
def test_max_steps_shortens_a_run_and_never_lengthens_it(asked, steps):
    assert small_plan(max_steps=asked).steps == steps


# --- rules ------------------------------------------------------------------------------------------


@given(st.integers(1, 10**13))
def test_tokens_in_a_step_are_a_power_of_two_near_the_rule_within_limits(total):
    tokens = tokens_per_step_rule(total)
    assert tokens & (tokens - 1) == 0
    assert rules.BASE_TOKENS <= tokens <= rules.MOST_TOKENS_PER_STEP
    ideal = rules.TOKENS_PER_SQRT_D * math.sqrt(total)
    if rules.BASE_TOKENS < tokens < rules.MOST_TOKENS_PER_STEP:
        assert 2**-0.51 < tokens / ideal < 2**0.51


def test_a_small_corpus_gets_many_small_steps():
    plan = planned(rows=400)  # 200,000 tokens
    assert plan.steps >= 40
    assert plan.tokens_per_step <= rules.BASE_TOKENS


def test_more_data_take_larger_steps_at_the_same_rate():
    plans = [planned(rows=rows) for rows in (10**4, 10**5, 10**6, 10**7)]
    steps_tokens = [plan.tokens_per_step for plan in plans]
    assert steps_tokens == sorted(steps_tokens) and steps_tokens[0] < steps_tokens[-1]
    assert {plan.learning_rate for plan in plans} == {rules.BASE_LEARNING_RATE["muon"]}


def test_steps_below_the_base_size_take_less_of_the_rate():
    plan = planned("--batch_size", "2", "--accumulation_steps", "1")  # a quarter of the tokens
    assert plan.learning_rate == pytest.approx(rules.BASE_LEARNING_RATE["muon"] / 2)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_network_that_is_trained_already_takes_less_of_the_rate_and_an_imported_one_least(optimizer):
    words = (f"--optimizer={optimizer}",)
    new, trained, imported = (planned(*words, begins_with=stage) for stage in (None, "pretrain", "imported"))
    assert trained.learning_rate <= new.learning_rate / 4 and imported.learning_rate <= trained.learning_rate / 10
    assert "as the network is trained already" in trained.reasons["learning_rate"]
    assert "as the network is imported" in imported.reasons["learning_rate"]


def test_what_was_imported_once_keeps_its_rates_in_every_later_stage():
    """A network of someone else's, fine-tuned here, has no less to lose in DPO."""
    again, imported = planned(begins_with="full_sft", imported=True), planned(begins_with="imported")
    assert again.learning_rate == imported.learning_rate and again.imported and imported.imported
    assert not planned(begins_with="full_sft").imported
    rows = SimpleNamespace(rows_per_epoch=100, held_out=None, row_length=512, passes=np.ones(1), kind=TEXTS)
    args, machine = (
        flags("--optimizer=adamw"),
        SimpleNamespace(world_size=1, shards=None, choice=choose_device("cpu", "float32")),
    )
    model = Transformer(SMALL)
    rates = {"ours": {"adamw": 1e-4}, "imported": {"adamw": 1e-6}}
    found = [
        plan_for(args, machine, model, rows, Origin("x", "full_sft", "x", imported), base_rates=rates)
        for imported in (0, 1)
    ]
    assert [plan.learning_rate for plan in found] == [1e-4, 1e-6]


def test_adapters_learn_at_rates_of_their_own():
    args = flags("--optimizer", "adamw", "--batch_size", "8", "--accumulation_steps", "1")
    args.lora = True
    plans = [
        make_plan(args, rows_per_epoch=100, row_length=512, world_size=1, begins_with=stage)
        for stage in ("full_sft", "imported")
    ]
    assert [plan.learning_rate for plan in plans] == [1.5e-3, 2e-4]
    assert "as adapters learn on an imported network" in plans[1].reasons["learning_rate"]


def test_a_step_of_the_base_size_has_the_base_rate():
    for optimizer, base in rules.BASE_LEARNING_RATE.items():
        rows = rules.BASE_TOKENS // 512
        plan = planned("--optimizer", optimizer, "--batch_size", str(rows), "--accumulation_steps", "1")
        assert plan.learning_rate == base


def test_a_stage_may_bring_base_rates_of_its_own():
    arguments = flags("--batch_size", "8", "--accumulation_steps", "1")
    rows = {"rows_per_epoch": 100, "row_length": 512, "world_size": 1}
    assert make_plan(arguments, **rows, base_rates={"muon": 3e-4}).learning_rate == pytest.approx(3e-4, rel=0.5)


def test_an_added_optimizer_has_no_default_rate():
    rows = {"rows_per_epoch": 100, "row_length": 512, "world_size": 1}
    for begins_with in (None, "pretrain"):
        args = flags()
        args.optimizer = "lion"
        with pytest.raises(UsageError, match="no default rate for --optimizer lion: give --learning_rate"):
            make_plan(args, **rows, begins_with=begins_with)
        args.learning_rate = 1e-4
        plan = make_plan(args, **rows, begins_with=begins_with)
        assert (plan.learning_rate, plan.default_learning_rate) == (1e-4, None)


def test_fewer_steps_than_an_epoch_plan_for_the_tokens_that_will_be_seen():
    whole, short = planned(rows=10**6), planned("--max_steps", "200", rows=10**6)
    assert short.steps == 200
    assert short.tokens_per_step < whole.tokens_per_step
    seen = short.steps * short.tokens_per_step
    assert short.tokens_per_step == tokens_per_step_rule(seen)


# --- flags ------------------------------------------------------------------------------------------


def test_flags_override_the_rules_and_the_reasons_say_so():
    plan = planned(
        "--batch_size=3", "--accumulation_steps=5", "--learning_rate=0.007", "--warmup_steps=7", "--epochs=2"
    )
    assert (plan.batch_size, plan.accumulation_steps, plan.rows_per_step) == (3, 5, 15)
    assert (plan.learning_rate, plan.warmup_steps, plan.epochs) == (0.007, 7, 2)
    assert plan.reasons == {"batch": "as asked", "learning_rate": "as asked", "warmup": "as asked"}


def test_every_default_has_its_reason():
    reasons = planned().reasons
    assert "near 2.9 times the square root of the 5.12 M tokens in all rows" in reasons["batch"]
    assert "muon" in reasons["learning_rate"]
    assert "%" in reasons["warmup"]


@pytest.mark.parametrize("length, said", [(512, "at least 4,096"), (768, "at least about 4,096")])
def test_a_step_of_whole_rows_is_not_said_to_have_more(length, said):
    args = SimpleNamespace(batch_size=None, accumulation_steps=None, max_steps=None)
    assert rows_of_a_step(args, 10 * length, length, 1)[1].startswith(f"{said}, and near 2.9")


@pytest.mark.parametrize("words", [("--max_steps=20",), ("--max_steps=3", "--accumulation_steps=2")])
def test_a_bounded_run_names_the_tokens_of_its_steps(words):
    plan = planned(*words)
    tokens = amount(plan.max_steps * plan.tokens_per_step)
    assert f"near 2.9 times the square root of the {tokens} tokens in all steps" in plan.reasons["batch"]


@pytest.mark.parametrize("words", [("--batch_size=4",), ("--accumulation_steps=4",), ()])
def test_what_is_not_asked_fills_up_to_the_tokens_of_the_rule(words):
    plan = planned(*words, rows=10**5)
    assert plan.tokens_per_step == tokens_per_step_rule(10**5 * 512)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_a_step(world_size):
    plan = planned(rows=10**5, world_size=world_size)
    assert plan.tokens_per_step == planned(rows=10**5).tokens_per_step
    assert plan.rows_per_step == plan.batch_size * plan.accumulation_steps * world_size


def test_a_micro_batch_is_at_least_one_row_however_long():
    plan = planned(rows=100, length=100_000)
    assert (plan.batch_size, plan.accumulation_steps) == (1, 1)


def test_no_warm_up_if_asked_and_none_longer_than_the_run():
    assert planned("--warmup_steps=0").warmup_steps == 0
    plan = planned("--warmup_steps=1000", "--max_steps=3")
    assert plan.warmup_steps == plan.steps == 3


def test_nothing_to_train_is_a_usage_error():
    with pytest.raises(UsageError, match="no row"):
        planned(rows=0)


# --- --fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [512, 768])
def test_fit_chooses_a_micro_batch_and_the_step_stays_the_same(length):
    footprint = Footprint(PRESETS["26m"], length, "muon", PRESETS["26m"].num_parameters(), compute_bytes=2)
    whole = planned(rows=10**5, length=length)
    plan = planned("--fit=1.5", rows=10**5, length=length, footprint=footprint)
    assert plan.batch_size < whole.batch_size or plan.activation_checkpointing
    assert plan.tokens_per_step == whole.tokens_per_step
    assert footprint.total(plan.batch_size, plan.activation_checkpointing) <= 1.5 * 2**30
    assert "as --fit 1.5 allows" in plan.reasons["batch"]
    roomy = planned("--fit=80", rows=10**5, length=length, footprint=footprint)
    assert (roomy.batch_size, roomy.accumulation_steps) == (whole.batch_size, whole.accumulation_steps)


def test_a_short_run_scores_few_rows():
    """One row for every twelve that are trained: spread over the run, or fewer rows than are held out; those of
    --val_path are scored whole, and less often."""

    class HeldOut(list):
        held = 100

        def keep(self, most):
            del self[most:]

    def plan(rows: int, held_out: HeldOut, eval_interval=None, val_path=None) -> Plan:
        args, machine = (
            flags("--optimizer=adamw"),
            SimpleNamespace(world_size=1, shards=None, choice=choose_device("cpu", "float32")),
        )
        args.eval_interval, args.val_path = eval_interval, val_path
        found = SimpleNamespace(rows_per_epoch=rows, held_out=held_out, row_length=512, passes=np.ones(1), kind=TEXTS)
        return plan_for(args, machine, Transformer(SMALL), found, Origin("a new network"))

    short, long, asked, own = (HeldOut(range(100)) for _ in range(4))
    planned = plan(120, short)
    assert planned.validations == 1 and len(short) == 10
    assert planned.reasons["held_out"] == "; validation scores 10 of 100 held-out rows"
    planned = plan(12_000, long)
    assert planned.validations == 10 and len(long) == 100 and "held_out" not in planned.reasons
    plan(120, asked, eval_interval=1)
    assert len(asked) == 100
    assert plan(120, own, val_path=["v.jsonl"]).validations == 1 and len(own) == 100


# --- what is said of it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, rows, said",
    [
        (("--max_steps=2",), 1000, "give a larger --max_steps"),
        (("--batch_size=8", "--accumulation_steps=2"), 200, "--batch_size 8 --accumulation_steps 1 for 25 steps"),
        (("--batch_size=8", "--accumulation_steps=1"), 60, "--batch_size 3 --accumulation_steps 1 for 20 steps"),
        (
            ("--batch_size=8", "--accumulation_steps=1"),
            3,
            "--batch_size 1 --accumulation_steps 1 --epochs 7 for 21 steps",
        ),
        ((), 1, "--batch_size 1 --accumulation_steps 1 --epochs 20 for 20 steps"),
        (
            ("--max_steps=6", "--batch_size=8", "--accumulation_steps=1"),
            38,
            "--batch_size 1 --accumulation_steps 1 --max_steps 38 for 38 steps",
        ),
    ],
)
def test_a_short_run_is_told_which_flags_give_it_enough_steps(words, rows, said):
    plan = planned(*words, rows=rows)
    assert longer(plan).endswith(said)
    if "for" in said:  # and they do
        flags = said.split(" for ")[0].split()
        steps = planned(*words, *(f"{name}={value}" for name, value in zip(flags[::2], flags[1::2])), rows=rows).steps
        assert said.endswith(f"for {steps} steps") and steps >= FEWEST_JUDGED


def test_a_file_that_is_passed_over_too_often_is_named():
    plan = planned("--epochs=30", "--batch_size=1", "--accumulation_steps=1", rows=100)
    files = [SimpleNamespace(source=name) for name in ("a.jsonl", "b.jsonl")]
    (alone,) = warnings_about_passes(plan, SimpleNamespace(passes=np.ones(1), caches=files[:1]))
    assert "30 times over a.jsonl" in alone and "--epochs 20 or fewer" in alone
    (shared,) = warnings_about_passes(plan, SimpleNamespace(passes=np.ones(1), caches=files))  # a row has of both
    assert "30 times over a.jsonl and b.jsonl" in shared
    mixed = SimpleNamespace(passes=np.array([0.5, 5.2]), caches=files)
    (warning,) = warnings_about_passes(plan, mixed)
    assert "156 times over b.jsonl" in warning and "a smaller weight" in warning
    few = planned("--epochs=30", "--max_steps=300", "--batch_size=1", "--accumulation_steps=1", rows=100)
    assert warnings_about_passes(few, mixed) == []
