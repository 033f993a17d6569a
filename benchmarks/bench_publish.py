"""What one publish costs, against a bare Blinker send and against a bus written the plain way.

    python -m benchmarks.bench_publish [--quick] [--json PATH]

Ours does everything: frozen event, unique id, time, cause, ``seq`` in history order, bounded history,
isolated errors, counted calls. ``plain`` is a bus with a dataclass, ``uuid4``, a lock around everything
and a Blinker signal, and keeps less.
"""

import argparse
import json
import random
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import blinker

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from benchmarks.harness import machine, measure, ratio

CHUNK = EventType.STREAM_CHUNK


@dataclass
class PlainEvent:
    type: EventType
    data: object = None
    source: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))


class PlainBus:
    def __init__(self, limit=1000):
        self.signal = blinker.Signal()
        self.history = []
        self.limit = limit
        self.lock = threading.RLock()

    def publish(self, event_type, data=None, source=None):
        with self.lock:
            event = PlainEvent(event_type, data, source)
            self.history.append(event)
            if len(self.history) > self.limit:
                self.history = self.history[-self.limit :]
            self.signal.send(event)


def handlers(count):
    # Each a function of its own, as Blinker keeps one entry for one function.
    return [eval("lambda event: None") for _ in range(count)]


def ours(count, middleware=0, scopes=0):
    bus = EventBus()
    for level in range(scopes):
        bus = ScopedEventBus(bus, f"level-{level}")
    for handler in handlers(count):
        bus.subscribe(CHUNK, handler)
    for _ in range(middleware):
        bus.add_middleware(eval("lambda event: event"))
    return lambda publish=bus.publish: publish(CHUNK, None, "model")


def bare_blinker(count):
    signal = blinker.Signal()
    for handler in handlers(count):
        signal.connect(handler, weak=False)
    event = Event(CHUNK)
    return lambda send=signal.send: send(event)


def plain(count):
    bus = PlainBus()
    for handler in handlers(count):
        bus.signal.connect(handler, weak=False)
    return lambda publish=bus.publish: publish(CHUNK, None, "model")


def loop(count):
    called = tuple(handlers(count))
    event = Event(CHUNK)

    def call():
        for handler in called:
            handler(event)

    return call


def subscribe(connected):
    bus = EventBus()
    for handler in handlers(connected):
        bus.subscribe(CHUNK, handler)
    (one,) = handlers(1)
    return lambda: bus.subscribe(CHUNK, one)()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()
    chance = random.Random(0)
    ways = {"ours 0": ours(0)}
    for count in (1, 10, 100):
        for name, make in (("ours", ours), ("blinker", bare_blinker), ("plain", plain), ("loop", loop)):
            ways[f"{name} {count}"] = make(count)
    ways |= {f"ours 1, middleware {entries}": ours(1, middleware=entries) for entries in (1, 5)}
    ways |= {f"ours 1, scopes {deep}": ours(1, scopes=deep) for deep in (1, 2, 3)}
    ways |= {f"subscribe, {connected} connected": subscribe(connected) for connected in (0, 1000)}
    about = machine("atlas_lab", "blinker", "msgspec")
    print(*(f"{name}={value}" for name, value in about.items()))
    found = measure(ways, 5 if options.quick else 40, chance)
    ratios = {}
    for name in ways:
        base = f"blinker {name.split()[1].strip(',')}"
        ratios[name] = ratio(found, name, base if base in ways else "blinker 1", chance)
        shown = "{median:6.2f}  [{low:.2f}, {high:.2f}]".format(**ratios[name])
        print(f"{name:28} {sorted(found[name])[len(found[name]) // 2]:9.0f} ns   x blinker {shown}")
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "ns": found, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
