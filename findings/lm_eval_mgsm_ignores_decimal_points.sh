#!/usr/bin/env bash
# lm_eval 0.4.13 with datasets 5.2.0, Python 3.11 (seen 2026-11-29).
# MGSM, the GSM8K of other languages, is a task of numbers, and its exact_match is set to ignore_punctuation: true,
# which removes string.punctuation from both sides before they are compared: the decimal point and the minus too. So
# "1.8" and "-18" are right where the answer is 18, by both filters, and an honest "18.0" is wrong, as 180. All of
# mgsm_direct, mgsm_en_cot and mgsm_native_cot are set so, and the Basque, Catalan and Galician ones and AfriMGSM. GSM8K
# removes only commas, dollars and a last full stop: there the first two are wrong. Scores of the two tasks so differ by
# their rules, too, and a small network that loses the point of a number is paid for it.
# Output seen (a model that always gives this answer, where 18 is right; strict, flexible):
#   mgsm_native_cot_zh, 18: 1, 1
#   mgsm_native_cot_zh, 1.8: 1, 1
#   mgsm_native_cot_zh, -18: 1, 1
#   mgsm_native_cot_zh, 18.0: 0, 0
#   mgsm_native_cot_zh, 17: 0, 0
#   gsm8k, 18: 1, 1
#   gsm8k, 1.8: 0, 0
#   gsm8k, -18: 0, 0
#   gsm8k, 18.0: 0, 0
#   gsm8k, 17: 0, 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet lm_eval==0.4.13 datasets==5.2.0
cd "$folder"
cat > score.py <<'PYTHON'
import json
from pathlib import Path

import lm_eval
import lm_eval.tasks
from lm_eval.api.model import LM

TASKS = Path(lm_eval.tasks.__file__).parent

ASKED = {  # the file of each task, a question of our own in its columns, how its answers are written
    "mgsm_native_cot_zh": ("mgsm/native_cot", {"question": "?", "answer": None, "answer_number": 18}, "答案是 {}。"),
    "gsm8k": ("gsm8k", {"question": "?", "answer": "A sum.\n#### 18"}, "A sum.\n#### {}"),
}


class Fixed(LM):
    """A model that generates one text, whatever it is asked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def generate_until(self, requests, **settings):
        return [self.text for _ in requests]

    def loglikelihood(self, requests, **settings):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


for task, (place, record, form) in ASKED.items():
    with open("questions.jsonl", "w") as file:
        file.write(json.dumps(record) + "\n")
    settings = {"include": f"{TASKS / place / task}.yaml", "task": f"our_{task}", "tag": None, "num_fewshot": 0}
    files = {"train": "questions.jsonl", "test": "questions.jsonl"}
    settings |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    with open(f"our_{task}.yaml", "w") as file:
        json.dump(settings, file)
    manager = lm_eval.tasks.TaskManager(include_path=".")
    for answer in ("18", "1.8", "-18", "18.0", "17"):
        model = Fixed(form.format(answer))
        found = lm_eval.simple_evaluate(model, tasks=[f"our_{task}"], task_manager=manager, bootstrap_iters=0)
        scores = found["results"][f"our_{task}"]
        strict, flexible = (scores[f"exact_match,{name}"] for name in ("strict-match", "flexible-extract"))
        print(f"{task}, {answer}: {strict:.0f}, {flexible:.0f}")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" score.py 2> errors | tee seen || { cat errors; exit 1; }
cat > expected <<'TEXT'
mgsm_native_cot_zh, 18: 1, 1
mgsm_native_cot_zh, 1.8: 1, 1
mgsm_native_cot_zh, -18: 1, 1
mgsm_native_cot_zh, 18.0: 0, 0
mgsm_native_cot_zh, 17: 0, 0
gsm8k, 18: 1, 1
gsm8k, 1.8: 0, 0
gsm8k, -18: 0, 0
gsm8k, 18.0: 0, 0
gsm8k, 17: 0, 0
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
