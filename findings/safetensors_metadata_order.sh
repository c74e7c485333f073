#!/usr/bin/env bash
# safetensors 0.8.0, Python 3.11 (seen 2026-11-27).
# The same tensors with the same metadata do not give the same bytes: with several entries in `metadata`, their order in
# the header changes from call to call, in one process too. With a single entry ({"format": "pt"}, as transformers
# writes it) files are equal, so a comparison of checksums works until somebody adds a second entry. Compare tensors and
# entries, not files, or keep to one entry.
# Output seen:
#   three entries: several different files of 40
#   one entry: 1 different file of 40
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet safetensors==0.8.0 numpy==2.3.4
"$folder/env/bin/python" - <<'PYTHON'
import numpy
from safetensors.numpy import save

tensors = {"a": numpy.zeros(2, "float32"), "b": numpy.ones(3, "float32")}
several = {save(tensors, metadata={"format": "pt", "author": "x", "note": "y"}) for _ in range(40)}
one = {save(tensors, metadata={"format": "pt"}) for _ in range(40)}
print("three entries:", "several" if len(several) > 1 else 1, "different files of 40")
print("one entry:", len(one), "different file of 40")
assert len(several) > 1 and len({len(each) for each in several}) == 1 and len(one) == 1
PYTHON
