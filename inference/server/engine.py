"""One thread that writes all texts together: between two steps, requests join the running batch and leave it.

The thread owns the networks. `submit` and `leave` tell it what to do, and it puts `Part`s into the queue of the
request, which belongs to the event loop of the server.
"""

import asyncio
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence

from inference.server.writing import Failure, Part, Writing
from model.running_batch import READ_AT_ONCE


class Busy(Exception):
    """The queue of waiting texts is full."""


ENDS = 503, "the server ends: ask again when it runs"


class Engine:
    """Writes at most `slots` texts at a time; at most `queue` others wait, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slots: int, queue: int):
        self._loop = loop
        self._slots = slots
        self._most_waiting = queue
        self._told = threading.Condition()  # guards the three below
        self._waiting: deque[Writing] = deque()
        self._gone: set[Writing] = set()
        self._ends = False
        self._open: list[Writing] = []  # those with a place; only the thread changes it
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> tuple[int, int]:
        """How many texts are being written, and how many wait."""
        return len(self._open), len(self._waiting)

    def submit(self, writings: Sequence[Writing]) -> None:
        """Lets the texts of a request wait for places. Raises `Busy` if they do not fit into the queue; an empty queue
        takes any number. Raises `Failure` once the server ends."""
        with self._told:
            if self._ends:
                raise Failure(*ENDS)
            room = self._most_waiting + self._slots - len(self._open)  # free slots count: the thread fills them next
            if self._waiting and len(self._waiting) + len(writings) > room:
                raise Busy
            self._waiting += writings
            self._told.notify()

    def leave(self, writings: Sequence[Writing]) -> None:
        """Frees the places of these texts, complete or not."""
        with self._told:
            self._gone.update(writings)
            self._told.notify()

    def end(self) -> None:
        """Ends the thread after its step. Who waits for a text is told."""
        with self._told:
            self._ends = True
            self._told.notify()

    def close(self) -> None:
        self.end()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._told:
                self._told.wait_for(lambda: self._ends or self._waiting or self._gone or self._open)
                if self._ends:
                    self._deliver([Part(one, failure=Failure(*ENDS)) for one in (*self._open, *self._waiting)])
                    return
                gone, self._gone = self._gone, set()
                late = {one for one in self._waiting if one.deadline < time.monotonic()} - gone
                self._waiting = deque(one for one in self._waiting if one not in gone and one not in late)
                free = self._slots - len(self._open) + sum(one in gone for one in self._open)
                come = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
            self._free(gone)
            self._open += come
            busy = Failure(429, "the server was busy until the time limit of the request: ask again later")
            self._deliver([Part(one, failure=busy) for one in late])
            self._deliver(self._read())
            self._deliver(self._write())

    def _read(self) -> list[Part]:
        """Reads prompts, as many tokens as may hold up the others for one step."""
        parts = []
        most = READ_AT_ONCE
        for one in [one for one in self._open if not one.joined]:
            try:
                with one.precision():
                    while most > 0 and not one.joined:
                        before = one.row.length
                        one.joined = one.batch.read(one.row, joins=one.max_tokens > 0)
                        most -= one.row.length - before
                if one.joined:
                    parts.append(one.take() if one.max_tokens else one.end("length"))
            except Exception:  # if one request fails, the others continue
                parts.append(self._failed(one))
        return parts

    def _write(self) -> list[Part]:
        """One more token for each text that is read."""
        parts = []
        writers = {id(one.batch): one for one in self._open if one.batch.rows}
        for first in writers.values():
            batch, rows = first.batch, set(first.batch.rows)
            together = [one for one in self._open if one.row in rows]
            try:
                with first.precision():
                    batch.step()
            except Exception:
                parts += [self._failed(one) for one in together]
                continue
            now = time.monotonic()
            for one in together:
                try:
                    parts.append(one.take(late=now > one.deadline))
                except Exception:
                    parts.append(self._failed(one))
        return parts

    def _failed(self, one: Writing) -> Part:
        traceback.print_exc()
        return Part(one, failure=Failure(500, "the server failed at this request; its terminal says why"))

    def _deliver(self, parts: list[Part]) -> None:
        """Hands the parts over to the event loop, and frees the places of complete texts."""
        self._free({part.writing for part in parts if part.finish or part.failure})
        if parts and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_put, parts)

    def _free(self, done: set[Writing]) -> None:
        """Takes these texts out of their batches and their places."""
        for one in done.intersection(self._open):
            try:
                one.batch.leave(one.row)
            except Exception:  # a GPU that is lost fails at everything; who waits is told so all the same
                traceback.print_exc()
        self._open = [one for one in self._open if one not in done]


def _put(parts: list[Part]) -> None:
    for part in parts:
        part.writing.queue.put_nowait(part)
