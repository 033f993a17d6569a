"""How long it takes to turn a million events into a frame, and how much longer the plain ways take.

    python -m benchmarks.bench_frames [--quick] [--rounds N] [--events N] [--json PATH]

Every round runs all ways once, in shuffled order, after a full collection. Shown are medians over the
rounds with their 95 % bootstrap intervals, then those of the ratios within a round. Times are processor
times of this process, which other programs on the machine disturb least; they run on one core, so an idle
machine shows the same on the clock. The times on the clock are shown beside them.

Two thirds of the events have a parent. ``uniform`` payloads are five flat keys; ``mixed`` ones have four
schemas, one of them nested. The plain ways are given twice: with `dataclasses.asdict` from events that are
dataclasses, as one writes without this package, and with msgspec's `asdict` from our own. They are compared
on a tenth of the events: a million would take them minutes in each round.
"""

import dataclasses
import gc
import random
import time
from typing import Any

import msgspec
import pandas as pd

from atlas_lab import Event, EventType
from atlas_lab.frames import to_frame
from benchmarks.commands import conclude, parser_of
from benchmarks.harness import Cell
from benchmarks.machine import Watch

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
    """Return our ways to a frame of so many events."""
    even, odd = make_events(uniform, size), make_events(mixed, size)
    return {
        "keep": lambda: to_frame(even),
        "drop": lambda: to_frame(even, data="drop"),
        "expand uniform": lambda: to_frame(even, data="expand"),
        "expand mixed": lambda: to_frame(odd, data="expand"),
    }


def plain_ways(size):
    """Return the ways that one would write without this package."""
    even, odd = make_events(uniform, size), make_events(mixed, size)
    plain_even, plain_odd = ([PlainEvent(*msgspec.structs.astuple(event)) for event in some] for some in (even, odd))
    asdict, plain_asdict = msgspec.structs.asdict, dataclasses.asdict
    return {
        "DataFrame, dataclasses": lambda: pd.DataFrame([plain_asdict(event) for event in plain_even]),
        "json_normalize uniform, dataclasses": lambda: pd.json_normalize([plain_asdict(event) for event in plain_even]),
        "json_normalize mixed, dataclasses": lambda: pd.json_normalize([plain_asdict(event) for event in plain_odd]),
        "DataFrame, msgspec": lambda: pd.DataFrame([asdict(event) for event in even]),
        "json_normalize uniform, msgspec": lambda: pd.json_normalize([asdict(event) for event in even]),
        "json_normalize mixed, msgspec": lambda: pd.json_normalize([asdict(event) for event in odd]),
    }


def measure(size, rounds, chance):
    """Return cells by section, way and number of events: processor time, and time on the clock."""
    few = max(1, size // 10)
    runs = {(name, size): run for name, run in ways(size).items()}
    runs |= {(name, few): run for name, run in (ways(few) | plain_ways(few)).items()}
    cells = {(section, *key): Cell([]) for section in ("frames", "frames clock") for key in runs}
    for _ in range(rounds):
        for key in chance.sample(list(runs), len(runs)):
            gc.collect()
            clock, start = time.perf_counter(), time.process_time()
            frame = runs[key]()
            cells["frames", *key].readings.append(time.process_time() - start)
            cells["frames clock", *key].readings.append(time.perf_counter() - clock)
            del frame
    return cells


def main(argv=None):
    parser = parser_of(__doc__, "50,000 events, 3 rounds")
    parser.add_argument("--events", type=int, metavar="N", help="how many events the largest frames are made of")
    options = parser.parse_args(argv)
    gc.freeze()  # what the imported libraries are made of is not collected along
    rounds = options.rounds or (3 if options.quick else 7)
    watch = Watch(options.load_before)
    cells = measure(options.events or (50_000 if options.quick else 1_000_000), rounds, random.Random(0))
    conclude("frames", cells, watch, rounds, options)


if __name__ == "__main__":
    main()
