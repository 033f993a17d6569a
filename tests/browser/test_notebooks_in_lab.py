"""Every notebook runs in JupyterLab itself, in a real browser, and shows what it is meant to show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"))

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}

# What a reader can see of each kind of output: laid out, and images loaded.
VISIBLE = """() => {
  const seen = (selector) => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output ' + selector)]
    .filter((node) => node.getBoundingClientRect().width > 0 && node.getBoundingClientRect().height > 0
                      && (node.tagName !== 'IMG' || node.naturalWidth > 0)).length;
  return {figures: seen('img'), tables: seen('table'), widgets: seen('.jupyter-widgets')};
}"""

WIDGET = "application/vnd.jupyter.widget-view+json"


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shown(notebook, mime):
    """Count the outputs whose richest kind, the one that JupyterLab draws, is this one."""
    data = [output.data for output in outputs_of(notebook) if "data" in output]
    ranked = [WIDGET, "text/html", "image/svg+xml", "image/png", "text/plain"]
    return [next((kind for kind in ranked if kind in bundle), None) for bundle in data].count(mime)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_in_jupyterlab(open_notebook, path):
    """Run All ends without an error, and every figure, table and widget is there to see."""
    view = open_notebook(path)
    notebook = view.run_all()
    view.page.wait_for_function(f"(n) => ({VISIBLE})().figures >= n", arg=shown(notebook, "image/png"))
    expected = {"cells run": len([cell for cell in notebook.cells if cell.cell_type == "code"]), "errors": []}
    view.screenshot()
    assert {
        "cells run": len([cell for cell in notebook.cells if cell.get("execution_count")]),
        "errors": [output.evalue for output in outputs_of(notebook) if output.output_type == "error"],
    } == expected
    visible = view.page.evaluate(VISIBLE)
    assert visible["figures"] >= shown(notebook, "image/png")
    assert visible["widgets"] >= shown(notebook, WIDGET)


@pytest.fixture
def small_notebook(tmp_path):
    """A notebook with a table, a figure and a widget, and one that fails."""
    sources = [
        "import ipywidgets, matplotlib.pyplot as plt, pandas as pd",
        "pd.DataFrame({'handler': ['plan', 'act'], 'calls': [1, 2]})",
        "plt.plot([1, 2, 4]);",
        "ipywidgets.IntSlider(3)",
        "print('done')",
    ]
    notebook = new_notebook(cells=[new_markdown_cell("# Show what a browser draws")], metadata=KERNEL)
    notebook.cells += map(new_code_cell, sources)
    path = tmp_path / "small.ipynb"
    nbformat.write(notebook, path)
    return path


def test_the_harness_sees_what_is_drawn(open_notebook, small_notebook):
    """A table, a figure and a widget count as seen, in the notebook and in the page."""
    view = open_notebook(small_notebook)
    notebook = view.run_all()
    view.page.wait_for_selector(".widget-slider")
    view.screenshot()
    assert outputs_of(notebook)[-1].text == "done\n"
    assert view.page.evaluate(VISIBLE) == {"figures": 1, "tables": 1, "widgets": 1}


def test_the_harness_sees_an_error(open_notebook, small_notebook):
    """A cell that fails is seen as an error, and the cells after it as not run."""
    notebook = nbformat.read(small_notebook, as_version=4)
    notebook.cells[2].source = "1 / 0"
    nbformat.write(notebook, small_notebook)
    ended = open_notebook(small_notebook).run_all()
    assert [output.evalue for output in outputs_of(ended) if output.output_type == "error"] == ["division by zero"]
    assert [cell.execution_count for cell in ended.cells[1:]] == [1, 2, None, None, None]
