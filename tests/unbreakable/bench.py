"""A bus that takes stock: whatever is done with it, in whatever order, the books must balance."""

from __future__ import annotations

from collections import Counter, UserList
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, TypeVar

from atlas_lab import BusClosedError, Event, EventBus, EventStream, EventType, Middleware, Subscription

A, B, C = EventType.AGENT_STARTED, EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_STOPPED
UNWANTED, FAILING = EventType.SYSTEM_HEALTH, EventType.AGENT_ERROR

T = TypeVar("T")

# Books are kept in UserLists, whose code the scheduler does not look into: else it would try every order in which two
# threads can write in a book, where the order of what they do to the bus is what matters.


class Own(Enum):
    """Types that the bus meets for the first time."""

    FIRST = 1
    SECOND = 2


def nothing(event: Event[Any]) -> None: ...


class Handler:
    """A handler that writes down which events it was called with.

    Attributes
    ----------
    due : list of str
        Events that must have come once nothing is held back any more.
    ended : bool or None
        Whether its subscription was ended; None if another one may have taken its place.
    """

    def __init__(self, act: Callable[[Event[Any]], object] = nothing, *, once: bool = False) -> None:
        self.ids: UserList[str] = UserList()
        self.due: UserList[str] = UserList()
        self.failed: UserList[str] = UserList()
        self.ended: bool | None = False
        self.once = once
        self.token: Subscription
        self._act = act

    def handle(self, event: Event[Any]) -> None:
        self.ids.append(event.id)
        try:
            self._act(event)
        except ZeroDivisionError:
            self.failed.append(event.id)
            raise


class Step:
    """A middleware function that writes down which events it saw."""

    def __init__(self, drops: Enum | None = None) -> None:
        self.ids: UserList[str] = UserList()
        self.removed: bool | None = False
        self.entry: Middleware
        self._drops = drops

    def __call__(self, event: Event[Any]) -> Event[Any] | None:
        self.ids.append(event.id)
        return None if event.type is self._drops else event


class Bench:
    """A bus with two handlers that stay, and the books of what was done with it.

    Attributes
    ----------
    shared : dict
        What two operations have in common, such as the subscription that both of them end.
    answers : dict of str to list of bool
        What those were told who ended one subscription, or removed one entry.
    """

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.handlers: list[Handler] = []
        self.strangers: list[Handler] = []  # subscribed by other ways than `subscribe`, so without a token
        self.steps: list[Step] = []
        self.streams: list[tuple[EventStream[Any], Handler]] = []
        self.accepted: UserList[str] = UserList()
        self.rejected: UserList[str] = UserList()
        self.answers: dict[str, UserList[bool]] = {"unsubscribed": UserList(), "removed": UserList()}
        self.cleared = False
        self.shared: dict[str, Any] = {}
        self.everything = self.subscribe(None)
        self.steady = self.subscribe(A, priority=-1)

    def subscribe(self, of: Any, act: Callable[[Event[Any]], object] = nothing, **options: Any) -> Handler:
        handler = Handler(act, once=options.get("once", False))
        handler.token = self.bus.subscribe(of, handler.handle, **{"weak": False, **options})
        self.handlers.append(handler)
        return handler

    def add_step(self, drops: Enum | None = None, **options: Any) -> Step:
        step = Step(drops)
        step.entry = self.bus.add_middleware(step, **options)
        self.steps.append(step)
        return step

    def listen_to(self, stream: EventStream[Any]) -> None:
        """Count what comes through a stream that will be closed as if a handler had got it."""
        handler = Handler()
        handler.token, handler.ended = stream.subscription, True
        self.handlers.append(handler)
        self.streams.append((stream, handler))

    def publish(self, of: Enum = A, via: Callable[[Enum], str] | None = None) -> str:
        """Publish, and write down what became of the event; "" if the bus was closed."""
        try:
            event_id = (via or self.bus.publish)(of)
        except BusClosedError:
            assert self.bus.closed
            return ""
        (self.rejected if of is UNWANTED else self.accepted).append(event_id)
        return event_id

    def balance(self) -> bool:
        """Check that nothing was lost, doubled, misnumbered or miscounted, and that the bus works on."""
        for stream, handler in self.streams:
            handler.ids += [event.id for event in drain(stream)]
        self._check_lock()
        self._check_history()
        self._check_handlers()
        self._check_middleware()
        if not self.bus.closed:
            self._check_usable()
        return True

    def _check_lock(self) -> None:
        assert self.bus._lock.acquire(blocking=False), "a lock was left held"
        self.bus._lock.release()

    def _check_history(self) -> None:
        events, stats = list(self.bus.history), self.bus.stats()
        assert len(set(self.accepted)) == len(self.accepted)
        if not self.bus.closed:  # a closed bus refuses reports of errors, too
            assert stats.accepted == len(self.accepted) + sum(len(handler.failed) for handler in self.handlers)
            assert stats.rejected == len(self.rejected)
        first = stats.accepted - len(events) + 1
        assert [event.seq for event in events] == list(range(first, stats.accepted + 1)), "history is not in order"
        assert sum(stats.by_type.values()) == stats.accepted
        assert (stats.kept, stats.pushed_out) == (len(events), 0)
        if not self.cleared:
            assert first == 1
            assert {event.id for event in events} >= set(self.accepted), "an event is not in the history"
            causes = {event.id for event in events if event.type in {B, FAILING}}
            assert {event.parent_id for event in events} <= {None, *causes}

    def _check_handlers(self) -> None:
        stats, closed = self.bus.stats(), self.bus.closed
        for handler in self.handlers:
            assert len(set(handler.ids)) == len(handler.ids), "an event was delivered twice"
            assert set(handler.ids) >= set(handler.due) or closed, "an event was lost"
            assert handler.token.calls == len(handler.ids)
            assert handler.token.errors == len(handler.failed)
            if handler.ended is not None:
                assert handler.token.active is not (handler.ended or closed or (handler.once and bool(handler.ids)))
        tokens = [handler.token for handler in self.handlers if handler.token.active]
        assert Counter(map(id, self.bus.subscriptions())) == Counter(map(id, tokens))
        assert len([token for token in tokens if token.handler_name == "the one"]) <= 1
        assert stats.calls == sum(len(handler.ids) for handler in [*self.handlers, *self.strangers])
        assert stats.errors == sum(len(handler.failed) for handler in self.handlers)
        assert all(sum(told) <= 1 for told in self.answers.values()), "two were told that they ended it"
        if not closed:
            assert set(self.everything.ids) >= set(self.accepted), "an event was lost"
            assert len(self.everything.ids) == stats.accepted

    def _check_middleware(self) -> None:
        for step in self.steps:
            # An event that a bus refuses because it was closed meanwhile has not been through its middleware.
            assert step.entry.stats.seen == len(step.ids) or self.bus.closed
            if step.removed is not None:
                assert step.entry.active is not step.removed
        assert set(self.bus.middleware) == {step.entry for step in self.steps if step.entry.active}
        assert len({entry.name for entry in self.bus.middleware}) == len(self.bus.middleware)

    def _check_usable(self) -> None:
        event_id = self.publish(C)
        assert self.everything.ids[-1] == self.bus.history[-1].id == event_id
        assert self.bus.history[-1].parent_id is None


def drain(stream: EventStream[Any]) -> list[Event[Any]]:
    """Return what a closed stream still holds."""

    async def read() -> list[Event[Any]]:
        return [event async for event in stream]

    return drive(read())


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    finally:
        coroutine.close()
    raise AssertionError("it waits for something")
