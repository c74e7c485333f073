#!/usr/bin/env bash
# torchmetrics 1.9.0, beside sacrebleu 2.6.0, torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# chrF averages over runs of one to six characters, chrF++ over those and runs of one and two words. sacrebleu, whose
# way torchmetrics says it follows, leaves out the lengths that a text is too short for. CHRFScore of torchmetrics
# counts them as wrong: the right answer "yes" has 0.50, 是 has 0.25. Chinese has no spaces, so a whole sentence of it
# is one word, has no pair of words, and an answer that is right in every character stays at 0.875, whatever its length;
# all scores of Chinese are an eighth too low beside those of sacrebleu. In English sentences it does not show. No
# warning is given. With n_word_order=0 long Chinese texts are right, short answers in any language are not.
# Output seen (answers that equal the right one, by torchmetrics and by sacrebleu; then the same without words; at last
# one that is half right):
#   是: 0.250, 1.000; 0.167, 1.000
#   yes: 0.500, 1.000; 0.500, 1.000
#   北京大学: 0.625, 1.000; 0.667, 1.000
#   他是一名教师，住在北京。: 0.875, 1.000; 1.000, 1.000
#   A small model learns from text.: 1.000, 1.000; 1.000, 1.000
#   他是一个老师，住在北京。: 0.408, 0.467; 0.544, 0.544
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchmetrics==1.9.0 torch==2.13.0 sacrebleu==2.6.0 numpy==2.3.4
cat > chrf.py <<'PYTHON'
import sys

import sacrebleu
from torchmetrics.text import CHRFScore

seen = {}
texts = ["是", "yes", "北京大学", "他是一名教师，住在北京。", "A small model learns from text."]
pairs = [(text, text) for text in texts]
for right, answer in (*pairs, ("他是一名教师，住在北京。", "他是一个老师，住在北京。")):
    for words in (2, 0):
        theirs = sacrebleu.CHRF(word_order=words).sentence_score(answer, [right]).score / 100
        seen[answer, words] = CHRFScore(n_word_order=words)([answer], [[right]]).item(), theirs
    pairs_of_scores = "; ".join("{:.3f}, {:.3f}".format(*seen[answer, words]) for words in (2, 0))
    print(f"{answer}: {pairs_of_scores}")
expected = {("是", 2): 0.25, ("是", 0): 1 / 6, ("yes", 2): 0.5, ("他是一名教师，住在北京。", 2): 0.875}
if any(abs(seen[case][0] - score) > 0.001 for case, score in expected.items()):
    sys.exit("no longer so: what is too short counts otherwise")
if any(abs(seen[text, words][1] - 1) > 0.001 for text, _ in pairs for words in (2, 0)):
    sys.exit("no longer so: sacrebleu")
PYTHON
env/bin/python chrf.py 2> errors || { cat errors; exit 1; }
