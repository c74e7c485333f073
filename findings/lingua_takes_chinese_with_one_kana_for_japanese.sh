#!/usr/bin/env bash
# lingua-language-detector 2.1.1, Python 3.11 (seen 2026-12-01).
# Before Lingua asks its models, it counts the characters of a text by their script, and beside Chinese ones a single
# Japanese kana decides. A Chinese story of 7,800 characters in which the name of a shop has one is Japanese, and the
# confidence is 1.0, so no limit helps: whoever collects Chinese loses each page that mentions a Japanese word, and who
# collects Japanese gets them. detect_multiple_languages_of cuts a text where its language changes, English from Chinese
# for one, but a Chinese page with a Japanese sentence it leaves whole, as Japanese. No other script does so: with a
# Korean or a Russian word the story stays Chinese, and English with kana stays English. The rule is for Japanese texts,
# of which most may be kanji; but a quarter of ordinary news is kana. Reported as issue 202 of lingua-py. For a corpus
# of Chinese, ask about the text without its kana where they are less than a hundredth of it.
# Output seen (language and confidence, and the share of kana):
#   Chinese: CHINESE 1.00, kana 0.00 %
#   Chinese with one kana: JAPANESE 1.00, kana 0.01 %
#   Chinese with one kana, which is left out: CHINESE 1.00, kana 0.00 %
#   Chinese with a Korean word: CHINESE 1.00, kana 0.00 %
#   Chinese with a Russian word: CHINESE 1.00, kana 0.00 %
#   English with one kana: ENGLISH 0.99, kana 0.18 %
#   Japanese news: JAPANESE 1.00, kana 27.71 %
#   pieces of Chinese, English, Chinese: CHINESE, ENGLISH, CHINESE
#   pieces of Chinese, Japanese, Chinese: JAPANESE
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet lingua-language-detector==2.1.1
cat > "$folder/kana.py" <<'PYTHON'
import re
import sys

from lingua import LanguageDetectorBuilder

detector = LanguageDetectorBuilder.from_all_languages().build()
paragraph = (
    "春天的早晨，老船长照例沿着海堤走一圈。他数了数停在港口里的渔船，一共七条，比昨天少了一条。"
    "码头上的年轻人正在修补渔网，收音机里播着天气预报，说傍晚会有大风。"
)
chinese = paragraph * 100
shop = chinese[: len(chinese) // 2] + "優の良品" + chinese[len(chinese) // 2 :]
english = "The old captain walked along the quay in the morning. " * 10
news = (
    "東京大学は人工知能研究所を設立すると発表した。政府は来年度予算案で研究開発費を大幅に増額する方針だ。"
    "経済産業省によると、国内企業の設備投資額は前年比で約一割増加した。"
)
kana = re.compile("[ぁ-ゖァ-ヺー]")
texts = {
    "Chinese": chinese,
    "Chinese with one kana": shop,
    "Chinese with one kana, which is left out": kana.sub("", shop),
    "Chinese with a Korean word": chinese + "안녕하세요",
    "Chinese with a Russian word": chinese + "спасибо",
    "English with one kana": english + "の",
    "Japanese news": news,
}
found = []
for name, text in texts.items():
    best = detector.compute_language_confidence_values(text)[0]
    share = 100 * len(kana.findall(text)) / len(text)
    print(f"{name}: {best.language.name} {best.value:.2f}, kana {share:.2f} %")
    found.append(best.language.name)
    if name == "Chinese with one kana" and best.value < 0.99:
        sys.exit("no longer so: it is less sure of it")


def pieces(middle: str) -> list[str]:
    """The languages of a text with this between two Chinese paragraphs."""
    text = f"{paragraph}\n{middle}\n{paragraph}"
    return [piece.language.name for piece in detector.detect_multiple_languages_of(text)]


cut = pieces("Good morning, how are you doing today?")
whole = pieces("これはペンです。そして、あれはとても古いカメラです。")
print(f"pieces of Chinese, English, Chinese: {', '.join(cut)}")
print(f"pieces of Chinese, Japanese, Chinese: {', '.join(whole)}")
if found != ["CHINESE", "JAPANESE", *3 * ["CHINESE"], "ENGLISH", "JAPANESE"]:
    sys.exit("no longer so: other languages are found")
if cut != ["CHINESE", "ENGLISH", "CHINESE"] or whole != ["JAPANESE"]:
    sys.exit("no longer so: the pieces are others")
PYTHON
"$folder/env/bin/python" "$folder/kana.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
