#!/usr/bin/env bash
# resiliparse 2.0.1, Python 3.11 (seen 2026-12-01).
# extract_plain_text(page, main_content=True) of resiliparse is how DCLM and NeMo Curator make text of pages. It takes
# out what holds nothing but one character of an icon font, which such fonts keep in Unicode's area for private use. The
# check reads the three bytes of UTF-8 as a number in which the last byte weighs most, and so takes nearly every
# character of three bytes for one: Chinese, kana, Hangul, and their signs. One that has an element for itself is left
# out in the middle of a sentence, and so is one that stands alone beside an element: a 不 in bold, a link of one
# character, a cell that says 有, the heading of a dictionary. The sentence stays fluent and says something else.
# Characters of one, two or four bytes stay, so pages in Latin, Greek or Cyrillic letters show nothing of it. Without
# main_content all is there. The documentation does not speak of it.
# Output seen (main_content=True):
#   这<b>不</b>是猫。 -> 是猫。
#   答案是<b>否</b>，见第<a href='3.html'>三</a>章。 -> 答案是，见第章。
#   This is <b>ж</b>, <b>é</b>, <b>a</b> and <b>𠮷</b>. -> This is ж, é, a and 𠮷.
#   <table><tr><td>有</td><td>没有</td></tr></table> -> 没有
#   <h2>春</h2><p>一年的第一个季节。</p> -> 一年的第一个季节。
#   of 20902 characters from 一 to 龥, each in bold, 20751 are left out
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet resiliparse==2.0.1
cat > alone.py <<'PYTHON'
import re
import sys

from resiliparse.extract.html2text import extract_plain_text


def text_of(body: str, main_content: bool) -> str:
    page = f"<!DOCTYPE html><html><head><title>t</title></head><body><article>{body}</article></body></html>"
    return extract_plain_text(page, main_content=main_content).strip()


for body, expected in (
    ("这<b>不</b>是猫。", "是猫。"),
    ("答案是<b>否</b>，见第<a href='3.html'>三</a>章。", "答案是，见第章。"),
    ("This is <b>ж</b>, <b>é</b>, <b>a</b> and <b>𠮷</b>.", "This is ж, é, a and 𠮷."),
    ("<table><tr><td>有</td><td>没有</td></tr></table>", "没有"),
    ("<h2>春</h2><p>一年的第一个季节。</p>", "一年的第一个季节。"),
):
    print(f"{body} -> {text_of(body, True)}")
    if text_of(body, True) != expected:
        sys.exit("no longer so: another text is extracted")
    if "".join(text_of(body, False).split()) != "".join(re.sub("<[^>]*>", "", body).split()):
        sys.exit("no longer so: something is left out of the whole page, too")
characters = [chr(code) for code in range(ord("一"), ord("龥") + 1)]
body = "".join(f"<p>as <b>{character}</b> is</p>" for character in characters)
lost, lost_of_all = (
    sum(f"as {character} is" not in text for character in characters)
    for text in (text_of(body, main_content) for main_content in (True, False))
)
print(f"of {len(characters)} characters from 一 to 龥, each in bold, {lost} are left out")
if lost < 20000 or lost_of_all:
    sys.exit("no longer so: other characters are left out")
PYTHON
env/bin/python alone.py
