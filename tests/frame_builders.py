"""Frames as a recording gives them, from a few values: for tests of what is computed from them."""

from __future__ import annotations

import functools
from enum import Enum

import pandas as pd

from atlas_lab import Event, EventBus, EventType

CATEGORY = pd.CategoricalDtype


class Step(Enum):
    A = 1
    B = 2
    C = 3


def event(name, kind=Step.A, parent=None, **fields):
    return Event(kind, id=name, parent_id=parent, **fields)


def seconds(column):
    """Return the spans of a column as numbers, None where one is missing."""
    return [None if pd.isna(value) else value.total_seconds() for value in column]


DELIVERIES = {
    "run": "category",
    "seq": "int64",
    "event_id": "str",
    "type": CATEGORY([member.name for member in EventType]),
    "scope": "category",
    "handler": "category",
    "start": "timedelta64[ns]",
    "duration": "timedelta64[ns]",
    "outcome": CATEGORY(["ok", "error", "skipped"]),
    "error_type": "category",
    "error_message": "str",
    "thread": "category",
    "attempt": "int16",
    "own": "timedelta64[ns]",
}
MIDDLEWARE = {
    "run": "category",
    "event_id": "str",
    "parent_id": "str",
    "type": CATEGORY([member.name for member in EventType]),
    "scope": "category",
    "step": "int16",
    "middleware": "category",
    "action": CATEGORY(["passed", "transformed", "dropped", "raised"]),
    "start": "timedelta64[ns]",
    "duration": "timedelta64[ns]",
    "changed": "str",
}
CALL = {
    "run": "r",
    "seq": 1,
    "event_id": "e",
    "type": "AGENT_STARTED",
    "scope": "",
    "handler": "h",
    "start": 0,
    "duration": 1,
    "outcome": "ok",
    "error_type": None,
    "error_message": None,
    "thread": "main",
    "attempt": 1,
}
STEP = {
    "run": "r",
    "event_id": "e",
    "parent_id": None,
    "type": "AGENT_STARTED",
    "scope": "",
    "step": 0,
    "middleware": "m",
    "action": "passed",
    "start": 0,
    "duration": 1,
    "changed": "",
}


def _frame(rows, dtypes):
    columns = {}
    for name, dtype in dtypes.items():
        values = pd.Series([row[name] for row in rows], dtype=object)
        if dtype == "category":
            values = pd.Series(pd.Categorical(values, categories=pd.Index(sorted(set(values.dropna())), dtype="str")))
        columns[name] = values.astype(dtype)
    return pd.DataFrame(columns)


def deliveries(*calls, **shared):
    """One row per call: `CALL` with what `shared` and the call itself say instead. Times are in nanoseconds."""
    told = [CALL | shared | call for call in calls]
    return _frame([{"own": call["duration"]} | call for call in told], DELIVERIES)


def middleware(*steps, **shared):
    """One row per step: `STEP` with what `shared` and the step itself say instead."""
    return _frame([STEP | shared | step for step in steps], MIDDLEWARE)


@functools.cache
def agent_run():
    """Return a bus on which agents retrieved, streamed and failed, an eighth of a second per event, and its recording."""
    ticks = iter(range(10_000))
    bus = EventBus(name="run", clock=lambda: next(ticks) / 8)
    bus.add_middleware(lambda event: event.replace(metadata={"seen": True}), name="note")

    @bus.on(EventType.AGENT_TASK_ASSIGNED, name="work")
    def work(event):
        number = event.data["task"]
        bus.publish(EventType.RETRIEVAL_STARTED, source="retriever")
        bus.publish(EventType.STREAM_STARTED, source=f"model-{number}")
        for chunk in range(2 + number):
            bus.publish(EventType.STREAM_CHUNK, {"n": chunk}, source=f"model-{number}")
        bus.publish(EventType.STREAM_COMPLETED, source=f"model-{number}")
        bus.publish(EventType.AGENT_TASK_COMPLETED, source="worker")

    @bus.on(EventType.RETRIEVAL_STARTED, name="retrieve")
    def retrieve(event):
        bus.publish(EventType.RETRIEVAL_COMPLETED, {"hits": 3}, source="retriever")

    @bus.on(EventType.AGENT_TASK_COMPLETED, name="check")
    def check(event):
        raise ValueError("no answer")

    with bus.record() as run:
        for number in range(3):
            bus.publish(EventType.AGENT_TASK_ASSIGNED, {"task": number}, source="boss")
    return bus, run


@functools.cache
def agents():
    """Return the events of that run, payloads in columns. Tables do not change them, which is tested."""
    return agent_run()[0].history.to_frame(data="expand", run="r")
