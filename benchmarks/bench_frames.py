"""How long it takes to turn a million events into a frame, and how much longer the plain ways take.

    python -m benchmarks.bench_frames [--quick] [--json PATH] [--rounds N] [--events N]

Every round runs all ways once, in shuffled order, after a full collection. Shown are medians over the
rounds with their 95 % bootstrap intervals, then those of the ratios within a round. Times are processor
times of this process, which other programs on the machine disturb least; they run on one core, so an idle
machine shows the same on the clock. The times on the clock are shown beside them.

Two thirds of the events have a parent. ``uniform`` payloads are five flat keys; ``mixed`` ones have four
schemas, one of them nested. The plain ways are given twice: with `dataclasses.asdict` from events that are
dataclasses, as one writes without this package, and with msgspec's `asdict` from our own.
"""

import argparse
import dataclasses
import gc
import itertools
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from atlas_lab import Event, EventType
from atlas_lab.frames import to_frame
from benchmarks.harness import interval, machine, ratio

LIMITS = {"keep": 0.8, "expand uniform": 1.0, "expand mixed": 2.5}  # seconds for a million events
SOURCES = ["planner", "critic", "retriever", "writer", None]


def uniform(row):
    return {"step": row, "load": row * 0.5, "model": f"m{row % 100}", "ok": row % 3 > 0, "note": None}


def mixed(row):
    match row % 4:
        case 0:
            return {"step": row, "load": row * 0.5, "model": f"m{row % 100}"}
        case 1:
            return {"query": f"q{row % 1000}", "hits": row % 17, "score": 0.25}
        case 2:
            return {"usage": {"prompt": row % 999, "completion": row % 77}, "model": f"m{row % 7}"}
        case _:
            return {"error": "timeout", "retry": row % 3, "fatal": False}


@dataclasses.dataclass
class PlainEvent:
    type: EventType
    data: dict[str, Any]
    source: str | None
    metadata: dict[str, Any]
    id: str
    timestamp: float
    parent_id: str | None
    scope: str | None
    seq: int


def make_events(payload, size):
    types = list(EventType)
    events = []
    for row in range(size):
        parent = events[-1].id if row % 3 else None
        events.append(
            Event(
                types[row % 41],
                payload(row),
                SOURCES[row % 5],
                timestamp=1.7e9 + row / 1e3,
                parent_id=parent,
                scope="run",
                seq=row + 1,
            )
        )
    return events


def ways(size):
    even, odd = make_events(uniform, size), make_events(mixed, size)
    plain_even, plain_odd = ([PlainEvent(*msgspec.structs.astuple(event)) for event in some] for some in (even, odd))
    asdict, plain_asdict = msgspec.structs.asdict, dataclasses.asdict
    return {
        "keep": lambda: to_frame(even),
        "drop": lambda: to_frame(even, data="drop"),
        "expand uniform": lambda: to_frame(even, data="expand"),
        "expand mixed": lambda: to_frame(odd, data="expand"),
        "DataFrame, dataclasses": lambda: pd.DataFrame([plain_asdict(event) for event in plain_even]),
        "json_normalize uniform, dataclasses": lambda: pd.json_normalize([plain_asdict(event) for event in plain_even]),
        "json_normalize mixed, dataclasses": lambda: pd.json_normalize([plain_asdict(event) for event in plain_odd]),
        "DataFrame, msgspec": lambda: pd.DataFrame([asdict(event) for event in even]),
        "json_normalize uniform, msgspec": lambda: pd.json_normalize([asdict(event) for event in even]),
        "json_normalize mixed, msgspec": lambda: pd.json_normalize([asdict(event) for event in odd]),
    }


PAIRS = [
    (fast, f"{slow}, {events}")
    for events in ("dataclasses", "msgspec")
    for fast, slow in [
        ("keep", "DataFrame"),
        ("expand uniform", "json_normalize uniform"),
        ("expand mixed", "json_normalize mixed"),
    ]
]


def measure(size, rounds, chance):
    runs = ways(size)
    seconds = {name: [] for name in runs}
    elapsed = {name: [] for name in runs}
    for _ in range(rounds):
        for name in chance.sample(list(runs), len(runs)):
            gc.collect()
            clock, start = time.perf_counter(), time.process_time()
            frame = runs[name]()
            seconds[name].append(time.process_time() - start)
            elapsed[name].append(time.perf_counter() - clock)
            del frame
    return seconds, elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50,000 events, 3 rounds")
    parser.add_argument("--events", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()
    size = options.events or (50_000 if options.quick else 1_000_000)
    rounds = options.rounds or (3 if options.quick else 7)
    about = machine("pandas", "numpy", "pyarrow", "msgspec")
    print(*itertools.starmap("{}={}".format, about.items()))
    print(f"{size:,} events, {rounds} rounds\n")
    chance = random.Random(0)
    seconds, elapsed = measure(size, rounds, chance)
    times = {name: interval(values, chance) for name, values in seconds.items()}
    for name, found in times.items():
        limit = f"   to reach: {LIMITS[name]} s for 1,000,000" if name in LIMITS else ""
        clock = f"   on the clock {statistics.median(elapsed[name]):7.3f} s"
        print(f"{name:36} {found['median']:7.3f} s  [{found['low']:.3f}, {found['high']:.3f}]{clock}{limit}")
    print()
    ratios = {}
    for fast, slow in PAIRS:
        found = ratio(seconds, slow, fast, chance)
        ratios[f"{slow} / {fast}"] = found
        print(f"{slow:36} / {fast:16} {found['median']:5.1f} x  [{found['low']:.1f}, {found['high']:.1f}]")
    if options.json:
        report = {
            "machine": about,
            "events": size,
            "seconds": seconds,
            "elapsed": elapsed,
            "times": times,
            "ratios": ratios,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
