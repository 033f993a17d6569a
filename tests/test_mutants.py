"""The page of mutants: where the reasons for survivors are kept, and lost ones are noticed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutants import FLOOR, UNEXPLAINED, Group, Mutant, Result, read, sort, write

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "mutants.md").read_text(encoding="utf-8")

FASTER = Mutant("bus.EventBus.publish", ("- if quick:", "+ if quick and False:"))
WORDED = Mutant("events.check_source", ("- raise TypeError(", '- "no"', "+ raise TypeError(", '+ "XXnoXX"'))
FRESH = Mutant("bus.EventBus.emit", ("- return 1", "+ return 2"))
GROUPS = [Group("Speed only", "The long way comes to the same.", [FASTER]), Group("Wording", "`x` -> y.", [WORDED])]


def test_reasons_survive_a_new_run():
    """What was written under a heading by hand stands there again after the next run, to the letter."""
    page = "\n".join(write([Result("bus", 9, [FASTER, WORDED])], GROUPS, "Run today."))
    assert read(page) == GROUPS
    assert sort([FASTER, WORDED], read(page)) == GROUPS
    assert "| bus | 11 | 9 | 2 | 81.8 % |" in page


def test_what_is_new_has_no_reason_and_what_was_killed_none_any_more():
    """A new survivor cannot pass under an old heading, and a heading without survivors goes."""
    assert sort([FASTER, FRESH], GROUPS) == [GROUPS[0], Group(UNEXPLAINED, "", [FRESH])]
    assert sort([FRESH], [Group(UNEXPLAINED, "", [FRESH])]) == [Group(UNEXPLAINED, "", [FRESH])]


def test_the_page_that_is_committed_holds():
    """It covers the modules that are configured; in each enough mutants are killed, and each survivor has a reason."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == [*sorted(Path(one).stem for one in config["only_mutate"]), "all"]
    for _, mutants, killed, survived, rate in rows:
        assert int(killed) + int(survived) == int(mutants)
        assert float(rate.removesuffix(" %")) >= FLOOR
    groups = read(PAGE)
    assert sum(len(group.mutants) for group in groups) == int(rows[-1][3])
    assert all(group.reason for group in groups)
