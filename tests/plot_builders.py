"""Runs to draw, and what is read off a plot: for tests of plots."""

from __future__ import annotations

import functools
from typing import NamedTuple

import pandas as pd
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from atlas_lab import EventBus, EventType
from tests.frame_builders import agent_run, deliveries, middleware

HOSTILE = [
    r"$\frac{$ price $ $x^2$",
    "two\nlines\tand\x07bell",
    "_private",
    "evil\u202etxt.exe",
    "zal" + "\u0301" * 60 + "go",
    "検索",
    "x" * 500,
    r"\input{/etc/passwd} 100% #1 & {}",
    "lone\udcff",
    "$",
]


class Run(NamedTuple):
    """The frames of a recording."""

    name: str
    events: pd.DataFrame
    deliveries: pd.DataFrame
    middleware: pd.DataFrame


def frames_of(recording):
    return Run(recording.name, recording.events, recording.deliveries, recording.middleware)


@functools.cache
def agents():
    return frames_of(agent_run()[1])


@functools.cache
def nothing():
    bus = EventBus(name="quiet")
    with bus.record() as recording:
        pass
    return frames_of(recording)


@functools.cache
def hostile():
    """Names and messages that would break a plot, everywhere where a plot shows one."""
    bus = EventBus(name=HOSTILE[0])
    ways = [EventType.STREAM_STARTED, EventType.STREAM_CHUNK, EventType.STREAM_CHUNK, EventType.STREAM_COMPLETED]

    def fail(event):
        raise ValueError(HOSTILE[event.data % len(HOSTILE)])

    for place, name in enumerate(HOSTILE):
        bus.subscribe(EventType.STREAM_CHUNK, fail if place % 2 else lambda event: None, name=name)
        bus.add_middleware(lambda event: event, name=name)
    with bus.record() as recording:
        for source in HOSTILE:
            for number, kind in enumerate(ways):
                bus.publish(kind, number, source=source)
    frames = frames_of(recording)
    odd = dict(zip(frames.events["type"].cat.categories, HOSTILE * 9, strict=False))
    renamed = [frame.assign(type=frame["type"].astype(str).replace(odd)) for frame in frames[1:]]
    return Run(HOSTILE[1], *renamed)


def new_axes(width=8, height=6):
    return Figure(figsize=(width, height)).subplots()


def rectangles(ax):
    """Return left, right, top, bottom of every rectangle that is drawn."""
    found = []
    for collection in ax.collections:
        if isinstance(collection, PolyCollection):
            for path in collection.get_paths():
                (left, top), (right, bottom) = path.vertices.min(axis=0), path.vertices.max(axis=0)
                found.append((float(left), float(right), float(top), float(bottom)))
    return found


def segments(ax):
    """Return the points of every line of a collection of lines."""
    collections = [collection for collection in ax.collections if isinstance(collection, LineCollection)]
    return [line.tolist() for collection in collections for line in collection.get_segments()]


def rows(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def words(ax):
    """Return every text that data can reach, in the order in which it was written."""
    return [text.get_text() for text in ax.texts if text.get_text()]


def key_of(ax):
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


__all__ = [
    "HOSTILE", "Run", "agents", "deliveries", "frames_of", "hostile", "key_of", "middleware", "new_axes", "nothing",
    "rectangles", "rows", "segments", "words",
]  # fmt: skip
