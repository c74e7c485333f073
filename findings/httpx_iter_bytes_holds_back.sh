#!/usr/bin/env bash
# httpx 0.28.1, Python 3.11 (seen 2026-11-28).
# `response.iter_bytes(65536)` yields nothing before 65,536 bytes have come or the body has ended. A loop that looks at
# the clock after every piece, to bound the time of a whole reply, so never runs while a slow server sends little by
# little: the read timeout of httpx starts anew with every byte, and nothing else ends the request. `iter_bytes()`
# without a size yields what has come.
# Output seen (a server that sends 8 bytes, one each 0.1 seconds):
#   iter_bytes(65536): 1 piece, the first after the last byte was sent
#   iter_bytes(): 8 pieces, the first before the last byte was sent
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet httpx==0.28.1
cat > "$folder/slow.py" <<'PYTHON'
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx

sent = []


class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        for _ in range(8):
            time.sleep(0.1)
            self.wfile.write(b"x")
            self.wfile.flush()
            sent.append(time.monotonic())

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
for size in (65536, None):
    sent.clear()
    with httpx.stream("GET", f"http://127.0.0.1:{server.server_port}/") as response:
        came = [time.monotonic() for _ in response.iter_bytes(size)]
    when = "before" if came[0] < sent[-1] else "after"
    pieces = "1 piece" if len(came) == 1 else f"{len(came)} pieces"
    print(f"iter_bytes({size or ''}): {pieces}, the first {when} the last byte was sent")
server.shutdown()
PYTHON
"$folder/env/bin/python" "$folder/slow.py" | tee "$folder/seen"
grep -q "iter_bytes(65536): 1 piece, the first after" "$folder/seen"
grep -q "iter_bytes(): [2-8] pieces, the first before" "$folder/seen"
