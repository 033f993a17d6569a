"""`EventBus` keeps the contract."""

from __future__ import annotations

from typing import Any

from atlas_lab import EventBus

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


class TestEventBus(
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
        return EventBus(**options)
