"""The contract of a bus as classes of tests, which any bus can be held to.

Derive a test class from those here and give it ``make_bus(**options)``, which returns a new bus that takes
the options of `EventBus`. Each test is named after the numbered promise that it protects.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "bad_input", "coroutines", "errors", "events", "handlers", "histories", "payloads", "publishing", "scopes", "threads",
)  # fmt: skip
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))
