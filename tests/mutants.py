"""Tell which small breaks of the core no test notices, and why that is no hole.

``make mutants`` runs mutmut, then this: ``python -m tests.mutants docs/mutants.md``. It reads the result out of
``mutants/`` and writes the page anew. The page is also where the reasons are kept: a survivor stays under the heading
where it stands. A new one comes under "Without a reason", to be killed by a test or moved under a heading by hand.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

FLOOR = 90  # percent of a module's mutants that the tests kill at least
UNEXPLAINED = "Without a reason"

INTRODUCTION = """\
# What the tests notice

`make mutants` breaks the core in small ways, one at a time (a `<` becomes `<=`, an argument becomes `None`, a `break`
a `return`), and runs the tests on each of these mutants. A mutant that a test fails on is killed. One that survives is
a hole in the tests, unless there is a reason; each stands below with its own. mutmut leaves properties and other
decorated functions as they are.

The configuration is `[tool.mutmut]` in `pyproject.toml`: which modules, and which tests must notice."""


@dataclass(frozen=True)
class Mutant:
    """One break: the function that it is in, as ``module.Class.function``, and the lines of its diff."""

    place: str
    lines: tuple[str, ...]


@dataclass
class Group:
    """Survivors that share a reason."""

    name: str
    reason: str = ""
    mutants: list[Mutant] = field(default_factory=list)


@dataclass
class Result:
    """What became of the mutants of one module."""

    module: str
    killed: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def mutants(self) -> int:
        """How many there are."""
        return self.killed + len(self.survivors)

    @property
    def rate(self) -> float:
        """How many percent of them were killed."""
        return 100 * self.killed / self.mutants


def results() -> Iterator[Result]:
    """Read what mutmut found, module by module."""
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        result = Result(path.stem)
        for name, exit_code in data.exit_code_by_key.items():
            status = status_by_exit_code[exit_code]
            if status == "not checked":
                raise SystemExit(f"{name} was not tried; run mutmut to its end first")
            if status in {"survived", "no tests"}:
                result.survivors.append(mutant(path, name))
            else:  # a failed test, but also a hang or a crash
                result.killed += 1
        yield result


def mutant(path: Path, name: str) -> Mutant:
    """Describe a mutant that mutmut knows by `name`."""
    function, owner = orig_function_and_class_names_from_key(name)
    diff = get_diff_for_mutant(name, path=path).splitlines()[2:]  # below the names of the files
    lines = [line for line in diff if line.startswith(("-", "+"))]
    return Mutant(".".join(filter(None, (path.stem, owner, function))), tuple(map(flush, lines)))


def flush(line: str) -> str:
    """Return a line of a diff without the indentation of the code."""
    return f"{line[0]} {line[1:].strip()}"


def read(page: str) -> list[Group]:
    """Read the groups of survivors from a page."""
    groups: list[Group] = []
    for section in page.split("\n### ")[1:]:
        name, _, rest = section.partition("\n")
        reason, _, block = rest.partition("```diff\n")
        group = Group(name, reason.strip())
        for entry in block.partition("```")[0].split("@@ ")[1:]:
            place, *lines = entry.strip().splitlines()
            group.mutants.append(Mutant(place, tuple(lines)))
        groups.append(group)
    return groups


def sort(survivors: Iterable[Mutant], known: list[Group]) -> list[Group]:
    """Put survivors under the headings that they are known under, new ones under a heading of their own."""
    groups = {group.name: Group(group.name, group.reason) for group in known if group.name != UNEXPLAINED}
    names = {mutant: group.name for group in known for mutant in group.mutants}
    unexplained = Group(UNEXPLAINED)
    for survivor in survivors:
        groups.get(names.get(survivor, UNEXPLAINED), unexplained).mutants.append(survivor)
    return [group for group in [*groups.values(), unexplained] if group.mutants]


def write(found: list[Result], groups: list[Group], made_on: str) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from INTRODUCTION.splitlines()
    yield from ("", made_on, "", "| module | mutants | killed | survived | rate |", "| --- | --: | --: | --: | --: |")
    total = Result("all", sum(one.killed for one in found), [one for each in found for one in each.survivors])
    for one in [*found, total]:
        yield f"| {one.module} | {one.mutants} | {one.killed} | {len(one.survivors)} | {one.rate:.1f} % |"
    yield from ("", "## Survivors")
    for group in groups:
        yield from ("", f"### {group.name}", "", *([group.reason, ""] if group.reason else []), "```diff")
        for survivor in group.mutants:
            yield from (f"@@ {survivor.place}", *survivor.lines)
        yield "```"


def versions() -> str:
    """Tell when, and with what, this was found."""
    used = ", ".join(f"{name} {version(name)}" for name in ("mutmut", "pytest", "hypothesis", "blinker", "msgspec"))
    today = date.today()  # noqa: DTZ011 - the date where it was run
    return f"Run on {today:%-d %B %Y} with Python {platform.python_version()}, {used}."


def main(arguments: list[str]) -> int:
    """Write the page and print its table; return 1 if a module is below the floor or a survivor has no reason."""
    page = Path(arguments[0])
    found = list(results())
    known = read(page.read_text(encoding="utf-8")) if page.exists() else []
    groups = sort((one for each in found for one in each.survivors), known)
    lines = list(write(found, groups, versions()))
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")

    print("\n".join(line for line in lines if line.startswith("|")))
    low = [one.module for one in found if one.rate < FLOOR]
    unexplained = sum(len(group.mutants) for group in groups if group.name == UNEXPLAINED)
    if low:
        print(f"Fewer than {FLOOR} % are killed in: {', '.join(low)}")
    if unexplained:
        print(f"{unexplained} survivors have no reason yet: see '{UNEXPLAINED}' in {page}")
    return 1 if low or unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
