"""--config: a file of flags."""

import os

import pytest

from tests.training.stages.command_line import parse, refusal


def test_config_gives_defaults_and_the_command_line_wins(config_file):
    path = config_file(
        "epochs: 3\nlearning_rate: 1e-3\nweight_decay: 0\ndata_path: [a.jsonl, b.jsonl]\nval_path: c.txt\n"
        "qk_norm: false\ndry_run: true\nhistograms: false\ncompile: off\nout_dir: 'my out'\n"
    )
    args = parse("--config", path, "--epochs", "2", "--data_path", "d.jsonl")
    assert (args.epochs, args.data_path) == (2, ["d.jsonl"])
    assert (args.learning_rate, args.weight_decay) == (0.001, 0.0)
    assert (args.val_path, args.out_dir, args.compile) == (["c.txt"], "my out", "off")
    assert (args.qk_norm, args.dry_run, args.histograms) == (False, True, False)
    assert args.batch_size is None and args.seed == parse().seed
    assert parse("--config", path).data_path == ["a.jsonl", "b.jsonl"]
    assert parse("--qk_norm", "--config", path).qk_norm is True
    args = parse("--val_ratio", "0.1", "--config", path)  # takes the place of the file's val_path
    assert (args.val_path, args.val_ratio) == (None, 0.1)
    assert parse("--config", config_file("val_ratio: 0\nval_path: c.txt\n")).val_path == ["c.txt"]
    args = parse("--val_path", "v.jsonl", "--config", config_file("val_ratio: 0.1\n"))
    assert (args.val_path, args.val_ratio) == (["v.jsonl"], 0.01)


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("weight_name: 2024_11_29", "weight_name", "2024_11_29"),  # which YAML takes for a number
        ("weight_name: no", "weight_name", "no"),
        ("weight_name: 1e3", "weight_name", "1e3"),
        ("max_steps: 010", "max_steps", 10),  # and this for 8
        ("compile: on", "compile", "on"),
        ("compile: true", "compile", "on"),
        ("dry_run: yes", "dry_run", True),
        ("activation_checkpointing: true", "activation_checkpointing", "layers"),
        ("activation_checkpointing: cheap", "activation_checkpointing", "cheap"),
    ],
)
def test_a_value_of_a_config_means_what_it_means_on_the_command_line(config_file, text, name, value):
    assert getattr(parse("--config", config_file(text)), name) == value


@pytest.mark.parametrize(
    "text, named",
    [
        ("learning_rat: 1\n", "did you mean --learning_rate?"),
        ("7: 1\n", "--7"),
        ("epochs: two\n", "--epochs"),
        ("epochs: 0\n", "--epochs"),
        ("epochs: true\n", "--epochs"),
        ("epochs: [1, 2]\n", "epochs takes one value"),
        ("epochs:\n", "epochs takes one value"),
        ("data_path: {a: 1}\n", "data_path takes one value"),
        ("data_path: []\n", "--data_path"),
        ("qk_norm: 1\n", "qk_norm is a switch"),
        ("resume: maybe\n", "resume is a switch"),
        ("epochs: 1\nepochs: 2\n", "epochs stands there twice"),
        ("optimizer: sgd\n", "--optimizer"),
        ("config: other.yaml\n", "a file of flags cannot name another one"),
        ("- epochs\n", "flag: value"),
        ("", "flag: value"),
        ("epochs: [1\n", "cannot be read"),
    ],
)
def test_a_config_that_cannot_be_used_is_named_with_its_flag(config_file, text, named):
    path = config_file(text)
    message = refusal("--config", path)
    assert path in message and named in message


def test_a_config_that_is_not_there_is_named(tmp_path):
    assert "nowhere.yaml cannot be read" in refusal("--config", str(tmp_path / "nowhere.yaml"))


def test_a_weight_is_named_once_and_the_command_line_wins_over_a_file(config_file):
    assert "--weight_path does not go with --from_weight: give one" in refusal("--from_weight=a", "--weight_path=b")
    args = parse("--config", config_file("weight_path: b\n"), "--from_weight", "a")
    assert (args.from_weight, args.weight_path) == ("a", None)
    args = parse("--config", config_file("from_weight: a\n"), "--weight_path", "b")
    assert (args.from_weight, args.weight_path) == (None, "b")
    usual = "".join(["pre", "train"])  # equal to the default, but another object, as from a shell
    args = parse("--config", config_file("weight_path: b\n"), "--from_weight", usual, start_from="pretrain")
    assert (args.from_weight, args.weight_path) == ("pretrain", None)
    path = config_file("from_weight: a\nweight_path: b\n")
    assert f"--config {path}: --weight_path does not go with" in refusal("--config", path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.yaml")
    said = refusal("--config", str(tmp_path / "run.yaml"))
    assert "run.yaml is a pipe, from which nothing may ever come: name a file" in said
    reading, writing = os.pipe()
    os.write(writing, b"epochs: 3\n")
    os.close(writing)
    assert parse("--config", f"/dev/fd/{reading}").epochs == 3  # as a shell makes of <(...)
    os.close(reading)
