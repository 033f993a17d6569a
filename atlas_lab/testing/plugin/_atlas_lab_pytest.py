"""The pytest plugin of atlas_lab: fixtures for tests of a system on a bus.

pytest imports it in every run, whether or not a test uses it. So a wheel has it beside the package, whose import brings
the whole bus with it, and imports the package where a fixture is asked for. Coverage that is measured in that run
has begun by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from atlas_lab import EventBus
    from atlas_lab.testing import RecordedBus, TickingClock


@pytest.fixture
def event_clock() -> TickingClock:
    """The clock of `event_bus`: it says 0.0, 1.0, ..., and can be moved on with ``event_clock.advance(seconds)``."""
    from atlas_lab.testing import TickingClock

    return TickingClock()


@pytest.fixture
def event_bus(event_clock: TickingClock) -> Iterator[EventBus]:
    """A new bus that keeps all its events, whose times and ids are the same in each run; closed after the test."""
    from atlas_lab import EventBus
    from atlas_lab.testing import numbered_ids

    with EventBus(history_limit=None, clock=event_clock, new_id=numbered_ids()) as bus:
        yield bus


@pytest.fixture
def recorded_bus(event_bus: EventBus) -> Iterator[RecordedBus]:
    """The `event_bus` of the test, and what is published on it: ``bus, published = recorded_bus``."""
    from atlas_lab.testing import RecordedBus, record

    with record(event_bus) as published:
        yield RecordedBus(event_bus, published)
