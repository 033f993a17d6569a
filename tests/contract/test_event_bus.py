"""`EventBus` keeps the contract."""

from __future__ import annotations

from typing import Any

from atlas_lab import EventBus, EventType, Subscription
from atlas_lab.testing import BusContract


class TestEventBus(BusContract):
    def make_bus(self, **options: Any) -> EventBus:
        return EventBus(**options)

    def test_12_it_is_a_subscription(self):
        """What `subscribe` returns is of the public class that documents it."""
        assert type(self.make_bus().subscribe(EventType.AGENT_STARTED, print)) is Subscription
