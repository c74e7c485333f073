"""scripts/benchmark_model.py from the files to the table and the JSON, and what it says of a wrong file."""

import json

import pytest
import torch

import eval_model
from inference.benchmark import result as result_file
from inference.benchmark import running
from inference.benchmark.likelihood import requests_for
from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from scripts import benchmark_model
from tests.support import make_tokenizer, random_network
from training.stages.arguments import run_main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = TransformerConfig(vocab_size=tokenizer.vocab_size, num_key_value_heads=2, **sizes)
    save_weights(folder / "pretrain_32.pth", random_network(config), tokenizer, stage="pretrain")
    write(
        folder / "piqa.jsonl", ({"goal": f"do {i}", "sol1": "this", "sol2": "that", "label": i % 2} for i in range(8))
    )
    write(folder / "gsm8k.jsonl", [{"question": "2+2?", "answer": "#### 4"}, {"question": "1+1?", "answer": "#### 2"}])
    write(folder / "shots.jsonl", [{"question": "2+2?", "answer": "#### 4"}])
    write(folder / "texts.jsonl", [{"text": "do 3 this is what it says that one should do, over and over again"}])
    return folder


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def run(folder, *words):
    benchmark_model.main(["--out_dir", str(folder), "--device", "cpu", *map(str, words)])


def test_table_and_json(folder, capsys):
    files = [folder / name for name in ("gsm8k.jsonl", "piqa.jsonl", "texts.jsonl")]
    run(folder, "--data_path", *files, "--max_new_tokens", 4, "--shots_path", folder / "shots.jsonl", "--shots", 1)
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["piqa", "8", "acc"],
        ["piqa", "8", "acc_norm"],
        ["piqa", "8", "acc_bytes"],
        ["text", "1", "perplexity"],
        ["text", "1", "bits_per_byte"],
        ["gsm8k", "2", "strict"],
        ["gsm8k", "2", "flexible"],
    ]
    file = folder / "benchmark" / "pretrain_32.json"
    assert f"every item is in {file}" in err
    piqa, _, gsm8k = json.loads(file.read_text())["tasks"]
    assert len(piqa["items"]) == 8 and piqa["scores"][0]["chance"] == 0.5
    first = piqa["items"][0]
    assert first["acc"] == (first["log_likelihoods"][0] >= first["log_likelihoods"][1])
    assert gsm8k["example"]["context"] == "Question: 2+2?\nAnswer: #### 4\n\nQuestion: 2+2?\nAnswer:"


def test_the_result_counts_the_examples_that_there_were(folder, tmp_path, capsys):
    files = [tmp_path / f"{name}.jsonl" for name in ("law_val", "logic_val", "law_dev")]
    for file in files:
        write(file, [{"id": 0, "question": "?", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "A"}])
    words = ("--data_path", *files[:2], "--save_file", tmp_path / "a.json")
    run(folder, *words, "--shots_path", files[2])
    assert (
        "ceval letters: 2 items with fewer examples before them than the usual 5, the least 0"
        in capsys.readouterr().err
    )
    letters, _ = json.loads((tmp_path / "a.json").read_text())["tasks"]
    assert letters["shots"] == 1 and [item.get("shots") for item in letters["items"]] == [None, 0]


def test_the_result_names_what_it_was_measured_with(folder, tmp_path):
    words = ("--data_path", folder / "piqa.jsonl", "--limit", 2, "--rope_scaling_factor", 2)
    run(folder, *words, "--save_file", tmp_path / "a.json")
    result = json.loads((tmp_path / "a.json").read_text())
    assert (result["limit"], result["rope_scaling_factor"], result["lora"]) == (2, 2, None)
    assert not result.keys() & {"lora_scale", "tokenizer_path"}
    with pytest.raises(UsageError, match="--lora_scale is for --lora"):
        run(folder, *words, "--lora_scale", 0.5)


def test_a_perplexity_beyond_all_numbers_is_null_in_the_result(folder, tmp_path, capsys):
    wild = load_model(folder / "pretrain_32.pth")
    with torch.no_grad():
        wild.model.model.embed_tokens.weight.mul_(3000)
    save_weights(tmp_path / "wild_32.pth", wild.model, wild.tokenizer, stage="pretrain")
    write(tmp_path / "texts.jsonl", [{"text": "hello"}, {"text": "there"}])
    words = ("--data_path", tmp_path / "texts.jsonl", "--save_file", tmp_path / "a.json")
    run(folder, "--weight_path", tmp_path / "wild_32.pth", *words)
    assert capsys.readouterr().out.splitlines()[1].split()[2:6] == ["perplexity", "inf", "inf", "to"]
    (task,) = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)["tasks"]
    assert task["scores"][0]["value"] is None and task["scores"][1]["value"] > 1000
    eval_model.main(["--weight_path", str(tmp_path / "wild_32.pth"), "--data_path", words[1].__fspath__(), "--json"])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["perplexity"] is None


def test_no_more_positions_than_there_are_are_asked_for(folder):
    with pytest.raises(UsageError, match="--max_seq_len 99999 is more than the 32768 positions of the network"):
        run(folder, "--data_path", folder / "piqa.jsonl", "--max_seq_len", 99999)


def test_items_in_training_data_are_counted_and_left_out(folder, capsys):
    write(folder / "seen.jsonl", [{"text": "do this: Do 3. That and more of it, do 5 that"}])
    write(
        folder / "long.jsonl",
        ({"goal": f"please do {i} now", "sol1": "this", "sol2": "that", "label": 1} for i in range(4)),
    )
    write(folder / "seen.jsonl", [{"text": "so, Please do 3 now. That is"}])
    run(
        folder,
        "--data_path",
        folder / "long.jsonl",
        "--check_overlap",
        folder / "seen.jsonl",
        "--save_file",
        folder / "x.json",
    )
    out, err = capsys.readouterr()
    assert "piqa: in the training data 1 of 4 items" in err
    assert "piqa without 1 seen      3  acc " in out
    items = json.loads((folder / "x.json").read_text())["tasks"][0]["items"]
    assert [item["overlaps"] for item in items] == [False, False, False, True]


def test_a_wrong_file_is_one_sentence(folder, capsys):
    write(folder / "wrong.jsonl", [{"instruction": "x"}])
    with pytest.raises(SystemExit) as stopped:
        run_main(lambda: run(folder, "--data_path", folder / "wrong.jsonl"))
    err = capsys.readouterr().err
    assert stopped.value.code and err.count("error: ") == 1 and "no benchmark has the keys instruction" in err
    with pytest.raises(UsageError, match="is a folder"):  # before anything is computed
        run(folder, "--data_path", folder / "piqa.jsonl", "--save_file", folder)


def test_a_choice_longer_than_the_network_names_its_line(folder):
    file = folder / "long.jsonl"
    long = " ".join(f"word{i}" for i in range(40))
    write(
        file,
        [{"goal": "x", "sol1": "a", "sol2": "b", "label": 0}, {"goal": "x", "sol1": "a", "sol2": long, "label": 0}],
    )
    with pytest.raises(SproutError, match=r"long\.jsonl:2: a choice has \d+ tokens, more than the 16"):
        run(folder, "--data_path", file, "--max_seq_len", 16)


def test_what_cannot_be_asked_is_said_before_anything_is_computed(folder, monkeypatch):
    monkeypatch.setattr(running, "log_likelihoods", lambda *args, **settings: pytest.fail("it was computed"))
    with pytest.raises(UsageError, match="--max_new_tokens 256 leave no room for a question"):
        run(folder, "--data_path", folder / "piqa.jsonl", folder / "gsm8k.jsonl", "--max_seq_len", 200)
    one = {"question": "?", "answer": "A", "subject": "s"}
    write(folder / "merged.jsonl", [one | {"choices": list("abcd")}, one | {"choices": list("abc\n")}])
    monkeypatch.setattr(running, "requests_for", without_tokens_for("\n"))
    with pytest.raises(
        SproutError, match=r"merged\.jsonl:2: the choice .* has no token of its own .*: remove the line"
    ):
        run(folder, "--data_path", folder / "piqa.jsonl", folder / "merged.jsonl")


def without_tokens_for(choice: str):
    """`requests_for` with a tokenizer that joins a choice to what stands before it."""

    def find(tokenizer, pairs, bos=True):
        return requests_for(tokenizer, [(a, "" if b.endswith(choice) else b) for a, b in pairs], bos)

    return find


def test_a_result_replaces_only_a_result(folder, tmp_path, capsys):
    data, theirs, ours = folder / "piqa.jsonl", tmp_path / "notes.json", tmp_path / "ours.json"
    theirs.write_text('{"weight": 80}')
    ours.write_text('{"weight": "a.pth", "tasks": []}')
    flags = ("--limit", 1, "--save_file")
    before = data.read_bytes()
    with pytest.raises(UsageError, match="would replace .*piqa.jsonl, which is read"):
        run(folder, "--data_path", data, *flags, data)
    for others in ("--shots_path", "--check_overlap"):
        with pytest.raises(UsageError, match="would replace .*ours.json, which is read"):
            run(folder, "--data_path", data, others, ours, *flags, ours)
    with pytest.raises(UsageError, match="notes.json exists already and is not a result of scripts/benchmark_model.py"):
        run(folder, "--data_path", data, *flags, theirs)
    assert data.read_bytes() == before and theirs.read_text() == '{"weight": 80}'
    assert not capsys.readouterr().out, "nothing was scored before"
    run(folder, "--data_path", data, *flags, ours)
    assert len(json.loads(ours.read_text())["tasks"]) == 1


def test_another_weight_of_the_same_name_does_not_replace_a_result(folder, tmp_path):
    copy = tmp_path / "pretrain_32.pth"
    copy.write_bytes((folder / copy.name).read_bytes())
    words = ("--data_path", folder / "piqa.jsonl", "--limit", 1)
    for _ in range(2):
        run(folder, *words)
    result = (folder / "benchmark" / "pretrain_32.json").read_bytes()
    with pytest.raises(UsageError, match=r"is the result of .*, not of .*pretrain_32.pth: name another file by --save"):
        run(folder, *words, "--weight_path", copy)
    assert (folder / "benchmark" / "pretrain_32.json").read_bytes() == result


def test_an_interruption_loses_no_benchmark_that_is_complete(folder, tmp_path, monkeypatch, capsys):
    path, part, measured = tmp_path / "a.json", tmp_path / "a.unfinished.json", running.run_task
    words = ("--data_path", folder / "piqa.jsonl", folder / "gsm8k.jsonl", "--save_file", path)
    run(folder, *words, "--max_new_tokens", 3)
    earlier = path.read_bytes()

    def interrupted(task, *rest):
        if part.exists():
            raise KeyboardInterrupt
        return measured(task, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "run_task", interrupted)
        run(folder, *words, "--max_new_tokens", 4)
    (task,) = json.loads(part.read_text())["tasks"]
    assert task["task"].startswith("piqa") and len(task["items"]) == 8 and path.read_bytes() == earlier
    out, err = capsys.readouterr()
    assert "piqa" in out and f"every item of 1 of 2 benchmarks is in {part}" in err
    kept = tmp_path / "a.unfinished.jsonl"
    with pytest.raises(
        UsageError, match=f"{kept} keeps 8 records of a run that did not end: go on with it by --resume"
    ):
        run(folder, *words, "--max_new_tokens", 4)
    with pytest.raises(UsageError, match="began with another --max_new_tokens"):
        run(folder, *words, "--max_new_tokens", 5, "--resume")
    assert len(kept.read_text().splitlines()) == 8
    run(folder, *words, "--max_new_tokens", 4, "--resume")
    assert json.loads(path.read_text())["max_new_tokens"] == 4 and not part.exists() and not kept.exists()


def test_what_a_full_disk_has_kept_from_the_result_is_shown_and_not_said_to_be_in_it(
    folder, tmp_path, monkeypatch, capsys
):
    path, part, write = tmp_path / "a.json", tmp_path / "a.unfinished.json", result_file.write_atomically

    def full_at_the_second(target, content):
        if part.exists():
            raise SproutError("the disk is full")
        write(target, content)

    monkeypatch.setattr(result_file, "write_atomically", full_at_the_second)
    with pytest.raises(SproutError, match="the disk is full"):
        run(folder, "--data_path", folder / "piqa.jsonl", folder / "gsm8k.jsonl", "--save_file", path)
    out, err = capsys.readouterr()
    assert "gsm8k" in out and f"every item of 1 of 2 benchmarks is in {part}" in err and not path.exists()
