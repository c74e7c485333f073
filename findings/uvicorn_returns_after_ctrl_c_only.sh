#!/usr/bin/env bash
# uvicorn 0.54.0, Python 3.11 (seen 2026-11-29).
# What stands after `uvicorn.run(app)` runs when the server is ended by Ctrl-C (SIGINT) and does not when it is ended by
# SIGTERM, by which systemd, Docker and Kubernetes end a program, although uvicorn handles both alike and closes all
# connections first. Afterwards it puts the former handlers back and raises the signal once more: SIGINT becomes a
# KeyboardInterrupt, which uvicorn.run drops, but SIGTERM ends the process there, without `finally` and `atexit`. So a
# program that writes its results after the server does so whenever somebody tries it by hand. What has to run either
# way belongs in the lifespan of the app, or behind a handler for SIGTERM that is set before.
# Output seen:
#   SIGINT: after, finally, atexit; return code 0
#   SIGTERM: nothing; return code -15
#   SIGTERM, with a handler that raises SystemExit: finally, atexit; return code 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet uvicorn==0.54.0
cat > "$folder/server.py" <<'PYTHON'
import atexit
import signal
import sys

import uvicorn


def say(text: str) -> None:
    print(text, flush=True)


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        say("started")
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


if "handler" in sys.argv:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
atexit.register(say, "atexit")
try:
    uvicorn.run(app, host="127.0.0.1", port=0, log_level="error")
    say("after")
finally:
    say("finally")
PYTHON
cat > "$folder/end.py" <<'PYTHON'
import signal
import subprocess
import sys


def ended_by(number: signal.Signals, *flags: str) -> str:
    command = [sys.executable, sys.argv[1], *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout.readline() == "started\n"
        server.send_signal(number)
        said = server.stdout.read().split()
    return f"{', '.join(said) or 'nothing'}; return code {server.returncode}"


print("SIGINT:", ended_by(signal.SIGINT))
print("SIGTERM:", ended_by(signal.SIGTERM))
print("SIGTERM, with a handler that raises SystemExit:", ended_by(signal.SIGTERM, "handler"))
PYTHON
"$folder/env/bin/python" "$folder/end.py" "$folder/server.py" | tee "$folder/seen"
cat > "$folder/expected" <<'TEXT'
SIGINT: after, finally, atexit; return code 0
SIGTERM: nothing; return code -15
SIGTERM, with a handler that raises SystemExit: finally, atexit; return code 0
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
