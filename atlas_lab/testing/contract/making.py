"""How the tests of the contract get the buses that they test."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from atlas_lab import EventBus, ScopedEventBus

from .lacking import give_up


class MakesBuses:
    """What the tests of a bus need from whoever subclasses them: `make_bus`, and more for a bus that is no `EventBus`.

    The tests use public names only, so any object will do that has the public methods of `EventBus`.
    """

    def make_bus(self, **options: Any) -> Any:
        """Return a new bus.

        Parameters
        ----------
        **options
            Those of `EventBus`, always by name: ``history_limit``, ``name``, ``on_error``, ``nested``,
            ``clock``, ``max_depth``, ``new_id``.
        """
        raise NotImplementedError(
            f"give {type(self).__name__} a method make_bus(self, **options) that returns a new bus"
        )

    def make_root(self, **options: Any) -> Any:
        """Return a new bus that is the scope of no other; `make_bus` does so unless it makes scopes."""
        return self.make_bus(**options)

    def make_scope(self, parent: Any, scope_name: str = "agent-1", **options: Any) -> Any:
        """Return a new scope of `parent`, made with the options of `ScopedEventBus`.

        A bus that is no `EventBus` makes its own scopes here; without them the tests of scopes are skipped.
        """
        if not isinstance(parent, EventBus) and hasattr(parent, "subscribe"):
            give_up(f"no scopes of {type(parent).__name__} are known: {type(self).__name__} has no make_scope")
        return ScopedEventBus(parent=parent, scope_name=scope_name, **options)

    @pytest.fixture(autouse=True)
    def _context_of_its_own(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Run each test in a context of its own: a bus that loses its place fails one test, not all after it."""
        item = request.node
        test = item.obj

        @functools.wraps(test)
        def in_its_own_context(**arguments: Any) -> object:
            return contextvars.copy_context().run(test, **arguments)

        item.obj = in_its_own_context
        yield
        item.obj = test
