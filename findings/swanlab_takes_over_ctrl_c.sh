#!/usr/bin/env bash
# swanlab 0.10.3, Python 3.11 (seen 2026-11-27).
# swanlab.init() in the main thread puts a handler of its own in place of the program's for SIGINT; its docstring does
# not say so. On Ctrl-C it first ends its run ("aborted"), and only then calls the program's handler: a program that
# saves on Ctrl-C and logs once more logs to a run that has ended. Begun in another thread, it leaves the signal alone;
# so training/report/trackers.py begins it in one.
# Output seen, among its own:
#   main thread: handler replaced True, run ended by Ctrl-C True
#   another thread: handler left alone True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet swanlab==0.10.3
cd "$folder"
"$folder/env/bin/python" - <<'PYTHON'
import signal
import threading

import swanlab


def ours(number, frame):
    pass


signal.signal(signal.SIGINT, ours)
run = swanlab.init(project="p", mode="offline", log_dir=".")
taken = signal.getsignal(signal.SIGINT) is not ours
signal.raise_signal(signal.SIGINT)
ended = not run.alive
print(f"main thread: handler replaced {taken}, run ended by Ctrl-C {ended}")
signal.signal(signal.SIGINT, ours)
thread = threading.Thread(target=lambda: swanlab.init(project="p", mode="offline", log_dir=".").finish())
thread.start()
thread.join()
left = signal.getsignal(signal.SIGINT) is ours
print(f"another thread: handler left alone {left}")
assert taken and ended and left
PYTHON
