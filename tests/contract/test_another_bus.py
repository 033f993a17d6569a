"""The contract is one of behaviour: a bus that shares no class with `EventBus` can be held to it."""

from __future__ import annotations

import ast
import threading
import weakref
from pathlib import Path
from typing import Any, NoReturn, Self

import atlas_lab
from atlas_lab import EventBus, ScopedEventBus
from atlas_lab.testing import BusContract, contract


class OtherBus:
    """A bus that is no `EventBus`. It looks every method up anew in one that it hides, and so is in no hurry."""

    def __init__(self, hidden: EventBus, parent: OtherBus | None = None) -> None:
        self._hidden = hidden
        self._above = parent
        self._below: weakref.WeakSet[OtherBus] = weakref.WeakSet()
        self._lock = threading.Lock()

    def scope(self, scope_name: str, **options: Any) -> OtherBus:
        scope = OtherBus(ScopedEventBus(self._hidden, scope_name, **options), self)
        with self._lock:
            self._below.add(scope)
        return scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hidden, name)

    @property
    def parent_bus(self) -> OtherBus | None:
        return self._above

    @property
    def event_bus(self) -> Self:
        return self

    @property
    def scopes(self) -> list[OtherBus]:
        with self._lock:
            alive = list(self._below)
        return sorted(alive, key=lambda scope: scope.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("this bus cannot be pickled or copied; send list(bus.history) instead")

    def __repr__(self) -> str:
        return f"<OtherBus around {self._hidden!r}>"


class TestOtherBus(BusContract):
    def make_bus(self, **options: Any) -> OtherBus:
        return OtherBus(EventBus(**options))

    def make_scope(self, parent: Any, scope_name: str = "agent-1", **options: Any) -> Any:
        if isinstance(parent, OtherBus):
            return parent.scope(scope_name, **options)
        return ScopedEventBus(parent, scope_name, **options)  # which says what is wrong with the parent


def test_the_contract_uses_public_names_only():
    """Whoever holds another bus to it needs none of our internals."""
    private, public = [], dir(atlas_lab)
    for path in Path(contract.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
                private.append(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atlas_lab"):
                private += [one.name for one in node.names if node.module != "atlas_lab" or one.name not in public]
    assert {name for name in private if not name.startswith(("self.", "os._exit"))} == set()
