"""Measurements as a pyperf suite: one JSON file that ``python -m pyperf`` reads, too.

A benchmark is named ``section/peer/setting``, such as ``handlers/pyee/10``. Its values stand in the order of the
rounds, so that what is compared within rounds can be computed again.
"""

from pathlib import Path

from pyperf import Benchmark, BenchmarkSuite, Run

from benchmarks.harness import Cell

LATEST = Path(__file__).parent / "results" / "latest.json"
UNQUIET = LATEST.with_name("unquiet.json")
DIGITS = 5
_OF_A_CELL = {"name", "unit", "every"}
_NOTE = "note_"


def save(cells, known, path):
    """Write cells, replacing what the file tells about their sections; other sections stay.

    Parameters
    ----------
    cells : dict of (section, peer, setting) to Cell
    known : dict of str to str, int or float
        What is true of all of them, such as versions and the date.
    path : Path
    """
    sections = {section for section, _, _ in cells}
    kept = []
    if path.exists():
        kept = [old for old in BenchmarkSuite.load(str(path)) if old.get_name().split("/")[0] not in sections]
    made = [_benchmark(key, cell, known) for key, cell in cells.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    BenchmarkSuite(kept + made).dump(str(path), replace=True)


def load(path):
    """Return cells by (section, peer, setting), and for each section what is true of all of it."""
    cells, known = {}, {}
    for benchmark in BenchmarkSuite.load(str(path)):
        section, peer, setting = benchmark.get_name().split("/")
        metadata = benchmark.get_metadata()
        notes = {key.removeprefix(_NOTE): value for key, value in metadata.items() if key.startswith(_NOTE)}
        values = list(benchmark.get_values())
        cells[section, peer, int(setting)] = Cell(values, metadata["every"], benchmark.get_unit(), notes)
        known[section] = {
            key: value for key, value in metadata.items() if key not in _OF_A_CELL and not key.startswith(_NOTE)
        }
    return cells, known


def _benchmark(key, cell, known):
    metadata = {
        **known,
        **{_NOTE + name: value for name, value in cell.notes.items()},
        "name": "/".join(map(str, key)),
        "unit": cell.unit,
        "every": cell.every,
    }
    values = [float(f"{value:.{DIGITS}g}") for value in cell.readings]
    return Benchmark([Run(values, metadata=metadata, collect_metadata=False)])
