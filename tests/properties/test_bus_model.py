"""A bus does what a bus written as plainly as possible does, whatever is done with it in whatever order."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from atlas_lab import BusClosedError, Event, EventBus, EventType, ScopedEventBus

A, B, C = EventType.AGENT_STARTED, EventType.STREAM_CHUNK, EventType.TASK_SUBMITTED
ERROR = EventType.HANDLER_ERROR
NESTED = {A: B, B: C}  # what a nesting handler publishes on an event of a type; C ends the chain
types = st.sampled_from([A, B, C])
sources = st.sampled_from([None, "x", "y"])


@dataclass
class Listener:
    """What the model knows of a subscription."""

    number: int
    types: tuple[Enum, ...]
    priority: int
    source: str | None
    once: bool
    kind: str
    bus: int
    token: Any = None
    active: bool = True
    paused: bool = False
    calls: int = 0
    errors: int = 0


@dataclass
class Filter:
    """What the model knows of a middleware entry."""

    drops: Enum
    entry: Any
    bus: int
    enabled: bool = True
    seen: int = 0
    dropped: int = 0


@dataclass
class Model:
    """One bus of the model."""

    accepted: list[tuple[Enum, str | None]] = field(default_factory=list)
    dead_letters: int = 0
    closed: bool = False


class Owner:
    """Holds a handler that the bus must not keep alive."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def handle(self, event: Event[Any]) -> None:
        self.call(event)


class BusMachine(RuleBasedStateMachine):
    """A bus (0) with a scope (1) beside their model; both write down who was called with what."""

    make_bus = EventBus
    listeners = Bundle("listeners")
    filters = Bundle("filters")

    @initialize()
    def make(self) -> None:
        root = self.make_bus(history_limit=None)
        self.buses = [root, ScopedEventBus(root, "scope", history_limit=None)]
        self.models = [Model(), Model()]
        self.made = 0
        self.members: list[Listener] = []
        self.entries: list[list[Filter]] = [[], []]
        self.removed: list[Filter] = []
        self.owners: dict[int, Owner] = {}
        self.got: list[tuple[int, Enum, str | None]] = []
        self.expected: list[tuple[int, Enum, str | None]] = []
        logging.getLogger("atlas_lab").setLevel(logging.CRITICAL + 1)

    def teardown(self) -> None:
        logging.getLogger("atlas_lab").setLevel(logging.NOTSET)

    # What is done

    @rule(
        target=listeners,
        bus=st.integers(0, 1),
        of=st.one_of(st.just(()), types.map(lambda one: (one,)), st.just((A, C))),
        priority=st.integers(-1, 1),
        source=sources,
        once=st.booleans(),
        kind=st.sampled_from(["plain", "failing", "nesting", "weak"]),
    )
    def subscribe(self, bus, of, priority, source, once, kind):
        self.made += 1
        member = Listener(self.made, of, priority, source, once, kind, bus)

        def handle(event: Event[Any]) -> None:
            if event.type is ERROR:
                return
            self.got.append((member.number, event.type, event.source))
            if kind == "failing":
                raise RuntimeError("as agreed")
            if kind == "nesting" and event.type in NESTED:
                self.buses[bus].publish(NESTED[event.type], source="x")

        handler: Any = handle
        if kind == "weak":
            self.owners[member.number] = Owner(handle)
            handler = self.owners[member.number].handle
        wanted = list(of) or [A, B, C]
        if self.models[bus].closed:
            try:
                self.buses[bus].subscribe(wanted, handler)
            except BusClosedError:
                member.active = False
                return member
            raise AssertionError("a closed bus took a subscription")
        member.types = tuple(wanted)
        member.token = self.buses[bus].subscribe(wanted, handler, priority=priority, source=source, once=once)
        self.members.append(member)
        return member

    @rule(member=listeners)
    def unsubscribe(self, member):
        if member.token is not None:
            assert member.token() is member.active
            member.active = False

    @rule(member=listeners, paused=st.booleans())
    def pause(self, member, paused):
        if member.token is not None:
            (member.token.pause if paused else member.token.resume)()
            if member.active:
                member.paused = paused

    @rule(member=listeners)
    def let_owner_die(self, member):
        if self.owners.pop(member.number, None) is not None:
            member.active = False

    @rule(target=filters, bus=st.integers(0, 1), drops=types)
    def add_middleware(self, bus, drops):
        made = Filter(drops, None, bus)
        if not self.models[bus].closed:
            made.entry = self.buses[bus].add_middleware(lambda event: None if event.type is drops else event)
            self.entries[bus].append(made)
        return made

    @rule(made=filters, enabled=st.booleans())
    def switch(self, made, enabled):
        if made.entry is not None:
            made.entry.enabled = made.enabled = enabled

    @rule(made=consumes(filters))
    def remove_middleware(self, made):
        if made.entry is not None:
            assert made.entry() is True
            self.entries[made.bus].remove(made)
            self.removed.append(made)

    @rule(bus=st.integers(0, 1), of=types, source=sources)
    def publish(self, bus, of, source):
        if self.models[bus].closed:
            try:
                self.buses[bus].publish(of, source=source)
            except BusClosedError:
                return
            raise AssertionError("a closed bus took an event")
        self.buses[bus].publish(of, source=source)
        self.model_publish(bus, of, source)

    @rule(of=types, source=sources)
    def publish_while_paused(self, of, source):
        """What is held is delivered at the end of the block, as if it were published then."""
        if self.models[0].closed:
            return
        with self.buses[0].paused():
            before = list(self.got)
            self.buses[0].publish(of, source=source)
            assert self.got == before
        self.model_publish(0, of, source)

    @rule(bus=st.integers(0, 1), chance=st.integers(0, 9))
    def close(self, bus, chance):
        """Seldom, for there is not much to be seen afterwards; a bus that closes closes its scope."""
        if chance != 9:
            return
        self.buses[bus].close()
        for place in range(bus, 2):
            self.models[place].closed = True
        for member in self.members:
            if member.bus >= bus:
                member.active = False

    # What the model makes of it

    def model_publish(self, bus: int, of: Enum, source: str | None) -> None:
        for made in self.entries[bus]:
            if not made.enabled:
                continue
            made.seen += 1
            if made.drops is of:
                made.dropped += 1
                return
        model = self.models[bus]
        model.accepted.append((of, source))
        receivers = [
            one for one in self.members if one.bus == bus and one.active and not one.paused and of in one.types
        ]
        if not receivers:
            model.dead_letters += 1
        for member in sorted(receivers, key=lambda one: (-one.priority, one.number)):
            if not member.active or (member.source is not None and member.source != source):
                continue
            if member.once:
                member.active = False
            member.calls += 1
            self.expected.append((member.number, of, source))
            if member.kind == "failing":
                member.errors += 1
                self.model_error(bus)
            if member.kind == "nesting" and of in NESTED:
                self.model_publish(bus, NESTED[of], "x")
        if bus == 1:
            self.model_publish(0, of, source)

    def model_error(self, bus: int) -> None:
        """A report goes the same way; here no middleware drops it and no handler listens to it."""
        for place in range(bus, -1, -1):
            for made in self.entries[place]:
                made.seen += made.enabled
            self.models[place].accepted.append((ERROR, None))
            self.models[place].dead_letters += 1

    # What must hold

    @invariant()
    def the_same_handlers_were_called_in_the_same_order(self):
        assert self.got == self.expected

    @invariant()
    def the_same_events_are_in_the_histories(self):
        for bus, model in zip(self.buses, self.models, strict=True):
            assert [event.type for event in bus.history] == [of for of, _ in model.accepted]
            assert [event.seq for event in bus.history] == list(range(1, len(model.accepted) + 1))
            stats = bus.stats()
            assert stats.accepted == len(model.accepted)
            assert sum(stats.dead_letters.values()) == model.dead_letters

    @invariant()
    def the_tokens_and_entries_count_the_same(self):
        for member in self.members:
            assert (member.token.calls, member.token.errors) == (member.calls, member.errors)
            if member.kind != "weak":
                assert member.token.active is member.active
        for made in [one for entries in self.entries for one in entries]:
            stats = made.entry.stats
            assert (stats.seen, stats.dropped) == (made.seen, made.dropped)
        active = [one for one in self.members if one.active]
        assert sum(len(bus.subscriptions()) for bus in self.buses) == len(active)


HALF_OF_THE_RUNS = settings(
    max_examples=5 * settings.default.max_examples,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class HoldsOwners(EventBus):
    """A bus that keeps the objects alive whose methods are its handlers."""

    def subscribe(self, *args: Any, **options: Any) -> Any:
        return super().subscribe(*args, **{**options, "weak": False})


class HasNoPriorities(EventBus):
    """A bus that calls handlers as they were subscribed."""

    def subscribe(self, *args: Any, priority: int = 0, **options: Any) -> Any:
        return super().subscribe(*args, **options)


class DropsNested(EventBus):
    """A bus that takes nothing from a handler of its own."""

    _inside = False

    def publish(self, *fields: Any, **more: Any) -> str:
        if self._inside:
            return ""
        self._inside = True
        try:
            return super().publish(*fields, **more)
        finally:
            self._inside = False


class StaysOpen(EventBus):
    """A bus whose end is no end."""

    def close(self) -> None:
        for scope in self.scopes:
            scope.close()
        for token in self.subscriptions():
            token()


class SwitchesLate(EventBus):
    """A bus whose middleware, once added, runs for good."""

    def add_middleware(self, function: Any, **options: Any) -> Any:
        super().add_middleware(lambda event: function(event) and event, **options)
        return super().add_middleware(lambda event: event)


@pytest.mark.parametrize("broken", [HoldsOwners, HasNoPriorities, DropsNested, StaysOpen, SwitchesLate])
def test_a_bus_that_differs_from_the_model_is_found(broken):
    """Control: a bus that does one thing otherwise is told from the model, sooner than a bus that does not differ would have passed."""
    machine = type("BrokenMachine", (BusMachine,), {"make_bus": broken})
    the_same_each_time = settings(
        HALF_OF_THE_RUNS,
        max_examples=500,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(machine, settings=the_same_each_time)


class TestBusMachine(BusMachine.TestCase):
    settings = HALF_OF_THE_RUNS


class TestBusMachineAgain(BusMachine.TestCase):
    """The other half, a test of its own: none is to take minutes on a busy machine."""

    settings = HALF_OF_THE_RUNS
