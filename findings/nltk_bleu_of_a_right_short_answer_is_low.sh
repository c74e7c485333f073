#!/usr/bin/env bash
# nltk 3.10.4, beside sacrebleu 2.6.0, Python 3.11 (seen 2026-11-30).
# BLEU counts runs of up to four words. An answer of one, two or three has none of the longer runs, so nltk's
# sentence_bleu leaves it to a smoothing to say what nothing of nothing is. By method3, which LLaMA-Factory's "bleu-4"
# takes, with a character for a word, a right 是 has 0.35, a right 北京 0.59, and a longer, half wrong answer more; by
# method4 北京 has 0.22, and by method5 right answers pass 1. Without a smoothing a right 北京 has next to nothing, with
# a warning. So a data set of short answers cannot come near 1, and two sets cannot be compared unless their answers are
# equally long. auto_reweigh=True takes the runs that there are and gives 1, as sentence_bleu of sacrebleu does; it is
# off by default.
# Output seen (answers that equal the right one; at last, one that does not, 他是北京大学的教师 for 他是北京大学的学生):
#   是: method1 0.18, method3 0.35, method4 1.00, method5 0.19; method3 with auto_reweigh 1.00, sacrebleu 1.00
#   北京: method1 0.32, method3 0.59, method4 0.22, method5 0.39; method3 with auto_reweigh 1.00, sacrebleu 1.00
#   三十六: method1 0.56, method3 0.84, method4 0.58, method5 0.70; method3 with auto_reweigh 1.00, sacrebleu 1.00
#   北京大学: method1 1.00, method3 1.00, method4 1.00, method5 1.01; method3 with auto_reweigh 1.00, sacrebleu 1.00
#   wrong: method1 0.73, method3 0.73, method4 0.73, method5 0.83; method3 with auto_reweigh 0.73, sacrebleu 0.73
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet nltk==3.10.4 sacrebleu==2.6.0
cat > short.py <<'PYTHON'
import sys

import sacrebleu
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu


def scores(right: str, answer: str) -> dict[str, float]:
    found, smoothing = {}, SmoothingFunction()
    for method in ("method1", "method3", "method4", "method5"):
        found[method] = sentence_bleu([list(right)], list(answer), smoothing_function=getattr(smoothing, method))
    found["auto_reweigh"] = sentence_bleu(
        [list(right)], list(answer), smoothing_function=smoothing.method3, auto_reweigh=True
    )
    found["sacrebleu"] = sacrebleu.sentence_bleu(answer, [right], tokenize="char").score / 100
    return found


seen = {}
equal = [(text, text) for text in ("是", "北京", "三十六", "北京大学")]
for right, answer in (*equal, ("他是北京大学的学生", "他是北京大学的教师")):
    name = right if right == answer else "wrong"
    found = seen[name] = scores(right, answer)
    methods = ", ".join(f"{method} {score:.2f}" for method, score in found.items() if method.startswith("method"))
    others = f"method3 with auto_reweigh {found['auto_reweigh']:.2f}, sacrebleu {found['sacrebleu']:.2f}"
    print(f"{name}: {methods}; {others}")
if not seen["是"]["method3"] < 0.4 < seen["北京"]["method3"] < seen["wrong"]["method3"]:
    sys.exit("no longer so: short answers have another score")
if not seen["北京"]["method4"] < 0.3 or not seen["北京大学"]["method5"] > 1:
    sys.exit("no longer so: other smoothings have another score")
if any(abs(seen[name][way] - 1) > 0.001 for name in ("是", "北京", "三十六") for way in ("auto_reweigh", "sacrebleu")):
    sys.exit("no longer so: auto_reweigh or sacrebleu")
PYTHON
env/bin/python short.py 2> errors || { cat errors; exit 1; }
