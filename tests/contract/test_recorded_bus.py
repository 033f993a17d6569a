"""A bus that is being recorded keeps the contract: a recording changes nothing.

One promise is left to `test_23_what_is_pushed_out_is_let_go`, which says why.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from atlas_lab import EventBus, EventType, ScopedEventBus
from atlas_lab.testing import BusContract
from atlas_lab.testing.contract import (
    CausesContract,
    ChangesContract,
    CoroutinesContract,
    ErrorsContract,
    MiddlewareContract,
    NestingContract,
    PublishingContract,
    ScopesContract,
    ThreadsContract,
)


class TestRecordedBus(BusContract):
    """Recorded from its first moment on, with all scopes that are made on it."""

    def make_bus(self, **options: Any) -> EventBus:
        bus = EventBus(**options)
        bus.record().start()
        return bus

    def test_23_what_is_pushed_out_is_let_go(self):
        """A recording is there to keep what the history pushes out; its own limit lets go of it."""

        class Payload:
            pass

        bus = EventBus(history_limit=1)
        bus.subscribe(EventType.STREAM_CHUNK, lambda event: None)
        with bus.record(limit=2):
            payload = Payload()
            reference = weakref.ref(payload)
            bus.publish(EventType.STREAM_CHUNK, payload)
            del payload
            bus.publish(EventType.STREAM_CHUNK)
            gc.collect()
            assert reference() is not None
            bus.publish(EventType.STREAM_CHUNK)
            gc.collect()
            assert reference() is None


class TestScopeOfRecordedBus(
    PublishingContract,
    NestingContract,
    CausesContract,
    ChangesContract,
    ThreadsContract,
    CoroutinesContract,
    ErrorsContract,
    MiddlewareContract,
    ScopesContract,
):
    """A scope made while its parent is recorded twice, one recording inside the other."""

    def make_bus(self, **options: Any) -> ScopedEventBus:
        parent = EventBus(name="run")
        for name in ("outer", "inner"):
            parent.record(name, limit=100).start()
        scope_name = options.pop("name", None) or "scope"
        return ScopedEventBus(parent=parent, scope_name=scope_name, **options)

    def make_root(self, **options: Any) -> EventBus:
        return EventBus(**options)
