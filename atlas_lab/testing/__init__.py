"""What tests of a system on a bus need: recording, assertions, a clock that ticks, and the contract of a bus.

The fixtures ``event_bus``, ``event_clock`` and ``recorded_bus`` are there for pytest without importing anything.
`BusContract` needs pytest; the rest works with any test runner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .assertions import assert_nothing_published as assert_nothing_published
from .assertions import assert_published as assert_published
from .assertions import assert_sequence as assert_sequence
from .matching import Matcher as Matcher
from .matching import exactly as exactly
from .matching import matching as matching
from .published import Published as Published
from .published import RecordedBus as RecordedBus
from .published import record as record
from .repeatable import TickingClock as TickingClock
from .repeatable import numbered_ids as numbered_ids

if _TYPE_CHECKING:
    from .contract import BusContract as BusContract


def __getattr__(name: str) -> object:
    if name != "BusContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .contract import BusContract  # noqa: PLC0415 - it imports pytest, which the other names do without

    return BusContract
