"""Threads that a test can rely on: what one raises is raised in the test, and one that hangs fails it."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

PATIENCE = 10.0  # seconds until something counts as hanging; nothing that works waits for it


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
    for thread in threads:
        thread.join(patience)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise AssertionError(f"a thread hangs: it did not come back in {patience:g} seconds")
    return [results[place] for place in range(len(work))]


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
