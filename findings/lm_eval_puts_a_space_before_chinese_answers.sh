#!/usr/bin/env bash
# lm_eval 0.4.13 with datasets 5.2.0, Python 3.11 (seen 2026-11-30).
# lm_eval puts a space between the prompt and the choice that it scores, since English has one there (target_delimiter).
# C-Eval, CMMLU and ACLUE end their prompt in 答案： with the full-width colon, behind which Chinese writes none, and do
# not set it otherwise. So a network is asked for " A" and not for "A", in most vocabularies another token, and one that
# follows a Chinese colon in hardly any text. The examples of a few-shot prompt show the space; without any, the score
# says in part how a network goes on from a misprint. One that has learnt 答案：A and nothing else falls to chance, as
# below, and a program that asks for "A" has another number for the same network. PAWS-X and the Japanese leaderboard
# set something else. A task of one's own that includes the given one and sets target_delimiter: "" avoids it; with
# --apply_chat_template there is no space.
# Output seen (what is asked behind the prompt; the share of eight questions that a model answers which knows the very
# lines of the test by heart, each with 答案：A, 答案：B and so on; the same with target_delimiter: ""):
#   ceval-valid_logic: "：" + " A", 0.25; "：" + "A", 1.00
#   cmmlu_logical: "：" + " A", 0.25; "：" + "A", 1.00
#   aclue_ancient_phonetics: "：" + " A", 0.25; "：" + "A", 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet lm_eval==0.4.13 datasets==5.2.0
cd "$folder"
cat > score.py <<'PYTHON'
import json
import math
import sys
from pathlib import Path

import lm_eval
import lm_eval.tasks
from lm_eval.api.model import LM

TASKS = Path(lm_eval.tasks.__file__).parent
OPTIONS = dict(zip("ABCD", ("一月", "二月", "三月", "四月"), strict=True))
listed = "".join(f"{letter}. {text}\n" for letter, text in OPTIONS.items())
records, learnt = [], []
for number, answer in enumerate("ABCDDCBA"):
    question = f"第{number + 1}个学生是几月生的？"
    records.append(OPTIONS | {"Question": question, "question": question, "Answer": answer, "answer": answer})
    learnt.append(f"{question}\n{listed}答案：{answer}\n")


class ByHeart(LM):
    """A model that goes on as its texts do behind the longest end of the context that is in one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = set()

    def loglikelihood(self, requests, **settings):
        found = []
        for context, choice in (request.args for request in requests):
            self.asked.add((context[-1], choice))
            total = sum(self.next(context + choice[:place], sign) for place, sign in enumerate(choice))
            found.append((total, False))
        return found

    def next(self, context: str, sign: str) -> float:
        for begin in range(len(context) + 1):
            end = context[begin:]
            counts = [text.count(end + sign) for text in learnt]
            whole = sum(text.count(end) for text in learnt)
            if whole:
                return math.log((sum(counts) + 1e-6) / (whole + 1e-2))
        raise AssertionError("the empty end is in every text")

    def generate_until(self, requests, **settings):
        raise NotImplementedError

    loglikelihood_rolling = generate_until


Path("questions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
files = dict.fromkeys(("train", "dev", "val", "test", "validation"), "questions.jsonl")
for folder, name in (("ceval", "ceval-valid_logic"), ("cmmlu", "cmmlu_logical"), ("aclue", "aclue_ancient_phonetics")):
    said = []
    for number, changed in enumerate(({}, {"target_delimiter": ""})):
        task = f"our_{name}_{number}"
        settings = {"include": f"{TASKS / folder / name}.yaml", "task": task, "tag": None, "num_fewshot": 0}
        settings |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}} | changed
        Path(f"{task}.yaml").write_text(json.dumps(settings))
        model = ByHeart()
        manager = lm_eval.tasks.TaskManager(include_path=".")
        scores = lm_eval.simple_evaluate(model, tasks=[task], task_manager=manager, bootstrap_iters=0)["results"][task]
        context, choice = min(model.asked)
        said.append(f'"{context}" + "{choice}", {scores["acc,none"]:.2f}')
    print(f"{name}: {'; '.join(said)}")
    if said != ['"：" + " A", 0.25', '"：" + "A", 1.00']:
        sys.exit("no longer so: something else is asked for")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" score.py 2> errors || { cat errors; exit 1; }
