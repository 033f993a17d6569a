"""The contract of a bus as classes of tests, which any bus can be held to.

Each test is named after the numbered promise that it protects. `BusContract` has them all; a bus that makes only some
of the promises can derive from the parts.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "alarms", "bad_input", "causes", "changes", "coroutines", "errors", "events", "filters", "forking", "histories",
    "holding", "kinds", "middleware", "nesting", "payloads", "publishing", "reruns", "scopes", "threads", "tokens", "workers",
)  # fmt: skip
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))  # before any of them is imported

from .bad_input import BadInputContract as BadInputContract
from .causes import CausesContract as CausesContract
from .changes import ChangesContract as ChangesContract
from .coroutines import CoroutinesContract as CoroutinesContract
from .errors import ErrorsContract as ErrorsContract
from .events import EventsContract as EventsContract
from .filters import FiltersContract as FiltersContract
from .histories import HistoryContract as HistoryContract
from .holding import HoldingContract as HoldingContract
from .middleware import MiddlewareContract as MiddlewareContract
from .nesting import NestingContract as NestingContract
from .payloads import PayloadsContract as PayloadsContract
from .publishing import PublishingContract as PublishingContract
from .reruns import RerunsContract as RerunsContract
from .scopes import ScopesContract as ScopesContract
from .threads import ThreadsContract as ThreadsContract
from .tokens import TokensContract as TokensContract


class BusContract(
    EventsContract,
    PublishingContract,
    NestingContract,
    CausesContract,
    ChangesContract,
    ThreadsContract,
    HoldingContract,
    TokensContract,
    RerunsContract,
    FiltersContract,
    PayloadsContract,
    CoroutinesContract,
    ErrorsContract,
    MiddlewareContract,
    HistoryContract,
    ScopesContract,
    BadInputContract,
):
    """Every promise of a bus, as tests to derive from.

    Examples
    --------
    In a test file of yours; pytest then runs more than a thousand tests against your bus::

        from atlas_lab.testing import BusContract

        class TestMyBus(BusContract):
            def make_bus(self, **options):
                return MyBus(**options)
    """
