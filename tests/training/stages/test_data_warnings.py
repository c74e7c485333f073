"""Warnings about data that would waste a night, and none about data that would not."""

import json

import pytest

from dataset.rows.chats import CHATS
from dataset.rows.judged import JUDGED_PAIRS
from dataset.rows.pairs import PAIRS
from dataset.rows.texts import TEXTS
from model.text.tokenizer import Tokenizer
from tests.fixtures import samples
from tests.stages.workshop import STAGES, Workshop
from training.stages.data import open_data

KINDS = {"pretrain": TEXTS, "dpo": PAIRS, "reward": JUDGED_PAIRS}
WORDS = "the river rose in spring and people carried their boats up to houses near bridge".split()


def texts(count: int, copies: int = 0) -> list[dict]:
    records = [{"text": f"{number}: " + " ".join(WORDS[number % 7 :])} for number in range(count)]
    return records + records[:copies]


def chats(count: int, question: str = "Why?", answer: str = "Because it rained.") -> list[dict]:
    turns = [(f"{number}. {question}", answer) for number in range(count)]
    return [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]


@pytest.fixture
def warnings_of(tmp_path):
    """The warnings of a stage, with the shipped tokenizer, about a file of these records."""

    def call(stage: str, records: list[dict], *words: str) -> list[str]:
        workshop = Workshop.create(tmp_path, stage)
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        (tmp_path / "file.jsonl").write_text("\n".join(lines), encoding="utf-8")
        args = STAGES[stage].script.parse_arguments(
            workshop.command("out", "--val_ratio=0", *words, data=("file.jsonl",))
        )
        said = []
        open_data(KINDS.get(stage, CHATS), args, Tokenizer.load(), said.append)
        return [line for line in said if line.startswith("warning: ")]

    return call


def test_good_data_have_no_warning(warnings_of):
    assert warnings_of("pretrain", texts(100)) == []
    assert warnings_of("full_sft", chats(100), "--max_seq_len=64") == []


def test_copies(warnings_of):
    (warning,) = warnings_of("pretrain", texts(90, copies=10))
    assert "about 10% of" in warning and "file.jsonl are copies of other lines" in warning
    assert warnings_of("pretrain", texts(100, copies=4)) == []


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
def test_a_language_that_the_tokenizer_does_not_know(warnings_of, stage):
    thai = "ประเทศไทยรวมเลือดเนื้อชาติเชื้อไทย"
    records = [{"text": f"{i} {thai}"} for i in range(50)] if stage == "pretrain" else chats(50, thai, thai)
    (warning,) = warnings_of(stage, records, "--max_seq_len=256")
    assert "bytes a token" in warning and "unless most of that is numbers" in warning and "docs/tokenizer.md" in warning


def test_many_cut_conversations(warnings_of):
    (warning,) = warnings_of("full_sft", chats(50, answer="It rained. " * 9), "--max_seq_len=24")
    assert "100% of the conversations" in warning and "cut or left out: raise --max_seq_len (" in warning
    enough = warning.split("(")[1].split()[0]
    assert warnings_of("full_sft", chats(50, answer="It rained. " * 9), f"--max_seq_len={enough}") == []


@pytest.mark.parametrize("stage, what, fate", [("dpo", "pairs", "cut or left out"), ("reward", "records", "left out")])
def test_many_pairs_that_are_too_long(warnings_of, stage, what, fate):
    """The proposed lengths are those that do."""
    records = [{"prompt": "Why?", "chosen": f"It rained. {i} " * (1 + i % 5), "rejected": "No."} for i in range(200)]
    records[0]["chosen"] *= 9
    (warning,) = warnings_of(stage, records, "--max_seq_len=30")
    assert f"{what} in " in warning and f"are {fate}: --max_seq_len " in warning
    most, every = (int(part.split()[0]) for part in warning.split("--max_seq_len ")[1].split("them, "))
    assert most < every and f" would be enough for 99 % of them, {every} for all" in warning
    assert warnings_of(stage, records, f"--max_seq_len={most}") == []
    (cut,) = warnings_of(stage, records[:3], f"--max_seq_len={every - 1}")
    assert cut.startswith(f"warning: 1 of 3 {what}")
    assert warnings_of(stage, records[:3], f"--max_seq_len={every}") == []


def test_few_trained_tokens(warnings_of):
    (warning,) = warnings_of("full_sft", chats(50, question="Is it so? " * 20, answer="No"), "--max_seq_len=128")
    assert "of the tokens of" in warning and "are trained" in warning


@pytest.mark.parametrize("path", samples("pretrain_zh.jsonl", "pretrain_zh_stories.jsonl", "sft_en.jsonl"))
def test_files_of_good_data_have_none(warnings_of, path):
    stage = "full_sft" if "sft" in path.name else "pretrain"
    lines = path.read_text("utf-8").splitlines()[:200]
    assert warnings_of(stage, [json.loads(line) for line in lines], "--max_seq_len=768") == []
