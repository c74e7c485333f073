"""What is sent to clients as they read it."""

import json
import sys

import httpx

from inference.server.replies import event


def test_an_event_is_one_line_for_every_client():
    said = {"content": "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))}
    lines = list(httpx.Response(200, content=event(said).encode()).iter_lines())
    assert lines == event(said).splitlines() and len(lines) == 2 and lines[1] == ""
    assert json.loads(lines[0].removeprefix("data: ")) == said
