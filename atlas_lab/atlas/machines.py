"""State machines that say which changes there are, and refuse all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from atlas_lab import AtlasLabError


class TransitionError(AtlasLabError, ValueError):
    """A state machine was asked for a change that it does not declare.

    Attributes
    ----------
    before, after : str
        The change that was asked for.
    allowed : tuple of str
        The states that `before` can change to.
    """

    def __init__(self, before: str, after: str, allowed: tuple[str, ...]) -> None:
        self.before = before
        self.after = after
        self.allowed = allowed
        super().__init__(before, after, allowed)

    def __str__(self) -> str:
        declared = f"declared are {', '.join(self.allowed)}" if self.allowed else "it declares none from there"
        return f"the state machine declares no change from {self.before!r} to {self.after!r}; {declared}"


class StateMachine:
    """The states of something, and the changes between them.

    Parameters
    ----------
    initial : str
        Where it begins.
    changes : mapping of str to iterable of str
        The states that each state can change to.

    Raises
    ------
    ValueError
        If `initial` is no state, or a state can be reached by no change.

    Examples
    --------
    >>> from atlas_lab.atlas import LIFECYCLE, StateMachine
    >>> door = StateMachine("closed", {"closed": ["open", "locked"], "open": ["closed"], "locked": ["closed"]})
    >>> door.check("locked", "open")
    Traceback (most recent call last):
        ...
    atlas_lab.atlas.machines.TransitionError: the state machine declares no change from 'locked' to 'open'; declared are closed
    >>> LIFECYCLE.with_steps({"working": ["searching"], "searching": ["reading"]})
    <StateMachine created: created > idle, stopped; idle > working, failed, stopped; ... reading > idle, failed, stopped>
    """

    __slots__ = ("changes", "initial")

    def __init__(self, initial: str, changes: Mapping[str, Iterable[str]]) -> None:
        listed = {before: _states(before, after) for before, after in changes.items()}
        reachable = [initial]
        for state in reachable:
            reachable += [after for after in listed.get(state, ()) if after not in reachable]
        if initial not in listed:
            raise ValueError(f"initial must be a state of changes, one of {', '.join(listed)}, got {initial!r}")
        if astray := [state for state in listed if state not in reachable]:
            raise ValueError(f"no change leads from {initial!r} to {', '.join(map(repr, astray))}")
        self.initial = initial
        self.changes: Mapping[str, tuple[str, ...]] = MappingProxyType(
            {state: listed.get(state, ()) for state in reachable}
        )

    def check(self, before: str, after: str) -> None:
        """Raise `TransitionError` unless `before` can change to `after`."""
        allowed = self.changes.get(before, ())
        if after not in allowed:
            raise TransitionError(before, after, allowed)

    def with_steps(self, steps: Mapping[str, Iterable[str]]) -> StateMachine:
        """Return a machine with more states, each of which can also change to wherever working can.

        Parameters
        ----------
        steps : mapping of str to iterable of str
            What each state can change to besides, as in ``{"working": ["searching"], "searching": ["reading"]}``.
        """
        changes = {state: list(after) for state, after in self.changes.items()}
        for before, after in steps.items():
            for state in (before, *_states(before, after)):
                changes.setdefault(state, list(self.changes.get("working", ())))
            changes[before] += [state for state in after if state not in changes[before]]
        return StateMachine(self.initial, changes)

    def __repr__(self) -> str:
        changes = "; ".join(f"{before} > {', '.join(after) or '(end)'}" for before, after in self.changes.items())
        return f"<StateMachine {self.initial}: {changes}>"


def _states(before: object, after: object) -> tuple[str, ...]:
    if isinstance(after, str) or not isinstance(after, Iterable):
        raise TypeError(f"changes must give a list of states for {before!r}, got {after!r}")
    states = tuple(after)
    if not all(isinstance(state, str) and state for state in (before, *states)):
        raise TypeError(f"changes must name states by text, got {before!r}: {states!r}")
    return states


LIFECYCLE = StateMachine(
    "created",
    {
        "created": ["idle", "stopped"],
        "idle": ["working", "failed", "stopped"],
        "working": ["idle", "failed", "stopped"],
        "failed": ["idle", "stopped"],
        "stopped": ["idle"],
    },
)
"""The life of an agent. `StateMachine.with_steps` adds the steps of its work."""
