"""What a failed assertion shows: what was published instead, nearest miss first, and which handlers failed."""

from __future__ import annotations

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
    scope = f" in {event.scope}" if event.scope else ""
    source = "" if event.source is None else f" from {event.source!r}"
    return f"[{position}] {event.type_name}{scope}{source}: {shown(event.data)}"


def listing(events: Iterable[tuple[int, Event[Any]]]) -> str:
    """Return events as lines, not too many."""
    lines = [f"\n  {event_line(position, event)}" for position, event in events]
    return "".join(_some(lines))


def nearest(events: Iterable[tuple[int, Event[Any]]], matcher: Matcher) -> str:
    """Return events and what each lacks, those that lack least first: the right type counts most."""
    judged = [(matcher.misses(event), position, event) for position, event in events]
    judged.sort(key=lambda one: (not matcher.takes(one[2]), len(one[0])))
    lines = [
        "".join([f"\n  {event_line(position, event)}", *(f"\n      {miss}" for miss in misses)])
        for misses, position, event in judged
    ]
    return "".join(_some(lines)) or "\n  nothing at all"


def steps_found(steps: Sequence[Matcher], found: Sequence[tuple[int, Event[Any]]], missing: str) -> str:
    """Return which event is which step, up to the first that is missing, with what is to be said of that one."""
    lines = [
        f"\n  step {number}, {step}: {event_line(*one)}"
        for number, (step, one) in enumerate(zip(steps, found, strict=False), 1)
    ]
    lines.append(f"\n  step {len(found) + 1}, {steps[len(found)]}: {missing}")
    return "".join(lines[-_ROWS:])


def side_by_side(steps: Sequence[Matcher], events: Sequence[Event[Any]], first: int) -> str:
    """Return steps and events that should be the same, around the first place where they are not."""
    lines = []
    for place in range(max(0, first - _ROWS // 2), min(max(len(steps), len(events)), first + _ROWS // 2)):
        step = f"step {place + 1}, {steps[place]}" if place < len(steps) else "no step"
        event = event_line(place, events[place]) if place < len(events) else "nothing"
        lines.append(f"\n{'>' if place == first else ' '} {step}: {event}")
        if place == first and place < min(len(steps), len(events)):
            lines += [f"\n      {miss}" for miss in steps[place].misses(events[place])]
    return "".join(lines)


def trouble(events: Iterable[Event[Any]]) -> str:
    """Return what handlers failed with, which is often why something was not published."""
    lines = []
    for event in events:
        if event.type is EventType.HANDLER_ERROR and isinstance(event.data, Mapping):
            told = [event.data.get(key, "?") for key in ("handler", "event_type", "summary")]
            lines.append("\n  {} on {}: {}".format(*told))
    return f"\n\nhandlers failed meanwhile:{''.join(_some(lines))}" if lines else ""


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _ROWS else [*lines[:_ROWS], f"\n  and {len(lines) - _ROWS} more"]
