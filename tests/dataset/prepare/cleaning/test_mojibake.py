import pytest

pytest.importorskip("ftfy", reason="needs the extra data")

from dataset.prepare.cleaning.mojibake import fix_mojibake

CHINESE = "今天天气很好，我们去公园玩。"


@pytest.mark.parametrize("text", ["été “naïve” l’œuvre – 5 €", CHINESE, "Привет, мир", "日本語のテキスト"])
@pytest.mark.parametrize("read_as", ["cp1252", "latin-1"])
def test_utf8_in_a_wrong_encoding_is_undone(text, read_as):
    wrong = text.encode("utf-8").decode(read_as, "replace")
    if "\ufffd" in wrong:
        wrong = text.encode("utf-8").decode("latin-1")  # bytes that cp1252 does not have
    assert fix_mojibake(wrong) == (text, {"mojibake": 1})


def test_gbk_read_as_latin_1_is_undone():
    wrong = "Title: " + CHINESE.encode("gbk").decode("latin-1") + " (2020)"
    assert fix_mojibake(wrong) == (f"Title: {CHINESE} (2020)", {"mojibake": 1})


@pytest.mark.parametrize(
    "text", ["ÀÉÈÙ ÄÖÜß éèêë ÄÖÜ", "CAFÉ”", "il a dit ‘café’”", "«Ça va ?»", "Ångström ÅÄÖ", CHINESE]
)
def test_real_text_is_not_undone(text):
    assert fix_mojibake(text) == (text, {})
