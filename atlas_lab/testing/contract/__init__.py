"""The contract of a bus as classes of tests, which any bus can be held to.

Each test is named after the numbered promise that it protects. `BusContract` has them all; a bus that makes only some
of the promises can derive from the parts.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "bad_input", "coroutines", "errors", "events", "forking", "handlers", "histories", "middleware", "payloads",
    "publishing", "scopes", "threads", "workers",
)  # fmt: skip
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))  # before any of them is imported

from .bad_input import BadInputContract as BadInputContract
from .coroutines import CoroutinesContract as CoroutinesContract
from .errors import ErrorsContract as ErrorsContract
from .events import EventsContract as EventsContract
from .handlers import HandlersContract as HandlersContract
from .histories import HistoryContract as HistoryContract
from .middleware import MiddlewareContract as MiddlewareContract
from .payloads import PayloadsContract as PayloadsContract
from .publishing import PublishingContract as PublishingContract
from .scopes import ScopesContract as ScopesContract
from .threads import ThreadsContract as ThreadsContract


class BusContract(
    EventsContract,
    PublishingContract,
    ThreadsContract,
    HandlersContract,
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
