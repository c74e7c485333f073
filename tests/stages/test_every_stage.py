"""What every training stage does alike, whatever it trains: see the table of stages in `tests/stages/table.py`."""

import contextlib
import json
import shutil
import signal
from unittest import mock

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from dataset.cache import examples
from model.errors import SproutError
from model.files.adapters import open_lora
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.files.reward import load_reward
from model.text.tokenizer import Tokenizer
from tests.faults.processes import Running, no_curves, together
from tests.stages.table import SHAPE, SIZE, STAGES, Stage
from tests.stages.workshop import Result, Workshop, assert_same_run, same, signal_at

SAVES = ("--save_interval=7", "--eval_interval=10", "--val_ratio=0.2")
SHORT = ("--max_steps=2", "--eval_interval=0")
BY_TWO = ("--max_steps=7", "--val_ratio=0.2", "--eval_interval=3", "--batch_size=1")

# A variant need only be stopped, so it ends soon after its first validation.
STOPPED = ("--max_steps=13",)

RUNS = [(stage, variant) for stage in STAGES.values() for variant in ("", *stage.variants)]


def whole_run(stage: Stage, variant: str) -> tuple[str, ...]:
    """The flags of a run to its end."""
    return (*stage.learns, *SAVES, *((*STOPPED, *stage.variants[variant]) if variant else ()))


def over(runs):
    """Parametrises a test over stages and their variants."""
    names = [f"{stage.name}-{variant}" if variant else stage.name for stage, variant in runs]
    return pytest.mark.parametrize("stage, variant", runs, ids=names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    Workshop.create(folder)
    return folder


@pytest.fixture(params=STAGES.values(), ids=lambda stage: stage.name)
def stage(request) -> Stage:
    return request.param


@pytest.fixture
def workshop(folder, stage) -> Workshop:
    return Workshop(folder, stage.name)


@pytest.fixture(scope="module")
def whole(folder):
    """The result of the run of a stage and variant to its end, trained once."""
    results: dict[tuple[str, str], Result] = {}

    def result_of(stage: Stage, variant: str = "") -> Result:
        if (stage.name, variant) not in results:
            workshop, out = Workshop(folder, stage.name), f"whole_{stage.name}_{variant}"
            results[stage.name, variant] = workshop.train(out, *whole_run(stage, variant), draws=not variant)
        return results[stage.name, variant]

    return result_of


@pytest.fixture(scope="module")
def short(folder):
    """The result of two steps of a stage, trained once; not to be changed."""
    results: dict[str, Result] = {}

    def result_of(stage: Stage) -> Result:
        if stage.name not in results:
            results[stage.name] = Workshop(folder, stage.name).train(f"short_{stage.name}", *SHORT)
        return results[stage.name]

    return result_of


def copied(workshop: Workshop, out: str) -> Result:
    """A copy of what `short` left, as the output `out`."""
    shutil.copytree(workshop.folder / f"short_{workshop.stage}", workshop.folder / out)
    return workshop.result(out)


# --- to the end -------------------------------------------------------------------------------------


def test_a_run_learns_and_leaves_weight_state_and_curve(stage, whole):
    result = whole(stage)
    lines = result.metrics
    assert len(lines) > 20 and [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    if not stage.samples:
        assert sum(result.losses[-5:]) < 0.95 * sum(result.losses[:5])
    assert [("val_length" if stage.samples else "val_loss") in line for line in lines] == [
        line["step"] % 10 == 0 or line["step"] == len(lines) for line in lines
    ]
    contents, state = read_checkpoint(result.weight_file), read_checkpoint(result.resume_file)
    assert contents["stage"] == stage.name and contents["facts"]["step"] == state["step"] == len(lines)
    assert all(torch.isfinite(tensor).all() for tensor in result.weights.values())
    names = {path.name for path in result.logs.iterdir() if not path.name.startswith("events.out.tfevents.")}
    assert names - {"samples.jsonl"} == {"metrics.jsonl", "run.json", "loss.png"}
    assert json.loads((result.logs / "run.json").read_text("utf-8"))["stage"] == stage.name
    assert f"done: {result.weight_file} after {len(lines)} steps" in result.said


def test_a_second_run_keeps_the_result_of_the_first_aside(stage, workshop, short):
    first, out = short(stage), f"aside_{stage.name}"
    copied(workshop, out)
    second = workshop.train(out, *SHORT, "--max_steps=3")
    (kept,) = (second.folder / "earlier").iterdir()
    assert f"an earlier result was moved to {kept}" in second.said and second.facts["step"] == 3
    for path in (first.weight_file, first.resume_file):
        assert (kept / path.name).read_bytes() == path.read_bytes()
    assert (kept / "logs" / "metrics.jsonl").read_bytes() == (first.logs / "metrics.jsonl").read_bytes()


def test_a_dry_run_shows_the_plan_and_writes_only_the_token_cache(stage, workshop):
    out = workshop.train(f"dry_{stage.name}", "--dry_run")
    assert "dry run: one step took" in out.said and "steps     " in out.said and "memory    about" in out.said
    assert [path.name for path in (workshop.folder / f"dry_{stage.name}").iterdir()] == ["cache"]


def test_a_file_of_flags_is_as_good_as_flags_and_the_command_line_wins(stage, workshop, short):
    flags: dict[str, list[str]] = {}
    for word in workshop.command(f"config_{stage.name}", "--max_steps=9"):
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            flags[name] = [value] if value else []
        else:
            flags[name].append(word)
    path = workshop.folder / f"{stage.name}.yaml"
    path.write_text(yaml.safe_dump({name: found if name == "data_path" else found[0] for name, found in flags.items()}))
    workshop.main(["--config", str(path), *SHORT])
    assert_same_run(workshop.result(f"config_{stage.name}"), short(stage))


# --- work is not lost -------------------------------------------------------------------------------


@contextlib.contextmanager
def signal_in_validation(number: int):
    """Context in which this process gets a signal when it begins to evaluate what it has trained."""
    steps, honest = [], torch.Tensor.backward

    def backward(*args, **named):
        if not steps:
            steps.append(around.enter_context(signal_at(torch.nn.Module, "train", 1, number)))
        return honest(*args, **named)

    with contextlib.ExitStack() as around:
        around.enter_context(mock.patch.object(torch.Tensor, "backward", backward))
        yield


@over(RUNS)
def test_stopped_by_signals_it_saves_and_goes_on_to_the_bit(stage, variant, whole, folder):
    """SIGTERM comes in the first of two micro-batches, Ctrl-C while it validates."""
    expected, workshop, out = whole(stage, variant), Workshop(folder, stage.name), f"stopped_{stage.name}_{variant}"
    words, last = whole_run(stage, variant), 0
    for stopped_by, code in ((signal_at(torch.Tensor, "backward", 7), 143), (signal_in_validation(signal.SIGINT), 130)):
        with stopped_by:
            ended, errors = workshop.fails(out, *words, *(["--resume"] if last else []))
        assert (ended, errors) == (code, "")
        stopped = workshop.result(out)
        assert 0 < stopped.facts["step"] < expected.facts["step"]
        last = stopped.facts["step"]
        assert read_checkpoint(stopped.resume_file)["step"] == stopped.metrics[-1]["step"] == last
    if variant != "sampled" and not stage.samples and stage.name != "reward":  # these evaluate elsewhere, too
        assert last == 9  # and not 10: its validation is still to come
    result = workshop.train(out, *words, "--resume")
    assert f"resumed {result.resume_file} at step {last} of {expected.facts['step']}" in result.said
    assert_same_run(result, expected)


def test_another_run_is_refused_by_name_and_nothing_is_touched(stage, workshop, short, monkeypatch):
    out = f"changed_{stage.name}"
    short(stage)
    result = copied(workshop, out)
    before = result.weight_file.read_bytes(), result.resume_file.read_bytes(), result.metrics
    flag, said = stage.changed
    for words, data, named in (
        (("--seed=1",), None, "seed was 42, is 1"),
        ((flag,), None, said),
        ((), stage.data[:1], "is not among the files any more"),
    ):
        code, message = workshop.fails(out, *SHORT, *words, "--resume", data=data)
        assert code == 2 and message.count("\n") == 1, message
        assert message.startswith("error: --resume would not continue the same run: ") and named in message
    assert (result.weight_file.read_bytes(), result.resume_file.read_bytes(), result.metrics) == before
    # The same run has nothing left to do; it is no other to a newer Sprout that makes the same tokens of the records.
    monkeypatch.setattr(examples, "READING", examples.READING + 1)
    again = workshop.train(out, *SHORT, "--resume")
    assert "at step 2 of 2" in again.said and again.metrics == before[2] and same(again.weights, short(stage).weights)


def test_nothing_to_resume_is_a_sentence(stage, workshop):
    code, message = workshop.fails(f"never_{stage.name}", "--resume")
    assert (code, message.count("\n")) == (2, 1)
    assert "there is no" in message and "start without --resume" in message


# What a process samples itself is different where there are more of them.
@over([(stage, variant) for stage, variant in RUNS if variant != "sampled" and not stage.samples])
def test_two_processes_have_the_curve_of_one(stage, variant, folder):
    """At the same total batch, with validation and all that is measured."""
    workshop, out = Workshop(folder, stage.name), f"{stage.name}_{variant}"
    words = (*stage.learns, *stage.variants.get(variant, ()), *BY_TWO)
    one = workshop.train(f"one_{out}", *words, "--accumulation_steps=4")
    command = workshop.command(f"two_{out}", *words, "--accumulation_steps=2")
    running = [Running(f"train_{stage.name}", command, no_curves, each) for each in together(2)]
    first, second = [each.end(240) for each in running]
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "1 row x 2 micro-batches x 2 processes" in first.out and second.out == ""
    two = workshop.result(f"two_{out}")
    for a, b in zip(two.metrics, one.metrics, strict=True):
        assert a == pytest.approx(b, rel=5e-5, abs=1e-5)
    for name, tensor in two.weights.items():
        apart = (tensor - one.weights[name]).abs()  # where a gradient nearly cancels, AdamW magnifies its rounding
        assert apart.max() < 5e-4 and apart.mean() < 5e-6, name


# --- where it begins --------------------------------------------------------------------------------


def test_it_begins_with_the_weight_of_the_stage_before_where_none_is_named(stage, workshop):
    out = workshop.folder / f"default_{stage.name}"
    if stage.default is None:
        said = workshop.train(out.name, *SHORT).said
        assert "begins with a new network" in said
        return
    makes_it = f"This makes it: python train_{stage.default}.py"
    with pytest.raises(SproutError, match=f"no weight called {stage.default} in .*{makes_it}"):
        workshop.train(out.name, *SHORT, begins=())
    out.mkdir(exist_ok=True)
    weight = out / f"{stage.default}_{SIZE}.pth"
    weight.write_bytes((workshop.folder / "start.pth").read_bytes())
    result = workshop.train(out.name, *SHORT, begins=())
    assert f"begins with {weight}" in result.said and result.weight_file.exists()
    assert weight.read_bytes() == (workshop.folder / "start.pth").read_bytes()


@pytest.fixture(scope="module")
def transformers_folder(folder):
    """A folder with a small network of a family, which transformers saved."""

    def save(config_type):
        path = folder / config_type.model_type
        if not path.exists():
            tokenizer = Tokenizer.load(folder / "tokenizer")
            torch.manual_seed(0)
            config = config_type(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, head_dim=16, **SHAPE)
            AutoModelForCausalLM.from_config(config).save_pretrained(path)
            tokenizer.save(path)
        return path

    return save


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_a_folder_that_transformers_saved_is_trained_and_exported_again(
    stage, workshop, transformers_folder, config_type
):
    source, out = transformers_folder(config_type), f"{stage.name}_from_{config_type.model_type}"
    result = workshop.train(out, "--max_steps=3", begins=(f"--from_weight={source}",))
    assert f"begins with {source}" in result.said and result.facts["step"] == 3
    assert result.facts["imported"] and result.metrics[0]["lr"] < 1e-3  # such a network is changed gently
    if stage.writes == "adapters":
        open_lora(result.weight_file).attach(load_model(source).model)  # which is the one they were trained on
        return
    if stage.writes == "reward model":
        assert load_reward(result.weight_file).model.config.model_type == config_type.model_type
        return
    loaded, again = load_model(result.weight_file), workshop.folder / "again"
    export_folder(again, loaded.model, loaded.tokenizer)
    exported = AutoModelForCausalLM.from_pretrained(again)
    assert exported.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(exported(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


# --- what cannot be done ----------------------------------------------------------------------------


def test_a_bad_line_is_one_sentence_with_its_place_or_is_skipped(stage, workshop):
    name = f"bad_{stage.name}.jsonl"
    source = stage.data[0].split(":")[0]
    good = (workshop.folder / source).read_text("utf-8").splitlines()
    for bad, named in stage.bad_lines:
        (workshop.folder / name).write_text("\n".join([*good[:2], bad, *good[2:]]) + "\n", "utf-8")
        code, message = workshop.fails(f"bad_{stage.name}", *SHORT, data=(name,))
        assert code == 1 and message.count("\n") == 1 and f"{name}:3" in message and named in message, message
        assert not workshop.result(f"bad_{stage.name}").weight_file.exists()
    every = [bad for bad, _ in stage.bad_lines]
    (workshop.folder / name).write_text("\n".join([*good[:2], *every, *good[2:]]) + "\n", "utf-8")
    skipped = workshop.train(f"bad_{stage.name}", *SHORT, "--on_bad_line=skip", data=(name,))
    assert f"left out {len(every)} bad line" in skipped.said
    assert_same_run(skipped, workshop.train(f"clean_{stage.name}", *SHORT, data=(source,)))


def test_a_file_for_another_stage_is_called_what_it_is(stage, workshop):
    name, named = stage.foreign
    code, message = workshop.fails(f"foreign_{stage.name}", *SHORT, data=(name,))
    assert code == 1 and message.count("\n") == 1, message
    assert f"{name}:1" in message and "the record is of another kind" in message and named in message


def test_a_missing_file_is_found_before_the_network_is_read(stage, workshop):
    for words, data in (([], ("gone.jsonl",)), (["--val_path", "gone.jsonl"], None)):
        message = workshop.fails(f"gone_{stage.name}", *SHORT, *words, "--from_weight=none.pth", data=data)[1]
        assert "gone.jsonl: there is no such file" in message
