#!/usr/bin/env bash
# opencompass 0.5.4 with mmengine-lite 0.11.0rc3, Python 3.11 (seen 2026-12-01).
# EMEvaluator of OpenCompass, "exact match", by which its configurations of CMRC, DRCD and ReCoRD score, cuts the answer
# and the right answers off at the first ASCII full stop, comma or line break before it compares them. A decimal point
# and the comma of thousands are such signs: whoever answers 3.99 where 3.14 is right, or 1,999 for 1,000, or U.K. for
# U.S., is right, and a number of which only the first digits were learned scores as one that was. In Chinese texts it
# concerns little but numbers, since 。 and ， are others; an answer that goes on behind those is wrong, which behind the
# ASCII ones is right. So the score is too high for numbers, and depends on which comma an answer has. The documentation
# of the evaluator says "Exact match evaluator." and no more. The package's __init__ files, which load torch and much
# else, are left out here; the evaluator is the package's own.
# Output seen (answer | right answer):
#   3.99 | 3.14: correct
#   1,999 | 1,000: correct
#   U.K. | U.S.: correct
#   约3.5万人 | 约3.9万人: correct
#   399 | 314: wrong
#   Paris, I think | Paris: correct
#   巴黎，我想 | 巴黎: wrong
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet mmengine-lite==0.11.0rc3 datasets==3.6.0 numpy==1.26.4 scipy==1.13.1 pyarrow==20.0.0 \
    jieba==0.42.1
env/bin/pip install --quiet --no-deps opencompass==0.5.4
cat > exact.py <<'PYTHON'
import importlib.util
import sys
import types
from pathlib import Path

root = Path(importlib.util.find_spec("opencompass").origin).parent
for name in ("utils", "openicl", "openicl.icl_evaluator"):
    package = types.ModuleType(f"opencompass.{name}")
    package.__path__ = [str(root.joinpath(*name.split(".")))]
    sys.modules[package.__name__] = package

from opencompass.utils.logging import get_logger  # noqa: E402

get_logger()  # the first call makes the logger, as in a run

from opencompass.openicl.icl_evaluator.icl_em_evaluator import EMEvaluator  # noqa: E402

for answer, right, expected in (
    ("3.99", "3.14", True),
    ("1,999", "1,000", True),
    ("U.K.", "U.S.", True),
    ("约3.5万人", "约3.9万人", True),
    ("399", "314", False),
    ("Paris, I think", "Paris", True),
    ("巴黎，我想", "巴黎", False),
):
    correct = EMEvaluator().score([answer], [[right]])["details"][0]["correct"]
    print(f"{answer} | {right}: {'correct' if correct else 'wrong'}")
    if correct != expected:
        sys.exit("no longer so: answers are compared otherwise")
PYTHON
env/bin/python exact.py 2> errors || { cat errors; exit 1; }
