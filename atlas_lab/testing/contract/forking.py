"""Work done in a forked child, whose hanging or failing fails the test."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .lacking import give_up
from .workers import PATIENCE


@contextmanager
def forking() -> Iterator[None]:
    """Let the block fork, or end the test if this system has no forks.

    From Python 3.12 on a fork in a process with threads warns; that it works is what is tested. What is done about
    warnings holds for all threads, so those that fork at the same time have one such block around them.
    """
    if not hasattr(os, "fork"):
        give_up("this system has no os.fork")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        yield


def in_child(work: Callable[[], object]) -> Any:
    """Run `work` in a forked child and return what it returned; fail if it raised, or hung."""
    with forking():
        return run_in_child(work)


def run_in_child(work: Callable[[], object]) -> Any:
    """Do what `in_child` does, inside a block of `forking`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except BaseException as error:
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}: {answer.decode()}"
    return json.loads(answer)
