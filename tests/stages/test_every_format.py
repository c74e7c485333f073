"""Every format of data is trained on as what it says: what is the same in two formats gives the same loss."""

import gzip
import json

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import torch

from dataset.cache.token_cache import build_or_open
from dataset.rows.chats import CHATS
from dataset.rows.judged import SCORED_ANSWERS
from dataset.rows.pairs import PAIRS
from dataset.rows.rows import Rows
from dataset.rows.texts import TEXTS
from model.config import TransformerConfig
from model.files.checkpoint import save_weights
from tests.fixtures import FIXTURES
from tests.stages.table import SHAPE
from tests.stages.workshop import Workshop
from tests.support import make_tokenizer, random_network

# Of each file: the stage that takes it, and the format that is found.
FORMATS = {
    "formats/text.jsonl": ("pretrain", "text"),
    "formats/text.txt": ("pretrain", "text"),
    "formats/conversations.jsonl": ("full_sft", "conversations"),
    "formats/messages.jsonl": ("full_sft", "messages"),
    "formats/sharegpt.jsonl": ("full_sft", "sharegpt"),
    "formats/alpaca.jsonl": ("full_sft", "alpaca"),
    "formats/prompt_completion.jsonl": ("full_sft", "prompt/completion"),
    "formats/prompt_response.jsonl": ("full_sft", "prompt/response"),
    "formats/inline.jsonl": ("full_sft", "inline"),
    "formats/inline_chinese.jsonl": ("full_sft", "inline"),
    "dpo.jsonl": ("dpo", "chosen/rejected"),
    "formats/prompt_chosen_rejected.jsonl": ("dpo", "prompt/chosen/rejected"),
    "formats/ranked_choices.jsonl": ("dpo", "ranked choices"),
    "formats/scored.jsonl": ("reward", "scored"),
}

# Files that say the same, the first of them in one format and the second in another.
SAME = [
    ("formats/text.jsonl", "formats/text.txt"),
    *(("formats/conversations.jsonl", name) for name, (stage, _) in FORMATS.items() if stage == "full_sft"),
    ("dpo.jsonl", "formats/prompt_chosen_rejected.jsonl"),
]
LINES = ["sft_tool_en.jsonl", *(name for name in FORMATS if name.endswith(".jsonl"))]
KIND_OF = {"pretrain": TEXTS, "full_sft": CHATS, "dpo": PAIRS, "reward": SCORED_ANSWERS}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Takes two steps, each over a whole file, which is a path or the name of a fixture; once a file."""
    folder, results = tmp_path_factory.mktemp("formats"), {}
    tokenizer = make_tokenizer()
    tokenizer.save(folder / "tokenizer")
    config = TransformerConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=512, **SHAPE)
    save_weights(folder / "start.pth", random_network(config), tokenizer, stage="pretrain")

    def call(stage: str, path):
        if path not in results:
            words = ("--max_seq_len=512", "--batch_size=64", "--accumulation_steps=1", "--val_ratio=0", "--epochs=2")
            results[path] = Workshop(folder, stage).train(f"{len(results)}", *words, data=(FIXTURES / path,))
        return results[path]

    return call


def assert_same_curve(result, expected):
    """The order of rows is another in each file, and with it the order of sums."""
    assert len(result.metrics) == len(expected.metrics) == 2
    for line, wanted in zip(result.metrics, expected.metrics):
        assert line["tokens"] == wanted["tokens"] and line == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_trained_on_as_what_it_is(train, name):
    stage, found = FORMATS[name]
    result = train(stage, name)
    text = (FIXTURES / name).read_text("utf-8")
    documents = text.count("\n\n") + 1 if name.endswith(".txt") else text.count("\n")
    assert f"{name.split('/')[-1]}: format {found}, {documents} " in result.said
    assert len(result.losses) == 2 and result.losses[-1] < result.losses[0]


@pytest.mark.parametrize("one, other", SAME, ids=lambda name: name.split("/")[-1])
def test_what_says_the_same_in_another_format_trains_the_same(train, one, other):
    stage, _ = FORMATS[one]
    assert_same_curve(train(stage, other), train(stage, one))


def test_a_ranking_of_two_answers_is_a_pair(train, tmp_path):
    """The rankings are the pairs whose prompt is a text."""
    lines = (FIXTURES / "formats/prompt_chosen_rejected.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "pairs.jsonl").write_text("".join(line for line in lines if '"prompt": "' in line), "utf-8")
    assert_same_curve(train("dpo", "formats/ranked_choices.jsonl"), train("dpo", tmp_path / "pairs.jsonl"))


def as_parquet(lines: list[str], path) -> None:
    """What a row lacks is null; a prompt is a list of messages in all rows if it is one in any."""
    records = [json.loads(line) for line in lines]
    names = dict.fromkeys(key for record in records for key in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    prompts = columns.get("prompt", [])
    if any(isinstance(prompt, list) for prompt in prompts):
        as_turns = [[{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt for prompt in prompts]
        columns["prompt"] = as_turns
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def in_another_file(name: str, kind: str, folder):
    """What the fixture says, in a file of that kind."""
    path, content = folder / f"a.{kind}", (FIXTURES / name).read_bytes()
    if kind == "parquet":
        as_parquet(content.decode().splitlines(), path)
    else:
        path.write_bytes(gzip.compress(content))
    return path


def rows_of(kind, path, folder) -> tuple[str, dict]:
    """What is said of the file, and all that is trained on of it, in its order."""
    cache = build_or_open(path, make_tokenizer(), kind.cache, val_ratio=0.0, cache_dir=folder, progress=False)
    packed = Rows(kind, [(cache, None)], 512, seed=0).packed
    every = numpy.arange(packed.rows[0])
    return cache.summary(), vars(packed.gather(numpy.zeros_like(every), every))


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
@pytest.mark.parametrize("name", LINES, ids=lambda name: name.split("/")[-1])
def test_compressed_or_as_a_table_it_has_the_same_rows(tmp_path, name, kind):
    stage, found = FORMATS.get(name, ("full_sft", "conversations"))
    said, rows = rows_of(KIND_OF[stage], in_another_file(name, kind, tmp_path), tmp_path / "cache")
    assert f"a.{kind}: format {found}" in said
    _, expected = rows_of(KIND_OF[stage], FIXTURES / name, tmp_path / "cache")
    assert rows.keys() == expected.keys() and rows["trained"] > 0
    for field, value in rows.items():
        wanted = expected[field]
        assert torch.equal(value, wanted) if isinstance(value, torch.Tensor) else numpy.array_equal(value, wanted)


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_a_compressed_file_and_a_table_are_trained_on(train, tmp_path, kind):
    name = "formats/text.jsonl"
    assert_same_curve(train("pretrain", in_another_file(name, kind, tmp_path)), train("pretrain", name))
