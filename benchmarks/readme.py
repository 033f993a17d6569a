"""The part of README.md that tells what a publish costs, from the values of a run."""

from datetime import datetime
from pathlib import Path
from textwrap import fill

from benchmarks.estimates import line
from benchmarks.machine import PACKAGES, unquiet
from benchmarks.peers import BLINKER, OURS, PEERS
from benchmarks.report import COUNTS, costs, machine_name, noise, number, versions

README = Path(__file__).parent.parent / "README.md"
FIGURE = README.parent / "docs" / "images" / "publish_cost.png"
BEGIN = "<!-- written by: python -m benchmarks.report --readme -->"
END = "<!-- end of what is written -->"


def rewrite(cells, known, path=README):
    """Put what was measured between the marks in the README.

    Raises
    ------
    ValueError
        If the marks are not there, once each and in order.
    """
    told = path.read_text(encoding="utf-8")
    before, begin, rest = told.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in before + after:
        raise ValueError(f"{path.name} must hold the lines {BEGIN!r} and {END!r}, once and in this order")
    path.write_text(f"{before}{BEGIN}\n\n{block(cells, known)}\n\n{END}{after}", encoding="utf-8")


def block(cells, known):
    """Return the figure, the table and what it was measured on, as Markdown."""
    about = known["handlers"]
    rows = [f"| handlers | {' | '.join(map(str, COUNTS))} |", f"| --- |{' --: |' * len(COUNTS)}"]
    for peer in PEERS:
        found = costs(cells, peer)
        rows.append(f"| {peer} | {' | '.join(number(found[n].median) if n in found else '-' for n in COUNTS)} |")
    when = datetime.fromisoformat(about["date"])
    reasons = unquiet(about, noise(cells, "publish"))
    meaning = "With no handler, it is a multiple of a send to one; `plain bus` is a bus as one writes it first: "
    sentences = [
        f"{meaning}dataclass, `uuid4`, lock, list, send.",
        _comparison(cells),
        f"Medians of {about['rounds']} interleaved rounds on {when.day} {when:%B %Y}: {machine_name(about)};",
        f"{versions(about, PACKAGES[1:])}.",
        *([f"The machine was not quiet: {'; '.join(reasons)}."] if reasons else []),
    ]
    figure = f"![One publish beside other libraries, and what each of them does]({FIGURE.relative_to(README.parent)})"
    return "\n\n".join([figure, "\n".join(rows), fill(" ".join(sentences), 120, break_on_hyphens=False)])


def _comparison(cells):
    """Return from how many handlers on everything costs less than Blinker, by the lines through the times."""
    lines = {
        peer: [part.median for part in line({count: cells["handlers", peer, count] for count in COUNTS if count})]
        for peer in (OURS, BLINKER)
    }
    for count in range(1, max(COUNTS) + 1):
        cost = {peer: start + slope * count for peer, (start, slope) in lines.items()}
        if cost[OURS] < cost[BLINKER]:
            words = "one handler" if count == 1 else f"{count} handlers"
            return f"From {words} on, a publish with all of this costs less than Blinker alone."
    return "A publish with all of this costs more than Blinker alone."
