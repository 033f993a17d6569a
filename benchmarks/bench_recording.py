"""What a recording adds to a publish while it is on, and how long its frames take.

    python -m benchmarks.bench_recording [--quick] [--json PATH]

What a call of a handler costs more is shown as a share of a bare ``blinker.Signal.send`` to one handler, measured in
the same round: for buses with 1 and 10 handlers, and for each handler after the first. A recording is full from the
start, so that every row pushes another one out. Frames are made of deliveries of which each is of another event.
"""

import argparse
import gc
import json
import random
import statistics
import time
from pathlib import Path

from atlas_lab import EventBus
from benchmarks.harness import interval, machine, measure
from benchmarks.peers import CHUNK, blinker_send, handlers, ours

LIMIT = 20_000
KEPT = []  # the recordings, which a bus does not need to be handed again


def recorded(count, middleware=0):
    """One publish while everything is recorded."""
    bus = EventBus()
    for handler in handlers(count):
        bus.subscribe(CHUNK, handler)
    for _ in range(middleware):
        bus.add_middleware(eval("lambda event: event"))
    KEPT.append(bus.record(limit=LIMIT).start())
    for _ in range(LIMIT):
        bus.publish(CHUNK, None, "model")
    return lambda publish=bus.publish: publish(CHUNK, None, "model")


def publishing(rounds, chance):
    """Return times by way, and what rows add by kind, as shares of a Blinker send."""
    ways = {"blinker send": blinker_send(1)}
    for count in (0, 1, 10):
        ways[f"{count} handlers"] = ours(count)
        ways[f"{count} handlers, recorded"] = recorded(count)
    ways["1 handler, 5 middleware"] = ours(1, middleware=5)
    ways["1 handler, 5 middleware, recorded"] = recorded(1, middleware=5)
    found = measure(ways, rounds, chance)

    def extra(name):
        return [a - b for a, b in zip(found[f"{name}, recorded"], found[name], strict=True)]

    nothing, one, ten, steps = map(extra, ("0 handlers", "1 handlers", "10 handlers", "1 handler, 5 middleware"))
    added = {
        "an event nobody handles": nothing,
        "an event with one handler": one,
        "an event with ten handlers, per handler": [value / 10 for value in ten],
        "each handler after the first": [(b - a) / 9 for a, b in zip(one, ten, strict=True)],
        "each step of a middleware": [(b - a) / 5 for a, b in zip(one, steps, strict=True)],
    }
    base = found["blinker send"]
    shares = {
        name: interval([value / send for value, send in zip(values, base, strict=True)], chance)
        for name, values in added.items()
    }
    return found, shares


def frames(rounds, sizes):
    """Return seconds of processor time to make the frames, by size."""
    found = {}
    for size in sizes:
        bus = EventBus(history_limit=0)
        bus.subscribe(CHUNK, handlers(1)[0], name="handler")
        bus.add_middleware(eval("lambda event: event"), name="middleware")
        with bus.record(limit=size) as run:
            for number in range(size):
                bus.publish(CHUNK, number, "model")
        for name in ("events", "deliveries", "middleware"):
            times = []
            for _ in range(rounds):
                gc.collect()
                start = time.process_time()
                rows = len(getattr(run, name))
                times.append(time.process_time() - start)
            found[f"{name}, {rows:,} rows"] = times
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, small frames")
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()
    chance = random.Random(0)
    about = machine("atlas_lab", "blinker", "pandas", "pyarrow")
    print(*(f"{name}={value}" for name, value in about.items()), sep="  ")
    found, shares = publishing(4 if options.quick else 40, chance)
    for name, times in found.items():
        print(f"{name:46} {statistics.median(times):12,.0f} ns")
    print("\nwhat a recording adds, as a share of a Blinker send to one handler")
    for name, share in shares.items():
        print("{:46} {median:12.2f}     [{low:.2f}, {high:.2f}]".format(name, **share))
    print("\nfrom rows to a frame")
    seconds = frames(3 if options.quick else 5, (10_000,) if options.quick else (100_000, 1_000_000))
    for name, times in seconds.items():
        print(f"{name:46} {statistics.median(times):12.3f} s")
    if options.json:
        report = {"machine": about, "ns": found, "shares": shares, "seconds": seconds}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
