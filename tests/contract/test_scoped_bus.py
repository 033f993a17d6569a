"""`ScopedEventBus` keeps the contract: a scoped bus is a bus."""

from __future__ import annotations

from typing import Any

from atlas_lab import EventBus, ScopedEventBus

from .bad_input import BadInputContract
from .coroutines import CoroutinesContract
from .errors import ErrorsContract
from .events import EventsContract
from .handlers import HandlersContract
from .histories import HistoryContract
from .payloads import PayloadsContract
from .publishing import PublishingContract
from .scopes import ScopesContract
from .threads import ThreadsContract


class TestScopedEventBus(
    EventsContract,
    PublishingContract,
    ThreadsContract,
    HandlersContract,
    PayloadsContract,
    CoroutinesContract,
    ErrorsContract,
    HistoryContract,
    ScopesContract,
    BadInputContract,
):
    def make_bus(self, **options: Any) -> EventBus:
        scope_name = options.pop("name", None) or "scope"
        return ScopedEventBus(parent=EventBus(name="run"), scope_name=scope_name, **options)
