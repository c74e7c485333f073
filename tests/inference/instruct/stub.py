"""A server that invents tasks and answers, misbehaves as told, and counts what reaches it."""

import contextlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = [a + b for a in "bdfgklmn" for b in ("ako", "elu", "iru", "ota", "umi", "asi", "ery", "ilo")]


def word(number: int) -> str:
    return WORDS[number % len(WORDS)]


class Stub:
    """misbehave: called with the number of the request (from 0) and the handler; True if it has answered itself.

    Attributes: bodies: every request; most: how many were open at once; keys: their Authorization headers.
    """

    def __init__(self, misbehave=lambda number, handler: False, pause: float = 0.0):
        self.misbehave, self.pause = misbehave, pause
        self.bodies, self.keys, self.open, self.most, self.lock = [], set(), 0, 0, threading.Lock()

    @property
    def answered(self) -> Counter:
        """How often each request was sent, by its content."""
        return Counter(json.dumps(body, sort_keys=True) for body in self.bodies)

    def text_for(self, body: dict) -> str:
        seed = body["seed"]
        words = [word(seed >> shift) for shift in range(0, 24, 3)]
        if re.search(r"numbered from (\d+)", body["messages"][0]["content"]):
            lines = [" ".join(word(seed * 7 + line * 13 + 5 * i * (line + 1)) for i in range(7)) for line in range(2)]
            return "\n".join(f"{place}. {line}" for place, line in enumerate(lines, 9))
        return "Of course: " + " ".join(words)


@contextlib.contextmanager
def serving(stub: Stub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                number = len(stub.bodies)
                stub.bodies.append(body)
                stub.keys.add(self.headers["Authorization"])
                stub.open += 1
                stub.most = max(stub.most, stub.open)
            try:
                time.sleep(stub.pause)
                if not stub.misbehave(number, self):
                    message = {"role": "assistant", "content": stub.text_for(body)}
                    reply = {"choices": [{"message": message, "finish_reason": "stop"}]}
                    self.reply(200, json.dumps(reply | {"usage": {"prompt_tokens": 5, "completion_tokens": 3}}))
            except OSError:  # the client was killed
                pass
            finally:
                with stub.lock:
                    stub.open -= 1

        def reply(self, status: int, text: str, **headers):
            # The count of open requests falls before the client can send the next.
            content = text.encode()
            with stub.lock:
                stub.open -= 1
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            finally:
                with stub.lock:
                    stub.open += 1

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
