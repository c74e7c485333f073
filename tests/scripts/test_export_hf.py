"""scripts/export_hf.py, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.reward import RewardModel
from model.text.chat_template import with_chat_template
from scripts.export_hf import main
from tests.support import make_tokenizer, random_network
from training.stages.arguments import run_main

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).parents[2]
SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2, qk_norm=True)


@pytest.fixture
def weight(tmp_path, small_tokenizer) -> Path:
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, random_network(SMALL), small_tokenizer, stage="pretrain", facts={"step": 3})
    return path


def test_the_printed_lines_open_what_was_written(weight, tmp_path):
    command = [sys.executable, "scripts/export_hf.py", "--weight_path", weight, "--save_dir", tmp_path / "hf"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    description, *_ = result.stdout.splitlines()
    assert description.startswith("qwen3, 0.0") and str(weight) in description
    for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"):
        assert str(tmp_path / "hf" / name) in result.stdout
    names: dict = {}
    exec(result.stdout[result.stdout.index("from transformers") :], names)
    tokens = torch.tensor([names["tokenizer"]("Hello")["input_ids"]])
    with torch.no_grad():
        expected = random_network(SMALL).eval()(tokens)
        torch.testing.assert_close(names["model"](tokens).logits, expected, rtol=0, atol=1e-5)


def test_precision_is_that_of_the_weight_unless_said_otherwise(weight, tmp_path, capsys):
    main(["--weight", str(weight), "--save_dir", str(tmp_path / "bf16"), "--dtype", "bfloat16"])  # the other name
    assert "bfloat16" in capsys.readouterr().out
    main(["--weight_path", str(tmp_path / "bf16"), "--save_dir", str(tmp_path / "again")])
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("bf16", "again")]
    assert files[0] == files[1]


@pytest.mark.parametrize("more", [[], ["--minimind"]])
def test_weights_that_are_no_numbers_are_refused(more, small_tokenizer, tmp_path):
    network = random_network(SMALL)
    for value, words in ((1e5, "numbers too large for float16"), (float("nan"), "numbers that are not finite")):
        network.state_dict()["model.norm.weight"][3] = value
        save_weights(tmp_path / "a_32.pth", network, small_tokenizer, stage="pretrain")
        with pytest.raises(SproutError, match=f"model.norm.weight holds {words}"):
            main(["--weight_path", f"{tmp_path}/a_32.pth", "--save_dir", f"{tmp_path}/to", "--dtype", "float16", *more])
        assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["--weight_path", "no/such.pth", "--save_dir", "x"],
            2,
            f"no/such.pth does not exist; there is no folder {ROOT}",
        ),
        (["--weight_path", "model", "--save_dir", "x"], 1, "not a Hugging Face folder"),
        (["--weight_pth", "a.pth", "--save_dir", "x"], 2, "--weight_pa"),
    ],
)
def test_errors_are_one_sentence(arguments, code, words, capsys):
    with pytest.raises(SystemExit) as exit:
        run_main(lambda: main(arguments))
    assert exit.value.code == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and words in said.err and said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("flag", ["tokenizer_path", "num_attention_heads", "rope_theta"])
def test_a_reward_model_brings_what_a_bare_weight_is_told(flag, small_tokenizer, tmp_path):
    save_weights(tmp_path / "reward_32.pth", RewardModel.of(random_network(SMALL)), small_tokenizer, stage="reward")
    words = [
        "--weight_path",
        "reward",
        "--out_dir",
        f"{tmp_path}",
        "--save_dir",
        f"{tmp_path}/to",
        "--hidden_size",
        "32",
    ]
    with pytest.raises(UsageError, match=f"its own sizes and tokenizer: leave out --{flag}"):
        main([*words, f"--{flag}", "4"])
    assert not (tmp_path / "to").exists()


def test_generation_stops_where_the_model_s_own_template_ends_a_turn(tmp_path):
    tokenizer = make_tokenizer()
    template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|reserved_0|>' }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    config = TransformerConfig(vocab_size=272, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
    own = with_chat_template(tokenizer, template)
    save_weights(tmp_path / "a.pth", random_network(config), own, stage="full_sft")
    main(["--weight_path", str(tmp_path / "a.pth"), "--save_dir", str(tmp_path / "hf")])
    ends = json.loads((tmp_path / "hf" / "generation_config.json").read_text())["eos_token_id"]
    assert ends == [own.eos_id, own.pad_id, own.vocab["<|reserved_0|>"]]
