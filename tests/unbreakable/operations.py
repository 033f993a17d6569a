"""What can be done with a bus, each with what it needs beforehand and what must be true right after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple

from atlas_lab import BusClosedError, Event, ScopedEventBus

from .bench import FAILING, UNWANTED, A, B, Bench, Handler, Own, drive


class Operation(NamedTuple):
    """One use of the public names of a bus."""

    act: Callable[[Bench], object]
    prepare: Callable[[Bench], object]


OPERATIONS: dict[str, Operation] = {}


def nothing(bench: Bench) -> None: ...


def operation(prepare: Callable[[Bench], object] = nothing) -> Callable[[Any], Any]:
    def enter(act: Any) -> Any:
        OPERATIONS[act.__name__] = Operation(act, prepare)
        return act

    return enter


def shares(name: str, make: Callable[[Bench], Any]) -> Callable[[Bench], None]:
    """Return a preparation that makes one thing, which both sides of a pair then share."""

    def prepare(bench: Bench) -> None:
        if name not in bench.shared:
            bench.shared[name] = make(bench)

    return prepare


def unless_closed(bench: Bench) -> AbstractContextManager[None]:
    """Let the one error pass that a closed bus raises when it is to take something new."""
    return suppress(BusClosedError) if bench.shared.get("closes") else nullcontext()


# Publishing


@operation()
def publish(bench: Bench) -> None:
    bench.publish(A)


@operation()
def publish_a_new_type(bench: Bench) -> None:
    bench.publish(Own.FIRST)


@operation()
def emit(bench: Bench) -> None:
    bench.publish(A, lambda of: bench.bus.emit(Event(of)))


@operation()
def publish_async(bench: Bench) -> None:
    bench.publish(A, lambda of: drive(bench.bus.publish_async(of)))


@operation(shares("nesting", lambda bench: bench.subscribe(B, lambda event: bench.publish(A))))
def publish_nested(bench: Bench) -> None:
    bench.publish(B)


@operation(shares("failing", lambda bench: bench.subscribe(FAILING, lambda event: 1 / 0)))
def publish_to_a_failing_handler(bench: Bench) -> None:
    bench.publish(FAILING)


@operation(shares("once", lambda bench: bench.subscribe(A, once=True)))
def publish_to_a_once_handler(bench: Bench) -> None:
    bench.publish(A)
    assert bench.shared["once"].ids or bench.bus.closed or bench.shared.get("holds")


@operation(lambda bench: bench.shared.update(holds=True))
def publish_while_paused(bench: Bench) -> None:
    with bench.bus.paused():
        bench.publish(A)


@operation(shares("dropping", lambda bench: bench.add_step(drops=UNWANTED)))
def publish_what_is_dropped(bench: Bench) -> None:
    bench.publish(UNWANTED)


@operation()
def publish_in_a_new_scope(bench: Bench) -> None:
    with unless_closed(bench):
        scope = ScopedEventBus(bench.bus, "scope")
        event_id = bench.publish(A, scope.publish)
        if event_id:
            assert [event.id for event in scope.history] == [event_id]
        scope.close()
        assert scope.closed


# Subscribing


@operation()
def subscribe(bench: Bench) -> None:
    with unless_closed(bench):
        handler = bench.subscribe(A)
        handler.due.append(bench.publish(A))


@operation()
def subscribe_to_everything(bench: Bench) -> None:
    with unless_closed(bench):
        handler = bench.subscribe(None, priority=1)
        assert handler.token() or bench.bus.closed
        handler.ended = True
        assert bench.publish(A) not in handler.ids


@operation()
def subscribe_under_a_name(bench: Bench) -> None:
    with unless_closed(bench):
        bench.subscribe(A, name="the one").ended = None


@operation()
def connect_to_the_signal(bench: Bench) -> None:
    with unless_closed(bench):
        signal = bench.bus.get_signal(Own.SECOND)
        handler = Handler()
        bench.strangers.append(handler)
        function = handler.handle
        signal.connect(function)
        assert signal is bench.bus.get_signal(Own.SECOND)
        signal.disconnect(function)
        assert bench.publish(Own.SECOND) not in handler.ids


@operation(shares("leaving", lambda bench: bench.subscribe(A)))
def unsubscribe(bench: Bench) -> None:
    leaving = bench.shared["leaving"]
    leaving.ended = True
    bench.answers["unsubscribed"].append(leaving.token())
    assert bench.publish(A) not in leaving.ids


@operation(shares("resting", lambda bench: bench.subscribe(A)))
def pause_and_resume(bench: Bench) -> None:
    resting = bench.shared["resting"]
    resting.token.pause()
    event_id = bench.publish(A)
    assert event_id not in resting.ids or bench.shared["twice"]
    resting.token.resume()


def _owned(bench: Bench) -> list[Handler]:
    """Subscribe the method of an object that nothing but the list returned keeps alive; its books live on."""
    owner, books = Handler(), Handler()
    books.token, books.ids, books.ended = bench.bus.subscribe(A, owner.handle), owner.ids, True
    bench.handlers.append(books)
    return [owner]


@operation(shares("owners", _owned))
def let_an_owner_die(bench: Bench) -> None:
    owners = bench.shared["owners"]
    if owners:
        ids = owners[-1].ids
        owners.clear()
        assert bench.publish(A) not in ids or bench.shared["twice"]


@operation()
def stream(bench: Bench) -> None:
    with unless_closed(bench):
        events = bench.bus.stream(A)
        bench.listen_to(events)
        bench.publish(A)
        events.close()


# Middleware


@operation()
def add_middleware(bench: Bench) -> None:
    with unless_closed(bench):
        step = bench.add_step()
        event_id = bench.publish(A)
        assert not event_id or step.ids.count(event_id) == 1


@operation()
def replace_middleware(bench: Bench) -> None:
    with unless_closed(bench):
        bench.add_step(name="gate").removed = None


@operation(shares("switched", lambda bench: bench.add_step()))
def switch_middleware_off_and_on(bench: Bench) -> None:
    step = bench.shared["switched"]
    step.entry.enabled = False
    event_id = bench.publish(A)
    assert event_id not in step.ids or bench.shared["twice"]
    step.entry.enabled = True


@operation(shares("leaving step", lambda bench: bench.add_step()))
def remove_middleware(bench: Bench) -> None:
    step = bench.shared["leaving step"]
    step.removed = True
    bench.answers["removed"].append(step.entry())
    assert bench.publish(A) not in step.ids


# Reading, clearing, closing


@operation()
def read_the_history(bench: Bench) -> None:
    history = bench.bus.history
    numbers = [event.seq for event in history]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))] if numbers else True
    latest = [event.seq for event in history.latest(3)]
    assert latest == sorted(latest)
    assert history.dropped == 0


@operation()
def clear_the_history(bench: Bench) -> None:
    bench.cleared = True
    bench.bus.history.clear()


@operation()
def read_the_statistics(bench: Bench) -> None:
    stats = bench.bus.stats()
    assert sum(stats.by_type.values()) == stats.accepted
    assert bench.cleared or stats.kept == stats.accepted


@operation()
def read_the_subscriptions(bench: Bench) -> None:
    subscriptions = bench.bus.subscriptions()
    assert len(set(subscriptions)) == len(subscriptions)
    assert str(bench.bus.explain(A)) and repr(bench.bus)


@operation()
def read_the_counts(bench: Bench) -> None:
    calls = bench.steady.token.calls
    assert 0 <= calls <= bench.steady.token.calls
    assert all(step.entry.stats.seen >= 0 and repr(step.entry) for step in bench.steps)


@operation(lambda bench: bench.shared.update(closes=True))
def close(bench: Bench) -> None:
    bench.bus.close()
    assert bench.publish(A) == "", "a closed bus took an event"
