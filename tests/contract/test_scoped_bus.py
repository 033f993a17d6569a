"""`ScopedEventBus` keeps the contract: a scoped bus is a bus."""

from __future__ import annotations

from typing import Any

import pytest

from atlas_lab import EventBus, EventType, ScopedEventBus
from atlas_lab.testing import BusContract


class TestScopedEventBus(BusContract):
    def make_bus(self, **options: Any) -> EventBus:
        scope_name = options.pop("name", None) or "scope"
        return ScopedEventBus(parent=EventBus(name="run"), scope_name=scope_name, **options)

    def make_root(self, **options: Any) -> EventBus:
        return EventBus(**options)

    def test_25_a_scope_is_an_event_bus(self):
        """Code that takes an `EventBus` takes a scope."""
        assert isinstance(self.make_bus(), EventBus)

    def test_26_a_bus_cannot_be_its_own_parent(self):
        """A scope that names itself as its parent is refused."""
        scope = ScopedEventBus.__new__(ScopedEventBus)
        with pytest.raises(ValueError, match="cycle"):
            scope.__init__(parent=scope, scope_name="loop")  # type: ignore[misc]

    def test_26_parents_cannot_form_a_cycle(self):
        """A scope cannot be made again below its own scopes, and goes on as it was."""
        bus, agent, tool = self.make_three()
        with pytest.raises(ValueError, match="'loop'.*cycle"):
            agent.__init__(parent=tool, scope_name="loop")  # type: ignore[misc]
        assert agent.parent_bus is bus and agent.scope_name == "agent"
        tool.publish(EventType.AGENT_STARTED)
        assert len(bus.history) == 1
