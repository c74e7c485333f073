"""Programs that the benchmark of a GPU starts, measures from outside and ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmark.gpu import programs
from scripts.benchmark.gpu.bits import equality, first_difference
from scripts.benchmark.gpu.programs import Failed, Program, last_result, warnings_in
from scripts.benchmark.gpu.rates import run_rate, weight_in
from scripts.benchmark.gpu.session import ROOT
from scripts.benchmark.gpu.sizes import Steps
from tests.scripts.benchmark_gpu.support import limits
from tests.support import wait_until


def test_a_program_that_fails_says_why_and_one_without_time_is_ended(tmp_path):
    with Program(["-c", "print('first'); raise ValueError('no')"], tmp_path, **limits(tmp_path)) as program:
        with pytest.raises(Failed, match="exit code 1: .*ValueError: no"):
            program.wait()
    with Program(["-c", "import time; time.sleep(60)"], tmp_path, **limits(tmp_path, 0.2)) as program:
        with pytest.raises(Failed, match="^no time left$"):
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
    wait_until(lambda: not any(map(_runs, started)))


def test_a_killed_process_that_does_not_end_is_left_and_said(tmp_path, monkeypatch):
    def never(process, timeout=None):
        assert timeout == programs.DYING
        raise subprocess.TimeoutExpired("python", timeout)

    with Program(["-c", "import time; time.sleep(60)"], tmp_path, **limits(tmp_path)) as program:
        with monkeypatch.context() as patched:
            patched.setattr(subprocess.Popen, "wait", never)
            program.kill()
    assert "has not ended within 20 s" in warnings_in(program.text())[0]


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
    wait_until(lambda: not _runs(child))


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
        '{"warnings": ["warning: of a result"]}',
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
    steps = Steps(warm_up=2, least=3, most=10_000, seconds=0.2)
    started = time.monotonic()
    assert run_rate(tmp_path, tmp_path / "out", "fake.py", [100000], steps, limits(tmp_path)).steps > 0
    assert time.monotonic() - started < 100  # and not the 200 s of 10,000 steps
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
