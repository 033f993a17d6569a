"""What the bus is to cost, beside what it was measured to cost.

Goals in time are multiples of a bare Blinker send to one handler, so that they hold on any machine. They were set
where that takes 900 ns.
"""

from dataclasses import dataclass

from benchmarks.estimates import Interval, interval, paired, ratio
from benchmarks.peers import BASE, BLINKER, OURS


@dataclass(frozen=True)
class Goal:
    """One limit, and what was measured; None if it was not."""

    text: str
    limit: float
    measured: Interval | None
    unit: str = "x"
    at_least: bool = False

    @property
    def verdict(self):
        """Whether the whole interval is on the right side of the limit."""
        if self.measured is None:
            return "not measured"
        right = [value >= self.limit if self.at_least else value <= self.limit for value in self.measured]
        return "reached" if all(right) else "within noise" if any(right) else "missed"


def goals(cells):
    """Return all goals, with what `cells` say about each."""
    found = []

    def goal(text, limit, compute, *keys, **more):
        known = [cells.get(key) for key in keys]
        measured = None if None in known else compute(*known)
        found.append(Goal(text, limit, measured, **more))

    def of_ours(section, setting):
        return section, OURS, setting

    for count, limit in ((1, 0.70), (10, 0.22), (100, 0.09)):
        text = f"a publish to {count} handler{'s' * (count > 1)} / blinker send to as many"
        goal(text, limit, ratio, of_ours("handlers", count), ("handlers", BLINKER, count))
    base = ("handlers", BLINKER, 1)
    goal("a publish to no handler / blinker send to 1", 0.5, ratio, of_ours("handlers", 0), base)
    goal(
        "each of five middleware that pass / blinker send to 1",
        0.067,
        lambda five, none, base: paired(lambda f, n, b: (f - n) / 5 / b, five, none, base),
        *(of_ours("middleware", number) for number in (5, 0)),
        ("middleware", BASE, 1),
    )
    goal(
        "subscribe and unsubscribe with 1000 connected / blinker send to 1",
        4.4,
        ratio,
        of_ours("subscribe", 1000),
        ("subscribe", BASE, 1),
    )
    goal(
        "the same with 1000 connected / with none",
        1.2,
        ratio,
        *(of_ours("subscribe", connected) for connected in (1000, 0)),
    )
    goal(
        "each scope, with a handler on each bus / a publish without scopes",
        1.0,
        lambda four, none: paired(lambda f, n: (f - n) / 4 / n, four, none),
        *(of_ours("scopes", number) for number in (4, 0)),
    )
    goal(
        "events per second, four threads / one",
        0.9,
        ratio,
        *(of_ours("threads", number) for number in (1, 4)),
        at_least=True,
    )
    for count in (1, 10):
        goal(
            f"recording, for each delivery, {count} handler{'s' * (count > 1)} / blinker send to 1",
            0.28,
            lambda on, off, base, count=count: paired(lambda n, f, b: (n - f) / count / b, on, off, base),
            *(("recording", word, count) for word in ("on", "off")),
            ("recording", BASE, 1),
        )
    for (section, peer, setting), cell in cells.items():
        if (section, peer) == ("bytes", OURS):
            goal(
                "an event in the history, without payload", 200, lambda cell=cell: interval(cell.readings), unit="bytes"
            )
        if (section, peer) == ("collection", OURS):
            text = f"a full collection with {setting:,} events in the history"
            goal(text, 40, lambda cell=cell: interval(cell.readings).scaled(1e3), unit="ms")
    imports = [("import", name, 0) for name in (OURS, "blinker")]
    goal("import, processor time", 60, lambda cell: interval(cell.readings).scaled(1e3), imports[0], unit="ms")
    goal("import atlas_lab / import blinker", 2.3, ratio, *imports)
    return found
