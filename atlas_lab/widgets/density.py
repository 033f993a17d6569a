"""How events are spread over a history: the picture behind the scrubber."""

from __future__ import annotations

from typing import Any, TypeAlias

from atlas_lab.errors import MissingExtraError
from atlas_lab.events import EventType

from .matches import Kept

try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("numpy", "lab") from error

BINS = 240
_STONES = 720  # events whose time is remembered, at most

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


class Density:
    """How many events a second there were, and how many errors of handlers, at each place of a history.

    A place is a share of the numbers of the kept events, so that each can be pointed at, however unevenly in time
    they came. The time of every so-many-th event is remembered, which is read only once.
    """

    def __init__(self) -> None:
        self._stride = 1
        self._stones: dict[int, float] = {}
        self._errors: list[int] = []
        self._looked = 0

    def update(self, kept: Kept, errors: int | None = None) -> None:
        """Read what is new.

        Parameters
        ----------
        kept : History or Frozen
        errors : int, optional
            How many HANDLER_ERROR events there ever were; where that is the same as before, none is looked for.
        """
        seqs = kept.seqs
        self._mark(kept, seqs)
        self._find_errors(kept, seqs, errors)

    def _mark(self, kept: Kept, seqs: range) -> None:
        before = self._stride
        while len(seqs) > _STONES * self._stride:
            self._stride *= 2
        while self._stride > 1 and len(seqs) * 4 < _STONES * self._stride:  # cleared
            self._stride //= 2
        stride = self._stride
        wanted = range(-(-seqs.start // stride) * stride, seqs.stop, stride)
        if before > stride:
            self._stones.clear()
        stones = {seq: at for seq, at in self._stones.items() if seq >= seqs.start and not seq % stride}
        ends = (seqs.start, seqs.stop - 1) if seqs else ()
        missing = sorted({*wanted, *ends} - stones.keys())
        if stride == 1 and missing:
            stones |= {event.seq: event.timestamp for event in kept.between(missing[0], missing[-1])}
        else:
            for seq in missing:
                for event in kept.between(seq, seq):
                    stones[event.seq] = event.timestamp
        self._stones = stones

    def _find_errors(self, kept: Kept, seqs: range, errors: int | None) -> None:
        newest = seqs.stop - 1
        if errors != 0 and newest > self._looked and (errors is None or errors != self._known_errors):
            first = max(self._looked + 1, seqs.start)
            wanted = EventType.HANDLER_ERROR
            self._errors += [event.seq for event in kept.between(first, newest) if event.type is wanted]
        self._known_errors = errors
        self._looked = newest
        if self._errors and self._errors[0] < seqs.start:
            self._errors = [seq for seq in self._errors if seq >= seqs.start]

    _known_errors: int | None = None

    def bins(self, seqs: range) -> tuple[Floats, Floats]:
        """Return events per second, and errors, for equal shares of the numbers, oldest first.

        Returns
        -------
        rates : array of float32, events per second
        errors : array of float32, count
            As many as there are events, 240 at most.
        """
        number = min(BINS, len(seqs))
        if not number:
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        edges = np.linspace(seqs.start, seqs.stop, number + 1)
        found = np.histogram(np.array(self._errors, float), edges)[0].astype(np.float32)
        marks = np.fromiter(self._stones, float, len(self._stones))
        order = np.argsort(marks, kind="stable")
        times = np.fromiter(self._stones.values(), float, len(self._stones))[order]
        if len(times) < 2:
            return np.ones(number, np.float32), found
        # Events that were emitted, as by a replay, bring times of their own, which may go back.
        at = np.interp(edges, marks[order], np.maximum.accumulate(times))
        spent = np.diff(at)
        widths = np.diff(edges)
        typical = max(float(at[-1] - at[0]) / number, 1e-9)
        return (widths / np.maximum(spent, typical / 100)).astype(np.float32), found
