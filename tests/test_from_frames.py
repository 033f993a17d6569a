"""from_frame: what to_frame made comes back, from memory and from Parquet."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from enum import Enum, IntEnum

import pandas as pd
import pytest

from atlas_lab import Event, EventBus, EventType, concat_frames, load_quakes, read_parquet, to_frame, write_parquet
from atlas_lab.datasets import QuakeEvent
from atlas_lab.from_frames import from_frame


class Order(Enum):
    PLACED = "placed"
    PAID = "paid"


class Level(IntEnum):
    LOW = 0  # falsy, and a type all the same


def recorded():
    """A history with everything: causes, own types, missing sources, metadata, and times with all their digits."""
    chance = random.Random(1)
    bus = EventBus(name="run", history_limit=None, clock=lambda: 1.7e9 + chance.random() * 1e5)

    @bus.on(Order.PLACED)
    def pay(event):
        bus.publish(Order.PAID, {"for": event.data}, "till", {"by": ("card", 1)})

    for number in range(50):
        bus.publish(chance.choice([Order.PLACED, EventType.STREAM_CHUNK, Level.LOW]), {"n": number})
    bus.publish(EventType.SYSTEM_INIT)
    return list(bus.history)


def test_events_come_back_as_they_were():
    """Every field, to the last bit of the time: a replay of a frame is a replay of the history."""
    events = recorded()
    assert from_frame(to_frame(events), types=[Order, Level]) == events
    quakes = load_quakes()
    again = from_frame(to_frame(quakes), types=QuakeEvent)
    assert again == quakes
    assert again[0].data is quakes[0].data


def test_events_come_back_from_parquet(tmp_path):
    """Recorded on one day and replayed on another, in another process."""
    events = recorded()
    write_parquet(to_frame(events), tmp_path / "run.parquet")
    assert from_frame(read_parquet(tmp_path / "run.parquet"), types=[Order, Level]) == events


def test_a_frame_may_be_filtered_sorted_and_added_to():
    """What people do to a frame before they replay it."""
    events = recorded()
    frame = to_frame(events, run="a").assign(minute=0)
    some = frame[frame["type"] == "Order.PAID"].sort_values("seq", ascending=False).set_index("event_id", drop=False)
    expected = [event for event in reversed(events) if event.type is Order.PAID]
    assert from_frame(some, types=Order) == expected
    both = concat_frames([frame, to_frame(events, run="b")])
    assert from_frame(both, types=[Order, Level]) == [*events, *events]
    assert from_frame(frame[:0]) == []


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_read_in_any_unit(unit):
    """A frame from elsewhere may keep seconds or microseconds."""
    frame = to_frame(
        [Event(EventType.SYSTEM_INIT, timestamp=1.7e9 + 1), Event(EventType.SYSTEM_INIT, timestamp=math.nan)]
    )
    frame["timestamp"] = frame["timestamp"].dt.as_unit(unit).dt.tz_convert("Asia/Tokyo")
    first, second = from_frame(frame)
    assert first.timestamp == 1.7e9 + 1
    assert math.isnan(second.timestamp)


def test_what_a_frame_lacks_is_left_empty():
    """A frame without payloads still tells what happened when, and in what order."""
    events = recorded()
    bare = from_frame(to_frame(events, data="drop")[["type", "event_id", "timestamp"]], types=[Order, Level])
    assert [(event.type, event.id, event.timestamp) for event in bare] == [
        (event.type, event.id, event.timestamp) for event in events
    ]
    assert {(event.data, event.source, event.parent_id, event.scope, event.seq) for event in bare} == {
        (None, None, None, None, 0)
    }


@pytest.mark.parametrize(
    "change, types, error, message",
    [
        (lambda frame: frame, (), ValueError, r"'Order.PLACED' in row 0 is not known; .* types=\[Order\]"),
        (lambda frame: frame, [3], TypeError, "types must be an Enum class, or several, got int 3"),
        (lambda frame: frame, Order.PAID, TypeError, "types must be an Enum class"),
        (lambda frame: frame, ["Order"], TypeError, "types must be an Enum class, or several, got str 'Order'"),
        (lambda frame: frame.drop(columns=["type", "event_id"]), Order, ValueError, "lack the column type, event_id"),
        (
            lambda frame: frame.assign(timestamp=1.5),
            Order,
            ValueError,
            "timestamp must be a column of times, .* float64",
        ),
        (lambda frame: frame.assign(type="PLACED"), Order, ValueError, r"'PLACED' in row 0 .* types=\[MyEnum\]"),
        (lambda frame: frame.assign(type=None), Order, ValueError, "None in row 0 is not known|nan in row 0"),
    ],
)
def test_what_cannot_be_read_is_told(change, types, error, message):
    """An unknown type is named with the argument to pass; a frame of something else says what it lacks."""
    frame = to_frame([Event(Order.PLACED, {"n": 1})])
    with pytest.raises(error, match=message):
        from_frame(change(frame), types)


def test_flattened_payloads_are_refused():
    """What was flattened cannot be put together again: a missing key and a missing value look alike."""
    frame = to_frame([Event(Order.PLACED, {"n": 1}), Event(Order.PLACED, {"m": 1})], data="expand")
    with pytest.raises(ValueError, match=r"got them flattened to data\.n .* data='keep'"):
        from_frame(frame, Order)


def test_reading_a_frame_loads_nothing():
    """The core stays light: replay of a list never touches pandas."""
    program = (
        "import sys, atlas_lab.from_frames, atlas_lab.replaying; print({'pandas', 'numpy', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_payloads_are_not_copied():
    """As in to_frame: a model or an array in a payload is the one that was published."""
    payload = pd.Series([1, 2])
    (event,) = from_frame(to_frame([Event(EventType.SYSTEM_METRIC, payload)]))
    assert event.data is payload
