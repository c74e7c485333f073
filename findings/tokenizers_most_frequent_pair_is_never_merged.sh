#!/usr/bin/env bash
# tokenizers 0.23.3, Python 3.11 (seen 2026-11-29).
# BpeTrainer counts words in 64 bits and pairs in 32 with a sign. A pair that occurs more than 2,147,483,647 times in
# the texts wraps to a negative number and is never merged, while rarer pairs are: the most frequent token of the
# language or the code is missing from the vocabulary, everything built upon it too, and the trainer says nothing. Two
# spaces in indented code, or the first two bytes of Chinese punctuation in a byte-level vocabulary, come so often
# within some tens of gigabytes. Reported as issues 437 and 2058 of tokenizers. A sample of the corpus, small enough,
# avoids it.
# Output seen (texts of "a" in long runs and, twenty times rarer, "bc"; one merge is asked for):
#   2,000,000,000 pairs of a: merged aa
#   2,160,000,000 pairs of a: merged bc
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet tokenizers==0.23.3
cat > "$folder/merge.py" <<'PYTHON'
from tokenizers import Tokenizer, models, trainers

text = "a" * 40001 + "bc" * 2000
for times in (50_000, 54_000):
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=4, show_progress=False)  # three letters and one merge
    tokenizer.train_from_iterator((text for _ in range(times)), trainer)
    (merged,) = (token for token in tokenizer.get_vocab() if len(token) > 1)
    print(f"{times * 40_000:,} pairs of a: merged {merged}", flush=True)
PYTHON
"$folder/env/bin/python" "$folder/merge.py" | tee "$folder/seen"
cat > "$folder/expected" <<'TEXT'
2,000,000,000 pairs of a: merged aa
2,160,000,000 pairs of a: merged bc
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
