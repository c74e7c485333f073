#!/usr/bin/env bash
# safetensors 0.8.0, Python 3.11 (seen 2026-11-29; 0.4.5, 0.5.3, 0.6.2 and 0.7.0 write it right).
# safetensors.numpy writes the memory of an array as it lies, under the shape of the array. So a transposed array, one in
# Fortran's order (as scikit-learn's PCA returns them) or every second column of one comes back with its numbers in other
# places, without a word; up to 0.7 each came back as it was. The docstring asks for arrays that are contiguous, but only
# safetensors.torch refuses what is not; a matrix in Fortran's order is contiguous to NumPy, too. Reported as issue 825 of
# safetensors. numpy.ascontiguousarray before the call avoids it.
# Output seen:
#   0.7.0: as it was the same, transposed the same, Fortran's order the same, every second column the same
#   0.8.0: as it was the same, transposed other, Fortran's order other, every second column other
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
cat > "$folder/write.py" <<'PYTHON'
import sys

import numpy
import safetensors
from safetensors.numpy import load_file, save_file

path = sys.argv[1]
matrix = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
arrays = {"as it was": matrix, "transposed": matrix.T}
arrays |= {"Fortran's order": numpy.asfortranarray(matrix), "every second column": matrix[:, ::2]}
found = []
for name, array in arrays.items():
    save_file({"x": array}, path)
    again = load_file(path)["x"]
    assert again.shape == array.shape
    found.append(f"{name} {'the same' if numpy.array_equal(array, again) else 'other'}")
print(f"{safetensors.__version__}: {', '.join(found)}")
PYTHON
for version in 0.7.0 0.8.0; do
    "$folder/env/bin/pip" install --quiet "safetensors==$version" numpy==2.3.4
    "$folder/env/bin/python" "$folder/write.py" "$folder/x.safetensors" | tee -a "$folder/seen"
done
cat > "$folder/expected" <<'TEXT'
0.7.0: as it was the same, transposed the same, Fortran's order the same, every second column the same
0.8.0: as it was the same, transposed other, Fortran's order other, every second column other
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
