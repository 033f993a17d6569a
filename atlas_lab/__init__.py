"""A bench for event-driven systems: a recording event bus and a notebook lab around it.

Importing it loads blinker, msgspec and the standard library. What needs pandas is loaded when it is
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .bus import EventBus
from .errors import (
    AtlasLabError,
    BusClosedError,
    DataError,
    HandlerErrors,
    MiddlewareError,
    MissingExtraError,
    NoEventLoopError,
    PayloadTypeError,
    PublishDepthError,
)
from .events import Event, EventId, EventType, event_type_name, new_event_id
from .history import History
from .pipeline import Middleware, MiddlewareStats
from .reports import BusStats, Explanation
from .scopes import ScopedEventBus
from .signals import Subscription
from .subscribers import EventStream, safe_subscribe

__version__ = "0.1.0"
