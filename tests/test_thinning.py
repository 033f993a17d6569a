"""Thinning: sampling repeats from its seed, limits hold in every window, and nothing repeated gets through."""

from __future__ import annotations

import random
import threading
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atlas_lab.events import Event, EventType
from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.workers import PATIENCE, in_threads, many_switches
from atlas_lab.thinning import dedupe, rate_limit, sample

CHUNK = EventType.STREAM_CHUNK
HEALTH = EventType.SYSTEM_HEALTH


def beat(timestamp: float, event_type: Enum = HEALTH, source: str | None = None) -> Event[Any]:
    return Event(event_type, source=source, timestamp=timestamp)


def passing(middleware: Callable[[Event[Any]], Event[Any] | None], events: list[Event[Any]]) -> list[Event[Any]]:
    kept = []
    for event in events:
        result = middleware(event)
        assert result is None or result is event
        if result is not None:
            kept.append(event)
    return kept


def in_eight_threads(work: Callable[[int], None]) -> None:
    with many_switches():
        in_threads(*[partial(work, number) for number in range(8)])


# sample


@given(rate=st.floats(0, 1), seed=st.one_of(st.integers(), st.text(), st.binary()))
def test_a_seed_keeps_the_same_places(rate, seed):
    """The same rate and seed keep the same places in a stream: those that random.Random draws below the rate."""
    events = [Event(CHUNK, n) for n in range(50)]
    draw = random.Random(seed).random
    expected = [event for event in events if draw() < rate]
    assert passing(sample(rate, seed=seed), events) == expected


def test_an_event_whose_draw_is_the_rate_is_dropped():
    """What is kept is drawn below the rate, so that a rate of 0 keeps nothing, not even a draw of 0."""
    assert sample(random.Random(7).random(), seed=7)(Event(CHUNK)) is None


def test_rates_at_the_ends():
    """A rate of 0 drops every event and a rate of 1 none."""
    events = [Event(CHUNK, n) for n in range(500)]
    assert passing(sample(0), events) == []
    assert passing(sample(1), events) == events


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_the_fraction_kept_is_the_rate(rate):
    """Of many events, the fraction kept is the rate, within five standard deviations."""
    n = 20_000
    kept = len(passing(sample(rate, seed=1), [Event(CHUNK)] * n))
    assert abs(kept - n * rate) < 5 * (n * rate * (1 - rate)) ** 0.5


def test_sampling_some_types_leaves_the_others():
    """Events of types that are not named pass, and do not shift the draws for those that are."""
    chunks = [Event(CHUNK, n) for n in range(50)]
    mixed = [event for chunk in chunks for event in (chunk, Event(HEALTH))]
    kept = passing(sample(0.3, seed=5, types=CHUNK), mixed)
    assert [event for event in kept if event.type is CHUNK] == passing(sample(0.3, seed=5), chunks)
    assert sum(event.type is HEALTH for event in kept) == 50


def test_sampling_in_threads_uses_each_draw_once():
    """Threads share one series of draws: however they interleave, as many events are kept as in one thread."""
    thin, kept = sample(0.3, seed=9), Counter()

    def work(number):
        kept[number] = len(passing(thin, [Event(CHUNK)] * 2_000))

    in_eight_threads(work)
    assert kept.total() == len(passing(sample(0.3, seed=9), [Event(CHUNK)] * 16_000))


# rate_limit


TIMES = st.lists(st.floats(0, 20, allow_subnormal=False), max_size=60)


@given(times=TIMES.map(sorted), max_events=st.integers(1, 4), per=st.sampled_from([0.5, 1.0, 3.0]))
def test_the_limit_is_exact(times, max_events, per):
    """An event passes exactly if fewer than max_events passed in the window before it."""
    expected: list[float] = []
    for now in times:
        if sum(now - then < per for then in expected) < max_events:
            expected.append(now)
    kept = [event.timestamp for event in passing(rate_limit(max_events, per), [beat(t) for t in times])]
    assert kept == expected


@given(moves=st.lists(st.floats(-1, 1), max_size=80), max_events=st.integers(1, 4))
def test_time_that_trembles_does_not_beat_the_limit(moves, max_events):
    """With time running back by less than the window, no window of the time reached so far holds too many."""
    limit, now, furthest, passed = rate_limit(max_events, 1.0), 100.0, 0.0, []
    for move in moves:
        now = max(now + move, furthest - 0.99)
        furthest = max(furthest, now)
        if limit(beat(now)):
            passed.append(furthest)
    assert all(later - earlier >= 0.009 for earlier, later in zip(passed, passed[max_events:], strict=False))
    stamps = rate_limit(max_events, 1.0)
    assert sum(stamps(beat(100 - step / 100)) is not None for step in range(99)) == max_events


def test_time_set_back_starts_over():
    """A clock set back by more than the window opens the limit again, instead of keeping it shut until then."""
    limit = rate_limit(1, per=10)
    assert limit(beat(5000.0))
    assert limit(beat(4995.0)) is None
    assert limit(beat(100.0))
    assert limit(beat(105.0)) is None
    assert limit(beat(110.0))
    assert limit(beat(100.0)) is None, "set back by the window itself, time stands still"


def test_keys_are_limited_one_by_one():
    """Each event type has its own limit, or each value of the key that was given."""
    first = [beat(0, HEALTH, "a"), beat(0, CHUNK, "a"), beat(0, HEALTH, "b"), beat(0, CHUNK, "b")]
    assert passing(rate_limit(1), first) == first[:2]
    assert passing(rate_limit(1, key=lambda event: event.source), first) == [first[0], first[2]]


def test_types_that_are_not_limited_pass():
    """With types, other events pass uncounted."""
    events = [beat(0, CHUNK), beat(0, HEALTH), beat(0, CHUNK), beat(0, HEALTH)]
    assert passing(rate_limit(1, types=[CHUNK]), events) == [events[0], events[1], events[3]]


def test_an_injected_clock_is_used():
    """With a clock, the events' own timestamps play no part."""
    now = iter([0.0, 0.5, 1.0])
    limit = rate_limit(1, clock=lambda: next(now))
    assert [limit(beat(t)) is not None for t in (7.0, 900.0, 7.0)] == [True, False, True]


def test_the_keys_remembered_are_bounded():
    """Beyond max_keys the least recently used key is forgotten, and the others are not."""
    limit = rate_limit(1, per=100, key=lambda event: event.source, max_keys=2)
    assert [limit(beat(0, source=name)) is not None for name in "abacab"] == [True, True, False, True, False, True]


def test_by_default_1024_keys_are_remembered():
    """That many sources are limited at once; one more makes the oldest start over."""
    limit = rate_limit(1, per=100, key=lambda event: event.source)
    for n in range(1024):
        assert limit(beat(0, source=str(n)))
    assert limit(beat(0, source="0")) is None, "now the most recently used"
    assert limit(beat(0, source="one more"))
    assert limit(beat(0, source="0")) is None
    assert limit(beat(0, source="1"))


def test_threads_cannot_beat_the_limit():
    """However threads interleave, exactly max_events pass for each key in one window."""
    limit, passed = rate_limit(50, key=lambda event: event.source), []

    def work(number):
        for n in range(400):
            event = beat(0, source=str(n % 4))
            if limit(event):
                passed.append(event.source)

    in_eight_threads(work)
    assert Counter(passed) == dict.fromkeys("0123", 50)


# dedupe


@given(keys=st.lists(st.integers(0, 8), max_size=80), size=st.integers(1, 6))
@example(keys=[1, 2, 1, 3, 1, 2], size=2)  # the repeat of 1 keeps it, so 2 is forgotten
def test_dedupe_is_an_lru_of_keys(keys, size):
    """An event is dropped exactly if its key is among the last `size` distinct ones, a repeat counting as use."""
    recent: list[int] = []
    expected = []
    for key in keys:
        if key not in recent:
            expected.append(key)
        recent = [*(other for other in recent if other != key), key][-size:]
    kept = passing(dedupe(lambda event: event.data, size=size), [Event(CHUNK, key) for key in keys])
    assert [event.data for event in kept] == expected


@dataclass
class Order:
    number: int
    items: list[int]


class Item(msgspec.Struct):
    names: list[str]


class Unhashable:
    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return isinstance(other, Unhashable) and self.n == other.n

    __hash__ = None


@pytest.mark.parametrize(
    "make, other",
    [
        (lambda: {"a": [1, {"b": {2, 3}}], "c": None}, {"a": [1, {"b": {2, 4}}], "c": None}),
        (lambda: OrderedDict(a=1), {"a": 1}),
        (lambda: [1], [True]),
        (lambda: (1, [2]), [1, [2]]),
        (lambda: 1, 1.0),
        (lambda: {1: "x"}, {True: "x"}),
        (lambda: frozenset({1}), {1}),
        (lambda: Order(1, [2]), Order(1, [3])),
        (lambda: Item(["a"]), Item(["b"])),
        (lambda: array("d", range(5000)), array("d", [*range(2500), -1, *range(2501, 5000)])),
        (lambda: bytearray(b"abc"), bytearray(b"abd")),
        (lambda: Unhashable(1), Unhashable(2)),
        (lambda: "text", b"text"),
    ],
)
def test_payloads_are_compared_by_type_and_content(make, other):
    """Equal payloads made twice are repeats, hashable or not; another content or type is not."""
    once = dedupe()
    assert [once(Event(CHUNK, data)) is not None for data in (make(), make(), other)] == [True, False, True]


@pytest.mark.parametrize(
    "hold", [lambda part: part, lambda part: Order(1, part), Item], ids=["itself", "dataclass", "Struct"]
)
def test_the_order_of_a_dict_does_not_matter(hold):
    """Two dicts with the same entries are the same payload, whatever their order, also in a dataclass or a Struct."""
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert len(passing(dedupe(), [Event(CHUNK, hold(one)), Event(CHUNK, hold(other))])) == 1


def test_type_and_source_make_events_different():
    """Events that differ in type or source are not repeats; id, time and metadata don't count."""
    events = [Event(CHUNK), Event(HEALTH), Event(CHUNK, source="a"), Event(CHUNK, metadata={"n": 1}, timestamp=0.0)]
    assert passing(dedupe(), events) == events[:3]


def test_a_type_defined_again_is_the_same():
    """After a notebook cell that defines an Enum ran again, its events are still repeats."""
    first, again = (Enum("Step", "ONE") for _ in range(2))  # type: ignore[misc]
    assert len(passing(dedupe(), [Event(first.ONE), Event(again.ONE)])) == 1
    assert len(passing(rate_limit(1), [beat(0, first.ONE), beat(0, again.ONE)])) == 1
    assert passing(sample(0, types=first.ONE), [Event(again.ONE)]) == []


def test_payloads_that_cannot_be_compared_ask_for_a_key():
    """A payload that contains itself, or can be neither hashed nor pickled, is a TypeError that asks for a key."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(
        TypeError, match=r"^the payload refers to itself or is nested too deep to be compared; pass a key$"
    ):
        dedupe()(Event(CHUNK, loop))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="refers to itself or is nested too deep"):
        dedupe()(Event(CHUNK, Unhashable(deep)))
    with pytest.raises(TypeError, match=r"Unhashable in the payload .* pass a key"):
        dedupe()(Event(CHUNK, [Unhashable(lambda: None)]))
    assert dedupe(lambda event: event.type_name)(Event(CHUNK, loop))


@pytest.mark.parametrize("make", [dedupe, lambda key: rate_limit(1, key=key)])
def test_a_key_that_cannot_be_hashed(make):
    """A key function that returns a list is named in a TypeError that says what to return."""

    def listed(event):
        return [event.source]

    with pytest.raises(TypeError, match=r"key .*listed must return something hashable, .* got list"):
        make(listed)(Event(CHUNK))


def test_threads_let_each_key_pass_once():
    """However threads interleave, exactly one event of each key passes."""
    once, passed = dedupe(lambda event: event.data), []

    def work(number):
        passed.extend(n for n in range(600) if once(Event(CHUNK, n)))

    in_eight_threads(work)
    assert sorted(passed) == list(range(600))


class Loitering:
    """A key whose hash takes a while: it stands in the middlewares' critical section until told to go on."""

    inside: threading.Event
    go_on: threading.Event
    hashed = 0

    def __hash__(self):
        self.hashed += 1
        if self.hashed == 2:  # the first is the check that it can be hashed
            self.inside.set()
            self.go_on.wait(PATIENCE)
        return 1


@pytest.mark.parametrize("make", [dedupe, lambda key: rate_limit(1, key=key)])
def test_a_fork_finds_the_lock_free(make):
    """A process forked while another thread is inside can use the middleware."""
    loiterer = Loitering()
    loiterer.inside, loiterer.go_on = threading.Event(), threading.Event()
    middleware = make(lambda event: event.data)
    thread = threading.Thread(target=middleware, args=(Event(CHUNK, loiterer),))
    thread.start()
    try:
        assert loiterer.inside.wait(PATIENCE)
        assert in_child(lambda: middleware(Event(CHUNK, "fresh")) is not None)
    finally:
        loiterer.go_on.set()
        thread.join(PATIENCE)


def test_a_signal_handler_inside_may_publish():
    """What interrupts the middleware in its own thread, as a signal handler does, can use it without a deadlock."""
    once = dedupe(lambda event: event.data)
    inner = []

    class Interrupted:
        def __hash__(self):
            inner.append(1)
            if len(inner) == 2:
                assert once(Event(CHUNK, "from the handler"))
            return 1

    finished = threading.Thread(target=once, args=(Event(CHUNK, Interrupted()),), daemon=True)
    finished.start()
    finished.join(PATIENCE)
    assert not finished.is_alive()


# arguments and names


async def later(event):
    return event


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: sample("0.5"), TypeError, "rate must be a number, got str '0.5'"),
        (lambda: sample(True), TypeError, "rate must be a number, got bool"),
        (lambda: sample(1.5), ValueError, "rate must be a probability from 0 to 1, got 1.5"),
        (lambda: sample(float("nan")), ValueError, "rate must be a probability"),
        (lambda: sample(0.5, seed=[1]), TypeError, r"^seed must be an int, float, str, bytes or None, got list \[1\]$"),
        (lambda: sample(0.5, types="chunk"), TypeError, "types must be a member of an Enum"),
        (lambda: sample(0.5, types=[]), ValueError, "types is empty"),
        (lambda: rate_limit(0), ValueError, "max_events must be 1 or more, got 0"),
        (lambda: rate_limit(1.5), TypeError, "max_events must be an int of 1 or more, got float 1.5"),
        (lambda: rate_limit(True), TypeError, "max_events must be an int"),
        (lambda: rate_limit(1, 0), ValueError, "per must be a number of seconds above 0, got 0"),
        (lambda: rate_limit(1, float("inf")), ValueError, "per must be a number of seconds above 0, got inf"),
        (lambda: rate_limit(1, float("nan")), ValueError, "per must be a number of seconds above 0, got nan"),
        (lambda: rate_limit(1, "1s"), TypeError, "per must be a number, got str"),
        (lambda: rate_limit(1, key="source"), TypeError, "key must be a plain function or None, got str 'source'"),
        (lambda: rate_limit(1, clock=5), TypeError, "clock must be a plain function"),
        (lambda: rate_limit(1, max_keys=0), ValueError, "max_keys must be 1 or more"),
        (lambda: dedupe("source"), TypeError, "key must be a plain function"),
        (lambda: dedupe(later), TypeError, "key must be a plain function or None, got an async function"),
        (lambda: dedupe(size=0), ValueError, "size must be 1 or more, got 0"),
        (lambda: dedupe(size=None), TypeError, "size must be an int of 1 or more, got NoneType"),
    ],
)
def test_wrong_arguments(make, error, message):
    """Wrong arguments raise at construction, naming the argument, what came and what is expected."""
    with pytest.raises(error, match=message):
        make()


def by_source(event):
    return event.source


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: sample(0.25), "sample(0.25)"),
        (lambda: sample(0.25, types=[HEALTH, CHUNK]), "sample(0.25, STREAM_CHUNK, SYSTEM_HEALTH)"),
        (lambda: rate_limit(5, 0.5), "rate_limit(5 per 0.5 s)"),
        (lambda: rate_limit(5, types=CHUNK), "rate_limit(5 per 1 s, STREAM_CHUNK)"),
        (dedupe, "dedupe(size=1024)"),
        (lambda: dedupe(by_source, size=2), "dedupe(by_source, size=2)"),
    ],
)
def test_names_tell_how_it_was_made(make, name):
    """Panels and errors show each middleware by a name that tells how it was made."""
    middleware = make()
    assert (middleware.__name__, middleware.__qualname__) == (name, name)
