"""The command line: flags of ours, of other programs and unknown ones, and their values."""

import re
from pathlib import Path

import pytest

import train_grpo
import train_lora
import train_ppo
from dataset.unknown_flags import MEANT, SAME, sentence_about
from model.errors import UsageError
from tests.training.stages.command_line import parse, refusal
from training.stages.arguments import StageParser
from training.stages.rl_arguments import add_rollout_arguments
from training.stages.starting_point import new_config

ROOT = Path(__file__).parents[3]


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


def test_the_name_of_a_result_is_found_where_it_is_called_otherwise():
    """`--lora_name y` of a stage whose --lora is a switch was read as `--lora y`, and y was a stray argument."""
    for words in (["--lora", "--lora_name", "y"], ["--lora_name=y"]):
        with pytest.raises(UsageError, match="unknown flag --lora_name(=y)?: did you mean --weight_name[?]"):
            train_grpo.parse_arguments(words)
    for flag in ("--weight_name", "--run_name"):
        with pytest.raises(UsageError, match=f"unknown flag {flag}: did you mean --lora_name[?]"):
            train_lora.parse_arguments([flag, "y"])


def test_the_table_names_flags_that_exist():
    folders = ("training/stages", "inference", "scripts", "dataset")
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in (ROOT / folder).glob("*.py"))]
    sources = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "unknown_flags.py")
    named = {*SAME.values(), *(each.split()[0] for meant in MEANT.values() for each in meant.split("|"))}
    assert not [flag for flag in named if not re.search(rf'["\s](--)?{flag[2:]}["\s]', sources)]


def test_a_flag_like_no_other_and_a_stray_word_point_to_help():
    assert "unknown flag --zzzz" in refusal("--zzzz") and "--help" in refusal("--zzzz")
    assert "unexpected argument 'text.jsonl'" in refusal("--seed", "1", "text.jsonl")


def test_a_stray_word_names_the_flag_that_it_may_belong_to():
    words = {"full_sft": "--weight", "out/full_sft_512.pth": "--weight", "chats.jsonl": "--data_path"}
    for word, flag in words.items():
        assert f": values follow a flag such as {flag} (" in sentence_about(word, ["--weight", "--data_path"])
    assert ": values follow a flag such as --data_path (" in sentence_about("full_sft", ["--data_path"])
    assert sentence_about("full_sft", ["--seed"]) == "unexpected argument 'full_sft' (see --help)"


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
    for ratio in ("0.1", "0.01"):  # the second one is the default
        assert "--val_path names files instead" in refusal("--val_path", "v.jsonl", "--val_ratio", ratio)
    args = parse("--val_path", "v.jsonl", "--val_ratio", "0")  # nothing of the data, and these files
    assert (args.val_path, args.val_ratio) == (["v.jsonl"], 0)


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


def test_a_temperature_that_nothing_is_sampled_at_is_refused_before_an_earlier_result_is_moved():
    """It was refused at the first step, when the earlier result was aside, with the advice to give 0."""
    parser = StageParser("")
    add_rollout_arguments(parser)
    assert parser.parse_args(["--temperature", "0.00001"]).temperature == 1e-5
    with pytest.raises(UsageError, match="--temperature: 1e-9 is too near to 0, where answers no longer differ"):
        parser.parse_args(["--temperature", "1e-9"])
