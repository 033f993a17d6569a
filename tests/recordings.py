"""What tests of recordings share: reading the rows, publishing either way, and a clock that stands still."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from atlas_lab import EventBus, EventType, Recording

A, B, C = EventType.AGENT_STARTED, EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_STOPPED
ERROR = EventType.HANDLER_ERROR

both_modes = pytest.mark.parametrize("nested", ["immediate", "queued"])


class Clock:
    """Nanoseconds that pass only by the call, one each, and by hand."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


def calls(run: Recording, *columns: str) -> list[tuple[Any, ...]]:
    """Return what the rows of handlers say, without those of HANDLER_ERROR; None for what is missing."""
    frame = run.deliveries
    frame = frame.loc[frame["type"] != "HANDLER_ERROR", list(columns or ("handler", "outcome"))].astype(object)
    return list(frame.where(frame.notna(), None).itertuples(index=False, name=None))


def steps(run: Recording, *columns: str) -> list[tuple[Any, ...]]:
    return list(run.middleware[list(columns or ("middleware", "action"))].itertuples(index=False, name=None))


def nanoseconds(run: Recording, column: str) -> list[int]:
    return run.deliveries[column].to_numpy().astype(int).tolist()


def recorded(*buses: EventBus) -> bool:
    """Whether anything of a recording is on one of the buses."""
    return any(bus._signals.recorders or bus._pipeline.recorders for bus in buses)


def publish(bus: EventBus, way: str, event_type: Any = A, data: object = None, **options: Any) -> None:
    """Publish by `publish`, or by `publish_async` on a loop of its own."""
    if way == "publish":
        bus.publish(event_type, data, **options)
    else:
        asyncio.run(bus.publish_async(event_type, data, **options))


both_ways = pytest.mark.parametrize("way", ["publish", "publish_async"])
