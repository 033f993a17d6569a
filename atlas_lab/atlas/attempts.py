"""Attempts at a node: what goes to a worker, when it runs out of time, and when there is another one."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from .graphs import Node

if TYPE_CHECKING:
    from tenacity import BaseRetrying, RetryCallState

_cancelled: ContextVar[threading.Event | None] = ContextVar("atlas_lab.atlas.cancelled", default=None)


def is_cancelled() -> bool:
    """Return whether the node that is running was cancelled, or ran out of time: then its result counts for nothing.

    A node that takes long asks now and then. In another process it is always False.
    """
    flag = _cancelled.get()
    return flag is not None and flag.is_set()


class Call:
    """A node's function with its values, on its way to a worker.

    In this process it runs in its context, so that the event of entering the node is the cause of what it publishes.
    To another process goes only what can be sent: `Sent`.
    """

    def __init__(
        self, run: Callable[..., Any], values: tuple[Any, ...], label: str, context: Context, began: Callable[[], None]
    ) -> None:
        self.run = run
        self.values = values
        self.label = label
        self.context = context
        self.began = began

    def __call__(self) -> Any:
        """Run it, in the worker."""
        self.began()
        return self.context.run(_result, self.run, self.values)

    def __reduce__(self) -> tuple[Any, ...]:
        self.began()
        return Sent, (self.run, self.values, self.label)


class Sent:
    """A `Call` in another process. The label makes each attempt different, for executors that run equal calls once."""

    def __init__(self, run: Callable[..., Any], values: tuple[Any, ...], label: str) -> None:
        self.run = run
        self.values = values
        self.label = label

    def __call__(self) -> Any:
        """Run it, in the worker."""
        return _result(self.run, self.values)


def _result(run: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    result = run(*values)
    if not inspect.iscoroutine(result):
        return result
    import asyncio  # noqa: PLC0415 - only who has async nodes needs it

    return asyncio.run(result)


class Attempt:
    """An attempt at a node.

    Attributes
    ----------
    entered, began : float
        When it was handed to the executor, and when a worker began; by the monotonic clock.
    flag : threading.Event
        Tells the node that its result counts for nothing any more.
    cause : Context
        Where the event of entering is the cause.
    """

    def __init__(self, node: Node[Any], values: tuple[Any, ...], number: int, trying: Trying | None) -> None:
        self.node = node
        self.values = values
        self.number = number
        self.trying = trying
        self.entered = time.monotonic()
        self.began: float | None = None
        self.flag = threading.Event()
        self.future: Future[Any] | None = None
        self.cause: Context | None = None

    def context(self) -> Context:
        """Return a new context for the node to run in."""
        context = Context() if self.cause is None else self.cause.copy()
        context.run(_cancelled.set, self.flag)
        return context

    @property
    def deadline(self) -> float | None:
        """When it runs out of time, by the monotonic clock."""
        if self.node.timeout is None or self.began is None:
            return None
        return self.began + self.node.timeout


class Trying:
    """The policy of retries of one node in one run: tenacity decides, and never sleeps."""

    def __init__(self, policy: BaseRetrying) -> None:
        import tenacity  # noqa: PLC0415 - only who retries needs it

        self._policy = policy.copy(reraise=False)
        self._policy.begin()
        self._state: RetryCallState = tenacity.RetryCallState(self._policy, fn=None, args=(), kwargs={})
        self._policy.iter(self._state)

    def next_in(self, result: object, error: BaseException | None) -> float | None:
        """Return the seconds until the next attempt; None if there is none, because all is well.

        Raises
        ------
        Exception
            If there is none because it was tried often enough.
        """
        import tenacity  # noqa: PLC0415

        if error is None:
            self._state.set_result(result)
        else:
            self._state.set_exception((type(error), error, error.__traceback__))
        decided = self._policy.iter(self._state)
        if not isinstance(decided, tenacity.DoSleep):
            return None
        self._state.prepare_for_next_attempt()
        return float(decided)
