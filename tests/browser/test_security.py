"""What an event holds never runs: hostile payloads, in every place that shows events, in a browser.

`tests/browser/hostile.py` has the payloads and the places. The same payloads, shown as HTML, do run: else nothing
would be seen to run here because nothing is seen at all.
"""

from __future__ import annotations

import json
import re
import shutil

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser import hostile

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
CONTROL = range(900_000, 900_000 + len(hostile.CONTROL))

WATCH = "if (window === top) window.atlasFired = [];"

# What stands in an output that no text of ours can have made: elements and attributes that run or ask for something.
FOUND = """(root) => {
  const odd = [];
  for (const node of root.querySelectorAll('*')) {
    const tag = node.localName;
    // What an exported page itself has for a widget: its place, and the number of its model.
    if (tag === 'script' && (node.type === 'application/vnd.jupyter.widget-view+json'
        || /^\\s*var element = document.getElementById\\('[0-9a-f-]+'\\);?\\s*$/.test(node.textContent))) continue;
    if (/^(script|iframe|object|embed|base|meta|link|form|plaintext|audio|video|animate)$/.test(tag)) odd.push(tag);
    if (tag === 'style' && /evil|atlasFired/.test(node.textContent)) odd.push(tag);
    if (tag === 'img' && !/^(data|blob):/.test(node.src)) odd.push('img ' + node.src.slice(0, 60));
    for (const {name, value} of node.attributes) {
      if (/^on/.test(name)) odd.push(tag + ' ' + name);
      // JupyterLab makes links of addresses in plain text, those with data: among them, which browsers do not follow.
      const plain = tag === 'a' && node.closest('.jp-RenderedText') && /^data:/.test(value);
      if (/^(href|src|action|data|xlink:href)$/.test(name) && /^\\s*(javascript|vbscript|data:text)/i.test(value) && !plain)
        odd.push(tag + ' ' + name + ' ' + value.slice(0, 60));
      if (name === 'style' && /evil/.test(value)) odd.push(tag + ' style');
    }
  }
  const texts = [root.textContent, ...[...root.querySelectorAll('img')].map((image) => image.alt),
                 ...[...root.querySelectorAll('input, textarea, option')].map((field) => field.value)];
  return {odd: [...new Set(odd)], math: root.querySelectorAll('mjx-container').length, text: texts.join(' ')};
}"""

RUN_CONTROL = """async () => {
  const {content} = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = content.widgets.length - 1;
  content.activeCell.model.sharedModel.setSource('hostile.control()');
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


class Watched:
    """A page, and what happens in it that should not."""

    def __init__(self, page, host):
        self.page, self.host = page, host
        self.requests, self.dialogs = [], []
        page.add_init_script(WATCH)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self.dismiss)

    def dismiss(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def happened(self):
        """Return what fired, what was asked of other hosts, and what dialogs said."""
        away = [url for url in self.requests if "pwned" in url]
        return self.page.evaluate("() => window.atlasFired"), away, self.dialogs

    def told(self):
        """Return the numbers of the payloads that ran in any way, and what cannot be told by a number."""
        fired, away, dialogs = self.happened()
        return {*fired, *(int(re.search(r"pwned-(\d+)", url)[1]) for url in away), *map(int, dialogs)}


def notebook_of(cells):
    return new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=KERNEL)


@pytest.fixture(scope="module")
def names():
    return list(hostile.places())


def expect_nothing_ran(told, names):
    """Fail with the place and the payload of what ran, if it was no control."""
    kinds = [*hostile.CONTROL, *hostile.QUIET]
    known = {1000 * place + n: f"{name}: {kind}" for place, name in enumerate(names, 1) for n, kind in enumerate(kinds)}
    ran = [known.get(number, f"number {number}") for number in sorted(told - set(CONTROL))]
    assert ran == []


def expect_text(seen, place, name):
    """Fail if a place does not show what it is given: then nothing was tried there."""
    shown = [number for number in range(len(hostile.PAYLOADS)) if str(1000 * place + number) in seen["text"]]
    assert len(shown) == len(hostile.PAYLOADS) if name in hostile.WHOLE else shown, name


def look(page, cell, awaited=""):
    """Return what stands in the output of a cell; a panel is given time to show a number that begins so."""
    for _ in range(50):
        seen = cell.query_selector(".jp-Cell-outputWrapper").evaluate(FOUND)
        if not awaited or re.search(rf"\b{awaited}\d{{3}}\b", seen["text"]):
            break
        page.wait_for_timeout(200)
    return seen


def test_the_corpus_is_large_enough():
    """At least 50 payloads in at least 10 places, and most payloads are ones that fire as HTML."""
    assert len(set(hostile.PAYLOADS)) == len(hostile.PAYLOADS) >= 50
    assert len(hostile.PLACES) >= 10
    assert len(hostile.CONTROL) >= 30


def test_no_payload_runs_in_any_place(open_notebook, lab, browser, names, tmp_path):
    """Neither in JupyterLab nor in the exported page: nothing fires, no dialog opens, no request leaves, no element
    stands there that a text of ours did not make; as HTML, the payloads do fire in both.
    """
    shutil.copy(hostile.__file__, lab.folder / "hostile.py")
    cells = ["import hostile", *(f"hostile.show({name!r})" for name in names), "hostile.save_widgets('widgets.json')"]
    path = tmp_path / "security.ipynb"
    nbformat.write(notebook_of([*cells, ""]), path)
    view = open_notebook(path)
    watched = Watched(view.page, lab.url)
    view.page.evaluate("() => { window.atlasFired = []; }")
    notebook = view.run_all(300)
    errors = [
        (name, output.evalue[:200])
        for name, cell in zip(["", *names, ""], notebook.cells, strict=False)
        for output in cell.outputs
        if output.output_type == "error" and name not in {"tracebacks in cells", "refused arguments", "cell events"}
    ]
    assert errors == []
    view.page.wait_for_timeout(1_000)  # for what runs late
    expect_nothing_ran(watched.told(), names)
    outputs = view.page.query_selector_all(".jp-Notebook .jp-Cell")
    for place, name in enumerate(names, 1):
        seen = look(view.page, outputs[place], hostile.PANELS.count(name) * str(1000 * place)[:-3])
        formulas = 0 if name == "frames and tables" else seen["math"]  # pandas lets a notebook set them
        assert (name, seen["odd"], formulas) == (name, [], 0)
        if name not in hostile.PICTURES:  # whose alternative texts neither JupyterLab nor an exported page shows
            expect_text(seen, place, name)

    view.page.evaluate(RUN_CONTROL)
    view.page.wait_for_function("(least) => window.atlasFired.length >= least", arg=len(CONTROL) // 2)
    view.page.wait_for_timeout(1_000)
    missed = [list(hostile.CONTROL)[n - CONTROL[0]] for n in sorted(set(CONTROL) - watched.told())]
    print("as HTML in JupyterLab, these did not fire:", missed)
    assert len(missed) <= len(CONTROL) // 4
    assert watched.dialogs != []
    assert any(hostile.HOST in url for url in watched.requests)

    notebook = view.read()
    state = json.loads((lab.folder / "widgets.json").read_text(encoding="utf-8"))
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    page = tmp_path / "security.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8", errors="replace")
    context = browser.new_context()
    exported = Watched(context.new_page(), "")
    exported.page.route(
        "**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort()
    )
    exported.page.goto(page.as_uri(), wait_until="load")
    exported.page.wait_for_timeout(1_000)
    expect_nothing_ran(exported.told(), names)
    assert exported.told() & set(CONTROL) != set()
    outputs = exported.page.query_selector_all(".jp-Cell")
    for place, name in enumerate(names, 1):
        seen = outputs[place].query_selector(".jp-Cell-outputWrapper").evaluate(FOUND)
        assert (name, seen["odd"]) == (name, [])
        if name not in {*hostile.PICTURES, *hostile.PANELS, "captured"}:  # widgets need what the network has
            expect_text(seen, place, name)
    context.close()
