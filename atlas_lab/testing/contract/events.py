"""Promises 1 to 3: what an event is, how it is numbered, and what can be its type."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from itertools import count
from types import MappingProxyType
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType, event_type_name, new_event_id

from .forking import in_child
from .making import MakesBuses
from .workers import in_threads, many_switches

A = EventType.AGENT_STARTED
B = EventType.AGENT_STOPPED
FIELDS = ("id", "type", "data", "timestamp", "source", "metadata", "seq", "parent_id", "scope")


class Order(Enum):
    PLACED = "placed"
    PAID = "paid"


class Level(IntEnum):
    PLACED = 1
    PAID = 2


class Topic(StrEnum):
    PLACED = "stream.chunk"
    PAID = "paid"


class Access(Flag):
    PLACED = 1
    PAID = 2


class Mode(IntFlag):
    PLACED = 1
    PAID = 2


class Box(Enum):
    PLACED = ["a list", "cannot be hashed"]
    PAID = {"nor": "can a dict"}


KINDS = (Order, Level, Topic, Access, Mode, Box)

FAMILIES = """
    SYSTEM_INIT SYSTEM_SHUTDOWN SYSTEM_HEALTH SYSTEM_METRIC
    PROVIDER_CREATED PROVIDER_CONNECTED PROVIDER_DISCONNECTED PROVIDER_RESPONSE PROVIDER_ERROR
    AGENT_CREATED AGENT_STARTED AGENT_STOPPED AGENT_TASK_ASSIGNED AGENT_TASK_COMPLETED AGENT_STATE_CHANGED AGENT_ERROR
    STREAM_STARTED STREAM_CHUNK STREAM_PAUSED STREAM_RESUMED STREAM_COMPLETED STREAM_ERROR
    WORKFLOW_STARTED WORKFLOW_NODE_ENTERED WORKFLOW_NODE_EXITED WORKFLOW_COMPLETED WORKFLOW_ERROR
    DOCUMENT_ADDED DOCUMENT_PROCESSED RETRIEVAL_STARTED RETRIEVAL_COMPLETED
    COMMAND_EXECUTED COMMAND_REVERTED COMMAND_FAILED
    STATE_VERSIONED STATE_PROJECTED EFFECT_REQUESTED EFFECT_COMPLETED TASK_SUBMITTED TASK_COMPLETED
    HANDLER_ERROR
"""

REDEFINED = """
from enum import Enum
class Shop(Enum):
    OPENED = "opened"
"""


def run_cell(source: str, **names: Any) -> dict[str, Any]:
    """Run source code as a notebook runs a cell: compiled anew, in a module called __main__."""
    namespace = {"__name__": "__main__", **names}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace


def ways_of_naming_a_type() -> dict[str, Callable[[EventBus, Any], object]]:
    def wait_for(bus: EventBus, value: Any) -> None:
        async def main() -> None:
            bus.wait_for(value)

        asyncio.run(main())

    def stream(bus: EventBus, value: Any) -> None:
        async def main() -> None:
            bus.stream(value)

        asyncio.run(main())

    return {
        "Event": lambda bus, value: Event(value),
        "Event with a scope": lambda bus, value: Event(value, scope="run"),
        "replace": lambda bus, value: Event(A).replace(type=value),
        "publish": lambda bus, value: bus.publish(value),
        "publish_async": lambda bus, value: asyncio.run(bus.publish_async(value)),
        "subscribe": lambda bus, value: bus.subscribe(value, print),
        "subscribe to several": lambda bus, value: bus.subscribe([A, value], print),
        "on": lambda bus, value: bus.on(value)(print),
        "wait_for": wait_for,
        "stream": stream,
        "get_signal": lambda bus, value: bus.get_signal(value),
        "explain": lambda bus, value: bus.explain(value),
        "select": lambda bus, value: bus.history.select(value),
        "event_type_name": lambda bus, value: event_type_name(value),
    }


WAYS = ways_of_naming_a_type()


class EventsContract(MakesBuses):
    # 1. Events

    def test_01_an_event_has_its_fields(self):
        """What an event is made from can be read back from it, and the rest has sensible defaults."""
        event = Event(A, {"task": "plan"}, "planner", {"run": 7})
        assert (event.type, event.data, event.source, event.metadata) == (A, {"task": "plan"}, "planner", {"run": 7})
        assert isinstance(event.id, str)
        assert isinstance(event.timestamp, float)
        assert (event.seq, event.parent_id, event.scope) == (0, None, None)

    def test_01_only_the_type_is_needed(self):
        """An event can be made from its type alone."""
        event = Event(A)
        assert (event.data, event.source, event.metadata) == (None, None, {})

    def test_01_a_published_event_has_its_fields(self):
        """What is passed to publish arrives in the event."""
        bus = self.make_bus()
        event_id = bus.publish(A, {"task": "plan"}, "planner", {"run": 7})
        event = bus.history[-1]
        assert (event.type, event.data, event.source, event.metadata) == (A, {"task": "plan"}, "planner", {"run": 7})
        assert (event.id, event.seq, event.parent_id, event.scope) == (event_id, 1, None, bus.path)

    def test_01_a_payload_is_not_copied(self):
        """Handlers and history get the very payload that was published."""
        bus, got, payload = self.make_bus(), [], {"task": "plan"}
        bus.subscribe(A, lambda event: got.append(event.data))
        bus.publish(A, payload)
        assert got[0] is payload
        assert bus.history[-1].data is payload

    @pytest.mark.parametrize("field", FIELDS)
    def test_01_no_field_can_be_assigned(self, field):
        """No field of an event can be assigned to or deleted, neither of a new one nor of a published one."""
        bus = self.make_bus()
        bus.publish(A, 1)
        for event in (Event(A, 1), bus.history[-1]):
            before = getattr(event, field)
            with pytest.raises(AttributeError):
                setattr(event, field, before)
            with pytest.raises(AttributeError):
                delattr(event, field)
            assert getattr(event, field) == before

    def test_01_no_attribute_can_be_added(self):
        """An event takes no attributes beyond its fields."""
        with pytest.raises(AttributeError):
            Event(A).extra = 1

    @pytest.mark.parametrize(
        "field, value",
        [
            ("id", "0" * 32),
            ("type", B),
            ("data", "new"),
            ("timestamp", 1.5),
            ("source", "new"),
            ("metadata", {"new": 1}),
            ("seq", 7),
            ("parent_id", "1" * 32),
            ("scope", "new"),
        ],
    )
    def test_01_replace_changes_one_field(self, field, value):
        """`replace` returns a copy with that field changed and all others kept; the original stays as it was."""
        event = Event(A, [1], "me", {"old": 1})
        before = {name: getattr(event, name) for name in FIELDS}
        changed = event.replace(**{field: value})
        assert {name: getattr(changed, name) for name in FIELDS} == {**before, field: value}
        assert {name: getattr(event, name) for name in FIELDS} == before

    def test_01_replace_copies_the_metadata(self):
        """A changed copy has a metadata dict of its own, also of one that is given."""
        event, given = Event(A, metadata={"old": 1}), {"new": 1}
        event.replace(data=1).metadata["copy"] = True
        event.replace(metadata=given).metadata["copy"] = True
        assert event.metadata == {"old": 1}
        assert given == {"new": 1}

    def test_01_replace_refuses_what_is_no_field(self):
        """`replace` with a name that is no field is an error."""
        with pytest.raises(TypeError, match="dta"):
            Event(A).replace(dta=1)

    @pytest.mark.parametrize(
        "way",
        [
            lambda bus, metadata: Event(A, metadata=metadata),
            lambda bus, metadata: Event(A, metadata=metadata, scope="run"),
            lambda bus, metadata: bus.history[-1] if bus.publish(A, metadata=metadata) else None,
            lambda bus, metadata: bus.history[-1] if asyncio.run(bus.publish_async(A, metadata=metadata)) else None,
            lambda bus, metadata: bus.history[-1] if bus.emit(Event(A, metadata=metadata)) else None,
        ],
        ids=["Event", "Event with a scope", "publish", "publish_async", "emit"],
    )
    def test_01_metadata_is_a_dict_of_its_own(self, way):
        """However an event is made and from whatever mapping, its metadata is a dict that it shares with nobody."""
        bus = self.make_bus()
        for given in ({"run": 7}, MappingProxyType({"run": 7})):
            event = way(bus, given)
            assert type(event.metadata) is dict
            assert event.metadata == {"run": 7}
            event.metadata["more"] = 1
            assert dict(given) == {"run": 7}
        assert way(bus, None).metadata == {}

    def test_01_events_without_metadata_share_none(self):
        """The empty metadata of one event is not that of another."""
        bus = self.make_bus()
        for _ in range(2):
            bus.publish(A)
        first, second = bus.history
        first.metadata["mine"] = 1
        assert second.metadata == {}
        Event(A).metadata["mine"] = 1
        assert Event(A).metadata == {}

    def test_01_an_emitted_event_keeps_its_metadata_to_itself(self):
        """What happens to the bus's copy of an event does not reach the event that was emitted."""
        bus, event = self.make_bus(), Event(A, metadata={"run": 7})
        bus.emit(event)
        bus.history[-1].metadata["seen"] = True
        assert event.metadata == {"run": 7}

    @pytest.mark.parametrize("metadata", [[("run", 7)], "run", 7])
    def test_01_metadata_must_be_a_mapping(self, metadata):
        """Metadata that is no mapping is refused, by an event and by publish."""
        for make in (Event, self.make_bus().publish):
            with pytest.raises(TypeError, match="metadata must be a mapping"):
                make(A, metadata=metadata)

    @pytest.mark.parametrize("event_type", [A, *(kind.PAID for kind in KINDS)], ids=event_type_name)
    def test_01_an_event_pickles(self, event_type):
        """A published event comes back from a pickle of any protocol with every field as it was."""
        bus = self.make_bus()
        bus.publish(event_type, {"task": ["plan"]}, "planner", {"run": 7})
        event = bus.history[-1]
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(event, protocol))
            assert type(again) is Event
            assert {name: getattr(again, name) for name in FIELDS} == {name: getattr(event, name) for name in FIELDS}

    def test_01_an_event_copies(self):
        """A copy is equal and has its own metadata; a deep copy has its own payload too."""
        event = Event(A, {"task": ["plan"]}, "planner", {"run": [7]})
        shallow, deep = copy.copy(event), copy.deepcopy(event)
        assert shallow == deep == event
        shallow.metadata["more"] = 1
        deep.data["task"].append("act")
        deep.metadata["run"].append(8)
        assert (event.data, event.metadata) == ({"task": ["plan"]}, {"run": [7]})
        assert shallow.data is event.data

    # 2. Ids, numbers and times

    def test_02_an_id_is_a_uuid(self):
        """Ids are strings that uuid.UUID parses, of events made by hand and by a bus."""
        bus = self.make_bus()
        for event_id in (Event(A).id, new_event_id(), bus.publish(A), asyncio.run(bus.publish_async(A))):
            assert isinstance(event_id, str)
            assert uuid.UUID(event_id).int

    def test_02_ids_are_unique_across_threads(self):
        """Threads that publish on one bus, on another, or make events by hand never get the same id."""
        bus, other = self.make_bus(history_limit=0), self.make_bus(history_limit=0)
        makers = [lambda: bus.publish(A), lambda: other.publish(A), lambda: Event(A).id] * 2
        with many_switches():
            ids = in_threads(*[lambda make=make: [make() for _ in range(400)] for make in makers])
        assert len({event_id for made in ids for event_id in made}) == 400 * len(makers)

    def test_02_ids_are_unique_across_processes(self):
        """A process started anew does not repeat ids."""
        bus = self.make_bus()
        code = (
            "from atlas_lab import Event, EventBus, EventType as T;"
            "print(*(Event(T.AGENT_STARTED).id for _ in range(20)), *map(EventBus().publish, [T.AGENT_STARTED] * 20))"
        )
        runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        others = [event_id for run in runs for event_id in run.communicate()[0].split()]
        mine = [event_id for _ in range(20) for event_id in (bus.publish(A), Event(A).id)]
        assert len(others) == 80
        assert len({*mine, *others}) == 120

    def test_02_ids_are_unique_across_forks(self):
        """After a fork, parent and children go on with ids that differ, from the same bus and for new events."""
        bus = self.make_bus()
        bus.publish(A)

        def ids() -> list[str]:
            return [event_id for _ in range(20) for event_id in (bus.publish(A), Event(A).id)]

        made = [event_id for _ in range(3) for event_id in in_child(ids)]
        assert len(made) == 120
        assert len({*made, *ids()}) == 160

    @pytest.mark.parametrize("nested", ["immediate", "queued"])
    def test_02_seq_counts_accepted_events(self, nested):
        """`seq` counts from 1 without gaps in the order of the history, nested and failed publishes included."""
        bus = self.make_bus(nested=nested, history_limit=None)
        bus.add_middleware(lambda event: None if event.data == "drop" else event)
        bus.subscribe(A, lambda event: [bus.publish(B, data) for data in (1, "drop", 2)])
        bus.subscribe(B, lambda event: 1 / 0)
        for data in (1, "drop", 2):
            bus.publish(A, data)
        bus.emit(Event(B, seq=77))
        assert [event.seq for event in bus.history] == list(range(1, len(bus.history) + 1))
        assert len(bus.history) == 12  # 2 A, 5 B, and their 5 errors

    def test_02_handlers_see_the_seq_of_the_history(self):
        """A handler sees the number that the event bears in the history."""
        bus, got = self.make_bus(), []
        bus.subscribe(None, lambda event: got.append((event.seq, event.id)))
        for _ in range(5):
            bus.publish(A)
        assert got == [(event.seq, event.id) for event in bus.history]

    def test_02_a_dropped_event_takes_no_number(self):
        """The event after a dropped one continues the count."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event if event.data else None)
        for data in (1, 0, 0, 1):
            bus.publish(A, data)
        assert [event.seq for event in bus.history] == [1, 2]

    def test_02_clearing_and_pushing_out_keep_the_count(self):
        """Numbering goes on where it was when history forgets events."""
        bus = self.make_bus(history_limit=2)
        for _ in range(5):
            bus.publish(A)
        assert [event.seq for event in bus.history] == [4, 5]
        bus.history.clear()
        bus.publish(A)
        assert [event.seq for event in bus.history] == [6]

    def test_02_middleware_cannot_choose_the_number(self):
        """An event that middleware made from another, or with a number of its own, is numbered like any other."""
        bus = self.make_bus()
        bus.add_middleware(lambda event: event.replace(seq=99) if event.data else Event(A))
        for data in (1, 0, 1):
            bus.publish(A, data)
        assert [event.seq for event in bus.history] == [1, 2, 3]

    def test_02_an_event_from_elsewhere_is_not_renumbered(self):
        """Middleware may answer with an event that exists already: the bus numbers a copy and leaves that one alone."""
        bus, own = self.make_bus(), Event(A)
        bus.publish(B)
        stored = bus.history[0]
        answers = [own, stored]
        bus.add_middleware(lambda event: answers.pop(0))
        bus.publish(A)
        bus.publish(A)
        assert [(event.id, event.seq) for event in bus.history] == [(stored.id, 1), (own.id, 2), (stored.id, 3)]
        assert (own.seq, own.scope, stored.seq) == (0, None, 1)

    def test_02_the_timestamp_comes_from_the_clock(self):
        """Each event, also one published by publish_async, bears the time that the injected clock told."""
        ticks = count(1000.5)
        bus = self.make_bus(clock=lambda: next(ticks))
        bus.publish(A)
        bus.publish(B)
        asyncio.run(bus.publish_async(A))
        assert [event.timestamp for event in bus.history] == [1000.5, 1001.5, 1002.5]

    def test_02_the_timestamp_is_in_seconds_since_the_epoch(self):
        """Without an injected clock, an event bears the present time as time.time tells it."""
        bus = self.make_bus()
        before = time.time()
        bus.publish(A)
        by_hand = Event(A).timestamp
        assert before <= bus.history[-1].timestamp <= by_hand <= time.time()

    def test_02_an_emitted_event_keeps_id_and_time(self):
        """`emit` numbers an event that exists already and leaves its id and time alone."""
        bus = self.make_bus(clock=lambda: 5.0)
        event = Event(A, timestamp=1.0)
        bus.publish(A)
        bus.emit(event)
        accepted = bus.history[-1]
        assert (accepted.id, accepted.timestamp, accepted.seq) == (event.id, 1.0, 2)
        assert event.seq == 0

    # 3. Types

    def test_03_event_type_has_the_families(self):
        """EventType is an Enum of exactly the members that the contract lists."""
        assert issubclass(EventType, Enum)
        assert sorted(EventType.__members__) == sorted(FAMILIES.split())
        assert len(EventType) == len(FAMILIES.split())

    @pytest.mark.parametrize("kind", KINDS)
    def test_03_members_of_any_enum_are_types(self, kind):
        """Members of a user's Enum, of whatever sort, can be published, subscribed to, selected and counted."""
        bus, one, several, decorated = self.make_bus(), [], [], []
        bus.subscribe(kind.PLACED, one.append)
        bus.subscribe([kind.PAID, A], several.append)
        bus.on(kind.PAID)(lambda event: decorated.append(event))  # noqa: PLW0108 - a builtin has no signature
        bus.publish(kind.PLACED, 1)
        bus.publish(kind.PAID, 2)
        bus.publish(A, 3)
        bus.emit(Event(kind.PAID, 4))
        asyncio.run(bus.publish_async(kind.PAID, 5))
        assert [event.data for event in one] == [1]
        assert [event.data for event in several] == [2, 3, 4, 5]
        assert [event.data for event in decorated] == [2, 4, 5]
        assert bus.history[0].type is kind.PLACED
        assert [event.data for event in bus.history.select(kind.PAID)] == [2, 4, 5]
        name = kind.__name__
        assert bus.stats().by_type == {f"{name}.PLACED": 1, f"{name}.PAID": 3, "AGENT_STARTED": 1}

    @pytest.mark.parametrize("kind", KINDS)
    def test_03_members_of_any_enum_can_be_awaited(self, kind):
        """wait_for and stream take members of a user's Enum."""

        async def main() -> list[Any]:
            with self.make_bus() as bus:
                stream = bus.stream([kind.PLACED, kind.PAID])
                waiting = bus.wait_for(kind.PAID, timeout=10)
                bus.publish(kind.PLACED, 1)
                bus.publish(kind.PAID, 2)
                found = [(await waiting).data]
            return found + [event.data async for event in stream]

        assert asyncio.run(main()) == [2, 1, 2]

    @pytest.mark.parametrize("kind", KINDS)
    def test_03_a_users_type_is_named_after_its_class(self, kind):
        """A user's type is shown as ClassName.MEMBER, a core type by its member alone."""
        bus = self.make_bus()
        bus.publish(kind.PAID)
        name = f"{kind.__name__}.PAID"
        assert event_type_name(kind.PAID) == bus.history[-1].type_name == bus.explain(kind.PAID).event_type == name
        assert list(bus.stats().dead_letters) == [name]
        assert event_type_name(A) == "AGENT_STARTED"

    def test_03_equal_values_are_different_types(self):
        """Types of two Enums stay apart although their members are equal by value or name, also to core types."""

        class Mine(Enum):
            STREAM_CHUNK = "stream.chunk"

        bus, got = self.make_bus(), []
        everything = [Level.PLACED, Mode.PLACED, Topic.PLACED, Order.PLACED, Mine.STREAM_CHUNK, EventType.STREAM_CHUNK]
        for event_type in everything:
            bus.subscribe(event_type, lambda event, own=event_type: got.append((own, event.type)))
        for event_type in everything:
            bus.publish(event_type)
        assert [(own.__class__, seen.__class__) for own, seen in got] == [(one.__class__,) * 2 for one in everything]
        assert all(len(bus.history.select(event_type)) == 1 for event_type in everything)

    def test_03_combined_flags_are_a_type_of_their_own(self):
        """A combination of flags is not delivered to who subscribed to one of them."""
        bus, single, both = self.make_bus(), [], []
        bus.subscribe(Access.PAID, single.append)
        bus.subscribe(Access.PAID | Access.PLACED, both.append)
        bus.publish(Access.PAID | Access.PLACED, "both")
        bus.publish(Access.PAID, "single")
        assert [event.data for event in single] == ["single"]
        assert [event.data for event in both] == ["both"]

    def test_03_an_enum_defined_again_is_the_same_type(self):
        """After the cell that defines an Enum ran again, old and new members are one type for every purpose."""
        bus, got = self.make_bus(), []
        old, new = (run_cell(REDEFINED)["Shop"] for _ in range(2))
        assert old.OPENED is not new.OPENED
        bus.subscribe(old.OPENED, lambda event: got.append(("old", event.data)))
        bus.subscribe(new.OPENED, lambda event: got.append(("new", event.data)))
        bus.subscribe([old.OPENED, new.OPENED], lambda event: got.append(("both", event.data)))
        bus.publish(new.OPENED, 1)
        bus.publish(old.OPENED, 2)
        assert got == [(who, data) for data in (1, 2) for who in ("old", "new", "both")]
        assert bus.stats().by_type == {"Shop.OPENED": 2}
        for shop in (old, new):
            assert [event.data for event in bus.history.select(shop.OPENED)] == [1, 2]
            assert len(bus.explain(shop.OPENED).handlers) == 3
        assert bus.get_signal(old.OPENED) is bus.get_signal(new.OPENED)

    def test_03_a_subscription_to_an_old_definition_can_be_ended(self):
        """Unsubscribing what was subscribed before an Enum was defined again works."""
        bus, got = self.make_bus(), []
        old, new = (run_cell(REDEFINED)["Shop"] for _ in range(2))
        unsubscribe = bus.subscribe(old.OPENED, got.append)
        bus.publish(new.OPENED)
        assert unsubscribe()
        bus.publish(new.OPENED)
        assert len(got) == 1

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(
        "value, hint",
        [
            ("stream.chunk", "EventType.STREAM_CHUNK"),
            ("STREAM_CHUNK", "EventType.STREAM_CHUNK"),
            ("order placed", "Enum of your own"),
            (7, "Enum of your own"),
            (Order, "Order.PLACED"),
            (EventType, "EventType.SYSTEM_INIT"),
        ],
    )
    def test_03_anything_else_is_refused_with_help(self, way, value, hint):
        """What is no Enum member is a TypeError at the call that says what came and what to pass."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match="must be a member of an Enum") as caught:
            WAYS[way](bus, value)
        assert hint in str(caught.value)
        assert type(value).__name__ in str(caught.value)
        assert (len(bus.history), bus.subscriptions()) == (0, [])

    def test_03_no_seq_switches_the_checks_off(self):
        """An event made by hand is checked whatever number it is given."""
        for seq in (-1, 0, 1, -(2**100)):
            with pytest.raises(TypeError, match="type must be"):
                Event("order placed", seq=seq)

    def test_03_publish_needs_a_type(self):
        """None stands for every type when subscribing, and for none when publishing."""
        bus = self.make_bus()
        with pytest.raises(TypeError, match="must be a member of an Enum, got NoneType"):
            bus.publish(None)
        with pytest.raises(TypeError, match="must be a member of an Enum, got NoneType"):
            Event(None)
