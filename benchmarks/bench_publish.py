"""What one publish costs, with everything on, beside other libraries and in all the ways it is used.

    python -m benchmarks.bench_publish [--quick] [--rounds N] [--json PATH] [--figure PATH]

What counts are the ratios to a bare ``blinker.Signal.send(event)`` within the same round. Where a library has no
such thing, or its word for it means something else, nothing is measured, and the report says why. The values of all
rounds go to a file of pyperf's, from which ``python -m benchmarks.report`` makes tables and figure again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from atlas_lab import EventBus
from benchmarks import footprint, threads
from benchmarks.commands import conclude, parser_of
from benchmarks.figure import draw
from benchmarks.harness import BLOCK, Way, measure, way
from benchmarks.machine import Watch
from benchmarks.peers import BASE, BLINKER, CHUNK, OURS, PEERS, Rig, make_handlers
from benchmarks.readme import FIGURE
from benchmarks.storage import LATEST

THREADS = (1, 2, 3, 4)
CONNECTED = 1000
COLLECTING = (OURS, BLINKER, "psygnal emit", "pyee", "plain bus")
KEEPING = (OURS, "plain bus")
SLOW = [("bubus", 100)]  # nearly a second for one publish, and 50 of them to fill its history


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    block: float = BLOCK
    thread_rounds: int = 15
    thread_block: float = 0.05
    churned: int = 5000
    weighed: int = 200_000
    kept: int = 1_000_000
    import_rounds: int = 15
    slow: bool = True


FULL = Plan(rounds=40)
QUICK = Plan(rounds=5, thread_rounds=3, churned=1000, weighed=50_000, import_rounds=3, slow=False)


def measure_all(plan, chance):
    """Return cells by section, peer and setting."""
    cells = {}
    sections = {
        "handlers": _handlers(plan),
        "middleware": _depths("middleware", (0, 1, 5)),
        "scopes": _depths("scopes", (0, 1, 2, 3, 4)),
        "subscribe": _connected(),
        "resubscribed": _resubscribed(),
        "collecting": _collecting(),
        "recording": _recording(),
    }
    for name, rigs in sections.items():
        found = _timed(rigs, plan, chance, collecting=name == "collecting")
        cells |= {(name, *key): cell for key, cell in found.items()}
    together = [peer for peer in PEERS.values() if "threads" not in peer.why_not]
    through = threads.throughput(together, THREADS, plan.thread_rounds, chance, plan.thread_block)
    keeping = {name: PEERS[name].build for name in KEEPING}
    once = {
        ("churn", max(THREADS)): threads.churn(together, max(THREADS), plan.churned),
        ("bytes", plan.weighed): footprint.memory(keeping, plan.weighed),
        ("collection", plan.kept): footprint.collections(keeping, plan.kept),
        ("import", 0): footprint.imports(plan.import_rounds, chance),
    }
    cells |= {("threads", *key): cell for key, cell in through.items()}
    cells |= {(name, peer, setting): cell for (name, setting), row in once.items() for peer, cell in row.items()}
    return cells


def _timed(rigs, plan, chance, *, collecting):
    """Measure some rigs, and with them, in the same rounds, what all is compared with."""
    rigs = {**rigs, (BASE, 1): PEERS[BLINKER].build(make_handlers(1))}
    try:
        ways = {key: rig.publish for key, rig in rigs.items()}
        return measure(ways, plan.rounds, chance, plan.block, collecting=collecting)
    finally:
        for rig in rigs.values():
            rig.close()


def _handlers(plan):
    return {
        (name, count): peer.build(make_handlers(count))
        for name, peer in PEERS.items()
        for count in (0, 1, 10, 100)
        if plan.slow or (name, count) not in SLOW
    }


def _depths(word, numbers):
    """Return rigs with so many middleware, or scopes, and one handler on each bus."""
    return {
        (name, number): peer.build(make_handlers(1), **{word: number})
        for name, peer in PEERS.items()
        if word not in peer.why_not
        for number in numbers
    }


def _changing(connected):
    return {
        name: peer.build(make_handlers(connected)) for name, peer in PEERS.items() if "subscribe" not in peer.why_not
    }


def _connected():
    """Return rigs that subscribe and unsubscribe, with so many other handlers connected."""
    rigs = {(name, connected): rig for connected in (0, CONNECTED) for name, rig in _changing(connected).items()}
    rigs |= {(OURS, connected): PEERS[OURS].build(make_handlers(connected)) for connected in (10, 10 * CONNECTED)}
    return {key: Rig(rig.resubscribe, close=rig.close) for key, rig in rigs.items()}


def _resubscribed():
    """Return rigs that publish to many handlers, and (1) that do so after each change of what is subscribed."""
    rigs = {}
    for name, rig in _changing(CONNECTED).items():
        rigs[name, 0] = rig._replace(publish=Way(rig.publish.run))  # a full history matters little beside the handlers
        rigs[name, 1] = Rig(Way(_alternating(rig.resubscribe.run, rig.publish.run)))
    return rigs


def _alternating(first: Callable, then: Callable):
    def run(times):
        once = (None,)
        for _ in times:
            first(once)
            then(once)

    return run


def _collecting():
    """Return rigs to measure with the garbage collector on; unbounded histories are where it has most to do."""
    rigs = {(name, count): PEERS[name].build(make_handlers(count)) for name in COLLECTING for count in (1, 10)}
    return rigs | {
        (f"{name}, unbounded history", 1): PEERS[name].build(make_handlers(1), history_limit=None) for name in KEEPING
    }


def _recording():
    """Return rigs with recording off and on; each block has a recording of its own."""
    rigs = {}
    for count in (1, 10):
        for word in ("off", "on"):
            bus = EventBus()
            for handler in make_handlers(count):
                bus.subscribe(CHUNK, handler)
            around = {"around": bus.record} if word == "on" else {}
            rigs[word, count] = Rig(way("bus.publish(CHUNK, None, 'model')", bus=bus, CHUNK=CHUNK, warm=1003, **around))
    return rigs


def main(argv=None):
    parser = parser_of(__doc__, "5 rounds, and less of what takes long")
    parser.add_argument("--figure", type=Path, metavar="PATH", help="where to draw the figure")
    options = parser.parse_args(argv)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    watch = Watch(options.load_before)
    cells = measure_all(plan, random.Random(0))
    path = conclude("publish", cells, watch, plan.rounds, options)
    figure = options.figure or (FIGURE if path == LATEST else path.with_suffix(".png"))
    draw(path, figure)
    print(f"figure in {figure}")


if __name__ == "__main__":
    main()
