"""What a failed assertion shows: what was published instead, nearest miss first, and which handlers failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atlas_lab.events import Event, EventType

from .matching import Matcher, shown

_ROWS = 10


def times_said(times: int) -> str:
    """Return how often, in words."""
    return "once" if times == 1 else f"{times} times"


def event_line(position: int, event: Event[Any]) -> str:
    """Return an event as one line, with its index in what was published."""
    scope = f" in {event.scope}" if event.scope and "/" in event.scope else ""
    source = "" if event.source is None else f" from {event.source!r}"
    payload = _failure(event) or ("" if event.data is None else shown(event.data))
    return f"[{position}] {event.type_name}{scope}{source}{payload and f': {payload}'}"


def listing(events: Iterable[tuple[int, Event[Any]]]) -> str:
    """Return events as lines, not too many."""
    return "".join(_some([f"\n  {event_line(position, event)}" for position, event in events]))


def nearest(events: Iterable[tuple[int, Event[Any]]], matcher: Matcher, when: str = "") -> str:
    """Return events, those first that lack least to be as expected, with what they lack, under a headline."""
    judged = [
        (not matcher.takes(event), matcher.misses(event), position, event)
        for position, event in events
        if matcher.takes(event) or not _failure(event)  # those are told apart, see `trouble`
    ]
    judged.sort(key=lambda one: (one[0], len(one[1])))
    lines = []
    for other_type, misses, position, event in judged:
        notes = misses
        if other_type:
            alike = len(misses) == 1 and (matcher.source is not None or matcher.data is not ...)
            notes = ["only its type is another"] if alike else []
        lines.append("".join([f"\n  {event_line(position, event)}", *(f"\n      {note}" for note in notes)]))
    return (
        f"\n\npublished{when}, nearest first:{''.join(_some(lines))}"
        if lines
        else f"\n\nnothing else was published{when}"
    )


def steps_found(steps: Sequence[Matcher], found: Sequence[tuple[int, Event[Any]]], missing: str) -> str:
    """Return which event is which step, up to the first that is missing, with what is to be said of that one."""
    lines = [
        f"\n  step {number}, {step}: {event_line(*one)}"
        for number, (step, one) in enumerate(zip(steps, found, strict=False), 1)
    ]
    lines.append(f"\n> step {len(found) + 1}, {steps[len(found)]}: {missing}")
    return "".join(lines[-_ROWS:])


def side_by_side(steps: Sequence[Matcher], events: Sequence[Event[Any]], first: int) -> str:
    """Return steps and events that should be the same, around the first place where they are not."""
    lines = []
    for place in range(max(0, first - _ROWS // 2), min(max(len(steps), len(events)), first + _ROWS // 2)):
        step = f"step {place + 1}, {steps[place]}" if place < len(steps) else "no step"
        event = event_line(place, events[place]) if place < len(events) else "nothing"
        lines.append(f"\n{'>' if place == first else ' '} {step}: {event}")
        if place == first and place < min(len(steps), len(events)) and steps[place].takes(events[place]):
            lines += [f"\n      {miss}" for miss in steps[place].misses(events[place])]
    return "".join(lines)


def trouble(events: Iterable[Event[Any]]) -> str:
    """Return what handlers failed with, which is often why something was not published."""
    failures = Counter(filter(None, map(_failure, events)))
    lines = [f"\n  {text}" + (f" ({times_said(times)})" if times > 1 else "") for text, times in failures.items()]
    return f"\n\nhandlers failed meanwhile:{''.join(_some(lines))}" if lines else ""


def _failure(event: Event[Any]) -> str:
    """Return what a HANDLER_ERROR of a bus says, in short; "" for any other event."""
    report = event.data
    if event.type is not EventType.HANDLER_ERROR or not isinstance(report, Mapping) or "handler" not in report:
        return ""
    return f"{report['handler']} failed on {report.get('event_type')}: {report.get('summary')}"


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _ROWS else [*lines[:_ROWS], f"\n  and {len(lines) - _ROWS} more"]
