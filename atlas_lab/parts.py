"""What a bus is made of, and its life from the constructor to `close`."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import is_not
from threading import get_ident
from typing import Any, Literal, NoReturn, Self, SupportsIndex

from .arguments import check_callable, check_choice, check_count, text_or_none
from .background import Background
from .cards import bus_card
from .dispatch import Pause, Waiting
from .entries import Middleware, MiddlewareFunction
from .events import EventId, id_stream
from .forks import survive_forks
from .history import History
from .naming import counted
from .pipeline import Pipeline
from .signal_table import SignalTable


class BusParts:
    """The parts of a bus. `EventBus` builds on it; its docstring describes the parameters."""

    def __init__(
        self,
        history_limit: int | None = 1000,
        *,
        name: str | None = None,
        on_error: Literal["event", "raise"] = "event",
        nested: Literal["immediate", "queued"] = "immediate",
        clock: Callable[[], float] = time.time,
        max_depth: int = 100,
        new_id: Callable[[], EventId] | None = None,
    ) -> None:
        if history_limit is not None:
            check_count("history_limit", history_limit, 0)
        name = text_or_none("name", name)
        check_choice("on_error", on_error, ("event", "raise"))
        check_choice("nested", nested, ("immediate", "queued"))
        check_callable("clock", clock, "callable and return seconds since the epoch")
        check_count("max_depth", max_depth, 1)
        if new_id is not None:
            check_callable("new_id", new_id, "callable and return a new id")
        self.name = name
        self.on_error = on_error
        self.nested = nested
        self._clock = clock
        self._max_depth = max_depth
        self._path = name or ""
        self._ids = id_stream() if new_id is None else iter(new_id, object())
        self._signals = SignalTable()
        self._signals.bus = weakref.ref(self)
        self._lock = self._signals.lock
        self._history = History(history_limit, lock=self._lock)
        self._pipeline = Pipeline(self._lock)
        self._background = Background()
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self._parent: Any = None
        self._scopes: weakref.WeakSet[Any] = weakref.WeakSet()
        # Deliveries leave the direct way while the bus is paused, and always when nested="queued".
        self._detour = nested == "queued"
        self._pauses: list[Pause] = []
        self._held: deque[Waiting] = deque()
        self._releasing: int | None = None
        self._own_ids = new_id is None
        survive_forks(self)

    def _start_anew(self) -> None:
        """Let go, in the child of a fork, of what threads and tasks of the parent process were at."""
        if self._own_ids:
            self._ids = id_stream()
        me = get_ident()
        self._pauses = [pause for pause in self._pauses if pause.thread == me]
        self._releasing = me if self._releasing == me else None
        self._background = Background()

    def add_middleware(
        self, function: MiddlewareFunction, *, name: str | None = None, before: Middleware | str | None = None
    ) -> Middleware:
        """Let a function see, change or drop every event before it is stored and delivered.

        Middleware runs in the order added, in the publisher's thread, without a lock.

        Parameters
        ----------
        function : callable of Event, returning Event or None
            Returns the event itself to pass it on, a changed copy (``event.replace(...)``), or None to
            drop it. If it raises, or returns anything else, the publisher gets `MiddlewareError` and the
            event is neither stored nor delivered.
        name : str, optional
            Shown instead of the function's name. An entry with the same name is replaced in its place.
        before : Middleware or str, optional
            The entry, or the name of it, to stand in front of; at the end by default.

        Returns
        -------
        Middleware
            Call it to remove it; set ``.enabled``; read ``.stats``.

        Raises
        ------
        TypeError, ValueError
            If `function` cannot be called or is async, or `before` is not an entry of this bus.
        BusClosedError
            If the bus is closed.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> remove = bus.add_middleware(lambda event: event.replace(source=event.source or "unknown"))
        >>> _ = bus.publish(EventType.SYSTEM_INIT)
        >>> bus.history[-1].source, remove.stats.transformed
        ('unknown', 1)
        >>> remove()
        True
        """
        self._signals.check_open()
        return self._pipeline.add(function, name, before)

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """The entries in order, switched on or off."""
        return self._pipeline.entries

    @property
    def history(self) -> History:
        """The latest events, oldest first."""
        return self._history

    @property
    def path(self) -> str:
        """Names of the buses from the outermost down to this one, joined by "/"; "" for a bus without a name."""
        return self._path

    @property
    def clock(self) -> Callable[[], float]:
        """Returns the time of this bus, in seconds since the epoch."""
        return self._clock

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._signals.closed

    def close(self) -> None:
        """Unsubscribe everything, end streams and waits, and close the scopes of this bus.

        Afterwards publishing, subscribing and adding middleware raise `BusClosedError`; history and
        statistics stay. Closing twice is no error.
        """
        for scope in list(self._scopes):
            scope.close()
        self._signals.mourn()
        with self._lock:  # also for who comes second, so that the bus is closed when this returns
            waiting = list(self._waiting)
            self._signals.close()
        for one in waiting:
            one.bus_closed()

    def _record(self, recorder: Any) -> None:
        """Have what happens from now on recorded by one more."""
        with self._lock:
            recorder.begin(self._history.accepted)
            self._record_with((*self._signals.recorders, recorder))

    def _stop_recording(self, recorder: Any) -> None:
        with self._lock:
            self._record_with(tuple(filter(partial(is_not, recorder), self._signals.recorders)))

    def _record_with(self, recorders: tuple[Any, ...]) -> None:
        self._signals.record_with(recorders)
        self._pipeline.record_with(recorders)

    def _enlist(self, waiting: object) -> None:
        """Have something that waits for events told when the bus is closed; it is not kept alive."""
        with self._lock:
            self._waiting.add(waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: it holds handlers and locks. "
            "Send its events instead: list(bus.history)"
        )

    def _repr_html_(self) -> str:
        return bus_card(self)

    def __repr__(self) -> str:
        name = f" {self._path!r}" if self._path else ""
        state = "closed" if self.closed else counted(len(self._signals.subscriptions()), "subscription")
        return f"<{type(self).__name__}{name}: {state}, {counted(self._history.accepted, 'event')}>"
