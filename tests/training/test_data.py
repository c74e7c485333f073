"""Which texts a run trains on and is validated on, from its flags."""

import pytest

from dataset import tokenising
from model.errors import UsageError
from tests.stages.workshop import Workshop, write_texts
from train_pretrain import parse_arguments
from training.data import open_texts


@pytest.fixture
def workshop(tmp_path):
    return Workshop.create(tmp_path)


def open_rows(workshop, tokenizer, *words, data):
    args = parse_arguments(workshop.command("out", *words, data=data))
    return open_texts(args, tokenizer, say=lambda line: None)


def test_many_files_are_validated_on_to_a_limit_together(workshop, small_tokenizer, monkeypatch):
    names = [f"many{number}.jsonl" for number in range(8)]
    for number, name in enumerate(names):
        write_texts(workshop.folder / name, 200, seed=number)
    monkeypatch.setattr(tokenising, "MAX_VALIDATION_BYTES", 8000)
    _, validation = open_rows(workshop, small_tokenizer, "--val_ratio=0.5", data=names)
    assert 2000 < validation.bytes < 9000


def test_a_validation_file_takes_no_weight(workshop, small_tokenizer):
    with pytest.raises(UsageError, match="takes no weight"):
        open_rows(workshop, small_tokenizer, "--val_path", f"{workshop.folder}/b.jsonl:0.5", data=["a.jsonl"])
    assert not (workshop.folder / "out").exists()  # said before any work


@pytest.mark.parametrize("name", ["a.jsonl", "link.jsonl"])
def test_a_file_is_not_both_trained_and_validated_on(workshop, small_tokenizer, name):
    (workshop.folder / "link.jsonl").symlink_to("a.jsonl")
    with pytest.raises(UsageError, match="are the same file"):
        open_rows(workshop, small_tokenizer, "--val_path", f"{workshop.folder}/{name}", data=["b.jsonl", "a.jsonl"])
    assert not (workshop.folder / "out").exists()
