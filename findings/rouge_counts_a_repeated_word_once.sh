#!/usr/bin/env bash
# rouge 1.0.1 and rouge-chinese 1.0.3, beside rouge-score 0.1.2, Python 3.11 (seen 2026-11-29).
# ROUGE compares how often an n-gram occurs in two texts, so an answer that repeats itself loses precision. The package
# rouge, and rouge-chinese, which is made of it, take the set of n-grams by default (exclusive=True, which the README of
# neither names). So an answer that falls into a loop, the most frequent fault of small networks, has the same ROUGE-1
# as one that says it once, 1.0, nearly the same ROUGE-2, and in rouge the same ROUGE-L; and what the right answer
# repeats need not be repeated. rouge-score, which follows the first program, counts. LLaMA-Factory measures by
# rouge-chinese: there ROUGE-1 stays where it is, or rises, while a network begins to loop. Rouge(exclusive=False)
# counts, and then all three agree.
# Issue 27 of rouge asked for it in 2019; the answer was a change that is not the default.
# Output seen (F of ROUGE-1, ROUGE-2, ROUGE-L):
#   right, rouge-score: 1.00, 1.00, 1.00
#   right, rouge: 1.00, 1.00, 1.00
#   right, rouge, exclusive=False: 1.00, 1.00, 1.00
#   right, rouge-chinese: 1.00, 1.00, 1.00
#   right, rouge-chinese, exclusive=False: 1.00, 1.00, 1.00
#   right, ten times, rouge-score: 0.18, 0.17, 0.18
#   right, ten times, rouge: 1.00, 0.95, 1.00
#   right, ten times, rouge, exclusive=False: 0.18, 0.17, 0.18
#   right, ten times, rouge-chinese: 1.00, 0.95, 0.18
#   right, ten times, rouge-chinese, exclusive=False: 0.18, 0.17, 0.18
#   each word once, rouge-score: 0.90, 0.67, 0.90
#   each word once, rouge: 1.00, 0.67, 1.00
#   each word once, rouge, exclusive=False: 0.90, 0.67, 0.90
#   each word once, rouge-chinese: 1.00, 0.67, 0.90
#   each word once, rouge-chinese, exclusive=False: 0.90, 0.67, 0.90
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet rouge==1.0.1 rouge-chinese==1.0.3 rouge-score==0.1.2 numpy==2.3.4
cat > "$folder/measure.py" <<'PYTHON'
import sys

import rouge
import rouge_chinese
from rouge_score.rouge_scorer import RougeScorer


class Words:
    """Splits at spaces, as the other two do; rouge-score's own tokenizer drops what is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


def measures(answer: str, right: str) -> dict[str, list[float]]:
    score = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words()).score(right, answer)
    found = {"rouge-score": [score[kind].fmeasure for kind in ("rouge1", "rouge2", "rougeL")]}
    for name, package in (("rouge", rouge), ("rouge-chinese", rouge_chinese)):
        for said, settings in (("", {}), (", exclusive=False", {"exclusive": False})):
            scores = package.Rouge(**settings).get_scores(answer, right)[0]
            found[name + said] = [scores[kind]["f"] for kind in ("rouge-1", "rouge-2", "rouge-l")]
    return found


right = "北京 是 中国 的 首都 也 是 一座 古老 的 城市"
answers = {"right": right, "right, ten times": " ".join([right] * 10)}
answers["each word once"] = " ".join(dict.fromkeys(right.split()))
table = {(answer, name): f for answer in answers for name, f in measures(answers[answer], right).items()}
for (answer, name), values in table.items():
    print(f"{answer}, {name}: " + ", ".join(f"{value:.2f}" for value in values))
loop = {name: values for (answer, name), values in table.items() if answer == "right, ten times"}
for answer, name in table:
    far = max(abs(x - y) for x, y in zip(table[answer, name], table[answer, "rouge-score"]))
    if "exclusive" in name and far > 0.001:
        sys.exit("no longer so: by counts they differ")
if loop["rouge-score"][0] > 0.2 or any(loop[name][0] < 0.99 for name in ("rouge", "rouge-chinese")):
    sys.exit("no longer so: a loop is worth less by default")
PYTHON
"$folder/env/bin/python" "$folder/measure.py"
