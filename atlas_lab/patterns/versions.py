"""What a version is, and how it is told."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from atlas_lab import EventId

from .reducing import Reducers

S = TypeVar("S")


class Version(msgspec.Struct, Generic[S], frozen=True):
    """A state at one time, and where it comes from. It cannot change.

    Parameters
    ----------
    number : int
        0 for the initial state, then counted through all branches.
    state : S
    parent : int or None
        The version that it was made of; None for the initial one.
    branch : str
        The branch that it was made on.
    message : str
    timestamp : float
        Seconds since the epoch: of its cause, or of the commit.
    seq : int
        The last event of the history that it can know of: its cause, or the latest at the commit.
    cause : str or None
        Id of the event that made it, if one did.
    cause_type : str or None
        Name of the type of that event.
    restores : int or None
        The version whose state it has again, for a revert.
    """

    number: int
    state: S
    parent: int | None
    branch: str
    message: str
    timestamp: float
    seq: int
    cause: EventId | None = None
    cause_type: str | None = None
    restores: int | None = None


class Versioned(msgspec.Struct, frozen=True):
    """Payload of STATE_VERSIONED: there is a new version, or an event could make none.

    Parameters
    ----------
    name : str
        Of the versioned state.
    version, parent, branch, message, seq, cause, cause_type, restores
        As in `Version`.
    error : str or None
        Why there is no new version; the fields are then those of the latest.
    """

    name: str
    version: int
    parent: int | None
    branch: str
    message: str
    seq: int
    cause: EventId | None = None
    cause_type: str | None = None
    restores: int | None = None
    error: str | None = None


class Versions(Generic[S]):
    """The versions of all branches, the newest of each, and what events do to main."""

    def __init__(self, first: Version[S], reducers: Reducers[S]) -> None:
        self.reducers = reducers
        self.versions = [first]
        self.heads = {first.branch: 0}
