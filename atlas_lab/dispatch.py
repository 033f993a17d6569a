"""Where a publish stands: which event is being handled around it, how deep, and what waits behind it."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from enum import Enum
from threading import get_ident
from time import sleep
from typing import Any, Self, TypeAlias

import msgspec

from .errors import PublishDepthError
from .events import Event, EventId, event_type_name
from .subscription import Route


class Frame(msgspec.Struct, gc=False):
    """One dispatch under way.

    It names its event but does not hold it, so that a task which outlives the dispatch keeps alive the
    cause of what it publishes, and nothing else.

    Attributes
    ----------
    event_id, event_type
        The event being handled: the parent of what its handlers publish.
    outer : Frame or None
        The dispatch under way in whose handler this one was published.
    depth : int
        Number of dispatches under way up to here, from 1; 0 once this one is over.
    turn : Turn or None
        What nested publishes wait behind, under ``nested="queued"``.
    """

    event_id: EventId
    event_type: Enum
    outer: Frame | None = None
    depth: int = 1
    turn: Turn | None = None

    def put_inside(self, outer: Frame | None, turn: Turn | None) -> None:
        """Nest this dispatch in the one in whose handler its event was published, and have it take turns."""
        self.outer = None if outer is None else outer.under_way()
        self.depth = 1 if self.outer is None else self.outer.depth + 1
        self.turn = turn

    def under_way(self) -> Frame | None:
        """Return this frame if its dispatch still counts towards the depth of a nested one."""
        return self if self.depth and (self.turn is None or self.turn.open) else None


_handling: ContextVar[Frame | None] = ContextVar("atlas_lab.handling", default=None)

# The innermost dispatch of the running context, which goes into threads and tasks with it. Its methods have names of
# their own because Python finds them a hundred nanoseconds sooner by these than on the variable.
innermost = _handling.get
enter = _handling.set
leave = _handling.reset

Waiting: TypeAlias = tuple[Event[Any], Route, Frame | None]


class Turn:
    """The dispatch of one event and of all that is published during it, one after the other."""

    __slots__ = ("bus", "open", "queue", "thread")

    def __init__(self, bus: object, waiting: Waiting) -> None:
        self.bus = bus
        self.open = True
        self.queue: deque[Waiting] = deque([waiting])
        self.thread = get_ident()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open = False
        for event, route, _ in self.queue:  # left behind by an interrupt or a depth error
            route.abandon(None, event)
        self.queue.clear()


class Pause:
    """One ``with bus.paused()`` block."""

    __slots__ = ("thread",)

    def __init__(self, thread: int) -> None:
        self.thread = thread


def wait_for(lock: Any) -> None:
    """Take an RLock that another thread holds.

    A thread that blocks in ``lock.acquire()`` gets the lock while it has not got the interpreter, so that the next
    publisher finds the lock taken, blocks and gets it the same way: from then on every publish waits for a switch of
    threads, and several threads together publish a quarter of what one does. A thread that asks again after a pause
    takes the lock only when it can go on.
    """
    pause = 1e-5
    while True:
        sleep(pause)
        if lock.acquire(False):
            return
        pause = min(2 * pause, 1e-3)


def give_back(lock: Any) -> None:
    """Release an RLock that an interrupted step had taken, or was about to take.

    Python looks for interrupts only where a call ends and where a function begins, so between `try` and the end of
    ``acquire()`` nothing comes but what that call itself raises, and then the lock is not owned.
    """
    if lock._is_owned():  # noqa: SLF001 - what threading.Condition asks of an RLock, too
        lock.release()


def find_turn(frame: Frame | None, bus: object) -> Turn | None:
    """Return the turn of `bus` that `frame` runs in, in this thread."""
    while frame is not None:
        turn = frame.turn
        if turn is not None and turn.bus is bus and turn.open and turn.thread == get_ident():
            return turn
        frame = frame.outer if frame.under_way() else None
    return None


def check_depth(outer: Frame, event_type: Enum, max_depth: int) -> None:
    """Raise PublishDepthError if a publish inside `outer` would be nested deeper than `max_depth`."""
    chain = []
    frame = outer.under_way()
    while frame is not None:
        chain.append(frame)
        frame = None if frame.outer is None else frame.outer.under_way()
    # Dispatches further out may have ended since: threads and tasks go on when the handler that started them is done.
    outer.depth = len(chain)
    if len(chain) >= max_depth:
        types = [event_type, *(frame.event_type for frame in chain)]
        raise PublishDepthError(tuple(event_type_name(one) for one in reversed(types)), max_depth)
