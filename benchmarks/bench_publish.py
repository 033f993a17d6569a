"""What one publish costs, with everything on, beside other libraries and in all the ways it is used.

    python -m benchmarks.bench_publish [--quick] [--json PATH] [--figure PATH] [--markdown]

Times are nanoseconds; what counts are the ratios to a bare ``blinker.Signal.send`` with as many handlers,
in the same run. Of the others, only ``bubus`` and the plain bus keep a history and make ids, too.
"""

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

from atlas_lab import Event, EventBus
from atlas_lab.events import id_stream
from benchmarks.harness import interval, machine, measure, ratio
from benchmarks.peers import ALL, CHUNK, PACKAGES, blinker_send, handlers, ours

COUNTS = (1, 10, 100)


def publishing(rounds, chance):
    """Return the ratio to blinker for each library and number of handlers, and the times."""
    ways = {f"{name} | {count}": make(count) for count in COUNTS for name, make in ALL.items() if name != "bubus"}
    ways["atlas_lab | 0"] = ours(0)
    ways |= {f"bubus | {count}": ALL["bubus"](count) for count in COUNTS}
    found = measure(ways, rounds, chance)
    bases = {name: f"blinker send | {name.split(' | ')[1]}" for name in ways}
    bases["atlas_lab | 0"] = "blinker send | 1"
    return found, {name: ratio(found, name, bases[name], chance) for name in ways}


def options(rounds, chance):
    """Return what middleware, scopes and subscribing cost, as ratios to blinker with one handler."""
    ways = {"blinker send | 1": blinker_send(1)}
    ways |= {f"middleware {entries}": ours(1, middleware=entries) for entries in (0, 1, 5)}
    ways |= {f"scopes {deep}": ours(1, scopes=deep) for deep in (1, 2, 3, 4)}
    for connected in (0, 1000):
        bus = EventBus()
        for handler in handlers(connected):
            bus.subscribe(CHUNK, handler)
        (one,) = handlers(1)
        ways[f"subscribe and unsubscribe, {connected} connected"] = lambda bus=bus, one=one: bus.subscribe(CHUNK, one)()
    found = measure(ways, rounds, chance)
    return found, {name: ratio(found, name, "blinker send | 1", chance) for name in ways}


def threads(rounds, chance, events=20_000):
    """Return the throughput of 1 to 4 threads on one bus, in events per second."""
    found = {f"threads {number}": [] for number in (1, 2, 3, 4)}
    for _ in range(rounds):
        for name in chance.sample(list(found), len(found)):
            number = int(name.split()[1])
            call = ours(1)
            barrier = threading.Barrier(number + 1)

            def work(call=call, barrier=barrier, number=number):
                barrier.wait()
                for _ in range(events // number):
                    call()

            workers = [threading.Thread(target=work) for _ in range(number)]
            for worker in workers:
                worker.start()
            barrier.wait()
            start = time.perf_counter()
            for worker in workers:
                worker.join()
            found[name].append(events / (time.perf_counter() - start))
    return found


def memory(events=200_000):
    """Return bytes per event in the history, without payload, and milliseconds of a full collection over 1M events."""
    bus = EventBus(history_limit=None)
    bus.publish(CHUNK, None, "model")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(events):
        bus.publish(CHUNK, None, "model")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ids = id_stream()
    kept = [Event(CHUNK, None, "model", id=next(ids), scope="") for _ in range(1_000_000)]
    gc.collect()
    passes = []
    for _ in range(5):
        start = time.perf_counter()
        gc.collect()
        passes.append((time.perf_counter() - start) * 1e3)
    del kept
    return (after - before) / events, statistics.median(passes)


def importing(rounds):
    """Return milliseconds of processor time to import blinker, and to import atlas_lab, beyond starting Python."""
    code = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    found = {"blinker": [], "atlas_lab": []}
    for _ in range(rounds):
        for name, times in found.items():
            spent = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, check=True)
            times.append(float(spent.stdout) * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def show(ratios, found):
    for name, values in ratios.items():
        median = statistics.median(found[name])
        print("{:46} {:>12,.0f} ns   x blinker {median:7.2f}  [{low:.2f}, {high:.2f}]".format(name, median, **values))


def markdown(ratios):
    """Return the table of the README."""
    lines = ["| one publish, times a bare Blinker send | 1 handler | 10 | 100 |", "| --- | --: | --: | --: |"]
    for name in ALL:
        cells = [f"{ratios[f'{name} | {count}']['median']:.2f}" for count in COUNTS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(ratios, path):
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only for --figure

    figure, axes = plt.subplots(1, 3, figsize=(10, 4), sharey=True, layout="constrained", facecolor="white")
    names = [name for name in ALL if name not in {"blinker send", "bubus"}][::-1]
    for ax, count in zip(axes, COUNTS, strict=True):
        medians = [ratios[f"{name} | {count}"]["median"] for name in names]
        bars = ax.barh(names, medians, color=["#0072B2" if name == "atlas_lab" else "0.75" for name in names])
        ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        ax.axvline(1, color="#D55E00", linewidth=1.5)
        ax.set(title=f"{count} handler{'s' * (count > 1)}", xscale="log", xlim=(0.02, 30))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].text(1.1, -0.75, "bare Blinker send", color="#D55E00", fontsize=8)
    axes[1].set_xlabel("time of one publish, as a multiple of a bare Blinker send (log scale)")
    figure.savefig(path, dpi=160)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--figure", type=Path, metavar="PATH")
    parser.add_argument("--markdown", action="store_true", help="print the table of the README as well")
    options_given = parser.parse_args()
    chance = random.Random(0)
    rounds = 4 if options_given.quick else 40
    about = machine("atlas_lab", *PACKAGES)
    print(*(f"{name}={value}" for name, value in about.items()), sep="  ")
    found, ratios = publishing(rounds, chance)
    show(ratios, found)
    more, more_ratios = options(rounds, chance)
    show(more_ratios, more)
    through = threads(max(3, rounds // 4), chance)
    base = through["threads 1"]
    for name, values in through.items():
        share = interval([a / b for a, b in zip(values, base, strict=True)], chance)
        rate = statistics.median(values)
        print("{:46} {:>12,.0f} /s   x one thread {median:.2f}  [{low:.2f}, {high:.2f}]".format(name, rate, **share))
    size, collection = memory()
    print(f"{'an event in the history, without payload':46} {size:12,.0f} bytes")
    print(f"{'a full collection with 1M events kept':46} {collection:12,.1f} ms")
    imports = importing(5 if options_given.quick else 15)
    for name, spent in imports.items():
        print(f"{'import ' + name:46} {spent:12,.1f} ms of processor time")
    if options_given.markdown:
        print("\n" + markdown(ratios))
    if options_given.figure:
        draw(ratios, options_given.figure)
    if options_given.json:
        report = {
            "machine": about,
            "ns": found | more,
            "ratios": ratios | more_ratios,
            "threads": through,
            "bytes": size,
            "collection_ms": collection,
            "import_ms": imports,
        }
        options_given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
