"""The rules that every notebook keeps, so that a reader can trust and rerun it.

Run it on notebooks or on folders of them: ``python -m tests.notebook_rules notebooks``
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

FEWEST_CELLS, MOST_CELLS = 15, 30
LONGEST_INTRODUCTION = 6
LONGEST_FUNCTION = 10

# A title says what the reader will do. Another verb is welcome: add it.
VERBS = frozenset(
    """
    Analyse Ask Balance Break Build Catch Check Choose Compare Count Debug Detect Draw Drive Explain Explore
    Export Find Follow Hear Hunt Isolate Learn Listen Make Map Measure Model Plot Predict Project Prove Put Read
    Rebuild Recover Replay Reproduce Rewind Run Scale See Share Show Simulate Split Steer Stress Survive Tell Test
    Time Trace Track Try Tune Turn Undo Use Version Watch Write
    """.split()  # noqa: SIM905 - as a list it takes a line for each
)

UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip", "raises-exception"}
UNCOMPARED_COMMENTS = {"NBVAL_IGNORE_OUTPUT", "NBVAL_SKIP"}
SYSTEMS = {"atlas_lab.atlas", "atlas_lab.patterns"}
"""Packages whose names are public too, each under its own."""
INSTALLERS = {"conda", "mamba", "micromamba", "pip", "uv"}

LEAKS = {
    "an absolute path": re.compile(
        r"(?<![\w.:/-])/(?:home|Users|root|tmp|usr|opt|var|mnt|private|work|workspace)/[\w.-]|\b[A-Z]:\\\w|file://"
    ),
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}\b"),
    "an id": re.compile(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
}
WIDGET = "application/vnd.jupyter.widget-view+json"


class Problem(NamedTuple):
    """A rule that a notebook breaks, and the place: the number of a cell from 1, or None for all of it."""

    rule: str
    cell: int | None
    message: str


class Cell:
    """A cell with its number, and what its code comes to."""

    def __init__(self, number: int, node: Any) -> None:
        self.number = number
        self.source: str = node.source
        self.metadata = node.metadata
        self.tags = set(node.metadata.get("tags", []))
        self.is_code = node.cell_type == "code"
        self.outputs = node.get("outputs", [])
        self.count = node.get("execution_count")
        self.tree = ast.parse(python_of(self.source)) if self.is_code else ast.Module([], [])

    @property
    def is_compared(self) -> bool:
        """Whether nbval holds the outputs of this cell against the saved ones."""
        comments = {line.strip().lstrip("# ") for line in self.source.splitlines() if line.lstrip().startswith("#")}
        return self.count is not None and not (self.tags & UNCOMPARED_TAGS or comments & UNCOMPARED_COMMENTS)

    def nodes(self, *types: type[ast.AST]) -> Iterator[Any]:
        """Walk over the parts of its code that are of one of these types."""
        return (node for node in ast.walk(self.tree) if isinstance(node, types))


def python_of(source: str) -> str:
    """Return the Python that IPython runs for a cell, the body of a cell magic included."""
    plain = TransformerManager().transform_cell(source)
    for call in (node for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "run_cell_magic":
            magic, _line, body = (ast.literal_eval(argument) for argument in call.args)
            # Other magics hold a shell script or a page.
            return plain + (python_of(body) if magic in {"capture", "prun", "time", "timeit"} else "")
    return plain


def texts(output: Any) -> Iterator[str]:
    """Give every text of a saved output that a reader sees and nbval compares."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield "\n".join([output.ename, output.evalue, *output.traceback])
    else:
        yield from (str(data) for mime, data in output.data.items() if not mime.startswith("image/"))


@cache
def public_names(package: str = "atlas_lab") -> frozenset[str]:
    """Return the names that a package offers; a module of its own is where one of them is made, not one of them."""
    module = importlib.import_module(package)
    names = {name for name in dir(module) if not name.startswith("_")}
    return frozenset(name for name in names if not isinstance(getattr(module, name), ModuleType))


def check(notebook: Any) -> list[Problem]:
    """Return every problem of a notebook, rule by rule."""
    cells = [Cell(number, node) for number, node in enumerate(notebook.cells, start=1)]
    rules = (
        has_a_handful_of_cells,
        opens_with_a_title,
        explains_each_step,
        imports_public_names,
        installs_nothing,
        is_seeded,
        keeps_functions_short,
        proves_its_claim,
        compares_an_output,
        ends_without_semicolon,
        ran_from_top_to_bottom,
        leaks_nothing,
    )
    problems = [problem for rule in rules for problem in rule(cells)]
    return problems + list(is_stripped(notebook, cells))


def has_a_handful_of_cells(cells: list[Cell]) -> Iterator[Problem]:
    """A notebook answers one question."""
    if not FEWEST_CELLS <= len(cells) <= MOST_CELLS:
        yield Problem("size", None, f"has {len(cells)} cells; {FEWEST_CELLS} to {MOST_CELLS} answer one question")


def opens_with_a_title(cells: list[Cell]) -> Iterator[Problem]:
    """The title says what is done, and a few lines say why."""
    first = cells[0].source.strip().splitlines() if cells and not cells[0].is_code else []
    words = first[0].split() if first else []
    if len(words) < 3 or words[0] != "#" or words[1] not in VERBS:
        yield Problem("title", 1, "does not open with '# Verb ...', a verb of VERBS in tests/notebook_rules.py")
    if len([line for line in first[1:] if line.strip()]) > LONGEST_INTRODUCTION:
        yield Problem("introduction", 1, f"says more than {LONGEST_INTRODUCTION} lines before it starts")


def explains_each_step(cells: list[Cell]) -> Iterator[Problem]:
    """A reader who only skims the prose follows the argument."""
    for above, cell in zip([None, *cells], cells, strict=False):
        prose = above.source.splitlines() if above and not above.is_code else []
        if cell.is_code and not any(line.strip() and not line.startswith("#") for line in prose):
            yield Problem("prose", cell.number, "has no sentence above it that says why")


def imports_public_names(cells: list[Cell]) -> Iterator[Problem]:
    """What the lab does, a user's own code can do."""
    for cell in cells:
        for node in cell.nodes(ast.Import, ast.ImportFrom, ast.Attribute):
            if isinstance(node, ast.Import):
                private = [one.name for one in node.names if one.name.startswith("atlas_lab.")]
            elif isinstance(node, ast.ImportFrom):
                path = (node.module or "").split(".")
                package = node.module if node.module in SYSTEMS else "atlas_lab"
                used = {path[1]} if path[1:] and package == "atlas_lab" else {one.name for one in node.names}
                private = sorted(used - public_names(package)) if path[0] == "atlas_lab" else []
            else:
                is_ours = isinstance(node.value, ast.Name) and node.value.id == "atlas_lab"
                private = [node.attr] if is_ours and node.attr not in public_names() else []
            if private:
                yield Problem("public names", cell.number, f"uses {', '.join(private)}: not public names of atlas_lab")


def installs_nothing(cells: list[Cell]) -> Iterator[Problem]:
    """The environment is made by `make lab`, not by a notebook."""
    for cell in cells:
        for node in cell.nodes(ast.Attribute, ast.Call):
            if isinstance(node, ast.Attribute):
                if node.attr == "path" and isinstance(node.value, ast.Name) and node.value.id == "sys":
                    yield Problem("setup", cell.number, "touches sys.path; what it imports is installed by `make lab`")
            elif isinstance(node.func, ast.Attribute) and node.func.attr in {"system", "getoutput"}:
                yield Problem("setup", cell.number, "runs a shell command")
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "run_line_magic" and installs(node):
                yield Problem("setup", cell.number, "installs packages; `make lab` does")


def installs(magic: ast.Call) -> bool:
    """Say whether a line magic is that of a package installer."""
    return ast.literal_eval(magic.args[0]) in INSTALLERS


def is_seeded(cells: list[Cell]) -> Iterator[Problem]:
    """Chance that is not repeated cannot be compared."""
    for cell in cells:
        for call in cell.nodes(ast.Call):
            name = ast.unparse(call.func)
            unseeded = name.split(".")[-1] in {"default_rng", "Random", "RandomState"} and not call.args + call.keywords
            if unseeded or re.fullmatch(r"random\.[a-z]\w*|(np|numpy)\.random\.(?!default_rng)[a-z]\w*", name):
                yield Problem("seed", cell.number, f"{name}() is not seeded; pass a generator made with a seed")


def keeps_functions_short(cells: list[Cell]) -> Iterator[Problem]:
    """What is longer belongs in the package, where it is tested."""
    for cell in cells:
        for node in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            if (length := node.end_lineno - node.lineno + 1) > LONGEST_FUNCTION:
                message = f"{node.name}() has {length} lines; over {LONGEST_FUNCTION} it belongs in the package"
                yield Problem("short functions", cell.number, message)


def proves_its_claim(cells: list[Cell]) -> Iterator[Problem]:
    """A run that proves nothing cannot pass."""
    if not any(True for cell in cells if "nbval-skip" not in cell.tags for _ in cell.nodes(ast.Assert)):
        yield Problem("assert", None, "asserts nothing")
    for cell in cells:
        if "nbval-skip" in cell.tags or re.search(r"^\s*#+\s*NBVAL_SKIP\s*$", cell.source, re.MULTILINE):
            yield Problem("assert", cell.number, "is skipped by nbval, so nobody knows whether it runs")


def compares_an_output(cells: list[Cell]) -> Iterator[Problem]:
    """Images are not compared, so a figure alone shows nothing to a machine."""
    shown = [text for cell in cells if cell.is_compared for output in cell.outputs for text in texts(output)]
    if not any(text.strip() and not text.startswith("<Figure") for text in shown):
        yield Problem("compared output", None, "has no saved output that nbval compares; tag a cell keep_output")


def ends_without_semicolon(cells: list[Cell]) -> Iterator[Problem]:
    """Nbval runs cells outside IPython's history, where a final ``;`` does not keep the last value from being shown."""
    for cell in cells:
        code = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if cell.is_code and cell.is_compared and code and code[-1].split("  #")[0].rstrip().endswith(";"):
            yield Problem("semicolon", cell.number, "ends with ';', which nbval does not see; write 'ax = ...' instead")


def ran_from_top_to_bottom(cells: list[Cell]) -> Iterator[Problem]:
    """The saved outputs are those of one run; nbval compares nothing in a cell without a count."""
    counts = [cell.count for cell in cells if cell.is_code]
    if counts != list(range(1, len(counts) + 1)):
        yield Problem("run", None, f"was not run once from top to bottom before it was saved: counts are {counts}")
    for cell in cells:
        if any(output.output_type == "error" for output in cell.outputs) and "raises-exception" not in cell.tags:
            yield Problem("run", cell.number, "was saved with an error")


def leaks_nothing(cells: list[Cell]) -> Iterator[Problem]:
    """No path, address or id: they differ on every machine or run."""
    for cell in cells:
        for text in (cell.source, *(text for output in cell.outputs for text in texts(output))):
            for what, pattern in LEAKS.items():
                if found := pattern.search(text):
                    yield Problem("leaks", cell.number, f"shows {what}: {found.group()}")
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            yield Problem("leaks", cell.number, "saves a widget's view, whose id is new on every run")


def is_stripped(notebook: Any, cells: list[Cell]) -> Iterator[Problem]:
    """Nothing is committed that changes from run to run; the hook `nbstripout` sees to it."""
    if extra := sorted(set(notebook.metadata) - {"kernelspec"}):
        yield Problem("stripped", None, f"has metadata that changes from run to run: {', '.join(extra)}")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield Problem("stripped", None, "does not name the kernel python3, so opening it asks for one")
    for cell in cells:
        if extra := sorted(set(cell.metadata) - {"tags"}):
            yield Problem("stripped", cell.number, f"has metadata that changes from run to run: {', '.join(extra)}")
        if cell.outputs and "keep_output" not in cell.tags:
            yield Problem("stripped", cell.number, "has saved outputs; tag it keep_output or run nbstripout")


def main(arguments: list[str]) -> int:
    """Check notebooks and folders of notebooks; return 1 if any has a problem."""
    paths = [path for one in map(Path, arguments) for path in (sorted(one.glob("*.ipynb")) if one.is_dir() else [one])]
    found = [(path, problem) for path in paths for problem in check(nbformat.read(path, as_version=4))]
    for path, (rule, cell, message) in found:
        where = f"{path}, cell {cell}" if cell else path
        print(f"{where}: {message} [{rule}]")
    print(f"{len(paths)} notebooks, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
