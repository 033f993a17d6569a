"""Work done in a forked child, whose hanging or failing fails the test."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

from .lacking import give_up


def check_forks() -> None:
    """End the test if this system has no forks."""
    if not hasattr(os, "fork"):
        give_up("this system has no os.fork")


def in_child(work: Callable[[], object]) -> Any:
    """Run `work` in a forked child and return what it returned; fail if it raised, or hung for ten seconds."""
    check_forks()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on a fork in a process with threads warns; that it works is what is tested here.
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
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
