"""The benchmark of a GPU, as far as a machine without one can show it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.errors import UsageError
from scripts.benchmark import command
from scripts.benchmark.gpu import measure, minimind, results
from scripts.benchmark.gpu.bits import equality, first_difference
from scripts.benchmark.gpu.checkouts import commit_of
from scripts.benchmark.gpu.measurements import Measurement, all_measurements, large_tokenizer, memory_rows
from scripts.benchmark.gpu.programs import Failed, Program, last_result, warnings_in
from scripts.benchmark.gpu.rates import run_rate, weight_in
from scripts.benchmark.gpu.results import AGAINST, OURS, Record, Row
from scripts.benchmark.gpu.session import ROOT, Session
from scripts.benchmark.gpu.sizes import Steps
from tests.stages.workshop import write_chats, write_texts


def limits(tmp_path, seconds: float = 30) -> dict:
    return {"printed": tmp_path / "printed.txt", "deadline": time.monotonic() + seconds}


def session(tmp_path, **changes) -> Session:
    files = [write_texts(tmp_path / "texts.jsonl", 5, seed=0), write_chats(tmp_path / "chats.jsonl", 5, seed=0)]
    values = {
        "out_dir": tmp_path,
        "against": None,
        "minimind": None,
        "minutes": 1,
        "rehearse": True,
        "data_path": files,
    }
    return Session(SimpleNamespace(**values | changes))


# --- programs from outside --------------------------------------------------------------------------


def test_a_program_that_fails_says_why_and_one_without_time_is_ended(tmp_path):
    with Program(["-c", "print('first'); raise ValueError('no')"], tmp_path, **limits(tmp_path)) as program:
        with pytest.raises(Failed, match="exit code 1: .*ValueError: no"):
            program.wait()
    with Program(["-c", "import time; time.sleep(60)"], tmp_path, **limits(tmp_path, 0.2)) as program:
        with pytest.raises(Failed, match="no time left"):
            program.wait()
    assert program._process.returncode
    printed = (tmp_path / "printed.txt").read_text()
    assert printed.count("$ python -c") == 2 and "first" in printed and program.text() == ""  # one file, each its part


def test_leaving_a_program_ends_what_it_started_and_saves_nothing(tmp_path):
    child = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    handler = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('saves'))"
    code = f"{handler}; {child}; print('ready', child.pid); time.sleep(60)"
    with Program(["-c", code], tmp_path, **limits(tmp_path)) as program:
        program.until(lambda: program.text().endswith("\n"))
        started = [program._process.pid, int(program.text().split()[1])]
        assert all(map(_runs, started))
    assert "saves" not in program.text()
    until = time.monotonic() + 10
    while any(map(_runs, started)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(_runs, started))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not end a child with its parent")
def test_a_program_ends_with_a_call_that_is_killed(tmp_path):
    code = f"""
import time
from pathlib import Path
from scripts.benchmark.gpu.programs import Program
with Program(["-c", "import os, time; print(os.getpid()); time.sleep(60)"], Path("."), Path({str(tmp_path / "out")!r}),
             time.monotonic() + 60) as program:
    program.until(lambda: program.text().strip())
    print(program.text(), flush=True)
    time.sleep(60)
"""
    call = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(call.stdout.readline())
    call.kill()
    call.communicate()
    until = time.monotonic() + 10
    while _runs(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(process: int) -> bool:
    """Whether it is there, and no zombie that nobody waits for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_noise_behind_a_result_does_not_hide_it():
    printed = 'plan\n{"speed": 1}\n{"speed": 2}W1129 torch: bye\n{not json\nException ignored in: <function>\n'
    assert last_result(printed) == {"speed": 2}
    with pytest.raises(Failed, match="it printed no result: only words"):
        last_result("only words")


def test_what_does_not_run_as_meant_is_found_in_what_was_printed():
    said = (
        "warning: no CUDA graph of the step can be recorded (an operation waits); it runs without",
        "warning: decoding goes on without CUDA graphs, more slowly: out of memory",
        "warning: Muon cannot be compiled (no compiler); it goes on without",
    )
    log = "W1129 10:00:00.1 7 torch/_dynamo/convert_frame.py:1] [0/8] torch._dynamo hit config.recompile_limit (8)"
    short = "warning: a run of 3 steps teaches next to nothing: give more text"
    noise = (
        "$ python -c warning:",
        "step 1 loss 5",
        "x.py:3: DeprecationWarning: old",
        short,
        "  | warning: of a run within",
    )
    found = warnings_in("\n".join((*noise, *said, said[0], log)))
    assert found == [*said, "torch._dynamo hit config.recompile_limit (8)"]
    assert warnings_in("".join(f"warning: {n}\n" for n in range(9)), most=2)[2:] == ["and 7 more warnings"]


FAKE_STAGE = """
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out_dir") + 1])
print("device    cpu, float32 (fast); compile no: the run is too short")
print("batch     64 tokens a step = 2 rows x 1 micro-batches  (fits)")
(out / "logs" / "fake").mkdir(parents=True)
with open(out / "logs" / "fake" / "metrics.jsonl", "w") as file:
    for step in range(1, int(sys.argv[1]) + 1):
        line = {"step": step, "tokens": 100 * step, "time": {"seconds": 0.01, "memory": 7}}
        print(json.dumps(line), file=file, flush=True)
        time.sleep(0.02)
"""


def test_the_rate_of_a_run_is_that_of_its_lines(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE_STAGE)
    rate = run_rate(tmp_path, tmp_path / "out", "fake.py", [100000], Steps(3, 10, 10), limits(tmp_path))
    assert rate.steps > 0 and rate.tokens == pytest.approx(100 * rate.steps)
    assert (rate.memory, rate.within_steps, rate.reserved) == (7, 0.01, None) and rate.first > 0
    assert rate.plan == "64 tokens a step = 2 rows x 1 micro-batches; compile no: the run is too short"
    with pytest.raises(Failed, match="had only 5 steps"):
        run_rate(tmp_path, tmp_path / "out", "fake.py", [5], Steps(3, 10, 10), limits(tmp_path))


def test_a_slow_run_is_measured_for_a_time_and_a_short_one_for_what_it_has(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE_STAGE)
    steps = Steps(warm_up=2, least=3, most=1000, seconds=0.2)
    started = time.monotonic()
    assert run_rate(tmp_path, tmp_path / "out", "fake.py", [100000], steps, limits(tmp_path)).steps > 0
    assert time.monotonic() - started < 15  # and not the 20 s of 1000 steps
    assert run_rate(tmp_path, tmp_path / "out", "fake.py", [8], Steps(2, 3, 1000), limits(tmp_path)).steps > 0


def test_memory_is_asked_of_a_run_from_outside(tmp_path):
    code = "import sys, time; print(sys.argv, __name__, flush=True); time.sleep(60)"
    (tmp_path / "stage.py").write_text(code)
    answer, watched = tmp_path / "memory.json", ROOT / "scripts/benchmark/gpu/watched.py"
    with Program(["-P", watched, answer, "stage.py", "--flag"], tmp_path, **limits(tmp_path)) as program:
        program.until(lambda: "__main__" in program.text())
        program.ask(signal.SIGUSR1)
        assert program.until(answer.exists) and "['stage.py', '--flag']" in program.text()
    assert json.loads(answer.read_text()) == {"allocated": None, "reserved": None}


def test_the_first_step_that_differs_is_named():
    lines = [{"step": step, "loss": 1 / step, "grad_norm": 1.0} for step in (1, 2, 3)]
    assert first_difference(lines, lines[:2]) == "equal"
    assert first_difference(lines, [lines[0], lines[1] | {"loss": 0.5000001}]) == "differ at step 2"
    with pytest.raises(Failed):
        first_difference([], lines)


def test_a_run_that_could_not_be_killed_in_time_is_not_called_resumed(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE_STAGE.replace("int(sys.argv[1])", "4").replace("time.sleep(0.02)", "pass"))
    with pytest.raises(Failed, match="made its 4 steps before it could be killed"):
        equality(tmp_path, tmp_path / "out", "fake.py", [], 4, limits(tmp_path))


def test_the_weight_of_a_folder_is_neither_a_state_nor_an_earlier_generation(tmp_path):
    for name in ("pretrain_512", "pretrain_512.previous", "pretrain_512_resume", "pretrain_512_resume.previous"):
        (tmp_path / f"{name}.pth").touch()
    assert weight_in(tmp_path) == tmp_path / "pretrain_512.pth"
    (tmp_path / "pretrain_32.pth").touch()  # of a call with another network
    with pytest.raises(Failed, match="has 2 weights"):
        weight_in(tmp_path)
    with pytest.raises(Failed, match="has 0 weights"):
        weight_in(tmp_path / "nothing")


# --- files ------------------------------------------------------------------------------------------


def test_files_are_told_apart_and_minimind_gets_them_in_its_form(tmp_path):
    here = session(tmp_path)
    assert [path.name for path in (*here.texts, *here.chats)] == ["texts.jsonl", "chats.jsonl"]
    with pytest.raises(UsageError, match=r"are \.jsonl"):
        session(tmp_path, data_path=["x.parquet"])
    sys.path.insert(0, str(minimind.STAND_IN))
    try:
        sys.modules.pop("datasets", None)
        import datasets

        assert Path(datasets.__file__).parent == minimind.STAND_IN
        chats = datasets.load_dataset(
            "json", data_files=minimind.its_data(here.chats, tmp_path, most=20), split="train"
        )
    finally:
        sys.path.remove(str(minimind.STAND_IN))
        sys.modules.pop("datasets", None)
    assert len(chats) == 20  # copies, so that it does not end too soon
    assert set(chats[0]["conversations"][0]) == {"role", "content", "reasoning_content", "tools", "tool_calls"}


def test_minimind_gets_turns_without_content_and_no_empty_file(tmp_path):
    path = tmp_path / "calls.jsonl"
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "look"}]}
    turns = {"messages": [{"role": "user", "content": "a\u2028b"}, call]}  # a character that str.splitlines splits at
    path.write_text(json.dumps(turns, ensure_ascii=False) + "\n\n", encoding="utf-8")
    (line,) = minimind.its_data([path], tmp_path, most=1).read_text().split("\n")[:-1]
    assert [turn["content"] for turn in json.loads(line)["conversations"]] == ["a\u2028b", ""]
    path.write_text("\n")
    with pytest.raises(Failed, match="no line"):
        minimind.its_data([path], tmp_path)


FAKE_TRAINER = """
import sys, time
print("warning: falls back to eager", *sys.argv[1:])
for step in range(1, 100000):
    print(f"Epoch:[1/1]({step}/100000), loss: 5.0", flush=True)
    time.sleep(0.002)
"""


def test_minimind_is_measured_by_the_lines_of_its_trainer(tmp_path):
    trainer = tmp_path / "minimind" / "trainer"
    trainer.mkdir(parents=True)
    (trainer / "train_pretrain.py").write_text(FAKE_TRAINER)
    here = session(tmp_path, minimind=str(tmp_path / "minimind"))
    names = [each.name for each in all_measurements(here, False) if each.name.startswith("minimind")]
    assert names == ["minimind pretraining", "minimind fine-tuning"]
    here.begin("minimind pretraining", 30)
    (row,) = map(here.complete, minimind.minimind(here, "train_pretrain.py", 0))
    assert row.value > 0 and row.side == "MiniMind" and row.commit.startswith("files ")
    assert row.note.startswith("warning: falls back to eager --hidden_size 64")


def test_a_folder_that_is_no_checkout_is_named_at_once(tmp_path):
    for name in ("against", "minimind"):
        with pytest.raises(UsageError, match=f"--{name} .*nowhere: it is no such checkout"):
            session(tmp_path, **{name: str(tmp_path / "nowhere")})


def test_a_copy_within_a_checkout_is_not_taken_for_it(tmp_path):
    copy, git = tmp_path / "copy", ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (copy / "model").mkdir(parents=True)
    (copy / "model" / "a.py").write_text("1")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    assert len(commit_of(tmp_path)) == 10
    first = commit_of(copy)
    (copy / "model" / "a.py").write_text("2")
    assert first.startswith("files ") and commit_of(copy).startswith("files ") and commit_of(copy) != first


def test_a_large_vocabulary_tokenises_like_the_shipped_one(tmp_path):
    from model.text.tokenizer import Tokenizer

    large, shipped = Tokenizer.load(large_tokenizer(session(tmp_path), 7000)), Tokenizer.load()
    assert large.vocab_size == 7000
    assert large.encode("新芽 grows") == shipped.encode("新芽 grows")


# --- the table --------------------------------------------------------------------------------------


def as_read(path) -> dict:
    return {(row["measure"], row["side"], row["commit"]): row["value"] for row in json.loads(path.read_text())["rows"]}


def written(path, about: dict, *rows: Row, made=()) -> Record:
    record = Record(path, about)
    record.made.update(made)
    record.rows += rows
    record.write()
    return record


def test_the_table_has_ratios_notes_and_failures():
    rows = [Row("speed", 300.0, "steps/s"), Row("speed", 100.0, "steps/s", AGAINST, note="slow")]
    rows += [Row("speed", 50.0, "", "peer"), Row("broken", None, "GB", note="out of memory")]
    table = results.as_table(rows)
    assert "3.00  peer: 50; --against: slow" in table and "failed" in table and "out of memory" in table
    note = "warning: " + "no CUDA graph of the step can be recorded; " * 3
    table = results.as_table([Row("speed", 1.0, note=note), Row("memory", 2.0, note=note)]).split("\n")
    assert [line.endswith("  [1]") for line in table[1:3]] == [True, True] and table[3:] == [f"[1] {note}"]


def test_the_file_keeps_what_is_not_measured_again(tmp_path):
    path, about = tmp_path / "gpu.json", {"card": 1, "commit": "new"}
    ours, against = Row("speed", 300.0, commit="new"), Row("speed", 100.0, "", AGAINST, commit="old")
    written(path, about | {"against": "old"}, ours, against, Row("part", None, measurement="part"), made=["part"])
    assert json.loads(path.read_text())["failed"] == {"part": ""}
    # A call without --against keeps those rows, and one against another commit tells them apart.
    written(path, about, Row("speed", 400.0, commit="new"))
    written(path, about | {"against": "older"}, Row("speed", 50.0, "", AGAINST, commit="older"))
    kept = {("speed", OURS, "new"): 400, ("speed", AGAINST, "old"): 100, ("speed", AGAINST, "older"): 50}
    assert as_read(path) == kept | {("part", OURS, ""): None}
    # What failed goes when its measurement is made again; what was measured stays when it fails the next time.
    written(path, about, Row("speed", None, commit="new"), Row("part 1", 1.0), made=["part"])
    found = json.loads(path.read_text())["rows"]
    assert [row["value"] for row in found] == [100, 400, 50, None, 1.0]
    assert [row["measure"] for row in found] == ["speed"] * 4 + ["part 1"]


def test_the_file_of_another_card_or_a_damaged_one_is_moved_beside(tmp_path):
    path = tmp_path / "gpu.json"
    written(path, {"card": 1}, Row("speed", 1.0))
    record = written(path, {"card": 2}, Row("speed", 2.0))
    assert record.moved == tmp_path / "gpu_1.json" and list(as_read(record.moved).values()) == [1.0]
    path.write_text("{")
    assert written(path, {"card": 2}).moved == tmp_path / "gpu_2.json" and as_read(path) == {}


def test_a_run_of_memory_tells_both_peaks_beside_its_plan():
    found = {"said": 2**31, "allocated": 2**30, "reserved": 2**32, "left": 2**30, "warnings": ["warning: slow"]}
    rows = list(memory_rows("tiny, memory, 8 rows, muon", found))
    assert [(row.measure.split(": ")[1], row.value, row.side) for row in rows] == [
        ("allocated", 1.0, OURS),
        ("reserved", 4.0, OURS),
        ("allocated", 2.0, "plan"),
    ]
    assert rows[0].note == "plan +100 %; 1.00 GB were left from the run before; warning: slow"
    (row,) = memory_rows("x", {"error": "OutOfMemoryError: 3 GB", "warnings": []})
    assert row.value is None and row.note == "OutOfMemoryError: 3 GB"


# --- whole calls ------------------------------------------------------------------------------------


def test_measurements_are_chosen_by_the_beginning_of_their_names(tmp_path):
    every = all_measurements(session(tmp_path), with_quickstart=True)
    assert len({each.name for each in every}) == len(every)
    assert [each.name for each in measure.pick(every, ["decoding", "quick"])] == [
        "decoding bfloat16 1",
        "decoding float32 2",
        "quickstart",
    ]
    with pytest.raises(UsageError, match="there are own plan"):
        measure.pick(every, ["nothing"])
    with pytest.raises(UsageError, match="--only nothing"):  # before anything is started
        command.main(["gpu", "--only", "nothing", "--out_dir", str(tmp_path)])


@pytest.fixture
def with_measurements(monkeypatch):
    """Lets a call make these measurements alone, beside the product of the rehearsal."""

    def let(*measurements: Measurement) -> None:
        monkeypatch.setattr(measure, "all_measurements", lambda *_: list(measurements))

    return let


def test_what_nobody_expected_ends_one_measurement_and_not_the_call(tmp_path, capsys, with_measurements):
    def breaks(session):
        yield Row("before it", 1.0)
        raise KeyError("content")

    def one_side(session):
        def rows_of(side):
            if side == OURS:
                raise FileNotFoundError("no file")
            yield Row("speed", 2.0, "", side)

        yield from session.sides("speed", "", rows_of)

    def warns(session):
        session.run(["-c", "print('warning: no CUDA graph of the step can be recorded'); print('done')"])
        yield Row("slow", 3.0)

    names = {"breaks": breaks, "one side": one_side, "warns": warns}
    with_measurements(*(Measurement(name, 1, 20, make) for name, make in names.items()))
    command.main(["gpu", "--rehearse", "--against", str(ROOT), "--out_dir", str(tmp_path)])
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "gpu.json").read_text())
    rows = {(row["measure"], row["side"]): row for row in found["rows"]}
    assert found["failed"] == {"breaks": "KeyError: 'content'", "speed": "FileNotFoundError: no file"}
    assert "failed: breaks: KeyError: 'content'" in printed
    assert rows["before it", OURS]["value"] == 1 and rows["speed", AGAINST]["value"] == 2
    assert rows["speed", AGAINST]["measurement"] == "one side" and rows["speed", AGAINST]["commit"]
    assert rows["slow", OURS]["note"] == "warning: no CUDA graph of the step can be recorded"
    folder = tmp_path / "gpu" / "printed"
    assert "done" in (folder / "warns.txt").read_text() and "Traceback" in (folder / "breaks.txt").read_text()


def test_a_signal_leaves_what_was_measured_and_the_table(tmp_path, capsys, with_measurements):
    def stopped(session):
        yield Row("measured", 1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with_measurements(Measurement("stopped", 1, 20, stopped), Measurement("never", 1, 20, stopped))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as ended:
        command.main(["gpu", "--rehearse", "--out_dir", str(tmp_path)])
    assert json.loads((tmp_path / "gpu.json").read_text())["skipped"] == ["never"]
    assert ended.value.code == 143 and handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    assert ("measured", 1.0) in [
        (r["measure"], r["value"]) for r in json.loads((tmp_path / "gpu.json").read_text())["rows"]
    ]
    assert "stopped by a signal in stopped" in (printed := capsys.readouterr().out) and "others and notes" in printed


def test_each_side_has_a_limit_of_its_own(tmp_path):
    here, limits = session(tmp_path, against=str(ROOT), minutes=10), []

    def rows_of(side):
        limits.append(here.limit - time.monotonic())
        time.sleep(0.05)
        yield Row("speed", 1.0, "", side)

    here.begin("speed", 10)
    assert len(list(here.sides("speed", "", rows_of))) == 2
    assert min(limits) == pytest.approx(max(limits), abs=0.04)


def test_the_call_itself_does_not_read_pytorch():
    code = "import sys, scripts.benchmark.gpu.measure; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    )  # from a cold disk that takes a minute


def test_one_measurement_from_end_to_end(tmp_path, capsys):
    words = ["gpu", "--rehearse", "--only", "decoding float32", "--out_dir", str(tmp_path)]
    command.main(words)
    printed, found = capsys.readouterr().out, json.loads((tmp_path / "gpu.json").read_text())
    assert "decoding, float32, 2 at once: again, its second half" in printed
    assert found["about"]["rehearsal"] and found["about"]["torch"] and len(found["about"]["commit"]) >= 7
    assert [row["value"] > 0 for row in found["rows"]] == [True] * 5 and not found["failed"]


def test_without_a_gpu_it_says_so_and_without_an_answer_it_says_that(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="there is no CUDA GPU to measure"):
        command.main(["gpu", "--out_dir", str(tmp_path)])
    monkeypatch.setattr(measure, "FIRST", 0.01)
    with pytest.raises(UsageError, match="imports PyTorch and looks for the GPU, has not answered"):
        command.main(["gpu", "--out_dir", str(tmp_path)])
