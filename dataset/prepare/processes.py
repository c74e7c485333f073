"""The same function over many jobs in several processes, with the results in order and few jobs in memory."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from model.errors import SproutError


def in_processes(
    function: Callable, jobs: Iterable, processes: int, advice: str = "go on with --resume and fewer --processes"
) -> Iterator:
    """`function(job)` for each job, in order. One process needs no other; an exception of a job is raised here.

    advice: what to do if the system kills a process.
    """
    if processes == 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy threads that hold locks
    pool = ProcessPoolExecutor(processes, context, initializer=_begin)
    waiting = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SproutError(f"a process was killed, perhaps because the memory is full: {advice}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In a new process: Ctrl-C is the first process's business, and its end is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def leave_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave_with_it, daemon=True).start()
