"""Threads that a test can rely on: what one raises is raised in the test, and one that hangs fails it."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

PATIENCE = 60.0  # seconds until something counts as hanging, also on a busy machine; nothing that works waits for it


def in_threads(*work: Callable[[], Any], patience: float = PATIENCE) -> list[Any]:
    """Call all functions at once, each in a thread of its own, and return their results in order."""
    start = threading.Barrier(len(work))
    results: dict[int, Any] = {}
    errors: list[BaseException] = []

    def run(place: int, function: Callable[[], Any]) -> None:
        try:
            start.wait(patience)
            results[place] = function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place, function), daemon=True) for place, function in enumerate(work)]
    for thread in threads:
        thread.start()
    end = monotonic() + patience
    for thread in threads:
        thread.join(max(end - monotonic(), 0))
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise AssertionError(f"a thread hangs: it did not come back in {patience:g} seconds")
    return [results[place] for place in range(len(work))]


@contextmanager
def meanwhile(work: Callable[[], object], number: int) -> Iterator[None]:
    """Have threads call a function again and again while the block runs; raise what one of them raised."""
    ready, over = threading.Barrier(number + 1), threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        sys.settrace(None)  # a coverage tracer has a lock of its own, which a forked child would find held for ever
        try:
            ready.wait(PATIENCE)
            while not over.is_set():
                work()
        except BaseException as error:
            errors.append(error)

    started = [threading.Thread(target=run, daemon=True) for _ in range(number)]
    for thread in started:
        thread.start()
    try:
        ready.wait(PATIENCE)
        yield
    finally:
        over.set()
        for thread in started:
            thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in started), f"a thread hangs: it did not end in {PATIENCE:g} seconds"


class Witness:
    """A thread that lives on, to look at what other threads left behind.

    A thread that ended may leave its number to the next one, and with it the right to enter a lock it never gave
    back. Only a thread that was there all the time is sure to be another one.
    """

    def __init__(self) -> None:
        self._questions: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            question = self._questions.get()
            try:
                self._answers.put((question(), None))
            except BaseException as error:
                self._answers.put((None, error))

    def ask(self, question: Callable[[], Any]) -> Any:
        """Call a function in the witness's thread and return its result."""
        self._questions.put(question)
        try:
            answer, error = self._answers.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError(f"the witness hangs: it did not come back in {PATIENCE:g} seconds") from None
        if error is not None:
            raise error
        return answer


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread of its own and return its result."""
    return in_threads(lambda: function(*args))[0]


@contextmanager
def no_finalizers() -> Iterator[None]:
    """Keep the garbage collector away: Python ignores an interrupt that comes while a finalizer runs."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def many_switches() -> Iterator[None]:
    """Let threads take turns after every few bytecodes, so that a race which can happen does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
