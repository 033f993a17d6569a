"""Tables and figure from the values of a run.

    python -m benchmarks.report [results.json] [--figure PATH] [--readme]

Prints all tables. ``--figure`` draws what a publish costs; ``--readme`` draws it for README.md, and writes the table
between the two marks there.
"""

import argparse
from pathlib import Path

from benchmarks.estimates import interval, line, paired, ratio
from benchmarks.goals import goals
from benchmarks.machine import FRAMES_PACKAGES, PACKAGES, unquiet
from benchmarks.peers import BASE, BLINKER, PEERS
from benchmarks.storage import LATEST, load

COUNTS = (0, 1, 10, 100)
FRAMES_GOALS = {"keep": 0.8, "expand uniform": 1.0, "expand mixed": 2.5}  # seconds for a million events
LINES = {
    "middleware": "a publish to 1 handler through {n} middleware",
    "scopes": "a publish {n} scopes deep, 1 handler on each bus",
    "subscribe": "subscribe and unsubscribe, {n:,} connected",
    "collecting": "a publish to {n}, garbage collector on",
    "recording": "a publish to {n}, recording {peer}",
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


def text(cells, known, program):
    """Return all tables of one program, ``publish``, ``frames`` or ``live``, as text."""
    mine = {section: about for section, about in known.items() if about["program"] == program}
    about = next(iter(mine.values()))
    cells = {key: cell for key, cell in cells.items() if key[0] in mine}
    parts = [header(about, noise(cells, program))]
    parts += {"frames": _frames, "live": _live, "publish": _publish}[program](cells)
    return "\n\n".join(parts) + "\n"


def noise(cells, program):
    """Return the width of the interval of what all is compared with, as a share of its median."""
    peer, setting = {"publish": (BLINKER, 1), "frames": ("keep", None), "live": ("no view", 1)}[program]
    return max(
        interval(cell.readings).width
        for (section, name, number), cell in cells.items()
        if section in {"handlers", "frames", "live"} and name == peer and setting in {None, number}
    )


def header(about, width):
    """Return what was run where and when, and whether the machine was quiet."""
    reasons = unquiet(about, width)
    run = "{program}, {date}: {run} run of {rounds} rounds in {run_seconds:.0f} s"
    load = "load {load_before:.2f} before, {load_after:.2f} after; cores busy meanwhile: {cores_busy_own:.2f} with this"
    return "\n".join(
        [
            run.format(**about),
            machine_name(about),
            versions(about, PACKAGES if about["program"] == "publish" else ("atlas_lab", "msgspec", *FRAMES_PACKAGES)),
            f"{load.format(**about)}, {about['cores_busy_others']:.2f} with others",
            f"95 % interval of the time of what all is compared with: {width:.1%} of its median",
            "NOT a quiet run:" if reasons else "A quiet run.",
            *(f"  - {reason}" for reason in reasons),
        ]
    )


def machine_name(about):
    return (
        f"{about['platform']}, {about['cpu_model_name']}, {about['cpu_count']} cores, "
        f"{about['python_implementation']} {about['python_version']}, GIL {about['gil']}"
    )


def versions(about, packages):
    return ", ".join(f"{package} {about[f'version_{package}']}" for package in packages)


def costs(cells, peer):
    """Return the ratios of a peer to a bare blinker send with as many handlers (for none, to one with 1)."""
    return {
        count: ratio(cells["handlers", peer, count], cells["handlers", BLINKER, count or 1])
        for count in COUNTS
        if ("handlers", peer, count) in cells
    }


def number(value):
    """Return a number with two or three digits that count."""
    size = abs(value)
    return f"{value:,.{0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3}f}"


def _spread(found):
    return f"{number(found.median)} [{number(found.low)}, {number(found.high)}]"


def _publish(cells):
    yield _matrix(
        "One publish, times a bare blinker send to as many handlers (to none: times one to 1)",
        [str(count) for count in COUNTS],
        {peer: [_spread(found) for found in costs(cells, peer).values()] for peer in PEERS},
    )
    rows = {}
    for peer in PEERS:
        row = {count: cells["handlers", peer, count] for count in COUNTS if ("handlers", peer, count) in cells}
        start, slope = line({count: cell for count, cell in row.items() if count})
        rows[peer] = [f"{interval(cell.readings).median * 1e9:,.0f}" for cell in row.values()]
        rows[peer] += ["-"] * (len(COUNTS) - len(row)) + [_spread(part.scaled(1e9)) for part in (start, slope)]
    yield _matrix(
        "One publish, ns of processor time; and the line through 1, 10 and 100",
        [*map(str, COUNTS), "for the event", "for each handler"],
        rows,
    )
    for section, words in LINES.items():
        lines = [
            f"{peer:30} {words.format(n=setting, peer=peer):50} {interval(cell.readings).median * 1e9:>12,.0f} ns   "
            f"x blinker send to 1: {_spread(ratio(cell, cells[section, BASE, 1]))}"
            for (where, peer, setting), cell in cells.items()
            if where == section and peer != BASE
        ]
        yield "\n".join(lines)
    yield "\n".join(_changes(cells))
    yield "\n".join(_threads(cells))
    yield "\n".join(_footprint(cells))
    yield "\n".join(["Goals", *map(_goal, goals(cells))])
    yield "\n".join(["Not measured", *_why_not()])


def _matrix(title, columns, rows):
    """Return a table with a row for each peer; what is missing is a dash."""
    filled = {name: [*row, *["-"] * (len(columns) - len(row))] for name, row in rows.items()}
    widths = [max(map(len, column)) for column in zip(columns, *filled.values(), strict=True)]
    return "\n".join(
        [title]
        + [
            f"{name:20}" + "".join(f"   {cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for name, row in {"": columns, **filled}.items()
        ]
    )


def _changes(cells):
    for section, peer, changed in cells:
        if section == "resubscribed" and changed and peer != BASE:
            after, before = (cells[section, peer, number] for number in (1, 0))
            times = [f"{interval(cell.readings).median * 1e6:,.1f}" for cell in (before, after)]
            yield (
                f"{peer:30} {'a publish to 1000; with a change before each':50} {times[0]:>8} us, {times[1]:>8} us   "
                f"x: {_spread(ratio(after, before))}"
            )


def _threads(cells):
    for (section, peer, setting), cell in cells.items():
        if section == "threads":
            rate = f"{1 / interval(cell.readings).median:,.0f}"
            words = f"{setting} thread{'s' * (setting > 1)}, 1 handler"
            gain = paired(lambda one, more: one / more, cells[section, peer, 1], cell)
            yield (
                f"{peer:30} {words:50} {rate:>12} /s   x one thread: {_spread(gain)}"
                f"   lost {cell.notes['lost']} of {cell.notes['published']:,}"
            )
    for (section, peer, setting), cell in cells.items():
        if section == "churn":
            words = f"{setting} threads publish, one subscribes others"
            yield (
                f"{peer:30} {words:50} lost {cell.notes['lost']} of {cell.notes['published']:,}, "
                f"{cell.notes['raised']} calls raised"
            )


def _footprint(cells):
    for (section, peer, setting), cell in cells.items():
        if section == "bytes":
            yield f"{peer:30} {'an event in the history, without payload':50} {cell.readings[0]:>12,.0f} bytes"
        elif section in {"collection", "import"}:
            words = {"collection": f"a full collection over {setting:,} events", "import": "import, processor time"}
            found = interval(cell.readings).scaled(1e3)
            yield f"{peer:30} {words[section]:50} {found.median:>12,.1f} ms  [{found.low:.1f}, {found.high:.1f}]"


def _goal(goal):
    limit = f"{'>=' if goal.at_least else '<='} {goal.limit:g} {goal.unit}"
    measured = "-" if goal.measured is None else _spread(goal.measured)
    return f"{goal.verdict:14} {goal.text:80} {limit:>14}   {measured}"


def _why_not():
    for peer in PEERS.values():
        for setting, reason in peer.why_not.items():
            yield f"{peer.name:20} {setting:12} {reason}"


def _frames(cells):
    lines = []
    for (section, way, size), cell in cells.items():
        if section == "frames":
            clock = interval(cells["frames clock", way, size].readings).median
            spent = interval(cell.readings)
            goal = f"   goal: <= {FRAMES_GOALS[way]} s" if way in FRAMES_GOALS and size == 1_000_000 else ""
            lines.append(
                f"{way:36} {size:>9,} events {spent.median:8.3f} s  [{spent.low:.3f}, {spent.high:.3f}]"
                f"   on the clock {clock:8.3f} s{goal}"
            )
    yield "\n".join(lines)
    yield "\n".join(
        f"{slow:36} / {fast:15} {size:>9,} events  {_spread(ratio(cells['frames', slow, size], cell))} x"
        for fast, slow in PAIRS
        for (section, way, size), cell in cells.items()
        if section == "frames" and way == fast and ("frames", slow, size) in cells
    )


def _live(cells):
    """What views cost the publisher, beside their goals, and how far behind they are."""
    lines = []
    for (section, way, setting), cell in cells.items():
        if section != "live" or ("live lag", way, setting) not in cells:
            continue
        asked = cell.notes["asked"]
        pace = f"at {asked:,} events/s" if asked else "as fast as it goes"
        slower = _more(cells, "live", way, setting)
        lag = interval(cells["live lag", way, setting].readings).scaled(1e3)
        messages = max(cells["live messages", way, setting].readings)
        reached = interval(cells["live rate", way, setting].readings).median
        limit = 5 if asked else 10
        cpu = "" if asked else f", processor time {_spread(_more(cells, 'live cpu', way, setting))} % more"
        lines.append(
            f"{way:20} {pace:24} reached {reached:>9,.0f} /s   publishing slower by {_spread(slower)} % (goal: < {limit} %){cpu}"
            f"   lag p95 {_spread(lag)} ms (goal: < 100 ms)   {messages:.1f} messages/s (goal: <= 20)"
        )
    yield "\n".join(lines)


def _more(cells, section, way, setting):
    """Return by how many percent something is more with views than without."""
    base = cells[section, way.replace("views", "no view"), setting]
    return paired(lambda one, other: (one / other - 1) * 100, cells[section, way, setting], base)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--figure", type=Path, metavar="PATH")
    parser.add_argument("--readme", action="store_true", help="write the table of the README anew")
    options = parser.parse_args(argv)
    if not options.results.exists():
        parser.error(f"{options.results} is not there; make bench writes it when a full run was quiet")
    cells, known = load(options.results)
    for program in sorted({about["program"] for about in known.values()}, reverse=True):
        print(text(cells, known, program))
    if options.figure or options.readme:
        from benchmarks.figure import draw  # noqa: PLC0415 - only who draws waits for matplotlib
        from benchmarks.readme import FIGURE, rewrite  # noqa: PLC0415 - it shows what this module tells

        draw(options.results, options.figure or FIGURE)
        if options.readme:
            rewrite(cells, known)


if __name__ == "__main__":
    main()
