"""A bus as one writes it first: what the others are measured against is what it costs to stop there.

Nothing in here is to be improved. It is a dataclass with a ``uuid4`` and a ``datetime`` for an event, one lock
around everything, a list that is cut to size, and a Blinker signal for each type.
"""

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from blinker import Signal


@dataclass
class PlainEvent:
    type: Any
    data: Any = None
    source: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    metadata: dict[str, Any] = field(default_factory=dict)


class PlainBus:
    def __init__(self, history_limit=1000):
        self.history = []
        self.history_limit = history_limit
        self.middleware = []
        self._signals = {}
        self._lock = threading.RLock()

    def get_signal(self, event_type):
        with self._lock:
            if event_type not in self._signals:
                self._signals[event_type] = Signal()
            return self._signals[event_type]

    def subscribe(self, event_type, handler):
        self.get_signal(event_type).connect(handler, weak=False)
        return lambda: self.get_signal(event_type).disconnect(handler)

    def add_middleware(self, middleware):
        with self._lock:
            self.middleware.append(middleware)

    def publish(self, event_type, data=None, source=None, metadata=None):
        event = PlainEvent(event_type, data, source, metadata=metadata or {})
        with self._lock:
            for middleware in self.middleware:
                event = middleware(event)
                if event is None:
                    return None
            self.history.append(event)
            if len(self.history) > self.history_limit:
                self.history = self.history[-self.history_limit :]
            self.get_signal(event.type).send(event)
        return event.id
