"""Temporal versioning: a state whose every version stays, made by events and by commits, in branches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from atlas_lab import BusClosedError, Event, EventBus, EventId, EventType, MissingExtraError

from .freezing import Change, differences, freeze
from .reducing import Line, Reducer, ReducerError, Reducers
from .versions import Version, Versioned, Versions

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S")


class VersionedState(Generic[S]):
    """A state that keeps all its versions, which share whatever did not change.

    Events make versions: what the bus keeps, and then what is published on it, in the order of the history. So do
    commits. Each version is told in a STATE_VERSIONED event, with a `Versioned`, that is a child of its cause.

    Parameters
    ----------
    bus : EventBus
    initial : S
        Version 0. A dict, list or set is taken as its pyrsistent counterpart, of which a changed copy costs little and
        shares the rest: ``state.set("a", 1)``.
    reducers : mapping of Enum to callable, optional
        For an event type, what gives the next state from a state and an event. One that returns the very state it
        was given makes no version. It must not have side effects.
    name : str, default "state"
        Shown in events and messages.
    clock : callable, default time.time
        Returns the time of a commit; give it the clock of the bus if that has one of its own.
    partial : bool, default False
        Begin with what the history still has, though earlier events are gone.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the history has forgotten events and not `partial`.
    ReducerError
        If a reducer fails on what the bus keeps. Later, that is told in a STATE_VERSIONED and a HANDLER_ERROR event:
        the state stays at its last good version, and events wait for `resume`.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.patterns import VersionedState
    >>> bus = EventBus()
    >>> def connected(state, event):
    ...     return state.set(event.source, event.data)
    >>> providers = VersionedState(bus, {}, {EventType.PROVIDER_CONNECTED: connected})
    >>> _ = bus.publish(EventType.PROVIDER_CONNECTED, "local", source="ngram")
    >>> _ = providers.commit(providers.state.set("ngram", "remote"), "moved")
    >>> [(version.number, version.message) for version in providers.log()]
    [(2, 'moved'), (1, 'PROVIDER_CONNECTED'), (0, 'initial')]
    >>> print(*providers.diff(1, 2))
    ngram: 'local' -> 'remote'
    >>> providers.revert(1).state["ngram"], providers.at(2).state["ngram"]
    ('local', 'remote')
    """

    def __init__(
        self,
        bus: EventBus,
        initial: S,
        reducers: Mapping[Enum, Reducer[S]] | None = None,
        *,
        name: str = "state",
        clock: Callable[[], float] = time.time,
        partial: bool = False,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus or a scope of one, got {type(bus).__name__}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r:.80}")
        if not callable(clock):
            raise TypeError(f"clock must be callable, got {clock!r:.80}")
        self.name = name
        self._bus = bus
        self._clock = clock
        self._branch = "main"
        made: Reducers[S] = Reducers({} if reducers is None else reducers, empty=reducers is None)
        self._store = Versions(Version(0, freeze(initial), None, "main", "initial", clock(), 0), made)
        self._line = Line(name, made.types, self._take)
        self._untold: list[Version[S]] = []
        if made.types:
            self._run(lambda: self._line.follow(bus, self._tell, partial=partial))

    @property
    def head(self) -> Version[S]:
        """The newest version of this branch."""
        return self._store.versions[self._store.heads[self._branch]]

    @property
    def state(self) -> S:
        """The state of the newest version of this branch."""
        return self.head.state

    @property
    def branches(self) -> dict[str, int]:
        """The number of the newest version of each branch."""
        with self._line.lock:
            return dict(self._store.heads)

    @property
    def failure(self) -> Exception | None:
        """Why events make no versions any more; None if they do."""
        return self._line.failure

    @property
    def pending(self) -> int:
        """How many events wait because a reducer failed."""
        return len(self._line.waiting)

    def commit(self, state: S | Callable[[S], S], message: str = "", *, cause: Event[Any] | None = None) -> Version[S]:
        """Make a version by hand and return it.

        Parameters
        ----------
        state : S, or callable of S returning S
            The new state, or what makes it of the present one; nobody else commits between the two.
        message : str, default ""
        cause : Event, optional
            What made it necessary: the parent of its STATE_VERSIONED event. By default the event that is being handled.

        Raises
        ------
        TypeError
            If `message` is no str or `cause` no Event.
        BusClosedError
            If the bus is closed. Then no version is made.
        """
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, got {message!r:.80}")
        if cause is not None and not isinstance(cause, Event):
            raise TypeError(f"cause must be an Event, got {cause!r:.80}")
        self._check_open()
        with self._line.lock:
            new = state(self.state) if callable(state) else state
            version = self._add(freeze(new), message, self._clock(), self._bus.history.accepted, cause)
        self._tell()
        return version

    def revert(self, version: int | Version[S], message: str | None = None) -> Version[S]:
        """Make a version with the state of an earlier one, and return it. What came between stays in the log.

        Raises
        ------
        LookupError
            If there is no such version, or it is one of another state.
        BusClosedError
            If the bus is closed. Then no version is made.
        """
        self._check_open()
        with self._line.lock:
            old = self._find(version)
            said = f"back to version {old.number}" if message is None else message
            new = self._add(old.state, said, self._clock(), self._bus.history.accepted, None, restores=old.number)
        self._tell()
        return new

    def branch(self, name: str, at: int | Version[S] | None = None) -> VersionedState[S]:
        """Begin a branch and return it: commits there leave this one as it is. Events make versions on main only.

        Parameters
        ----------
        name : str
        at : int or Version, optional
            Where it begins; by default at the newest version of this branch.

        Raises
        ------
        ValueError
            If there is such a branch, or `name` is empty.
        LookupError
            If there is no such version.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r:.80}")
        if not name:
            raise ValueError("name is empty; a branch is told from others by it")
        with self._line.lock:
            if name in self._store.heads:
                known = ", ".join(sorted(self._store.heads))
                raise ValueError(f"there is a branch {name!r} already; branches: {known}")
            self._store.heads[name] = (self.head if at is None else self._find(at)).number
        view: VersionedState[S] = object.__new__(type(self))
        view.__dict__ |= self.__dict__
        view._branch = name
        return view

    def at(self, version: int | None = None, *, time: float | None = None, seq: int | None = None) -> Version[S]:
        """Return a version by its number, or what was the newest of this branch at a time or an event.

        Parameters
        ----------
        version : int, optional
            Its number, on any branch.
        time : float, optional
            Seconds since the epoch.
        seq : int, optional
            Number of an event in the history of the bus.

        Raises
        ------
        TypeError
            If not exactly one of the three is given, or it is no number.
        LookupError
            If there is no version of that number. Before all others, at any time, there was the initial one.
        """
        if sum(one is not None for one in (version, time, seq)) != 1:
            raise TypeError("at takes one of version, time and seq")
        if version is not None:
            return self._find(version)
        for argument, value in (("time", time), ("seq", seq)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise TypeError(f"{argument} must be a number, got {value!r:.80}")
        for one in self._lineage():
            if (one.timestamp <= time) if time is not None else (seq is not None and one.seq <= seq):
                return one
        return self._store.versions[0]

    def log(self) -> list[Version[S]]:
        """Return the versions that led to the newest of this branch, newest first."""
        return list(self._lineage())

    def diff(self, before: int | Version[S], after: int | Version[S] | None = None) -> tuple[Change, ...]:
        """Return in what two versions differ; `after` is by default the newest of this branch.

        Raises
        ------
        LookupError
            If there is no such version.
        """
        return differences(self._find(before).state, (self.head if after is None else self._find(after)).state)

    def frame(self) -> pd.DataFrame:
        """Return the versions of all branches, without their states: one row for each, with the fields of `Version`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - heavy, and only for those who ask for a frame
        except ImportError as error:
            raise MissingExtraError("pandas", "lab") from error
        with self._line.lock:
            versions = list(self._store.versions)
        names = [name for name in Version.__struct_fields__ if name != "state"]
        frame = pd.DataFrame({name: [getattr(one, name) for one in versions] for name in names})
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True).astype("datetime64[ns, UTC]")
        return frame.astype({"parent": "Int64", "restores": "Int64"})

    def resume(self, reducers: Mapping[Enum, Reducer[S]] | None = None, *, skip: bool = False) -> Self:
        """Go on after a failure, with the events that wait; see `Projection.resume`."""
        with self._line.lock:
            if reducers is not None:
                self._store.reducers = self._store.reducers.changed(reducers)
        self._run(lambda: self._line.resume(skip=skip))
        return self

    def close(self) -> None:
        """Let events make no more versions. Versions stay; calling it again does nothing."""
        self._line.close()

    def _check_open(self) -> None:
        if self._bus.closed:
            raise BusClosedError(f"the bus is closed, and could not tell of a version; {self.name} can still be read")

    def _find(self, version: int | Version[S]) -> Version[S]:
        number = version.number if isinstance(version, Version) else version
        if type(number) is not int:
            raise TypeError(f"version must be a Version or its number, got {version!r:.80}")
        if not 0 <= number < len(self._store.versions):
            newest = len(self._store.versions) - 1
            raise LookupError(f"{self.name} has no version {number}; there are 0 to {newest}")
        found = self._store.versions[number]
        if isinstance(version, Version) and version is not found:
            raise LookupError(f"this version {number}, {version.message!r:.80}, is none of {self.name}")
        return found

    def _lineage(self) -> Iterator[Version[S]]:
        version: Version[S] | None = self.head
        while version is not None:
            yield version
            version = None if version.parent is None else self._store.versions[version.parent]

    def _take(self, event: Event[Any]) -> None:
        main = self._store.versions[self._store.heads["main"]]
        state = self._store.reducers.next(self.name, main.state, event)
        if state is not main.state:
            self._add(state, event.type_name, event.timestamp, event.seq, event, branch="main")

    def _add(
        self,
        state: S,
        message: str,
        timestamp: float,
        seq: int,
        cause: Event[Any] | None,
        *,
        restores: int | None = None,
        branch: str = "",
    ) -> Version[S]:
        store, branch = self._store, branch or self._branch
        new = Version(
            len(store.versions),
            state,
            store.heads[branch],
            branch,
            message,
            timestamp,
            seq,
            None if cause is None else cause.id,
            None if cause is None else cause.type_name,
            restores,
        )
        store.versions.append(new)
        store.heads[branch] = new.number
        self._untold.append(new)
        return new

    def _run(self, step: Callable[[], int]) -> None:
        try:
            step()
        except ReducerError as error:
            self._tell(error)
            raise
        self._tell()

    def _tell(self, error: Exception | None = None) -> None:
        """Publish what was not told yet, outside the lock, since handlers run."""
        with self._line.lock:
            versions = list(self._untold)
            self._untold.clear()
        for version in versions:
            self._publish(version, version.cause, version.timestamp)
        if isinstance(error, ReducerError):
            self._publish(self.head, error.event.id, error.event.timestamp, str(error))

    def _publish(self, version: Version[S], parent: EventId | None, timestamp: float, error: str | None = None) -> None:
        told = {name: getattr(version, name) for name in Versioned.__struct_fields__ if hasattr(version, name)}
        payload = Versioned(name=self.name, version=version.number, error=error, **told)
        self._bus.emit(Event(EventType.STATE_VERSIONED, payload, self.name, parent_id=parent, timestamp=timestamp))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        waiting = f", {self.pending} events wait for resume()" if self.failure is not None else ""
        return f"<VersionedState {self.name}, branch {self._branch}: version {self.head.number}{waiting}>"
