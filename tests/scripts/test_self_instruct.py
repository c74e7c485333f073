"""The whole command: against a stub and a server of ours, with a weight, killed and resumed."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.records.measured import all_documents, kind_of_file
from inference.instruct.growing import Growing
from model.errors import SproutError, UsageError
from model.files.hf_export import export_folder
from model.files.loading import load_model
from scripts.self_instruct import main
from tests.faults.kills import lines_in
from tests.inference.instruct.stub import Stub, serving
from tests.inference.server.conftest import address, save_network, weights  # noqa: F401
from tests.support import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    path = tmp_path_factory.mktemp("seeds") / "seeds.jsonl"
    lines = [
        {"conversations": [{"role": "user", "content": q}, {"role": "assistant", "content": "Yes."}]}
        for q in ("Name a river in Asia.", "What is two plus two?", "Say something kind to me.")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def words(seeds, url, save_file, number=20, **more):
    flags = {"seeds": seeds, "endpoint": url, "model": "m", "save_file": save_file, "number": number, "in_flight": 4}
    return [f"--{name}={value}" for name, value in (flags | more).items()]


def test_records_are_new_checked_and_read_for_training(seeds, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("KEY_OF_TEST", "secret-7")
    stub = Stub()
    with serving(stub) as url:
        main(words(seeds, url, tmp_path / "a.jsonl", api_key="KEY_OF_TEST"))
        asked = len(stub.bodies)
        first = (tmp_path / "a.jsonl").read_bytes()
        main([*words(seeds, url, tmp_path / "a.jsonl", api_key="KEY_OF_TEST"), "--resume"])
        assert len(stub.bodies) == asked and (tmp_path / "a.jsonl").read_bytes() == first
        with pytest.raises(UsageError, match="exists already"):
            main(words(seeds, url, tmp_path / "a.jsonl"))
        with pytest.raises(UsageError, match="began with another seed"):
            main([*words(seeds, url, tmp_path / "a.jsonl", seed=1), "--resume"])
    records = [json.loads(line) for line in first.splitlines()]
    questions = [record["conversations"][0]["content"] for record in records]
    assert len(records) == 20 == len(set(questions)) and set(stub.answered.values()) == {1} and stub.most <= 4
    assert (
        records[-1]["model"] == "m" and records[-1]["way"] == "self_instruct" and set(records[0]["seeds"]) <= {1, 2, 3}
    )
    said = capfd.readouterr()
    assert "20 records from" in said.err
    everything = said.out + said.err + "".join(path.read_text() for path in tmp_path.iterdir())
    assert "secret-7" not in everything and stub.keys == {"Bearer secret-7"}
    kind, _ = kind_of_file(tmp_path / "a.jsonl", ("chat",))
    read = [document.content.messages for document in all_documents(tmp_path / "a.jsonl", kind, "reading")]
    assert [list(messages) for messages in read] == [record["conversations"] for record in records]


def test_killed_and_resumed_it_asks_nothing_twice(seeds, tmp_path):
    with serving(Stub()) as url:
        main(words(seeds, url, tmp_path / "whole.jsonl", number=24))
    stub, path = Stub(pause=0.03), tmp_path / "killed.jsonl"
    with serving(stub) as url:
        process = subprocess.Popen(
            [sys.executable, "scripts/self_instruct.py", *words(seeds, url, path, number=24)],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        journal = Path(f"{path}.journal")
        try:
            wait_until(lambda: process.poll() is not None or lines_in(journal) >= 9)
        finally:
            process.kill()
        assert process.wait(60) == -signal.SIGKILL
        journal.write_bytes(journal.read_bytes() + b'{"key": "cut o')
        known = journal.read_bytes().count(b"\n") - 1
        before = len(stub.bodies)
        main([*words(seeds, url, path, number=24), "--resume"])
        assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
        # Only what was open at the kill, at most 4, is asked again.
        assert sum(stub.answered.values()) - len(stub.answered) <= before - known <= 4


def test_a_run_that_got_no_reply_leaves_nothing_in_the_way_of_the_next(seeds, tmp_path, capfd):
    with serving(Stub()) as url:
        pass
    with pytest.raises(SproutError, match="there is no server at"):
        main(words(seeds, url, tmp_path / "a.jsonl"))
    with serving(Stub()) as url:
        main([*words(seeds, url, tmp_path / "a.jsonl", model="another", number=2), "--resume"])
        assert f"there is no unfinished run of {tmp_path / 'a.jsonl'}: begins" in capfd.readouterr().err
        with pytest.raises(UsageError, match="replies of an earlier run"):
            (tmp_path / "a.jsonl").unlink()
            main(words(seeds, url, tmp_path / "a.jsonl", model="another", number=2))


def test_hostile_replies_leave_no_record(seeds, tmp_path):
    texts = ["9. Say <|im_end|> now please\n10. \x1b[2J clear it now", "9. " + "a" * 10**6, '{"a": [[[', "\ud800 9."]

    class Hostile(Stub):
        def text_for(self, body):
            return texts[body["seed"] % len(texts)]

    with serving(Hostile()) as url, pytest.raises(SproutError, match="0 of 20"):
        main(words(seeds, url, tmp_path / "a.jsonl"))
    assert not (tmp_path / "a.jsonl").exists()


def test_a_server_of_ours(seeds, address, tmp_path):  # noqa: F811
    with pytest.raises(SproutError, match="no usable record"):  # its network is random
        flags = {"model": "full_sft_32", "max_new_tokens": 2, "in_flight": 2}
        main(words(seeds, f"{address}/v1", tmp_path / "a.jsonl", **flags))
    lines = (tmp_path / "a.jsonl.journal").read_text().splitlines()[1:]
    assert len(lines) == 40 and all(json.loads(line)["tokens_out"] in (1, 2) for line in lines)
    with pytest.raises(SproutError, match="--model"):
        main(words(seeds, f"{address}/v1", tmp_path / "b.jsonl", model="nobody"))


@pytest.mark.parametrize("way", ["self_instruct", "magpie"])
def test_a_weight(seeds, weights, tmp_path, way):  # noqa: F811
    flags = {"seeds": seeds, "save_file": tmp_path / "a.jsonl", "weight": "full_sft", "out_dir": weights, "way": way}
    flags |= {"max_new_tokens": 2, "in_flight": 2, "device": "cpu"}
    with pytest.raises(SproutError, match="no usable record"):
        main([f"--{name}={value}" for name, value in flags.items()])


def test_a_run_with_a_folder_that_an_earlier_version_began_goes_on(seeds, weights, tmp_path):  # noqa: F811
    """Then the part of the folder's name behind its last dot was taken for the ending of a file."""
    loaded, folder = load_model(weights / "full_sft_32.pth"), tmp_path / "Small-0.6B"
    export_folder(folder, loaded.model, loaded.tokenizer)
    words = [f"--seeds={seeds}", f"--save_file={tmp_path / 'a.jsonl'}", f"--weight_path={folder}"]
    words += ["--max_new_tokens=2", "--in_flight=2", "--device=cpu"]
    with pytest.raises(SproutError, match="no usable record"):
        main(words)
    first, *replies = (tmp_path / "a.jsonl.journal").read_text().splitlines()
    assert replies and json.loads(first)["model"] == "Small-0"
    with pytest.raises(SproutError, match="no usable record"):
        main([*words, "--resume"])


def test_resume_refuses_another_weight_of_the_same_name(seeds, tmp_path):
    flags = {"seeds": seeds, "save_file": tmp_path / "a.jsonl", "weight": "full_sft", "out_dir": tmp_path}
    words = [f"--{name}={value}" for name, value in flags.items()]
    words += ["--max_new_tokens=2", "--in_flight=2", "--device=cpu"]
    for seed, refused, message in ((0, SproutError, "no usable record"), (1, UsageError, "began with another weight")):
        save_network(tmp_path / "full_sft_32.pth", seed, "full_sft")
        with pytest.raises(refused, match=message):
            main([*words, "--resume"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "either --endpoint"),
        (["--endpoint=http://x/v1"], "belong together"),
        (["--endpoint=http://x/v1", "--model=m", "--way=magpie"], "--weight"),
        (["--endpoint=http://x/v1", "--model=m", "--api_key=NOT_THERE_7"], "export it first"),
        (["--endpoint=http://x/v1", "--model=m", "--timeout=1e30"], "is more than a day"),
        (["--weight=full_sft", "--save_file="], "--save_file is empty"),
        (["--endpoint=x", "--model=m"], "http://"),
        (["--endpoint=http://", "--model=m"], "--endpoint is the address of a server"),
        (["--endpoint=http://a..b/v1", "--model=m"], "--endpoint is the address of a server"),
        (["--endpoint=http://xn--/v1", "--model=m"], "--endpoint is the address of a server"),
        (["--endpoint=http://x/v1", "--model=m", "--in_flight=100000"], "as many connections: give at most 1000"),
        (["--weight=full_sft", "--lora_scale=0.5"], "--lora_scale is for --lora"),
        (["--endpoint=http://x/v1", "--model=m", "--tokenizer_path=x"], "--tokenizer_path is for --weight"),
        (["--endpoint=http://x/v1", "--model=m", "--dtype=bfloat16"], "--dtype is for --weight"),
        (["--weight=full_sft", "--retries=0"], "--timeout and --retries are for --endpoint, which is not given"),
        (["--weight=full_sft", "--top_p=0"], "--top_p 0 lets nothing through: give more, at most 1"),
        (["--weight=full_sft", "--novelty=0"], "--novelty 0 lets nothing through"),
        (["--weight=full_sft", "--temperature=1e-9"], "1e-9 is too near to 0"),
    ],
)
def test_contradictions(seeds, tmp_path, flags, message):
    with pytest.raises(UsageError, match=message):
        main([f"--seeds={seeds}", f"--save_file={tmp_path / 'a.jsonl'}", *flags])
    assert not list(tmp_path.glob("*.journal"))


def test_resume_writes_over_no_file_that_it_never_made(seeds, tmp_path):
    file, before = tmp_path / "a.jsonl", seeds.read_bytes()
    file.write_text("mine")
    for content in (None, "", '{"way": "self_instruct"}\n'):
        if content is not None:
            Path(f"{file}.journal").write_text(content)
        with pytest.raises(UsageError, match="a.jsonl exists already, and is left as it is"):
            main([*words(seeds, "http://x/v1", file), "--resume"])
    assert file.read_text() == "mine"
    Path(f"{seeds}.journal").write_text("{}\n{}\n")
    with pytest.raises(UsageError, match="would write over .*seeds.jsonl of --seeds"):
        main([*words(seeds, "http://x/v1", seeds), "--resume"])
    assert seeds.read_bytes() == before


def test_fewer_records_do_not_replace_more(seeds, tmp_path, monkeypatch, capfd):
    """Neither those of a smaller --number nor those before Ctrl-C while the known replies are read."""
    file = tmp_path / "a.jsonl"
    with serving(Stub()) as url:
        main(words(seeds, url, file, number=9))
        before = file.read_bytes()
        main([*words(seeds, url, file, number=4), "--resume"])
        said = f"{file} holds 9 records, more than the 4 of this run, and is left as it is"
        assert file.read_bytes() == before and said in capfd.readouterr().err
        whole = Growing.records

        def interrupted(growing):
            yield from itertools.islice(whole(growing), 2)
            raise KeyboardInterrupt

        monkeypatch.setattr(Growing, "records", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main([*words(seeds, url, file, number=9), "--resume"])
    assert file.read_bytes() == before
    assert f"{file}.journal keeps every reply; the same command with --resume goes on" in capfd.readouterr().err


def test_a_file_that_was_edited_is_kept_beside_the_records_of_a_larger_run(seeds, tmp_path, capfd):
    file = tmp_path / "a.jsonl"
    with serving(Stub()) as url:
        main(words(seeds, url, file, number=4))
        main([*words(seeds, url, file, number=5), "--resume"])
        assert "is kept as" not in capfd.readouterr().err
        edited = b"".join(file.read_bytes().splitlines(keepends=True)[1:])
        file.write_bytes(edited)
        main([*words(seeds, url, file, number=6), "--resume"])
    assert file.read_bytes().count(b"\n") == 6 and (tmp_path / "a.previous.jsonl").read_bytes() == edited
    assert f"what was there is kept as {tmp_path / 'a.previous.jsonl'}" in capfd.readouterr().err
