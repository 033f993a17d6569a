"""Promises 23 and 24: what a history keeps, and how it is read."""

from __future__ import annotations

import gc
import re
import weakref
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest

from atlas_lab import Event, EventBus, EventType

from .making import MakesBuses
from .workers import meanwhile

CHUNK = EventType.STREAM_CHUNK
DONE = EventType.STREAM_COMPLETED


class Order(Enum):
    PLACED = "placed"
    PAID = "paid"


def order_enum() -> type[Enum]:
    """Define `Order` once more, as running its cell again would."""

    class Order(Enum):
        PLACED = "placed"

    return Order


def fill(bus: EventBus, count: int) -> None:
    for number in range(1, count + 1):
        bus.publish(CHUNK, number)


class HistoryContract(MakesBuses):
    # -- 23: what is kept

    @pytest.mark.parametrize("limit", [1, 3])
    def test_23_the_latest_events_are_kept_and_the_rest_is_counted(self, limit):
        """A history of n keeps the last n events, oldest first, and tells how many it pushed out."""
        bus = self.make_bus(history_limit=limit)
        fill(bus, 5)
        assert [event.data for event in bus.history] == [1, 2, 3, 4, 5][-limit:]
        assert (len(bus.history), bus.history.limit, bus.history.dropped) == (limit, limit, 5 - limit)

    def test_23_nothing_is_pushed_out_before_the_limit_is_reached(self):
        """A history that is just full has dropped nothing; one event more, and it has dropped one."""
        bus = self.make_bus(history_limit=3)
        fill(bus, 3)
        assert (len(bus.history), bus.history.dropped) == (3, 0)
        fill(bus, 1)
        assert (len(bus.history), bus.history.dropped) == (3, 1)

    def test_23_the_default_is_a_thousand(self):
        """A bus made without a limit keeps a thousand events."""
        bus = self.make_bus()
        fill(bus, 1001)
        assert (len(bus.history), bus.history.limit, bus.history.dropped) == (1000, 1000, 1)
        assert bus.history[0].data == 2

    def test_23_a_limit_of_zero_keeps_nothing(self):
        """Events are still numbered, delivered and counted; none is kept."""
        bus = self.make_bus(history_limit=0)
        seen: list[int] = []
        bus.subscribe(CHUNK, lambda event: seen.append(event.seq))
        fill(bus, 3)
        assert (list(bus.history), len(bus.history), bus.history.dropped) == ([], 0, 3)
        assert seen == [1, 2, 3]
        assert (bus.history.limit, bus.history.accepted) == (0, 3)

    def test_23_no_limit_keeps_all(self):
        """With None nothing is ever pushed out."""
        bus = self.make_bus(history_limit=None)
        fill(bus, 2500)
        assert [event.data for event in bus.history] == list(range(1, 2501))
        assert (bus.history.limit, bus.history.dropped) == (None, 0)

    def test_23_iterating_sees_a_snapshot(self):
        """What is published or cleared while one iterates changes nothing for who iterates already."""
        bus = self.make_bus(history_limit=3)
        fill(bus, 3)
        iterator = iter(bus.history)
        first = next(iterator)
        fill(bus, 3)
        bus.history.clear()
        assert [first.data, *(event.data for event in iterator)] == [1, 2, 3]
        assert list(bus.history) == []

    def test_23_iterating_is_safe_while_four_threads_publish(self):
        """Every pass sees consecutive numbers, each once, and not one read fails."""
        bus = self.make_bus(history_limit=200)
        with meanwhile(lambda: bus.publish(CHUNK), 4):
            for _ in range(200):
                for read in (list, reversed, lambda history: history.select(CHUNK), lambda history: history[:]):
                    numbers = [event.seq for event in read(bus.history)]
                    numbers = numbers[::-1] if read is reversed else numbers
                    assert len(numbers) <= 200
                    assert not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                latest = [event.seq for event in bus.history.latest(10)]
                assert latest == sorted(set(latest))
        assert bus.history.accepted == bus.history.dropped + len(bus.history)

    def test_23_what_is_pushed_out_is_let_go(self):
        """A payload whose event was pushed out is not kept alive by the bus."""

        class Payload:
            pass

        bus = self.make_bus(history_limit=1)
        payload = Payload()
        reference = weakref.ref(payload)
        bus.publish(CHUNK, payload)
        del payload
        assert reference() is not None
        parent = bus.parent_bus
        bus.publish(CHUNK)
        if parent is not None:
            parent.history.clear()
        gc.collect()
        assert reference() is None

    # -- 24: reading it

    def make_story(self) -> EventBus:
        """Return a bus with six events, one a second from time 100 on."""
        seconds = iter(range(100, 10_000))
        bus = self.make_bus(clock=lambda: float(next(seconds)))
        bus.publish(CHUNK, 0, "a")
        bus.publish(DONE, 1, "a")
        bus.publish(Order.PLACED, 2, "b")
        bus.publish(CHUNK, 3, "b")
        bus.publish(Order.PAID, 4)
        bus.publish(CHUNK, 5, "c")
        return bus

    @pytest.mark.parametrize(
        "conditions, expected",
        [
            ({}, [0, 1, 2, 3, 4, 5]),
            ({"type": CHUNK}, [0, 3, 5]),
            ({"type": Order.PLACED}, [2]),
            ({"type": [CHUNK, Order.PAID]}, [0, 3, 4, 5]),
            ({"type": (DONE, DONE)}, [1]),
            ({"type": {EventType.SYSTEM_INIT}}, []),
            ({"source": "a"}, [0, 1]),
            ({"source": ["a", "c"]}, [0, 1, 5]),
            ({"source": "nobody"}, []),
            ({"since": 103}, [3, 4, 5]),
            ({"since": 102.5}, [3, 4, 5]),
            ({"until": 102}, [0, 1]),
            ({"since": 101, "until": 104}, [1, 2, 3]),
            ({"since": 104, "until": 104}, []),
            ({"since": datetime.fromtimestamp(104, UTC)}, [4, 5]),
            ({"until": datetime.fromtimestamp(101, timezone(timedelta(hours=5)))}, [0]),
            ({"where": lambda event: event.data % 2}, [1, 3, 5]),
            ({"type": CHUNK, "source": "b"}, [3]),
            ({"type": CHUNK, "since": 101}, [3, 5]),
            ({"source": ["a", "b"], "until": 103, "where": lambda event: event.data}, [1, 2]),
            (
                {
                    "type": [CHUNK, DONE],
                    "source": ["a", "b"],
                    "since": 101,
                    "until": 105,
                    "where": lambda event: event.data > 1,
                },
                [3],
            ),
        ],
        ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),  # the same in each process of a parallel run
    )
    def test_24_select_gives_the_events_that_meet_every_condition(self, conditions, expected):
        """Type, source, half-open times and predicate restrict alone and together, and order is kept."""
        bus = self.make_story()
        assert [event.data for event in bus.history.select(**conditions)] == expected

    def test_24_select_takes_the_type_first(self):
        """``history.select(EventType.STREAM_CHUNK)`` reads as what it means."""
        assert [event.data for event in self.make_story().history.select(CHUNK)] == [0, 3, 5]

    def test_24_select_knows_a_type_that_was_defined_again(self):
        """An Enum from a cell that was run again still finds the events of the first run."""
        bus = self.make_bus()
        first, second = order_enum(), order_enum()
        bus.publish(first.PLACED)
        assert len(bus.history.select(second.PLACED)) == 1

    def test_24_select_by_scope_takes_the_scopes_below_too(self):
        """A scope's path selects its events and those of the scopes inside it, not those of a namesake's."""
        bus = self.make_bus()
        agent = self.make_scope(bus, "agent")
        tool = self.make_scope(agent, "tool")
        namesake = self.make_scope(bus, "agent-2")
        for number, one in enumerate((bus, agent, tool, namesake)):
            one.publish(CHUNK, number)
        assert [event.data for event in bus.history.select(scope=agent.path)] == [1, 2]
        assert [event.data for event in bus.history.select(scope=tool.path)] == [2]
        assert [event.data for event in bus.history.select(scope="nowhere")] == []
        assert [event.data for event in bus.history.select(CHUNK, scope=agent.path, where=lambda e: e.data > 1)] == [2]

    def test_24_select_looks_once_and_holds_nothing_up(self):
        """A condition may publish; what it publishes is not part of the answer."""
        bus = self.make_story()

        def publish_more(event: Event[Any]) -> bool:
            bus.publish(CHUNK, 99)
            return True

        assert [event.data for event in bus.history.select(where=publish_more)] == [0, 1, 2, 3, 4, 5]
        assert len(bus.history) == 12

    def test_24_select_gives_a_list_of_ones_own(self):
        """Changing what was returned changes nothing in the history."""
        bus = self.make_story()
        bus.history.select().clear()
        assert len(bus.history) == 6

    @pytest.mark.parametrize("argument", ["since", "until"])
    def test_24_a_time_without_a_zone_is_refused(self, argument):
        """A naive datetime would mean something else on every machine; the message says what to write."""
        with pytest.raises(TypeError, match=rf"{argument}.*time zone.*tzinfo=UTC"):
            self.make_story().history.select(**{argument: datetime(2013, 2, 8)})

    @pytest.mark.parametrize(
        "n, expected", [(0, []), (1, [5]), (2, [4, 5]), (6, [0, 1, 2, 3, 4, 5]), (99, [0, 1, 2, 3, 4, 5])]
    )
    def test_24_latest_gives_the_last_n_oldest_first(self, n, expected):
        """``latest(n)`` gives n events, or all if there are fewer."""
        assert [event.data for event in self.make_story().history.latest(n)] == expected

    def test_24_latest_gives_ten_by_default(self):
        """Without a number one sees the last ten."""
        bus = self.make_bus()
        fill(bus, 12)
        assert [event.data for event in bus.history.latest()] == list(range(3, 13))

    def test_24_history_is_indexed_like_a_list(self):
        """Single events, from both ends, and slices with every kind of step."""
        history = self.make_story().history
        assert [history[index].data for index in (0, 2, 5, -1, -6)] == [0, 2, 5, 5, 0]
        for part in (slice(None), slice(1, 3), slice(-2, None), slice(None, None, -2), slice(4, 2), slice(2, 99)):
            assert [event.data for event in history[part]] == list(range(6))[part]
        assert isinstance(history[1:3], list)

    def test_24_history_is_a_sequence(self):
        """Length, membership, counting, looking up and reversing work as for any sequence."""
        bus = self.make_story()
        history = bus.history
        event = history[2]
        assert (len(history), event in history, Event(CHUNK) in history) == (6, True, False)
        assert (history.index(event), history.count(event)) == (2, 1)
        assert [one.data for one in reversed(history)] == [5, 4, 3, 2, 1, 0]
        history.clear()
        assert not history

    @pytest.mark.parametrize("count, index", [(0, 0), (0, -1), (3, 3), (3, -4)])
    def test_24_an_index_that_is_not_there_says_what_there_is(self, count, index):
        """The IndexError tells how many events are held and which one was asked for."""
        bus = self.make_bus()
        fill(bus, count)
        with pytest.raises(IndexError, match=rf"{count} events.*{index}"):
            bus.history[index]

    def test_24_clear_forgets_events_and_goes_on_numbering(self):
        """After `clear` the history is empty, the next event has the next number, and nothing counts as pushed out."""
        bus = self.make_bus(history_limit=3)
        fill(bus, 5)
        bus.history.clear()
        assert (list(bus.history), bus.history.dropped, bus.history.accepted) == ([], 2, 5)
        fill(bus, 1)
        assert [event.seq for event in bus.history] == [6]
        fill(bus, 3)
        assert ([event.seq for event in bus.history], bus.history.dropped) == ([7, 8, 9], 3)

    def test_24_order_in_history_is_the_order_of_numbers(self):
        """``seq`` of the newest event is the count of accepted events, with no gap before it."""
        bus = self.make_story()
        assert [event.seq for event in bus.history] == [1, 2, 3, 4, 5, 6]
        assert bus.history.accepted == 6

    @pytest.mark.parametrize(
        "limit, shown",
        [(None, "<History: 5 events (no limit), 0 pushed out>"), (2, "<History: 2 events (limit 2), 3 pushed out>")],
    )
    def test_24_history_shows_itself(self, limit, shown):
        """In a notebook one sees at a glance how much is kept and how much is gone."""
        bus = self.make_bus(history_limit=limit)
        fill(bus, 5)
        assert repr(bus.history) == shown

    def test_24_history_can_be_read_after_closing(self):
        """Closing a bus ends its work, not its record."""
        bus = self.make_story()
        bus.close()
        assert [event.data for event in bus.history.select(CHUNK)] == [0, 3, 5]
        assert bus.history[-1].data == 5
