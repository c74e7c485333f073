"""eval_model.py as a user meets it: continuing prompts, in and out of a terminal, and scoring a file."""

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import eval_model
import train_full_sft
import train_pretrain
from inference.built_in import PROMPTS
from inference.dialogue import continue_text
from inference.evaluation import ROW_LENGTHS, TOKENS_AT_ONCE, shared_out, windows
from inference.writer import Writer
from model.config import TransformerConfig
from model.device import Device
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.generation import generate_batch
from model.sampling import GREEDY
from tests.stages.session import Session
from tests.support import random_network

ROOT = Path(eval_model.__file__).parent
CONFIG = TransformerConfig(
    vocab_size=272,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)


@pytest.fixture(scope="module")
def network():
    return random_network(CONFIG)


@pytest.fixture(scope="module")
def out(tmp_path_factory, network, small_tokenizer):
    """An output folder with a pretrained weight, and what else a run leaves beside it."""
    folder = tmp_path_factory.mktemp("out")
    save_weights(folder / "pretrain_32.pth", network, small_tokenizer, stage="pretrain")
    for other in ("pretrain_32_resume.pth", "pretrain_32.previous.pth", "pretrain_v2_32.pth"):
        (folder / other).write_bytes(b"not a weight")
    return folder


def run(capsys, *flags):
    """Standard output and standard error of `python eval_model.py *flags`."""
    eval_model.main([str(flag) for flag in flags])
    return capsys.readouterr()


def expected(network, tokenizer, prompt, count):
    answers = generate_batch(
        network, [[1, *tokenizer.encode(prompt)]], max_new_tokens=count, sampling=GREEDY, eos_ids={0, 2}
    )
    return prompt + tokenizer.decode(answers[0])


# --- continuing a prompt ------------------------------------------------------------------------------


def test_prompts_are_continued(capsys, out, network, small_tokenizer):
    prompts = ["Once upon", "从前"]
    flags = ["--prompt", prompts[0], "--prompt", prompts[1], "--temperature", 0, "--max_new_tokens", 20]
    text, notes = run(capsys, "--out_dir", out, *flags)
    assert text == "".join(expected(network, small_tokenizer, prompt, 20) + "\n\n" for prompt in prompts)
    assert notes.count("tokens/s") == 2 and f"{out / 'pretrain_32.pth'} (pretrain)" in notes


def test_a_seed_gives_the_same_text(capsys, out):
    def text(*flags):
        return run(capsys, "--out_dir", out, "--prompt", "a", "--max_new_tokens", 30, *flags).out

    assert text("--seed", 1) == text("--seed", 1)
    assert len({text("--seed", 1), text("--seed", 2), text(), text()}) == 4
    assert text("--top_k", 1) == text("--temperature", 0) == text("--top_p", 1e-6)


class Untouchable:
    """A standard input that must not be read."""

    def isatty(self):
        return False

    def __getattr__(self, name):
        raise AssertionError(f"standard input was asked for {name}")


@pytest.mark.parametrize("flags", [[], ["--auto_test"]], ids=str)
def test_without_a_terminal_the_built_in_prompts_are_answered(capsys, monkeypatch, out, flags):
    monkeypatch.setattr(sys, "stdin", Untouchable())
    text, notes = run(capsys, "--out_dir", out, "--max_new_tokens", 2, *flags)
    assert all(prompt in text for prompt in PROMPTS) and notes.count("tokens/s") == len(PROMPTS)


def test_lines_of_a_pipe_are_continued_and_commands_obeyed(capsys, monkeypatch, out, tmp_path):
    file = tmp_path / "texts.jsonl"
    lines = f"Hi\n\n／clear\nThe end\n/save {file}\n、help\n/what\n/exit\nnever\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(eval_model, "is_piped_in", lambda: True)
    text, notes = run(capsys, "--out_dir", out, "--max_new_tokens", 2, "--temperature", 0)
    assert "never" not in text + notes and "there is no command /what" in notes and "/help       these lines" in notes
    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"].startswith("The end") and json.loads(line)["text"] in text


def test_an_empty_pipe_is_no_user(capsys, monkeypatch, out):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    monkeypatch.setattr(eval_model, "is_piped_in", lambda: True)
    text, _ = run(capsys, "--out_dir", out, "--max_new_tokens", 1)
    assert all(prompt in text for prompt in PROMPTS)


def test_a_pretrained_weight_gets_beginnings_of_texts(capsys, out):
    text, _ = run(
        capsys, "--out_dir", out, "--max_new_tokens", 1, "--model_mode", 1, "--weight", "pretrain", "--auto_test"
    )
    assert all(prompt in text for prompt in PROMPTS) and "> " not in text


def test_an_hf_folder_and_a_bare_state_dict_open_too(capsys, tmp_path, network, small_tokenizer):
    flags = ["--prompt", "Hi", "--temperature", 0, "--max_new_tokens", 12, "--weight_path"]
    text = expected(network, small_tokenizer, "Hi", 12) + "\n\n"
    export_folder(tmp_path / "hf", network, small_tokenizer)
    assert run(capsys, *flags, tmp_path / "hf").out == text

    torch.save(network.state_dict(), tmp_path / "minimind.pth")
    small_tokenizer.save(tmp_path / "tokenizer")
    bare = [tmp_path / "minimind.pth", "--tokenizer_path", tmp_path / "tokenizer", "--num_attention_heads", 4]
    assert run(capsys, *flags, *bare).out == text


def test_the_newest_size_is_taken_and_named(capsys, tmp_path, network, small_tokenizer):
    larger = random_network(CONFIG.replace(hidden_size=64), seed=1)
    save_weights(tmp_path / "pretrain_64.pth", larger, small_tokenizer, stage="pretrain")
    save_weights(tmp_path / "pretrain_32.pth", network, small_tokenizer, stage="pretrain")
    os.utime(tmp_path / "pretrain_64.pth", (1, 1))
    flags = ["--out_dir", tmp_path, "--prompt", "a", "--max_new_tokens", 1]
    notes = run(capsys, *flags).err
    assert "pretrain_32.pth (pretrain)" in notes and "2 sizes of pretrain" in notes
    assert "pretrain_64.pth (pretrain)" in run(capsys, *flags, "--hidden_size", 64).err


@pytest.mark.parametrize(
    ("flags", "error", "words"),
    [
        (["--weight", "nothing"], SproutError, "no weight called nothing"),
        (["--weight_path", "nowhere.pth"], SproutError, "nowhere.pth"),
        (["--weight", "pretrain", "--weight_path", "b.pth"], UsageError, "does not go with --weight: give one"),
        (["--model_mode", 1], UsageError, "no weight called full_sft"),
        (["--answers"], UsageError, "--data_path"),
        (["--data_path", "a.jsonl", "--show", 3], UsageError, "--answers"),
        (["--prompt", "a", "--format", "text"], UsageError, "--format is that of --data_path"),
        (["--data_path", "a.jsonl", "--answers", "--max_seq_len", 9], UsageError, "--max_seq_len cuts what is scored"),
        (["--prompt", "a", "--max_seq_len", 9], UsageError, "--max_seq_len is for --data_path and for a chat"),
        (["--prompt", "a", "--batch_size", 9], UsageError, "--batch_size is how much of --data_path"),
        (["--system", "Be brief."], UsageError, "--model_mode 1"),
        (["--model_mode", 7], UsageError, "model_mode"),
        (["--json"], UsageError, "--data_path"),
        (["--top_p", 1.5], UsageError, "top_p is 1.5"),
        (["--temperature", -1], UsageError, "temperature"),
        (["--prompt", "a", "--auto_test"], UsageError, "does not go with"),
        (["--hidden_size", 64, "--weight_path", "{out}/pretrain_32.pth"], UsageError, "hidden_size"),
        (["--prompt", "x" * 300], SproutError, "301 tokens and the network 256 positions"),
        (["--promt", "a"], UsageError, "did you mean --prompt"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_done_is_said_in_a_sentence(capsys, out, flags, error, words):
    flags = [str(flag).format(out=out) for flag in flags]
    with pytest.raises(error, match=words) as caught:
        run(capsys, "--out_dir", out, "--max_new_tokens", 1, *flags)
    assert "\n" not in str(caught.value)


def test_float16_has_room_for_a_large_residual_stream(capsys, small_tokenizer):
    large = random_network(CONFIG.replace(tie_word_embeddings=False))
    with torch.no_grad():
        large.model.embed_tokens.weight *= 1e6 / large.model.embed_tokens.weight.abs().max()
    device = Device(torch.device("cpu"), torch.float16, "as on a GPU older than Ampere")
    ends = small_tokenizer.end_ids
    writer = Writer(large, small_tokenizer, device, end_ids=ends, dtype="float16", sampling=GREEDY, max_new_tokens=10)
    continue_text(writer, small_tokenizer, "Once upon")
    assert capsys.readouterr().out == expected(large, small_tokenizer, "Once upon", 10) + "\n\n"


def test_an_output_that_is_not_utf8_shows_question_marks(out):
    command = [sys.executable, "eval_model.py", "--out_dir", out, "--max_new_tokens", "1", "--prompt", "从前 a"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("?? a")


# --- a real terminal ----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_in_a_terminal_it_asks_until_ctrl_d(out):
    with Session("eval_model.py", "--out_dir", out, "--max_new_tokens", 200, TERM="dumb") as session:
        session.until("> ")
        session.type("从前\n")
        assert "从前" in session.until("tokens/s]")
        session.until("> ")
        session.type("Go on\n")
        session.until("Go on\r\nGo on")  # the echo, then the answer has begun
        session.interrupt()
        session.until("> ")
        session.type("x" * 300 + "\n")
        session.until("error: the prompt has 301 tokens")
        session.until("> ")
        session.type("\x04")
        assert session.end() == 0


# --- scoring a file -----------------------------------------------------------------------------------

TEXTS = ["Once upon a time.", "从前有一个人。", "x", "long " * 30, "🌱" * 9]


def brute_force_nats(network, tokenizer, length):
    """-log p of every token, one at a time, in float64."""
    nats, targets = 0.0, 0
    for text in TEXTS:
        ids = [*tokenizer.encode(text), 2]
        for start in range(0, len(ids), length):
            part = ids[start : start + length]
            for end, target in enumerate(part):
                with torch.no_grad():
                    logits = network(torch.tensor([[1, *part[:end]]]))[0, -1]
                nats -= logits.double().log_softmax(-1)[target].item()
                targets += 1
    return nats, targets


@pytest.mark.parametrize("batch_size", [["--batch_size", 1], ["--batch_size", 3], []])
def test_a_file_is_scored_token_by_token(capsys, tmp_path, out, network, small_tokenizer, batch_size):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    flags = [
        "--data_path",
        path,
        "--json",
        "--max_seq_len",
        24,
        *batch_size,
        "--dtype",
        "float32",
    ]
    lines = run(capsys, "--out_dir", out, *flags).out.splitlines()
    assert len(lines) == 1
    result = json.loads(lines[0])
    nats, targets = brute_force_nats(network, small_tokenizer, 24)
    size = sum(len(text.encode()) for text in TEXTS)
    assert result == {
        "loss": pytest.approx(nats / targets, rel=1e-6),
        "perplexity": pytest.approx(math.exp(nats / targets), rel=1e-5),
        "bits_per_byte": pytest.approx(nats / math.log(2) / size, rel=1e-6),
        "tokens": targets,
        "bytes": size,
        "documents": len(TEXTS),
        "weight": str(out / "pretrain_32.pth"),
        "file": str(path),
    }


def test_a_file_is_scored_for_people_too(capsys, tmp_path, out):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n")
    text = run(capsys, "--out_dir", out, "--data_path", tmp_path / "a.txt").out
    assert "bits_per_byte" in text and "documents 2" in text


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        ('{"text": "a"}\n{"text": 3}\n', [], "bad.jsonl:2"),
        ('{"text": "a"}\n', ["--max_seq_len", 257], "256 positions"),
        ("\n", [], "no record"),
    ],
)
def test_a_file_that_cannot_be_scored(capsys, tmp_path, out, content, flags, words):
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(SproutError, match=words):
        run(capsys, "--out_dir", out, "--data_path", path, "--json", *flags)


@pytest.mark.parametrize(("kind", "stage"), [("text", train_pretrain), ("chat", train_full_sft)])
def test_rows_are_as_long_as_those_of_training(kind, stage):
    assert stage.parse_arguments(["--data_path=a.jsonl"]).max_seq_len == ROW_LENGTHS[kind]


@given(st.lists(st.integers(10, 99)), st.integers(1, 9))
def test_windows_have_every_token_as_a_target_once(ids, length):
    rows = list(windows(ids, bos_id=1, eos_id=2, length=length))
    assert [token for row in rows for token in row[1:]] == [*ids, 2]
    assert all(row[0] == 1 and 2 <= len(row) <= length + 1 for row in rows)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_batches_hold_rows_of_similar_length(lengths):
    """Each row is dealt with once, and a batch has at most `TOKENS_AT_ONCE` tokens with its padding."""
    batches = list(shared_out(lengths, int, None))
    assert [length for few, _ in batches for length in few] == sorted(lengths) and batches[-1][1] == 1
    assert all(len(few) * max(few) <= TOKENS_AT_ONCE for few, _ in batches)
