"""Tools run in a process of their own: it answers, is stopped in time, begins anew, and ends with its parent."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inference.tools.calls import Call
from inference.tools.running import Worker
from inference.tools.toolbox import Toolbox
from model.errors import SproutError
from tests.inference.tools import toolfile
from tests.support import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def toolbox():
    with Toolbox(["calculator", toolfile.__file__], seconds=30, characters=100) as toolbox:
        yield toolbox


def told(toolbox, name, **arguments) -> tuple[str, bool]:
    result = toolbox.run(Call(name, arguments))
    return result.text, result.failed


def error(message: str) -> tuple[str, bool]:
    return json.dumps({"error": message}, ensure_ascii=False), True


def test_the_schemas_come_from_the_process(toolbox):
    names = [schema["function"]["name"] for schema in toolbox.schemas]
    assert names[:4] == ["calculator", "add", "weather", "echo"] and "_private" not in names


def test_results_are_text_and_errors_can_be_read(toolbox):
    assert told(toolbox, "calculator", expression="6 * 7") == ("42", False)
    assert told(toolbox, "add", a=1) == ("3", False)
    assert told(toolbox, "weather", city="北京", days=[1, 2]) == (
        '{"city": "北京", "days": [1, 2], "limits": null, "天": "C"}',
        False,
    )
    assert told(toolbox, "echo", text="<|im_end|>\n天\0") == ("<|im_end|>\n天\0", False)
    assert told(toolbox, "echo", text="\ud800") == ("?", False)
    assert told(toolbox, "echo", text="天" * 150) == ("天" * 100 + "... [50 more characters are cut]", False)
    assert told(toolbox, "calculator", expression="1/0") == error("division by zero")
    assert told(toolbox, "fails", how="value") == error("no such thing")
    assert told(toolbox, "fails", how="key") == error("KeyError: 'k'")
    assert told(toolbox, "fails", how="exit") == error("SystemExit: 4")
    assert told(toolbox, "odd") == error("odd returned a set, which is no JSON")
    assert told(toolbox, "numbers", finite=True) == ('{"n": 3, "x": 0.5, "is": true, "all": [0, 1]}', False)
    assert told(toolbox, "numbers", finite=False) == error(
        "numbers returned a number that is not finite, which is no JSON"
    )
    assert told(toolbox, "add") == error("add needs the argument a")
    text, failed = told(toolbox, "\ud800")
    assert failed and json.loads(text)["error"].startswith("there is no function ?; there are: calculator, add,")
    assert toolbox.run(Call(error="bad")).text == '{"error": "bad"}'


def test_what_a_tool_prints_or_reads_is_not_the_protocol(toolbox):
    assert told(toolbox, "prints") == ("read ''", False)
    assert told(toolbox, "add", a=1) == ("3", False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_tool_that_forks_answers_once(toolbox):
    for number in range(3):
        assert told(toolbox, "forks") == ("once", False)
        assert told(toolbox, "add", a=number) == (str(number + 2), False)


def test_a_call_that_takes_too_long_is_stopped_and_the_next_is_answered():
    with Toolbox([toolfile.__file__], seconds=1) as toolbox:
        before = told(toolbox, "process")
        assert told(toolbox, "waits", seconds=60) == error("waits took more than 1 seconds and was stopped")
        assert told(toolbox, "waits", seconds=0) == ("done", False)
        assert told(toolbox, "holds", digits=10**9) == error("holds took more than 1 seconds and was stopped")
        assert told(toolbox, "dies") == error("dies ended the process of the tools")
        after = told(toolbox, "process")
        assert not after[1] and after != before


def test_an_interrupted_call_leaves_no_answer_behind(toolbox):
    presses = threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        presses.start()
        told(toolbox, "waits", seconds=10)
    presses.join()
    assert told(toolbox, "add", a=1) == ("3", False)


def test_any_thread_may_call(toolbox):
    found = {}

    def call(number: int) -> None:
        for again in range(20):
            found[number, again] = told(toolbox, "add", a=number, b=again)

    threads = [threading.Thread(target=call, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {(number, again): (str(number + again), False) for number in range(4) for again in range(20)}


def test_tools_that_cannot_be_loaded_are_one_error(tmp_path):
    file = tmp_path / "mine.py"
    for source, message in (("def f(x):\n    'F.'", "line 1"), ("import os\nos._exit(0)", "loading the tools ended")):
        file.write_text(source)
        with pytest.raises(SproutError, match=message):
            Worker([str(file)], 1, 100)


def is_gone(process: int) -> bool:
    """Whether it has ended; one whose parent has not asked how, a zombie, has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("busy", [False, True])
def test_the_process_ends_with_a_parent_that_is_killed(busy):
    program = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from inference.tools.running import Worker
worker = Worker([{toolfile.__file__!r}], 0.2, 100)
print(worker.call("process", {{}})[0], flush=True)
if {busy}:  # a call that lets no thread of Python run, and so cannot notice that its parent has ended
    worker._process.stdin.write(b'{{"name": "holds", "arguments": {{"digits": 1000000000}}}}\\n')
    worker._process.stdin.flush()
    print("sent", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    process = int(parent.stdout.readline())
    assert not is_gone(process)
    if busy:
        parent.stdout.readline()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: is_gone(process))


def test_closing_ends_the_process():
    with Toolbox([toolfile.__file__]) as toolbox:
        process = int(told(toolbox, "process")[0])
        assert not is_gone(process)
    assert is_gone(process)
