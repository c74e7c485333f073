"""An endpoint that is busy, fails, is slow or writes garbage; and how many requests are open at once."""

import json
import re
import sys
import threading
import time
from email.utils import formatdate

import pytest

from inference.instruct import endpoint
from inference.instruct.checks import LONGEST
from inference.instruct.endpoint import LARGEST_BODY, Endpoint, pause_of, reply_of, seconds_of
from inference.instruct.requests import Reply, Request
from model.errors import SproutError, UsageError
from tests.inference.instruct.stub import Stub, serving
from tests.support import wait_until

REQUESTS = [Request(f"Question {number}", 0.8, 0.95, 64, number) for number in range(12)]


def replies(stub: Stub, requests=REQUESTS, **settings):
    with serving(stub) as address:
        endpoint = Endpoint(address, "m", **({"in_flight": 3, "timeout": 5, "pause": 0.01} | settings))
        return dict(endpoint.replies(requests)), endpoint


def test_a_missing_package_is_named_in_quotes_that_windows_takes(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(UsageError, match=r'httpx: pip install -e "\.\[instruct\]"$'):
        Endpoint("http://127.0.0.1:9/v1", "m")


def test_requests_in_flight_are_bounded():
    stub = Stub(pause=0.01)
    found, _ = replies(stub)
    assert stub.most == 3 and sorted(found) == list(range(12)) and len(stub.bodies) == 12
    assert {(one.finish, one.tokens_in, one.tokens_out) for one in found.values()} == {("stop", 5, 3)}
    assert sorted(stub.bodies, key=lambda body: body["seed"]) == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": f"Question {number}"}],
            "temperature": 0.8,
            "top_p": 0.95,
            "max_tokens": 64,
            "seed": number,
        }
        for number in range(12)
    ]


def test_busy_and_failing_servers_are_asked_again():
    def misbehave(number, handler):
        if number in (1, 4):
            handler.reply(429, "busy", **{"Retry-After": "0"})
        elif number == 2:
            handler.reply(500, "oops")
        elif number == 3:
            handler.close_connection = True  # no reply at all
        elif number == 5:
            handler.reply(408, "too slow")
        return 1 <= number <= 5

    stub = Stub(misbehave)
    found, endpoint = replies(stub)
    assert sorted(found) == list(range(12)) and endpoint.retried == 5
    assert len(stub.answered) == 12


def test_what_a_server_says_is_told_without_the_key():
    for status in (429, 200):
        said = '{"error": {"message": "no credit is left for secret-7"}}'
        stub = Stub(lambda number, handler, status=status, said=said: handler.reply(status, said) or True)
        with pytest.raises(SproutError, match=r"no credit is left for \*\*\*"):
            replies(stub, retries=1, api_key="secret-7", in_flight=1)


@pytest.mark.parametrize("asked, seconds", [("7", 7), ("1.5", 1.5), ("soon", 0), ("", 0), ("-3", 0), ("9" * 400, 60)])
def test_seconds_that_a_server_asks_for(asked, seconds):
    assert min(seconds_of(asked), 60) == seconds


def test_a_date_that_a_server_asks_for():
    assert 25 < seconds_of(formatdate(time.time() + 30, usegmt=True)) <= 30
    assert seconds_of(formatdate(time.time() - 30, usegmt=True)) == 0
    assert seconds_of("Mon, 30 Nov 99999 25:61:00 GMT") == seconds_of(f"Mon, 30 Nov {9**30} 01:01:00 GMT") == 0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process cannot be set on Windows")
def test_a_date_without_a_zone_is_not_of_the_zone_here(monkeypatch):
    date = formatdate(time.time() + 30, usegmt=True).replace(" GMT", "")
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        waited = seconds_of(date)
    time.tzset()
    assert 25 < waited <= 30


def test_a_pause_is_never_shorter_than_asked_and_no_two_are_alike():
    assert len({pause_of(10, 1) for _ in range(20)}) > 1 < len({pause_of(0, 1) for _ in range(20)})
    assert all(10 <= pause_of(10, 1) <= 12 and 0.8 <= pause_of(0, 1) <= 1.2 for _ in range(200))
    assert all(60 <= pause_of(3600, 1) <= 72 and pause_of(0, 3600) <= 72 for _ in range(200))


def test_garbage_is_a_reply_without_a_text():
    found, _ = replies(Stub(lambda number, handler: handler.reply(200, "<html>") or True), REQUESTS[:2])
    assert {one.finish for one in found.values()} == {"garbage"}
    for size, finish in ((10, "stop"), (LARGEST_BODY, "garbage")):  # more than any answer of the length asked for
        content = body_of() + " " * size
        found, _ = replies(Stub(lambda _, handler, content=content: handler.reply(200, content) or True), REQUESTS[:1])
        assert found[0].finish == finish


def body_of(content="Yes.", finish="stop", **more) -> str:
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": finish}]} | more)


@pytest.mark.parametrize(
    "body, found",
    [
        (body_of(), Reply("Yes.", "stop")),
        (body_of(None, "tool_calls"), Reply("", "tool_calls")),
        (body_of(usage={"prompt_tokens": 5, "completion_tokens": 3}), Reply("Yes.", "stop", 5, 3)),
        (body_of(usage={"prompt_tokens": -5, "completion_tokens": 2**31}), Reply("Yes.", "stop")),
        (body_of(usage={"prompt_tokens": "5", "completion_tokens": True}), Reply("Yes.", "stop")),
        (body_of(usage="none"), Reply("Yes.", "stop")),
        (body_of("x" * (LONGEST + 9), "y" * 99), Reply("x" * (LONGEST + 1), "y" * 20)),  # so it is rejected as too long
        (body_of(["Yes."]), Reply("", "garbage")),
        (body_of(finish=None), Reply("", "garbage")),
        ('{"choices": []}', Reply("", "garbage")),
        ("[1]", Reply("", "garbage")),
    ],
)
def test_what_is_read_of_a_reply(body, found):
    assert reply_of(body.encode()) == found


def test_each_pause_is_twice_the_one_before_and_never_shorter_than_asked(monkeypatch):
    pauses = []
    monkeypatch.setattr(endpoint, "pause_of", lambda asked, own: pauses.append((asked, own)) or 0.02)
    stub, begun = (
        Stub(lambda number, handler: handler.reply(503, "", **{"Retry-After": str(number)}) or True),
        time.monotonic(),
    )
    with pytest.raises(SproutError, match="gave no answer in 4 attempts .status 503.: see whether the server runs"):
        replies(stub, REQUESTS[:1], retries=3, pause=0.5)
    assert pauses == [(0, 0.5), (1, 1), (2, 2), (3, 4)] and len(stub.bodies) == 4
    assert time.monotonic() - begun >= 3 * 0.02


def test_a_server_that_has_answered_is_waited_for_where_a_wrong_address_ends_the_run():
    with serving(Stub(lambda number, handler: setattr(handler, "close_connection", True))) as address:
        settings = {"in_flight": 1, "retries": 1, "pause": 0.01}
        known, unknown = (Endpoint(f"{address}/", "m", **settings) for _ in range(2))
        assert len(list(known.replies(REQUESTS[:2]))) == 2
    before = known.retried  # the second request may have met the first one's connection as it was closed
    with pytest.raises(SproutError, match="gave no answer in 2 attempts .no connection."):
        list(known.replies(REQUESTS[2:3]))
    with pytest.raises(SproutError, match="there is no server at .*/v1 .*: start it, or correct --endpoint"):
        list(unknown.replies(REQUESTS[2:3]))
    assert (known.retried - before, unknown.retried) == (1, 0)


@pytest.mark.parametrize(
    "status, found",
    [(400, "refused"), (413, "refused"), (422, "refused"), (403, "is the API key right?"), (404, "and --model right?")],
)
def test_a_status_that_no_second_attempt_helps(status, found):
    stub = Stub(lambda number, handler: number == 1 and (handler.reply(status, "no") or True))
    if found == "refused":
        assert [one.finish for one in replies(stub, REQUESTS[:3], in_flight=1)[0].values()] == ["stop", found, "stop"]
    else:
        with pytest.raises(SproutError, match=rf"answered with status {status} .no.: .*{re.escape(found)}"):
            replies(stub, REQUESTS[:3], in_flight=1)
    assert max(stub.answered.values()) == 1


def test_a_long_reply_comes_whole_and_a_long_complaint_is_cut():
    stub = Stub()
    stub.text_for = lambda body: "x" * 15_000
    found, _ = replies(stub, REQUESTS[:1])
    assert found[0].text == "x" * 15_000
    with pytest.raises(SproutError, match="status 404 .y{200}.: ") as told:
        replies(Stub(lambda number, handler: handler.reply(404, "y" * 5000) or True), REQUESTS[:1])
    assert len(str(told.value)) < 400


def test_only_a_server_that_accepts_no_request_ends_the_run():
    stub = Stub(lambda number, handler: number != 3 and (handler.reply(400, "prompt too long") or True))
    found, _ = replies(stub, in_flight=1)
    assert [found[place].finish for place in range(12)] == [*["refused"] * 3, "stop", *["refused"] * 8]
    stub = Stub(lambda number, handler: handler.reply(400, "max_tokens is not supported") or True)
    with pytest.raises(SproutError, match=r"status 400 .max_tokens is not supported.: it accepts no request"):
        replies(stub, in_flight=1)
    assert 4 <= len(stub.bodies) < 12


def test_an_address_that_gives_web_pages_ends_the_run():
    stub = Stub(lambda number, handler: number != 3 and (handler.reply(200, "<html>") or True))
    found, _ = replies(stub, in_flight=1)
    assert [found[place].finish for place in range(12)] == [*["garbage"] * 3, "stop", *["garbage"] * 8]
    stub = Stub(lambda number, handler: handler.reply(200, "<html>") or True)
    with pytest.raises(SproutError, match="gives no chat completion .<html>.: is the address right"):
        replies(stub, in_flight=1)
    assert 4 <= len(stub.bodies) < 12


def test_a_server_that_drips_runs_into_the_time_limit():
    def drip(number, handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b" ")
            time.sleep(0.05)
        handler.close_connection = True
        return True

    with pytest.raises(SproutError, match="not complete after 0.3 seconds"):
        replies(Stub(drip), REQUESTS[:1], timeout=0.3, retries=0)


def test_what_was_answered_before_a_failure_is_not_lost():
    stub = Stub(lambda number, handler: number == 2 and (handler.reply(500, "") or True), pause=0.02)
    got = []
    with serving(stub) as address, pytest.raises(SproutError, match="no answer in 1 attempts .status 500."):
        for _, reply in Endpoint(address, "m", in_flight=3, retries=0).replies(REQUESTS):
            got.append(reply)
    assert len(got) == len(stub.bodies) - 1  # whatever was sent came back


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_asks_nothing_more_and_waits_for_what_is_open_and_a_second_one_for_nothing(monkeypatch, times):
    stub, waits, got, honest = Stub(pause=0.02), [], [], endpoint.wait

    def interrupted(*words, **more):
        waits.append(words)
        if len(waits) > times:
            return honest(*words, **more)
        wait_until(lambda: len(stub.bodies) == 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(endpoint, "wait", interrupted)
    with serving(stub) as address, pytest.raises(KeyboardInterrupt):
        for _, reply in Endpoint(address, "m", in_flight=3).replies(REQUESTS):
            got.append(reply)
    assert (len(stub.bodies), len(got)) == (3, 3 if times == 1 else 0)


def test_a_run_that_has_enough_ends_without_the_pause_of_a_request():
    stub = Stub(lambda number, handler: number == 1 and (handler.reply(503, "", **{"Retry-After": "60"}) or True))
    before = {*threading.enumerate()}
    with serving(stub) as address:
        replies = Endpoint(address, "m", in_flight=2).replies(REQUESTS[:2])
        next(replies)
        wait_until(lambda: len(stub.bodies) == 2)
        replies.close()
    # Those of the server's connections end with the client.
    wait_until(lambda: not [one for one in threading.enumerate() if "Pool" in one.name and one not in before], 20)


def test_the_key_is_sent_and_not_told():
    def quote(number, handler):
        handler.reply(401, f"wrong key {handler.headers['Authorization']}")
        return True

    stub = Stub(quote)
    with pytest.raises(SproutError, match="is the API key right") as told:
        replies(stub, REQUESTS[:1], api_key=" secret-7 ")
    assert stub.keys == {"Bearer secret-7"} and "secret-7" not in str(told.value)
    for key in ("secret\n7", "secret–7", " "):
        with pytest.raises(UsageError, match="plain letters") as told:
            Endpoint("http://127.0.0.1:1/v1", "m", api_key=key)
        assert "secret" not in str(told.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_said(monkeypatch, proxy):
    monkeypatch.setitem(sys.modules, "socksio", None)  # which httpx needs for the first
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(SproutError, match="the proxy that the environment names cannot be used: unset it"):
        Endpoint("http://127.0.0.1:9/v1", "m")
