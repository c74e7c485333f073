import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.prepare.cleaning.cleaning import clean
from tests.support import examples

REAL = Path(__file__).parents[4].parent / "shared" / "data"
# Pieces on which the parts of cleaning work, and work for one another.
PIECES = st.sampled_from(
    ["é", "e\u0301", "Ã©", "â€œ", "ÄãºÃ", "你好", "\u200b", "\u200d", "👩", "\u3000", "\xa0", "\r\n", " ", "."]
) | st.sampled_from(
    ["\x93", "\x85", "\ufffd", "\n\n", "<|im_start|>", "<|im_end|>", "a@b.cn", "13812345678", "8.8.8.8", "1", "क्", "می"]
)  # fmt: skip


@settings(max_examples=examples(150))
@given(st.lists(PIECES | st.characters(), max_size=12).map("".join), st.booleans())
def test_cleaning_twice_is_cleaning_once(text, personal):
    pytest.importorskip("ftfy", reason="needs the extra data")
    once = clean(text, personal=personal).text
    again = clean(once, personal=personal)
    assert again.text == once and not again.changes


@pytest.mark.parametrize(
    "name, column, kind",
    [("dirty_html_en", "html", "html"), ("dirty_markdown_zh", "text", "markdown"), ("pretrain_zh", "text", "text")],
)
def test_real_documents_are_clean_after_once(name, column, kind):
    for module in ("ftfy", "trafilatura"):
        pytest.importorskip(module, reason="needs the extra data")
    if not (REAL / f"{name}.jsonl").exists():
        pytest.skip("the real data is not here")
    with open(REAL / f"{name}.jsonl", encoding="utf-8") as file:
        for _, line in zip(range(15), file):
            once = clean(json.loads(line)[column], kind, personal=True)
            again = clean(once.text, personal=True)
            assert again.text == once.text and not again.changes


def test_a_plain_text_is_not_changed():
    text = "他说：“好的。”\n\n　　第二段 —— ①２½，…… <b>not HTML</b> # not Markdown\n\tdef f():\n\n\n        pass"
    cleaned = clean(text, personal=True)
    assert cleaned.text == text and not cleaned.changes


def test_one_change_uncovers_the_next():
    cleaned = clean("write to a\u200b@\u200bb.com", personal=True)
    assert cleaned.text == "write to [mail]"
    assert cleaned.changes == {"invisible characters": 2, "mail addresses": 1}


def test_a_missing_library_is_named(monkeypatch):
    import sys

    from model.errors import SproutError

    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(SproutError, match=r'HTML needs trafilatura.*pip install -e "\.\[data\]"'):
        clean("<html><body><p>text</p></body></html>", "html")
