"""A bus that is used in every way for a while, by threads and tasks that come and go: what is left of them?

``python -m tests.unbreakable.soak SECONDS BUS`` prints, as JSON, what memory was in use after each round and what was
still alive at the end. It runs in a process of its own, so that nothing but the bus is measured. What is measured is
the memory that Python's objects take (tracemalloc), not that of the process: Python keeps freed memory for later, by
so much that a leak of two per cent would not stand out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import sys
import time
import tracemalloc
import weakref
from array import array
from typing import Any, TypeVar

from atlas_lab import Event, EventBus, EventType, HandlerErrors, ScopedEventBus, Subscription

A, B, C = EventType.AGENT_STARTED, EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_STOPPED
FAILING = EventType.AGENT_ERROR

HISTORY = 500  # events that the bus keeps
ROUNDS = 4_000  # at most
DEPARTED = 100  # tokens that the bus keeps to tell whose objects are gone

T = TypeVar("T")


class KeepsTokens(EventBus):
    """A bus that never lets a subscription go."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[Subscription] = []

    def subscribe(self, *args: Any, **options: Any) -> Any:
        self._kept.append(super().subscribe(*args, **options))
        return self._kept[-1]


class KeepsOwners(EventBus):
    """A bus that holds methods as it holds functions."""

    def subscribe(self, *args: Any, **options: Any) -> Any:
        return super().subscribe(*args, **{**options, "weak": False})


class KeepsEvents(EventBus):
    """A bus whose history has no bound."""

    def __init__(self, history_limit: int | None = None, **options: Any) -> None:
        super().__init__(None, **options)


BUSES = {kind.__name__: kind for kind in (EventBus, KeepsTokens, KeepsOwners, KeepsEvents)}


class Census:
    """Counts what is alive, by kind."""

    def __init__(self) -> None:
        self._alive: dict[str, set[weakref.ref[Any]]] = {}

    def enter(self, kind: str, thing: T) -> T:
        alive = self._alive.setdefault(kind, set())
        alive.add(weakref.ref(thing, alive.discard))
        return thing

    def count(self) -> dict[str, int]:
        return {kind: len(alive) for kind, alive in sorted(self._alive.items())}


class Payload:
    """Something that can be watched, as an event itself cannot."""

    def __init__(self) -> None:
        self.text = "x" * 100


class Owner:
    """Its method is a handler; the bus must not keep it alive."""

    def __init__(self) -> None:
        self.itself = self  # so that only the garbage collector finds it

    def handle(self, event: Event[Any]) -> None: ...

    def fail(self, event: Event[Any]) -> None:
        raise RuntimeError("as agreed")


class Soak:
    """One bus and what goes on on it."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.census = Census()
        self.events = 0
        for of in (A, None, [B, C]):
            self.subscribe(self.bus, of, lambda event: None)

    def subscribe(self, bus: EventBus, of: Any, handler: Any, **options: Any) -> Subscription:
        # A bound method is made anew at each access; its object is what is watched.
        self.census.enter("handlers", getattr(handler, "__self__", handler))
        return self.census.enter("tokens", bus.subscribe(of, handler, **options))

    def publish(self, bus: EventBus, of: EventType) -> None:
        bus.publish(of, self.census.enter("payloads", Payload()))
        self.events += 1

    def come_and_go(self) -> None:
        """Everything that one thread can do."""
        for _ in range(5):
            with self.subscribe(self.bus, A, lambda event: self.publish(self.bus, B)) as token:
                self.subscribe(self.bus, A, lambda event: None, once=True)
                self.publish(self.bus, A)
                token.pause()
                self.publish(self.bus, A)
            self._with_owners()
            self._with_middleware()
            self._in_scopes()
            with self.bus.paused():
                self.publish(self.bus, C)

    def _with_owners(self) -> None:
        owners = [self.census.enter("owners", Owner()) for _ in range(3)]
        for owner in owners:
            self.subscribe(self.bus, A, owner.handle)
        self.subscribe(self.bus, FAILING, owners[0].fail)
        self.publish(self.bus, A)
        self.publish(self.bus, FAILING)

    def _with_middleware(self) -> None:
        entry = self.bus.add_middleware(lambda event: event.replace(source="changed"), name="changes")
        dropping = self.bus.add_middleware(lambda event: None if event.type is B else event)
        self.publish(self.bus, B)
        entry.enabled = False
        self.publish(self.bus, C)
        entry()
        dropping()

    def _in_scopes(self) -> None:
        closed = self.census.enter("scopes", ScopedEventBus(self.bus, "closed", on_error="raise"))
        self.subscribe(closed, A, lambda event: 1 / 0)
        with contextlib.suppress(HandlerErrors):
            self.publish(closed, A)
        closed.close()
        dropped = self.census.enter("scopes", ScopedEventBus(closed.parent_bus, "dropped", nested="queued"))
        self.subscribe(dropped, A, lambda event: dropped.publish(B))
        dropped.stream(A)
        self.publish(dropped, A)

    async def wait_and_stream(self) -> None:
        """Everything that takes an event loop."""
        for _ in range(5):
            handler = self._async_handler()
            token = self.subscribe(self.bus, A, handler)
            self.publish(self.bus, A)
            await self.bus.publish_async(A, self.census.enter("payloads", Payload()))
            token()
            stream = self.census.enter("streams", self.bus.stream(A, limit=5))
            left = self.census.enter("streams", self.bus.stream(None))
            coming = self.bus.wait_for(A, timeout=60)
            never = self.bus.wait_for(EventType.SYSTEM_INIT, timeout=0.0001)
            self.publish(self.bus, A)
            await coming
            await anext(stream)
            await anext(left)
            stream.close()
            with contextlib.suppress(TimeoutError):
                await never
        await self.bus.join()

    def _async_handler(self) -> Any:
        async def handle(event: Event[Any]) -> None:
            await asyncio.sleep(0)
            raise RuntimeError("as agreed")

        return handle

    def settle(self) -> None:
        """Have everything collected that nobody holds, fill the history with the same, and let the bus take note."""
        gc.collect()
        for _ in range(HISTORY):
            self.publish(self.bus, C)
        self.bus.subscriptions()
        gc.collect()

    async def run(self, seconds: float) -> list[int]:
        """Go on for a while, and for some rounds at least; return the bytes in use after each."""
        memory, rounds = array("Q", [0]) * ROUNDS, 0  # with room for all: a list that grows would be measured, too
        end = time.monotonic() + seconds
        while rounds < ROUNDS and (time.monotonic() < end or rounds < 5):
            threads = [asyncio.to_thread(self.come_and_go) for _ in range(3)]
            await asyncio.gather(*threads, self.wait_and_stream())
            self.settle()
            memory[rounds] = tracemalloc.get_traced_memory()[0]
            rounds += 1
        return memory[:rounds].tolist()


def main(seconds: float, kind: str) -> dict[str, Any]:
    """Soak a bus and return what was found."""
    logging.getLogger("atlas_lab").disabled = True
    tracemalloc.start()
    soak = Soak(BUSES[kind](history_limit=HISTORY))
    memory = asyncio.run(soak.run(seconds))
    tracemalloc.stop()
    soak.settle()
    kept = len({id(event.data) for event in soak.bus.history if isinstance(event.data, Payload)})
    found = {"memory": memory, "events": soak.events, "alive": soak.census.count(), "payloads kept": kept}
    census = soak.census
    soak.bus.close()
    del soak
    gc.collect()
    return {**found, "alive after the end": census.count()}


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), sys.argv[2])))
