"""Notebooks with a live feed, and what a browser sees of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}

# Runs one cell, as a person who chooses it and presses the button.
RUN_CELL = """async (index) => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = index;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""

# A system with causes, several families of types, an error and a middleware.
SYSTEM = """
import logging
from enum import Enum
from atlas_lab import EventBus, EventType, ScopedEventBus
from atlas_lab.widgets.feed import EventFeed
from atlas_lab.widgets.rate import RateView
logging.getLogger("atlas_lab").setLevel(logging.CRITICAL)
bus = EventBus(name="run", history_limit=200_000)
agent = ScopedEventBus(bus, "agent-1")
T = EventType

@bus.on(T.WORKFLOW_STARTED)
def engine(event):
    bus.publish(T.WORKFLOW_NODE_ENTERED, {"node": "retrieve"}, source="engine")

@bus.on(T.WORKFLOW_NODE_ENTERED)
def retrieve(event):
    bus.publish(T.RETRIEVAL_COMPLETED, {"hits": 5, "best": 0.83}, source="stdlib")

@bus.on(T.RETRIEVAL_COMPLETED)
def assign(event):
    agent.publish(T.AGENT_TASK_ASSIGNED, {"agent": "planner", "task": "t-9"}, source="controller")

@agent.on(T.AGENT_TASK_ASSIGNED)
def on_task(event):
    raise ValueError("no such tool 'grep'")

@bus.on(T.HANDLER_ERROR)
def alert(event):
    sum(range(2000))

@bus.on(T.STREAM_CHUNK)
def count(event):
    sum(range(300))

@bus.add_middleware
def stamp(event):
    return event.replace(metadata={"run": 7}) if event.type is not T.STREAM_CHUNK else event

def play(chunks=200):
    for index in range(chunks):
        bus.publish(T.STREAM_CHUNK, {"text": "of the", "index": index}, source="ngram")
    bus.publish(T.WORKFLOW_STARTED, {"workflow": "answer"}, source="engine")
"""


def notebook_of(folder, *sources, name="feed.ipynb"):
    """Write a notebook with these cells, and return its path."""
    notebook = new_notebook(cells=list(map(new_code_cell, sources)), metadata=KERNEL)
    path = folder / name
    nbformat.write(notebook, path)
    return path


def run_cell(view, index):
    """Run one cell, and wait until it has ended."""
    view.page.evaluate(RUN_CELL, index)


def picture(view, name, selector=None):
    """Save what is to be seen, in the folder that ATLAS_LAB_SCREENSHOTS names, if it does."""
    if folder := os.environ.get("ATLAS_LAB_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = str(Path(folder) / f"{re.sub(r'[^a-z0-9]+', '_', name)}.png")
        (view.page.locator(selector).first if selector else view.page).screenshot(path=path)


def set_theme(page, name):
    """Change JupyterLab's theme."""
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
    light = "false" if "Dark" in name else "true"
    page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light", arg=light)
