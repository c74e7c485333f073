#!/usr/bin/env bash
# sacrebleu 2.6.0, Python 3.11 (seen 2026-12-01).
# TER of sacrebleu counts edits of words, which it splits at spaces, and Chinese has none. For that it has an option,
# asian_support (--ter-asian-support, "Enables special treatment of Asian characters"). By itself the option does
# nothing: each sentence stays one word, so an answer of which one character differs has the same TER, 100, as one that
# has nothing in common. The signature says asian:yes, and a run over a file gives a number between 0 and 100, in
# essence the share of answers that are not the reference to the letter. Characters are compared only with
# normalized=True beside it, which alone leaves Chinese as it is. The comment of the class says so; the README has both
# as options of their own, of which "both will be applied" if both are given, and the help of the command says nothing.
# Output seen (TER: one character differs, one character is added, nothing in common):
#   {}: 100.0, 100.0, 100.0
#   {'asian_support': True}: 100.0, 100.0, 100.0
#   {'normalized': True}: 100.0, 100.0, 100.0
#   {'normalized': True, 'asian_support': True}: 9.1, 10.0, 100.0
#   signature with asian_support alone: norm:no|punct:yes|asian:yes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet sacrebleu==2.6.0 numpy==2.3.4
cat > ter.py <<'PYTHON'
import re
import sys

from sacrebleu.metrics import TER

pairs = (
    ("他在北京大学学习汉文。", "他在北京大学学习中文。"),
    ("今天我们去大公园散步。", "今天我们去公园散步。"),
    ("春天到了！", "他在北京大学学习中文。"),
)
found = []
for settings in ({}, {"asian_support": True}, {"normalized": True}, {"normalized": True, "asian_support": True}):
    scores = [TER(**settings).sentence_score(answer, [right]).score for answer, right in pairs]
    print(f"{settings}: {', '.join(f'{score:.1f}' for score in scores)}")
    found.append(scores)
metric = TER(asian_support=True)
metric.corpus_score([pairs[0][0]], [[pairs[0][1]]])
signature = re.search(r"norm:.*asian:\w+", str(metric.get_signature())).group()
print(f"signature with asian_support alone: {signature}")
if any(scores != [100, 100, 100] for scores in found[:3]) or not max(found[3][:2]) < 15:
    sys.exit("no longer so: other options compare characters")
if not signature.endswith("asian:yes"):
    sys.exit("no longer so: the signature says otherwise")
PYTHON
env/bin/python ter.py
