"""Work that a thread does before it is needed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


class Ahead:
    """Makes the calls of an iterator in order, up to `depth` of them ahead.

    The thread only runs calls that are queued and waits for nothing else, so `close` ends it after at most one call.
    """

    def __init__(self, calls: Iterator[Callable], depth: int):
        self._calls = calls
        self._depth = depth
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
        self._made = deque()

    def take(self):
        """The next result; raises what its call raised, and IndexError after the last."""
        while len(self._made) <= self._depth and (call := next(self._calls, None)) is not None:
            self._made.append(self._pool.submit(call))
        return self._made.popleft().result()

    def close(self) -> None:
        """Ends the thread after the call that it is at."""
        self._pool.shutdown(wait=True, cancel_futures=True)
