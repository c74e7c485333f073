#!/usr/bin/env bash
# lm_eval 0.4.13 with datasets 5.2.0, tiktoken 0.14.0, Python 3.11 (seen 2026-11-30); the vocabulary of Qwen, as
# dashscope 2.0.2 brings it.
# lm_eval scores a choice by the tokens behind those of its context: it cuts the whole text, leaves out as many tokens
# as the context has alone, and scores the rest. This is right where no token reaches over the border. A space keeps
# tokens apart there, so tasks join the two by one (target_delimiter is " "), in languages without spaces as well:
# xwinograd_zh, xwinograd_jp and xcopa_zh ask for sentences that nobody writes. Whoever sets the delimiter to "" for
# Chinese, as one would, gets the other half of it. Words of one run of letters share tokens, so a choice loses its
# first word, or takes in the last of its context, and its rival does not: with this vocabulary, 534 of the 1,200
# choices of XCOPA behind "，因为" or "，所以" are not scored as they stand. English does not meet it, and no warning is
# given. Where a choice has no token left, the harness fails (issue 1053; pull request 4055 would mend it).
# Output seen (the whole text of each of two choices, and what is scored):
#   xwinograd_zh: '老师表扬了小明，没有表扬小红，因为他 是第一个写完作业的。' -> ' 是第一个写完作业的。'
#   xwinograd_zh: '老师表扬了小明，没有表扬小红，因为小红 是第一个写完作业的。' -> ' 是第一个写完作业的。'
#   xwinograd_zh, delimiter '': '老师表扬了小明，没有表扬小红，因为他是第一个写完作业的。' -> '他是第一个写完作业的。'
#   xwinograd_zh, delimiter '': '老师表扬了小明，没有表扬小红，因为小红是第一个写完作业的。' -> '是第一个写完作业的。'
#   our own: '外面下雨了，所以 我打开了伞。' -> ' 我打开了伞。'
#   our own: '外面下雨了，所以 街道都变干了。' -> ' 街道都变干了。'
#   our own, delimiter '': '外面下雨了，所以我打开了伞。' -> '打开了伞。'
#   our own, delimiter '': '外面下雨了，所以街道都变干了。' -> '街道都变干了。'
#   xwinograd_en: 'The dog ran after the cat, but the cat was faster.' -> ' was faster.'
#   xwinograd_en: 'The dog ran after the cat, but it was faster.' -> ' was faster.'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet lm_eval==0.4.13 datasets==5.2.0 tiktoken==0.14.0
env/bin/pip install --quiet --no-deps dashscope==2.0.2  # for one file of it
cat > score.py <<'PYTHON'
import base64
import json
from importlib.metadata import distribution
from pathlib import Path

import lm_eval
import lm_eval.tasks
import tiktoken
from lm_eval.api.model import TemplateLM

TASKS = Path(lm_eval.tasks.__file__).parent
LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
lines = distribution("dashscope").locate_file("dashscope/resources/qwen.tiktoken").read_text().split("\n")
ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
qwen = tiktoken.Encoding("qwen", pat_str=LETTERS + OTHERS, mergeable_ranks=ranks, special_tokens={})


class Reader(TemplateLM):
    """Gives every answer the same likelihood, and notes what of it is to be scored."""

    eot_token_id = 0

    def tok_encode(self, string: str, add_special_tokens=None, **settings) -> list[int]:
        return qwen.encode_ordinary(string)

    def _loglikelihood_tokens(self, requests, **settings):
        self.scored = [(context + answer, qwen.decode(tokens)) for (context, answer), _, tokens in requests]
        return [(0.0, False) for _ in requests]

    def generate_until(self, requests, **settings):
        raise NotImplementedError

    loglikelihood_rolling = generate_until


TOLD = "老师表扬了小明，没有表扬小红，因为_是第一个写完作业的。"
SEEN = "The dog ran after the cat, but _ was faster."
OURS = {"output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": "{{choices}}", "doc_to_target": 0}
ASKED = {  # a task of the harness or our own, and a question in its columns
    "xwinograd_zh": {"sentence": TOLD, "option1": "他", "option2": "小红", "answer": "1"},
    "our own": {"text": "外面下雨了，所以", "choices": ["我打开了伞。", "街道都变干了。"]},
    "xwinograd_en": {"sentence": SEEN, "option1": "the cat", "option2": "it", "answer": "1"},
}


def scored(task: str, delimiter: str | None) -> list[tuple[str, str]]:
    """For each choice, the whole text that the task makes, and the part of it that is scored."""
    settings = OURS if task == "our own" else {"include": f"{TASKS}/xwinograd/{task}.yaml"}
    settings |= {"task": "asked", "num_fewshot": 0, "test_split": "test", "dataset_name": None, "dataset_path": "json"}
    settings |= {"dataset_kwargs": {"data_files": {"test": "question.jsonl"}}, "metric_list": [{"metric": "acc"}]}
    if delimiter is not None:
        settings |= {"target_delimiter": delimiter}
    Path("question.jsonl").write_text(json.dumps(ASKED[task]) + "\n")
    Path("asked.yaml").write_text(json.dumps(settings))
    manager, reader = lm_eval.tasks.TaskManager(include_path=".", include_defaults=False), Reader()
    lm_eval.simple_evaluate(reader, tasks=["asked"], task_manager=manager, bootstrap_iters=0)
    return reader.scored


for task in ASKED:
    for named, delimiter in (("", None), (", delimiter ''", ""))[: 1 if task == "xwinograd_en" else 2]:
        for whole, part in scored(task, delimiter):
            print(f"{task}{named}: {whole!r} -> {part!r}")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python -W ignore score.py > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
xwinograd_zh: '老师表扬了小明，没有表扬小红，因为他 是第一个写完作业的。' -> ' 是第一个写完作业的。'
xwinograd_zh: '老师表扬了小明，没有表扬小红，因为小红 是第一个写完作业的。' -> ' 是第一个写完作业的。'
xwinograd_zh, delimiter '': '老师表扬了小明，没有表扬小红，因为他是第一个写完作业的。' -> '他是第一个写完作业的。'
xwinograd_zh, delimiter '': '老师表扬了小明，没有表扬小红，因为小红是第一个写完作业的。' -> '是第一个写完作业的。'
our own: '外面下雨了，所以 我打开了伞。' -> ' 我打开了伞。'
our own: '外面下雨了，所以 街道都变干了。' -> ' 街道都变干了。'
our own, delimiter '': '外面下雨了，所以我打开了伞。' -> '打开了伞。'
our own, delimiter '': '外面下雨了，所以街道都变干了。' -> '街道都变干了。'
xwinograd_en: 'The dog ran after the cat, but the cat was faster.' -> ' was faster.'
xwinograd_en: 'The dog ran after the cat, but it was faster.' -> ' was faster.'
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
