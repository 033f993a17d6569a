"""The notebooks keep their rules, the rules catch what they are for, and a second run shows the same."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests import notebook_rules
from tests.notebook_rules import Cell, check, texts

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def test_there_are_notebooks():
    """A run over an empty folder does not pass."""
    assert NOTEBOOKS != []


@every_notebook
def test_a_notebook_keeps_the_rules(path):
    """Each notebook is short, explained, proven, free of private names and of what changes from run to run."""
    problems = check(nbformat.read(path, as_version=4))
    assert problems == []


@every_notebook
def test_a_second_run_in_the_same_kernel_shows_the_same(path):
    """Running all cells twice doubles no subscription, leaks no thread and lets no checked output grow."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("import threading; print(threading.active_count())", id="threads"))
    # On a busy machine what a cell prints may come in several pieces.
    options = {"coalesce_streams": True, "resources": {"metadata": {"path": str(FOLDER)}}}
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", **options)
    runs = []
    with client.setup_kernel():
        for _ in range(2):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            cells = [Cell(number, node) for number, node in enumerate(notebook.cells)]
            runs.append({cell.number: list(map(list, map(texts, cell.outputs))) for cell in cells if cell.is_compared})
    assert runs[0] == runs[1]


def good_notebook():
    """Make a notebook that keeps every rule, with a figure, a checked output and an assert."""
    cells = [
        new_markdown_cell("# Count what a bus was told\n\nHow many events does it keep?"),
        new_code_cell(
            "import atlas_lab\nfrom random import Random\nfrom atlas_lab import EventType\nfrom atlas_lab.atlas import Node"
        ),
    ]
    for step in range(6):
        cells += [new_markdown_cell(f"## Step {step}\n\nBecause of this."), new_code_cell(f"rng = Random({step})")]
    cells += [new_markdown_cell("The answer, and the proof."), new_code_cell("print(41 + 1)\nassert 41 + 1 == 42")]
    cells[-1].outputs = [new_output("stream", name="stdout", text="42\n")]
    cells[-1].metadata.tags = ["keep_output"]
    code = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    cells[0].source += " Read on."
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def test_a_good_notebook_has_no_problem():
    """The rules ask for nothing that the guide does not ask for."""
    assert check(good_notebook()) == []


def figure(**metadata):
    return new_output("display_data", data={"image/png": "aWQ=", "text/plain": "<Figure size 1x1>"}, metadata=metadata)


def title(source):
    return lambda notebook: notebook.cells[0].update(source=source)


def code(source):
    return lambda notebook: notebook.cells[3].update(source=source)


def output(text):
    return lambda notebook: notebook.cells[-1].update(outputs=[new_output("stream", name="stdout", text=text)])


BREAKAGES = {
    "14 cells": ("size", lambda notebook: notebook.cells.__delitem__(slice(2, 4))),
    "31 cells": ("size", lambda notebook: notebook.cells.extend(new_markdown_cell("More.") for _ in range(15))),
    "no title": ("title", title("What a bus was told")),
    "a title that is a noun": ("title", title("# Event counts of a bus")),
    "a title of one word": ("title", title("# Count")),
    "code for a title": ("title", lambda notebook: notebook.cells.pop(0)),
    "a long introduction": ("introduction", title("# Count events\n" + "\nOne more line.\n" * 7)),
    "code under code": ("prose", lambda notebook: notebook.cells.pop(2)),
    "a bare heading": ("prose", lambda notebook: notebook.cells[2].update(source="## Step")),
    "a private name": ("public names", code("from atlas_lab import _secret")),
    "an inner module": ("public names", code("import atlas_lab.bus")),
    "a name of an inner module": ("public names", code("from atlas_lab.errors import describe")),
    "a private name of a system": ("public names", code("from atlas_lab.atlas import _LAZY")),
    "an inner module of a system": ("public names", code("from atlas_lab.atlas.workflow import Node")),
    "a private attribute": ("public names", code("atlas_lab._secret")),
    "a private name inside a cell magic": ("public names", code("%%time\nfrom atlas_lab import _secret")),
    "sys.path": ("setup", code("import sys\nsys.path.append('..')")),
    "pip": ("setup", code("%pip install pandas")),
    "pip in a shell": ("setup", code("!pip install pandas")),
    "a shell command": ("setup", code("files = !ls")),
    "the global generator": ("seed", code("import random\nrandom.random()")),
    "NumPy's global generator": ("seed", code("np.random.normal(size=3)")),
    "a generator with no seed": ("seed", code("np.random.default_rng()")),
    "a long function": ("short functions", code("def long():\n" + "    step = 1\n" * 10)),
    "a long coroutine": ("short functions", code("async def long():\n" + "    step = 1\n" * 10)),
    "no assert": ("assert", lambda notebook: notebook.cells[-1].update(source="print(41 + 1)")),
    "an assert in a comment": ("assert", lambda notebook: notebook.cells[-1].update(source="# assert 1\nprint(42)")),
    "a skipped cell": ("assert", lambda notebook: notebook.cells[3].metadata.update(tags=["nbval-skip"])),
    "a cell skipped by comment": ("assert", code("# NBVAL_SKIP\n1 / 0")),
    "no saved output": ("compared output", lambda notebook: notebook.cells[-1].update(outputs=[])),
    "an output that is ignored": (
        "compared output",
        lambda notebook: notebook.cells[-1].metadata.tags.append("nbval-ignore-output"),
    ),
    "an output that is ignored by comment": (
        "compared output",
        lambda notebook: notebook.cells[-1].update(source="# NBVAL_IGNORE_OUTPUT\nassert 42"),
    ),
    "nothing but a figure": ("compared output", lambda notebook: notebook.cells[-1].update(outputs=[figure()])),
    "a final semicolon": ("semicolon", code("print(1)\nmax(1, 2);  # the larger one")),
    "a cell that never ran": ("run", lambda notebook: notebook.cells[3].update(execution_count=None)),
    "cells run out of order": ("run", lambda notebook: notebook.cells[3].update(execution_count=9)),
    "a saved error": (
        "run",
        lambda notebook: notebook.cells[-1].outputs.append(new_output("error", ename="E", evalue="", traceback=[])),
    ),
    "a path in code": ("leaks", code("open('/home/somebody/data.csv')")),
    "a path in an output": ("leaks", output("wrote /home/me/log\n")),
    "a Windows path": ("leaks", output("C:\\Users\\somebody")),
    "an address": ("leaks", output("<function f at 0x7f3c5c0d8e50>")),
    "an event id": ("leaks", output("0123456789ab8def8123456789abcdef")),
    "a UUID": ("leaks", output("id 01234567-89ab-cdef-0123-456789abcdef")),
    "a widget's view": (
        "leaks",
        lambda notebook: notebook.cells[-1].outputs.append(
            new_output("display_data", data={notebook_rules.WIDGET: {"model_id": "1"}, "text/plain": "Button()"})
        ),
    ),
    "language_info": ("stripped", lambda notebook: notebook.metadata.update(language_info={"version": "3.11"})),
    "no kernel": ("stripped", lambda notebook: notebook.metadata.pop("kernelspec")),
    "times of execution": ("stripped", lambda notebook: notebook.cells[3].metadata.update(execution={"busy": "now"})),
    "an output not asked for": ("stripped", lambda notebook: notebook.cells[3].update(outputs=[figure()])),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_rule_catches_what_it_is_for(breakage):
    """Each rule fires on a notebook that breaks it, and names it."""
    rule, spoil = BREAKAGES[breakage]
    notebook = good_notebook()
    spoil(notebook)
    assert rule in {problem.rule for problem in check(notebook)}


def test_problems_fail_the_command(tmp_path, capsys):
    """The hook and `make lint` stop on a problem, and say where it is."""
    notebook = good_notebook()
    nbformat.write(notebook, tmp_path / "good.ipynb")
    assert notebook_rules.main([str(tmp_path)]) == 0
    notebook.cells[3].source = "%pip install pandas"
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    assert notebook_rules.main([str(tmp_path)]) == 1
    assert "bad.ipynb, cell 4: installs packages" in capsys.readouterr().out
