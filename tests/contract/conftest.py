"""What a test leaves behind in its context stays out of the next one."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run each test in a context of its own, so that a bus that loses its place fails one test, not all after it."""
    test = pyfuncitem.obj

    @functools.wraps(test)
    def in_its_own_context(**arguments: Any) -> object:
        return contextvars.copy_context().run(test, **arguments)

    pyfuncitem.obj = in_its_own_context
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test
