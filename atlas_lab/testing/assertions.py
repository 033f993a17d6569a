"""Assertions about what was published; one that fails shows what was published instead, nearest miss first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol, TypeAlias

from atlas_lab.arguments import check_count, check_kind, refuse
from atlas_lab.events import Event

from .failures import event_line, listing, nearest, side_by_side, steps_found, times_said, trouble
from .matching import Matcher, matching
from .published import RecordedBus


class HasHistory(Protocol):
    """A bus, as far as the assertions need one."""

    @property
    def history(self) -> Iterable[Event[Any]]:
        """The latest events, oldest first."""


Recorded: TypeAlias = Iterable[Event[Any]] | HasHistory
"""What can be asked what was published: a `Published`, a bus (for its history), or any events in order."""


def assert_published(
    recorded: Recorded,
    event_type: Enum | Iterable[Enum] | Matcher | None,
    *,
    times: int | None = None,
    source: str | None = None,
    data: object = ...,
    where: Callable[[Event[Any]], object] | None = None,
) -> list[Event[Any]]:
    """Check that an event was published, and return all that are as described, oldest first.

    Parameters
    ----------
    recorded : Published, RecordedBus, bus, or iterable of Event
        Of a bus, what its history holds.
    event_type : Enum, iterable of Enum, Matcher, or None for every type
    times : int, optional
        How often; at least once by default.
    source, data, where
        As in `matching`; not beside a `Matcher`.

    Raises
    ------
    AssertionError
        If it was not published, or not as often; the message lists what was, the nearest first.
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import assert_published, record
    >>> bus = EventBus()
    >>> with record(bus) as published:
    ...     _ = bus.publish(EventType.STREAM_CHUNK, {"text": "to be", "index": 0}, source="model")
    ...     _ = bus.publish(EventType.STREAM_COMPLETED, source="model")
    >>> (event,) = assert_published(published, EventType.STREAM_CHUNK, times=1, data={"index": 0})
    >>> event.data["text"]
    'to be'
    >>> assert_published(published, EventType.STREAM_CHUNK, source="model", data={"text": "or not"})
    Traceback (most recent call last):
    AssertionError: STREAM_CHUNK from 'model' with data {'text': 'or not'} was not published
    <BLANKLINE>
    published, nearest first:
      [0] STREAM_CHUNK from 'model': {'text': 'to be', 'index': 0}
          data['text'] is 'to be', not 'or not'
      [1] STREAM_COMPLETED from 'model'
    """
    __tracebackhide__ = True
    events, lost = _events(recorded)
    if times is not None:
        check_count("times", times, 0)
    if isinstance(event_type, Matcher):
        if source is not None or data is not ... or where is not None:
            raise TypeError("source, data and where are part of a Matcher; give them to matching(...)")
        matcher = event_type
    else:
        matcher = matching(event_type, source=source, data=data, where=where)
    found = [one for one in enumerate(events) if matcher.fits(one[1])]
    if lost and times is not None:
        raise AssertionError(f"how often {matcher} was published cannot be told: {_pushed_out(lost)}")
    if len(found) == times or (found and times is None):
        return [event for _, event in found]
    if times is None or (times == 1 and not found):
        message = f"{matcher} was not published"
    else:
        wanted = f"not {times_said(times)}" if times else "and should not have been"
        message = f"{matcher} was published {times_said(len(found))}, {wanted}"
    if times is not None and len(found) > times:
        message += f":{listing(found)}"
    else:
        message += f"\n({_pushed_out(lost)})" if lost else ""
        message += nearest(enumerate(events), matcher)
    raise AssertionError(message + trouble(events))


def assert_sequence(recorded: Recorded, steps: Iterable[Enum | Matcher], *, strict: bool = False) -> list[Event[Any]]:
    """Check that events were published in this order, and return them.

    Parameters
    ----------
    recorded : Published, RecordedBus, bus, or iterable of Event
        Of a bus, what its history holds.
    steps : iterable of Enum or Matcher
        What has to come one after the other: event types, or what `matching` returns.
    strict : bool, default False
        Whether nothing else may come before, between or after them.

    Raises
    ------
    AssertionError
        If they were not; the message says which step is missing or out of order.
    TypeError, ValueError
        If an argument is not as described, or there are no steps.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import assert_sequence, matching
    >>> bus = EventBus()
    >>> for kind in (EventType.STREAM_STARTED, EventType.STREAM_COMPLETED, EventType.STREAM_CHUNK):
    ...     _ = bus.publish(kind, source="model")
    >>> _ = assert_sequence(bus, [EventType.STREAM_STARTED, matching(EventType.STREAM_CHUNK, source="model")])
    >>> assert_sequence(bus, [EventType.STREAM_STARTED, EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED])
    Traceback (most recent call last):
    AssertionError: step 3, STREAM_COMPLETED, was not published after step 2
    <BLANKLINE>
      step 1, STREAM_STARTED: [0] STREAM_STARTED from 'model'
      step 2, STREAM_CHUNK: [2] STREAM_CHUNK from 'model'
    > step 3, STREAM_COMPLETED: too early, as [1] STREAM_COMPLETED from 'model'
    """
    __tracebackhide__ = True
    check_kind("strict", strict, bool, "True or False")
    events, lost = _events(recorded)
    matchers = _matchers(steps)
    if not strict:
        return _check_subsequence(matchers, events, lost)
    if lost:
        raise AssertionError(f"whether nothing else was published cannot be told: {_pushed_out(lost)}")
    pairs = enumerate(zip(matchers, events, strict=False))
    end = min(len(matchers), len(events))
    first = next((place for place, (step, event) in pairs if not step.fits(event)), end)
    if first == len(matchers) == len(events):
        return events
    if first == len(events):
        message = f"step {first + 1}, {matchers[first]}, was not published"
    elif first == len(matchers):
        message = f"more was published than {len(matchers)} steps"
    else:
        message = f"step {first + 1}, {matchers[first]}, was not what was published there"
    raise AssertionError(f"{message}\n{side_by_side(matchers, events, first)}{trouble(events)}")


def assert_nothing_published(recorded: Recorded, event_type: Enum | Iterable[Enum] | Matcher | None = None) -> None:
    """Check that no event was published, or none of some types.

    Parameters
    ----------
    recorded : Published, RecordedBus, bus, or iterable of Event
        Of a bus, what its history holds.
    event_type : Enum, iterable of Enum, Matcher, or None for every type

    Raises
    ------
    AssertionError
        If one was; the message lists them.
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import assert_nothing_published
    >>> bus = EventBus()
    >>> assert_nothing_published(bus)
    >>> _ = bus.publish(EventType.SYSTEM_HEALTH)
    >>> assert_nothing_published(bus, EventType.AGENT_ERROR)
    >>> assert_nothing_published(bus)
    Traceback (most recent call last):
    AssertionError: an event was published once, and should not have been:
      [0] SYSTEM_HEALTH
    """
    __tracebackhide__ = True
    assert_published(recorded, event_type, times=0)


def _check_subsequence(matchers: list[Matcher], events: list[Event[Any]], lost: int) -> list[Event[Any]]:
    __tracebackhide__ = True
    found: list[tuple[int, Event[Any]]] = []
    for number, step in enumerate(matchers, 1):
        start = found[-1][0] + 1 if found else 0
        one = next((one for one in enumerate(events) if one[0] >= start and step.fits(one[1])), None)
        if one is not None:
            found.append(one)
            continue
        early = next((one for one in enumerate(events[:start]) if one not in found and step.fits(one[1])), None)
        message = f"step {number}, {step}, was not published" + (f" after step {number - 1}" if found else "")
        message += f"\n({_pushed_out(lost)})" if lost else ""
        message += f"\n{steps_found(matchers, found, f'too early, as {event_line(*early)}' if early else 'missing')}"
        if early is None:
            rest = [one for one in enumerate(events) if one[0] >= start]
            message += nearest(rest, step, " after that" if found else "")
        raise AssertionError(message + trouble(events))
    return [event for _, event in found]


def _matchers(steps: object) -> list[Matcher]:
    if isinstance(steps, str | type) or not isinstance(steps, Iterable):
        raise refuse("steps", steps, "a list of event types and what matching(...) returns")
    matchers = [step if isinstance(step, Matcher) else matching(step) for step in steps]
    if not matchers:
        raise ValueError("steps is empty; to check that nothing was published, use assert_nothing_published")
    return matchers


def _events(recorded: object) -> tuple[list[Event[Any]], int]:
    """Return the events, and how many older ones are known to be lost."""
    if isinstance(recorded, RecordedBus):
        recorded = recorded.published
    history = getattr(recorded, "history", recorded)
    expected = "what record(bus) gives, a bus, or events"
    if isinstance(recorded, AbstractContextManager):
        expected += "; use record in a with statement: with record(bus) as published"
    elif isinstance(recorded, Enum | Matcher):
        expected += "; it comes first, what was published after it"
    if not isinstance(history, Iterable):
        raise refuse("recorded", recorded, expected)
    events = list(history)
    strangers = [one for one in events if not isinstance(one, Event)]
    if strangers:
        raise refuse("recorded", recorded, f"{expected} (not {type(strangers[0]).__name__} objects)")
    return events, getattr(history, "dropped", 0)


def _pushed_out(lost: int) -> str:
    older = "an older event" if lost == 1 else f"{lost} older events"
    return f"the history has pushed out {older}; use record(bus), or a larger history_limit"
