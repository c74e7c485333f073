#!/usr/bin/env bash
# trafilatura 2.3.1 with lxml 6.1.3, Python 3.11 (seen 2026-11-30).
# `extract` writes a raised or lowered digit as any other digit: 10<sup>24</sup> kilograms are 1024 kilograms in the
# text, 2<sup>10</sup> = 1024 becomes "210 = 1024", and the footnote mark 3 behind the year 1998 makes the year 19983. A
# formula in <math> that brings no TeX with it is left out as a whole, and the sentence around it goes on as if nothing
# had been there; a word in <q>, a quotation within a sentence, ends the paragraph. The text reads well, so nobody sees
# it, and a model is taught wrong numbers by the very pages that hold the most of them. output_format="markdown" (or
# include_formatting=True) keeps <sup> and <sub> as tags, but not the formula. For plain text write powers as signs
# (10⁻⁶) before the page is handed over.
# Output seen (what stands between the first and the last word of a sentence):
#   powers: text '6 × 1024 kilograms, or 1.5 × 10-6', markdown '6 × 10<sup>24</sup> kilograms, or 1.5 × 10<sup>-6</sup>'
#   equation: text '210 = 1024, and x12 = 4', markdown '2<sup>10</sup> = 1024, and x<sub>1</sub><sup>2</sup> = 4'
#   footnote: text '19983', markdown '1998<sup>3</sup>'
#   formula: text '', markdown ''
#   quotation: text 'as stop\nand', markdown 'as stop\n\nand'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet trafilatura==2.3.1 lxml==6.1.3 lxml_html_clean
cat > "$folder/pages.py" <<'PYTHON'
import re
import sys

import trafilatura

FORMULA = "<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>"
SENTENCES = {  # each from a first to a last word
    "powers": ("Weighing", "6 × 10<sup>24</sup> kilograms, or 1.5 × 10<sup>-6</sup>", "altogether"),
    "equation": ("Hence", "2<sup>10</sup> = 1024, and x<sub>1</sub><sup>2</sup> = 4", "follows"),
    "footnote": ("Since", "1998<sup>3</sup>", "nobody"),
    "formula": ("Half is", FORMULA, "of it"),
    "quotation": ("Words such", "as <q>stop</q> and", "go are short"),
}
EXPECTED = {
    "powers": ("6 × 1024 kilograms, or 1.5 × 10-6", "6 × 10<sup>24</sup> kilograms, or 1.5 × 10<sup>-6</sup>"),
    "equation": ("210 = 1024, and x12 = 4", "2<sup>10</sup> = 1024, and x<sub>1</sub><sup>2</sup> = 4"),
    "footnote": ("19983", "1998<sup>3</sup>"),
    "formula": ("", ""),
}
filler = " ".join(f"Sentence number {i} says something about the village, its mill and its river." for i in range(20))
told = "".join(f"<p>{first} {middle} {last}. {filler}</p>" for first, middle, last in SENTENCES.values())
page = f"<html><body><article><p>{filler}</p>{told}</article></body></html>"
texts = [trafilatura.extract(page), trafilatura.extract(page, output_format="markdown")]
for name, (first, _, last) in SENTENCES.items():
    text, markdown = (re.search(f"{first}(.*?){last}", text, re.DOTALL)[1].strip() for text in texts)
    print(f"{name}: text {text!r}, markdown {markdown!r}")
    if name in EXPECTED and (text, markdown) != EXPECTED[name]:
        sys.exit("no longer so: the text above is another one")
    if name == "quotation" and "\n" not in text:
        sys.exit("no longer so: a quotation stays within its sentence")
PYTHON
"$folder/env/bin/python" "$folder/pages.py"
