"""Our benchmark against lm-evaluation-harness: the same log-likelihoods and scores on the same items?

The harness reads its own task files, which here point to local data, and opens the weight as the Hugging Face folder
that scripts/export_hf.py writes; with --server it asks scripts/serve.py instead. Needs `pip install lm_eval`.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference.weights import name_of
from model.errors import SproutError, UsageError
from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Local:
    """A task of the harness on local data. template: the file in its folder of tasks that says how items are asked.

    convert: from our fields to the columns of the original data set. more: further lines of the task.
    """

    template: str | None
    convert: Callable[[dict], dict] = dict
    more: str = ""


def _blimp(fields: dict) -> dict:
    return {
        "sentence_good": fields.get("good", fields.get("sentence_good")),
        "sentence_bad": fields.get("bad", fields.get("sentence_bad")),
    }


def _xcopa(fields: dict) -> dict:
    if "choice1" in fields:
        return fields
    first, second = fields["choices"]
    return {
        "premise": fields["premise"],
        "question": fields["question"],
        "choice1": first,
        "choice2": second,
        "label": fields["answer"],
    }


def _mgsm(fields: dict) -> dict:
    return {
        "question": fields["question"],
        "answer": None,
        "answer_number": int(fields.get("answer_number", fields.get("final")).replace(",", "")),
    }


# The harness has no task for GAOKAO-Bench.
_GAOKAO = """
output_type: multiple_choice
doc_to_text: "{{question.strip()}}\\n答案："
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: "{{['A', 'B', 'C', 'D'].index(answer)}}"
metric_list: [{metric: acc}]
"""
_TEXT = """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}]
"""
LOCAL = {
    "blimp": Local("blimp/_template_yaml", _blimp),
    "hellaswag": Local("hellaswag/hellaswag.yaml"),
    "piqa": Local("piqa/piqa.yaml"),
    "arc": Local("arc/arc_easy.yaml", lambda fields: fields | {"answerKey": fields["answerkey"]}),
    "xcopa_zh": Local("xcopa/default_zh.yaml", _xcopa),
    "gaokao letters": Local(None, lambda fields: {key: fields[key] for key in ("question", "answer")}, _GAOKAO),
    "gsm8k": Local("gsm8k/gsm8k.yaml", lambda fields: {key: fields[key] for key in ("question", "answer")}),
    "mgsm_zh": Local("mgsm/native_cot/mgsm_native_cot_zh.yaml", _mgsm),
    "mgsm_en": Local("mgsm/native_cot/mgsm_native_cot_en.yaml", _mgsm),
    "text": Local(None, lambda fields: {"text": fields["text"]}, _TEXT),
}


def compare(args) -> None:
    """Prints a line for each task: the largest difference of a log-likelihood, and the scores of both sides.

    args: `weight_path`, `data_path`, `limit`, `max_new_tokens`, `server`, `harness_dtype`, `out_dir`, `batch_size`.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise UsageError(f"the harness is not installed ({error.name} is missing): pip install lm_eval") from error
    out = Path(args.out_dir).resolve() / "harness"
    folder, positions = export(args.weight_path, out)
    ours = our_results(args, out)
    names = write_tasks(args, ours["tasks"], out)
    ask = partial(their_results, max_new_tokens=args.max_new_tokens, out=out, batch_size=args.batch_size)
    texts = {name for task, name in names.items() if task == "text"}
    others = set(names.values()) - texts
    theirs = {}
    if args.server and others:
        with serving(args.weight_path, out) as url:
            model = {"model": name_of(Path(args.weight_path).resolve()), "base_url": f"{url}/v1/completions"}
            model |= {"tokenizer": str(with_bos(folder)), "add_bos_token": True}
            theirs = ask("local-completions", model | {"num_concurrent": 4, "max_length": positions}, others)
    else:
        model = {"pretrained": str(folder), "dtype": args.harness_dtype}
        theirs = ask("hf", model | {"add_bos_token": True}, others) if others else {}
        # Of a text it scores every token that its tokenizer makes, behind BOS: a second BOS would be one of them.
        theirs |= ask("hf", model | {"add_bos_token": False}, texts) if texts else {}
    for task in ours["tasks"]:
        if names.get(task["task"]) in theirs:
            print(compared(task, theirs[names[task["task"]]]), flush=True)


def export(weight: str, out: Path) -> tuple[Path, int]:
    """The weight as a folder in float32, and how many positions it has."""
    folder = out / "exported"
    run_ours("scripts/export_hf.py", "--weight_path", weight, "--save_dir", str(folder), "--dtype", "float32")
    return folder, json.loads((folder / "config.json").read_text())["max_position_embeddings"]


def with_bos(folder: Path) -> Path:
    """The tokenizer of a folder, with BOS as a part of it: `local-completions` adds only what the tokenizer does."""
    from model.text.exported import beginning_texts
    from model.text.tokenizer import Tokenizer

    beginning_texts(Tokenizer.load(folder)).save(folder.with_name("tokenizer"))
    return folder.with_name("tokenizer")


def run_ours(script: str, *words: str) -> None:
    """Runs a script of this checkout."""
    result = subprocess.run([sys.executable, str(ROOT / script), *words], cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise SproutError(f"{script} failed: {result.stderr.strip().splitlines()[-1]}")
    print(result.stdout.strip(), flush=True)


def our_results(args, out: Path) -> dict:
    """What scripts/benchmark_model.py says; it begins with BOS, so the harness must as well."""
    file = out / "ours.json"
    words = ["--weight_path", args.weight_path, "--data_path", *args.data_path, "--save_file", str(file)]
    words += ["--max_new_tokens", str(args.max_new_tokens), "--device", "cpu", "--out_dir", str(out)]
    words += ["--limit", str(args.limit)] if args.limit else []
    begun = time.perf_counter()
    run_ours("scripts/benchmark_model.py", *words)
    print(f"ours took {time.perf_counter() - begun:.0f} s")
    return json.loads(file.read_text())


def write_tasks(args, tasks: list[dict], out: Path) -> dict[str, str]:
    """Writes data and task files for the harness; returns the names of its tasks by those of ours."""
    import lm_eval.tasks

    from dataset.records.reading import read_records

    templates, names = Path(lm_eval.tasks.__file__).parent, {}
    (out / "tasks").mkdir(parents=True, exist_ok=True)
    for task in tasks:
        local = LOCAL.get(task["task"])
        if local is None:
            continue
        name = names[task["task"]] = f"sprout_{task['task'].replace(' ', '_')}"
        wanted = {(item["file"], item["line"]) for item in task["items"]}
        records = [one for path in args.data_path for one in read_records(path) if (one.path, one.line) in wanted]
        data = out / "tasks" / f"{name}.jsonl"
        with open(data, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(local.convert(one.fields), ensure_ascii=False) + "\n" for one in records)
        lines = [f"include: {templates / local.template}"] if local.template else []
        lines += [f"task: {name}", "tag: null", "dataset_path: json", "dataset_name: null", "num_fewshot: 0"]
        lines += [f"dataset_kwargs: {{data_files: {{test: {data}}}}}", "test_split: test", "validation_split: null"]
        lines += ["training_split: null", "fewshot_split: null"]
        (out / "tasks" / f"{name}.yaml").write_text("\n".join(lines) + "\n" + local.more, encoding="utf-8")
    return names


def their_results(
    model: str, model_args: dict, names: Collection[str], *, max_new_tokens: int, out: Path, batch_size: int
) -> dict:
    """{task of theirs: its samples, in the order of the file}."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    begun = time.perf_counter()
    found = simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=sorted(names),
        task_manager=TaskManager(include_path=str(out / "tasks"), include_defaults=False),
        batch_size=batch_size,
        device="cpu",
        gen_kwargs={"max_gen_toks": max_new_tokens},
        bootstrap_iters=0,
    )
    print(f"the harness took {time.perf_counter() - begun:.0f} s")
    return {name: sorted(samples, key=lambda one: one["doc_id"]) for name, samples in found["samples"].items()}


def compared(task: dict, samples: list[dict]) -> str:
    """A line about one task."""
    items = task["items"]
    if task["task"] == "text":
        largest = max(abs(item["nats"] + sample["resps"][0][0]) for item, sample in zip(items, samples, strict=True))
        return f"text: {len(items)} texts, log-likelihoods within {largest:.1e}"
    if "log_likelihoods" not in items[0]:
        return _compared_answers(task, samples)
    largest, scores = 0.0, {}
    for item, sample in zip(items, samples, strict=True):
        theirs = [float(answer[0][0]) for answer in sample["resps"]]
        largest = max(largest, *(abs(a - b) for a, b in zip(item["log_likelihoods"], theirs, strict=True)))
    for metric in ("acc", "acc_norm"):
        if metric in items[0] and metric in samples[0]:
            scores[metric] = (sum(item[metric] for item in items), int(sum(one[metric] for one in samples)))
    said = ", ".join(f"{metric} {a} and {b}" for metric, (a, b) in scores.items())
    return f"{task['task']}: {len(items)} items, log-likelihoods within {largest:.1e}; right: {said}"


def _compared_answers(task: dict, samples: list[dict]) -> str:
    said, items = [], task["items"]
    by_filter: dict[str, list[dict]] = {}
    for sample in samples:
        by_filter.setdefault(sample["filter"], []).append(sample)
    for metric, name in (("strict", "strict-match"), ("flexible", "flexible-extract")):
        theirs = int(sum(sample["exact_match"] for sample in by_filter[name]))
        said.append(f"{metric} {sum(item[metric] for item in items)} and {theirs}")
    first = by_filter["strict-match"]
    same = sum(item["written"] == sample["resps"][0][0] for item, sample in zip(items, first, strict=True))
    return f"{task['task']}: {len(items)} items, {same} answers the same to the letter; right: {', '.join(said)}"


@contextmanager
def serving(weight: str, out: Path):
    """A server of the weight on this machine; yields its address, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--weight_path", weight, "--port", str(port), "--device", "cpu", "--dtype", "float32", "--max_body", "64"]
    with open(out / "server.log", "w") as log:
        server = subprocess.Popen([sys.executable, str(ROOT / "scripts/serve.py"), *words], cwd=ROOT, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            while server.poll() is None and not _answers(f"{url}/health"):
                time.sleep(0.2)
            if server.poll() is not None:
                raise SproutError(f"the server ended: {out / 'server.log'} says why")
            yield url
        finally:
            server.terminate()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    run_program(__doc__)
