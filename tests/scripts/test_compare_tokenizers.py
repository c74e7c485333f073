"""Tokenizers compared on a user's file: figures by counting, a picture whose Chinese is text."""

import json
import re

import pytest

from model.errors import UsageError
from model.text.extend_bpe import extend
from model.text.tokenizer import DEFAULT_FOLDER
from scripts import compare_tokenizers

CHINESE = "新芽从文字里长出来，新芽会说话。"
ENGLISH = "The fox ran home and the dog ran after it."


@pytest.fixture
def compared(tmp_path, small_tokenizer, capsys):
    """What the script writes for a tokenizer, and for one with more tokens."""
    small_tokenizer.save(tmp_path / "small")
    extend(small_tokenizer, ["新芽"] * 4, 12, 16).save(tmp_path / "longer")
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in [CHINESE] * 6 + [ENGLISH] * 3]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [str(tmp_path / "small"), str(tmp_path / "longer")]
    files = ["--data_path", str(tmp_path / "texts.jsonl"), "--out_dir", str(tmp_path / "out")]
    compare_tokenizers.main([*names, *files])
    return json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8")), tmp_path / "out", capsys.readouterr()


def test_figures_are_those_of_counting(compared, small_tokenizer):
    content, _, _ = compared
    small, longer = content["tokenizers"]["small"], content["tokenizers"]["longer"]
    ids = small_tokenizer.encode(CHINESE)
    assert content["bytes"] == {"zh": 6 * len(CHINESE.encode()), "en": 3 * len(ENGLISH)}
    assert small["bytes_per_token"]["zh"] == round(len(CHINESE.encode()) / len(ids), 4)
    texts = [small_tokenizer.backend.id_to_token(index) for index in ids]  # a character of the alphabet is a byte
    assert small["single_bytes"]["zh"] == round(sum(len(text) == 1 for text in texts) / len(ids), 4)
    known = set(small_tokenizer.vocab.values()) - small_tokenizer.special_ids
    assert small["vocabulary"] == len(known)
    assert small["unused"] == len(known - set(ids) - set(small_tokenizer.encode(ENGLISH)))
    assert longer["bytes_per_token"]["zh"] > small["bytes_per_token"]["zh"]
    assert longer["bytes_per_token"]["en"] == small["bytes_per_token"]["en"]
    longest = {each["text"]: (each["bytes"], each["used"]) for each in longer["longest"]}
    assert longest["新芽"] == (6, 12)


def test_a_tokenizer_is_named_once(tmp_path, small_tokenizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_tokenizer.save(tmp_path / "small")
    twice = [["small", "./small"], ["small", str(tmp_path / "small")], ["shipped", "shipped"]]
    for names in (*twice, ["shipped", str(DEFAULT_FOLDER)]):
        with pytest.raises(UsageError, match=re.escape(f"{names[1]} is named twice")):
            compare_tokenizers.main(names)
    with pytest.raises(UsageError, match="called smaller in out; .* A tokenizer: shipped, its folder, or a weight"):
        compare_tokenizers.main(["shipped", "smaller"])


def test_what_is_read_and_what_is_not_its_own_is_never_written_over(tmp_path, capsys):
    """Bad lines were listed over the very file that they stood in, and figures over a user's comparison.json."""
    files = {name: tmp_path / name for name in ("bad_lines.jsonl", "comparison.json", "texts.jsonl")}
    for file in files.values():
        file.write_text(json.dumps({"text": ENGLISH}) + '\n{"text": \n')
    before = files["texts.jsonl"].read_bytes()

    def compare(data):
        flags = ["--on_bad_line", "skip", "--out_dir", str(tmp_path)]
        compare_tokenizers.main(["shipped", "--data_path", str(data), *flags])

    with pytest.raises(UsageError, match="comparison.json exists already and is not a result of scripts/compare_tok"):
        compare(files["texts.jsonl"])
    files["comparison.json"].unlink()
    with pytest.raises(
        UsageError, match="bad_lines.jsonl is where bad lines would be listed: choose another --out_dir"
    ):
        compare(files["bad_lines.jsonl"])
    assert {file.read_bytes() for file in files.values() if file.exists()} == {before}
    with pytest.raises(UsageError, match="--data_path takes no share"):
        compare(f"{files['texts.jsonl']}:0.5")
    for _ in range(2):  # the second time over the first result
        compare(files["texts.jsonl"])
    assert f"left out 1 bad line, listed in {files['bad_lines.jsonl']}" in capsys.readouterr().out


def test_the_picture_has_chinese_as_text(compared):
    _, folder, said = compared
    picture = (folder / "comparison.svg").read_text("utf-8")
    assert "新芽" in picture and "Bytes per token" in picture and "longer" in picture
    assert "bytes per token, zh" in said.out and "comparison.svg" in said.out
