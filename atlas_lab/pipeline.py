"""The middleware of a bus: its entries in order, and the stage that the next event runs through."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from .arguments import check_callable, is_kind, refuse, text_or_none
from .entries import Middleware, MiddlewareFunction
from .naming import callable_name, is_async, short_repr
from .stage import Stage


class Pipeline:
    """The middleware of one bus.

    Attributes
    ----------
    entries : tuple of Middleware
        All entries in order, switched on or off.
    stage : Stage or None
        What the next event runs through; None when no entry is switched on.
    rejected : int
        Events that an entry dropped or failed on.
    """

    __slots__ = ("entries", "lock", "recorders", "rejected", "stage")

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self.lock = lock
        self.entries: tuple[Middleware, ...] = ()
        self.stage: Stage | None = None
        self.rejected = 0
        self.recorders: tuple[Any, ...] = ()

    def add(
        self, function: MiddlewareFunction, name: str | None = None, before: Middleware | str | None = None
    ) -> Middleware:
        """Add an entry at the end, or before another one; a name that is taken replaces that entry in its place.

        Raises
        ------
        TypeError
            If `function` is not callable, or is a coroutine function.
        ValueError
            If `before` is not an entry of this pipeline.
        """
        check_callable("middleware", function, "callable with one event")
        if is_async(function):
            raise TypeError(f"middleware runs inside publish and cannot be async, got {callable_name(function)}")
        name = text_or_none("name", name)
        before = _entry_or_name(before)
        with self.lock:
            return self._add(function, name, before)

    def _add(self, function: MiddlewareFunction, name: str | None, before: Middleware | str | None) -> Middleware:
        entry = Middleware(self, function, name or self._free_name(callable_name(function)))
        entries = list(self.entries)
        place = len(entries) if before is None else self._find(before)
        same = next((i for i, other in enumerate(entries) if other.name == entry.name), None)
        if same is not None:
            del entries[same]
            place = same if before is None else place - (same < place)
        entries.insert(place, entry)
        self._change(tuple(entries))
        return entry

    def move(self, entry: Middleware, before: Middleware | str | None = None) -> None:
        """Put an entry in front of another one, or at the end.

        Raises
        ------
        TypeError, ValueError
            If `before` or `entry` is not an entry of this pipeline.
        """
        before = _entry_or_name(before)
        with self.lock:
            self._move(entry, before)

    def _move(self, entry: Middleware, before: Middleware | str | None) -> None:
        if entry not in self.entries:
            raise ValueError(
                f"middleware {entry.name!r} was removed from its bus; add it again with bus.add_middleware"
            )
        follower = None if before is None else self.entries[self._find(before)]
        if follower is entry:
            return
        entries = [other for other in self.entries if other is not entry]
        entries.insert(len(entries) if follower is None else entries.index(follower), entry)
        self._change(tuple(entries))

    def remove(self, entry: Middleware) -> bool:
        """Take an entry out. True if it was there."""
        with self.lock:
            return self._remove(entry)

    def _remove(self, entry: Middleware) -> bool:
        if entry not in self.entries:
            return False
        self._change(tuple(other for other in self.entries if other is not entry))
        return True

    def step(self, entry: Middleware, place: int) -> MiddlewareFunction:
        """Return what is called for an entry."""
        function = entry.function
        for recorder in self.recorders:
            function = recorder.step(entry, place, function)
        return function

    def record_with(self, recorders: tuple[Any, ...]) -> None:
        """Have the steps from now on recorded by these."""
        with self.lock:
            self.recorders = recorders
            self.rebuild()

    def settle(self) -> None:
        """Bring the counts of all entries up to date. Called under the lock."""
        if self.stage is not None:
            self.stage.settle()

    def rebuild(self) -> None:
        """Make the stage for the next event from the entries that are switched on. Called under the lock."""
        active = tuple(entry for entry in self.entries if entry.enabled)
        old, self.stage = self.stage, Stage(self, active) if active else None
        if old is not None:
            old.settle()
            old.retired = True
            for position, entry in enumerate(old.entries):
                if entry not in active:
                    old.steps[position] = entry.pass_by

    def _change(self, entries: tuple[Middleware, ...]) -> None:
        self.entries = entries
        self.rebuild()

    def _find(self, wanted: Middleware | str) -> int:
        for position, entry in enumerate(self.entries):
            if wanted is entry or wanted == entry.name:
                return position
        names = ", ".join(repr(entry.name) for entry in self.entries) or "none"
        shown = wanted.name if isinstance(wanted, Middleware) else wanted
        raise ValueError(f"before names no middleware of this bus: {short_repr(shown)}; there are: {names}")

    def _free_name(self, name: str) -> str:
        taken = {entry.name for entry in self.entries}
        return next(free for n in count(1) if (free := name if n == 1 else f"{name} ({n})") not in taken)


def _entry_or_name(before: object) -> Middleware | str | None:
    if before is None or is_kind(before, Middleware):
        return before
    if not is_kind(before, str):
        raise refuse("before", before, "a Middleware, or the name of one")
    return str.__str__(before)
