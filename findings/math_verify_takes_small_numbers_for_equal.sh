#!/usr/bin/env bash
# math-verify 0.9.0, Python 3.11 (seen 2026-11-29).
# verify() compares decimals by absolute places, not by leading digits. Two plain decimals are rounded to 6 places
# (float_rounding), and numbers in scientific notation are equal if their difference is under about 1e-16, since SymPy's
# evalf(chop=True), to numeric_precision digits, makes such a difference 0. So where the right answer is the charge of
# an electron in coulombs, twice the charge is right, and so is its mass in kilograms; 0.0000001 is right for 0.0000004.
# As a reward (trl's accuracy_reward calls it with these defaults), tasks in SI units pay for any small number. The
# docstring advises a larger numeric_precision for small numbers; that helps those in scientific notation only, a larger
# float_rounding the decimals only, and both, with 50, tell all of these apart. Large numbers are compared in full.
# Output seen (right answer, given answer: by default; float_rounding=50; numeric_precision=50; both):
#   1.6\times10^{-19}, 9.1\times10^{-31}: True; True; False; False
#   1.6\times10^{-19}, 3.2\times10^{-19}: True; True; False; False
#   6.6\times10^{-34}, 0.0: True; False; True; False
#   0.0000004, 0.0000001: True; False; True; False
#   6.02\times10^{23}, 6.03\times10^{23}: False; False; False; False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
cat > "$folder/pairs.py" <<'PYTHON'
from math_verify import parse, verify

PAIRS = (
    (r"1.6\times10^{-19}", r"9.1\times10^{-31}"),
    (r"1.6\times10^{-19}", r"3.2\times10^{-19}"),
    (r"6.6\times10^{-34}", "0.0"),
    ("0.0000004", "0.0000001"),
    (r"6.02\times10^{23}", r"6.03\times10^{23}"),
)
SETTINGS = ({}, {"float_rounding": 50}, {"numeric_precision": 50}, {"float_rounding": 50, "numeric_precision": 50})
for right, given in PAIRS:
    parsed = [parse(rf"\boxed{{{text}}}") for text in (right, given)]
    print(f"{right}, {given}: {'; '.join(str(verify(*parsed, **settings)) for settings in SETTINGS)}")
PYTHON
"$folder/env/bin/python" "$folder/pairs.py" | tee "$folder/seen"
cat > "$folder/expected" <<'TEXT'
1.6\times10^{-19}, 9.1\times10^{-31}: True; True; False; False
1.6\times10^{-19}, 3.2\times10^{-19}: True; True; False; False
6.6\times10^{-34}, 0.0: True; False; True; False
0.0000004, 0.0000001: True; False; True; False
6.02\times10^{23}, 6.03\times10^{23}: False; False; False; False
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
