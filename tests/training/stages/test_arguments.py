"""The command line: errors of one sentence, --config, switches, exit codes, and a fast --help."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import train_grpo
import train_ppo
from dataset.unknown_flags import MEANT, SAME
from model.errors import SproutError, UsageError
from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.starting_point import new_config

ROOT = Path(__file__).parents[3]


def parse(*words: str, start_from: str | None = None):
    parser = StageParser("A stage.")
    add_data_arguments(parser, "texts")
    add_model_arguments(parser, start_from=start_from)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.1)
    add_run_arguments(parser, weight_name="stage")
    return parser.parse_args(words)


def refusal(*words: str) -> str:
    """The error of a command line that cannot be carried out: one line."""
    with pytest.raises(UsageError) as error:
        parse(*words)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- flags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flag, meant",
    [
        ("--learning_rat", "--learning_rate"),
        ("--learning-rate", "--learning_rate"),
        ("--learning-rate=1e-3", "--learning_rate"),
        ("--epoch", "--epochs"),  # no silent abbreviations
        ("--batchsize", "--batch_size"),
        ("--data-path", "--data_path"),
    ],
)
def test_an_unknown_flag_names_the_nearest(flag, meant):
    assert refusal(flag, "1") == f"unknown flag {flag}: did you mean {meant}?"


@pytest.mark.parametrize(
    "flag, meant",
    [
        ("--lr", "--learning_rate"),
        ("--n_embd", "--hidden_size"),
        ("--n_layer", "--num_hidden_layers"),
        ("--warmup_iters", "--warmup_steps"),
        ("--load", "--weight_path FOLDER"),
        ("--model_name_or_path", "--from_weight"),
        ("--per_device_train_batch_size", "--batch_size"),
        ("--num_train_epochs", "--epochs"),
        ("--max_length", "--max_seq_len"),
        ("--output-dir", "--out_dir"),
        ("--bf16", "--dtype bfloat16"),
    ],
)
def test_flags_of_other_programs_are_answered_with_ours(flag, meant):
    assert refusal(flag, "1") == f"unknown flag {flag}: did you mean {meant}?"


@pytest.mark.parametrize(
    "stage, flag, answer",
    [
        (train_grpo, "--num_generations", "did you mean --group_size?"),
        (train_grpo, "--beta", "did you mean --kl_coef?"),
        (train_grpo, "--epsilon_high", "did you mean --clip_high?"),
        (train_grpo, "--reward_funcs", "did you mean --reward?"),
        (train_ppo, "--reward_model_path", "did you mean --reward_weight?"),
        (train_ppo, "--critic_learning_rate", "did you mean --critic_rate?"),
        (train_ppo, "--clip_epsilon", "did you mean --clip?"),
        (train_ppo, "--ppo_update_iters", "did you mean --inner_epochs?"),
        (train_ppo, "--sglang_base_url", "samples its answers itself: leave it out"),
    ],
)
def test_flags_of_other_programs_for_rewards_are_answered_by_the_stages_that_have_them(stage, flag, answer):
    with pytest.raises(UsageError) as caught:
        stage.parse_arguments([flag, "x"])
    assert str(caught.value).startswith(f"unknown flag {flag}: ") and str(caught.value).endswith(answer)


def test_flags_of_other_programs_that_name_no_flag_of_ours_are_answered_with_what_sprout_does():
    for flag in ("--use_moe", "--num_workers", "--local_rank", "--num_generations"):
        assert refusal(flag).startswith(f"unknown flag {flag}: ") and refusal(flag).endswith("leave it out")
    assert refusal("--lr", "1", "--zzzz").endswith(
        "did you mean --learning_rate?; also unknown flag --zzzz (see --help)"
    )


def test_minimind_flags_with_the_same_meaning_are_understood(config_file, capsys):
    path = config_file("save_interval: 7\n")
    words = ["--dim", "96", "--n_layers=3", "--save-dir", "o", "--save_weight", "w", "--from_resume", "1"]
    args = parse(*words, "--use_compile", "0", "--use_moe", "False", "--config", path, "--data_path", "a", "b")
    assert (args.hidden_size, args.num_hidden_layers, args.out_dir, args.weight_name) == (96, 3, "o", "w")
    assert (args.resume, args.compile, args.save_interval, args.data_path) == (True, "off", 7, ["a", "b"])
    assert capsys.readouterr().err == (
        "MiniMind's flags are read as ours: --dim 96 as --hidden_size 96, --n_layers 3 as --num_hidden_layers 3,"
        " --save_dir o as --out_dir o, --save_weight w as --weight_name w, --from_resume 1 as --resume,"
        " --use_compile 0 as --compile off, --use_moe False as no flag\n"
    )
    assert "mixture of experts" in refusal("--use_moe", "1")
    args = parse("--use_wandb", "--wandb_project", "MiniMind-Pretrain")
    assert (args.tracker, args.tracker_project) == ("wandb", "MiniMind-Pretrain")
    assert "read as ours: --use_wandb as --tracker wandb, --wandb_project" in capsys.readouterr().err
    assert "not a whole number" in refusal("--dim", "0")


def test_the_table_names_flags_that_exist():
    folders = ("training/stages", "inference", "scripts", "dataset")
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in (ROOT / folder).glob("*.py"))]
    sources = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "unknown_flags.py")
    named = {*SAME.values(), *(each.split()[0] for meant in MEANT.values() for each in meant.split("|"))}
    assert not [flag for flag in named if not re.search(rf'["\s](--)?{flag[2:]}["\s]', sources)]


def test_a_flag_like_no_other_and_a_stray_word_point_to_help():
    assert "unknown flag --zzzz" in refusal("--zzzz") and "--help" in refusal("--zzzz")
    assert "unexpected argument 'text.jsonl'" in refusal("--seed", "1", "text.jsonl")


@pytest.mark.parametrize(
    "words",
    [
        ("--epochs", "0"),
        ("--epochs", "two"),
        ("--batch_size", "-1"),
        ("--hidden_size", "0"),
        ("--max_seq_len", "1.5"),
        ("--learning_rate", "0"),
        ("--learning_rate", "nan"),
        ("--learning_rate", "inf"),
        ("--weight_decay", "-0.1"),
        ("--val_ratio", "1"),
        ("--freeze_layers", "-1"),
        ("--seed", "-1"),
        ("--dtype", "int8"),
        ("--optimizer", "sgd"),
        ("--epochs",),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_flag_named(words):
    assert words[0] in refusal(*words)


def test_validation_files_or_a_share_of_the_data():
    said = refusal("--val_path", "v.jsonl", "--val_ratio", "0.1")
    assert "--val_ratio: not allowed with argument --val_path" in said


def test_switches_turn_on_and_off_and_leave_open():
    assert parse().qk_norm is None
    assert parse("--qk_norm").qk_norm is True
    assert parse("--no_qk_norm").qk_norm is False
    assert parse("--qk_norm", "--no_qk_norm").qk_norm is False
    assert (parse().resume, parse("--resume").resume) == (False, True)


def test_sizes_change_a_preset():
    config = new_config(parse("--preset", "tiny", "--hidden_size", "64", "--no_qk_norm"), vocab_size=300)
    assert (config.hidden_size, config.head_dim, config.qk_norm, config.vocab_size) == (64, 16, False, 300)
    assert config.num_hidden_layers == new_config(parse("--preset", "tiny"), 300).num_hidden_layers
    with pytest.raises(UsageError, match="giant"):
        new_config(parse("--preset", "giant"), 300)
    with pytest.raises(UsageError, match="not divisible"):
        new_config(parse("--hidden_size", "100", "--num_attention_heads", "3"), 300)


def test_a_new_network_is_not_extended():
    with pytest.raises(UsageError, match="extends a network that is trained: name it with --from_weight"):
        new_config(parse("--preset", "tiny", "--rope_scaling_factor", "2"), 300)


# --- --config ---------------------------------------------------------------------------------------


@pytest.fixture
def config_file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


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
    assert "--weight_path: not allowed with argument --from_weight" in refusal("--from_weight=a", "--weight_path=b")
    args = parse("--config", config_file("weight_path: b\n"), "--from_weight", "a")
    assert (args.from_weight, args.weight_path) == ("a", None)
    args = parse("--config", config_file("from_weight: a\n"), "--weight_path", "b")
    assert (args.from_weight, args.weight_path) == (None, "b")
    usual = "".join(["pre", "train"])  # equal to the default, but another object, as from a shell
    args = parse("--config", config_file("weight_path: b\n"), "--from_weight", usual, start_from="pretrain")
    assert (args.from_weight, args.weight_path) == ("pretrain", None)
    path = config_file("from_weight: a\nweight_path: b\n")
    assert f"--config {path}: argument --weight_path: not allowed" in refusal("--config", path)


# --- run_main ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, code, message",
    [
        (SproutError("a.jsonl:3: no text"), 1, "error: a.jsonl:3: no text\n"),
        (UsageError("unknown flag --x"), 2, "error: unknown flag --x\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(capsys, error, code, message):
    def main():
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == code
    assert capsys.readouterr().err == message


def test_a_full_disk_is_said(capsys):
    def main():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/metrics.jsonl")

    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "disk is full" in message and "out/metrics.jsonl" in message


def test_what_is_not_expected_keeps_its_traceback():
    def main():
        raise FileNotFoundError("a bug")

    with pytest.raises(FileNotFoundError):
        run_main(main)


# --- the stage scripts ------------------------------------------------------------------------------

SCRIPTS = sorted(path.name for path in [*ROOT.glob("train_*.py"), ROOT / "eval_model.py"])


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_grouped_and_does_not_wait_for_torch(script):
    code = f"""
import runpy, sys
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit as stopped:
    assert not stopped.code
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--seed" in result.stdout or "--vocab_size" in result.stdout
    titles = [line for line in result.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert len(titles) == len(set(titles))


def test_a_wrong_flag_ends_a_script_with_one_line():
    command = [sys.executable, "train_pretrain.py", "--data_pth", "x"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "error: unknown flag --data_pth: did you mean --data_path?\n"
