"""JupyterLab in a real browser: a server of its own, Debian's Chromium, and a way to run a notebook in it.

The server reads and writes nothing of the user's: its configuration, settings and workspaces live in a
temporary folder. What Chromium may not fetch, JupyterLab does not need.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from playwright.sync_api import sync_playwright

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]

SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
    # Every cell and every output is in the page, also those that are scrolled out of sight.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "maxNumberOutputs": 10_000},
}

# The busy indicator says idle before the kernel is there; these objects do not. Resolves to the kernel's status.
READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session.kernel;
  await kernel.info;
  return kernel.status;
}"""

# Resolves once every cell has ended, or after so many seconds; the page itself would wait for ever.
RUN_ALL = """async (seconds) => {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('cells still run')), seconds * 1000));
  await Promise.race([window.jupyterapp.commands.execute('notebook:run-all-cells'), late]);
}"""

CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON()"


class Lab(NamedTuple):
    """A running JupyterLab: its address, its token, and the folder it serves."""

    url: str
    token: str
    folder: Path


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab for the tests of this folder, and stop it."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    folder.mkdir()
    settings = home / "settings"
    for name, values in SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    environment = os.environ | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLCONFIGDIR": str(home / "matplotlib"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = "atlas"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    options = [
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]
    log = home / "server.log"
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        server = subprocess.Popen([*command, *options], env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for_server(f"{url}/api/status?token={token}", server, log)
            yield Lab(url, token, folder)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for_server(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}", pytrace=False)


@pytest.fixture(scope="package")
def browser(require: Callable[..., str]) -> Iterator[Any]:
    """Start Chromium for the tests of this folder.

    Playwright keeps an event loop running until it stops, so that `asyncio.run` fails: it must not outlive them.
    """
    chromium = require("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield running
        running.close()


class OpenNotebook:
    """A notebook that is open in the browser.

    `page` is playwright's page; `run_all` runs every cell and returns the notebook as the browser holds it then.
    """

    def __init__(self, page: Any, name: str) -> None:
        self.page = page
        self.name = name

    def run_all(self, seconds: float = 120) -> Any:
        """Run every cell, wait until all have ended, and return the notebook; an error ends the run."""
        self.page.evaluate(RUN_ALL, seconds)
        return self.read()

    def read(self) -> Any:
        """Return the notebook with the outputs that the browser holds."""
        return nbformat.from_dict(self.page.evaluate(CELLS))

    def screenshot(self) -> None:
        """Save what is to be seen, all of it, in the folder that ATLAS_LAB_SCREENSHOTS names, if it does."""
        if folder := os.environ.get("ATLAS_LAB_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            name = re.sub(r"\W+", "_", self.name.removesuffix(".ipynb"))
            height = self.page.evaluate("() => document.querySelector('.jp-WindowedPanel-inner').scrollHeight")
            self.page.set_viewport_size({"width": 1280, "height": min(int(height) + 200, 12000)})
            self.page.evaluate("() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }")
            self.page.wait_for_timeout(500)  # until it is drawn at its new place
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture
def open_notebook(browser: Any, lab: Lab) -> Iterator[Callable[[Path], OpenNotebook]]:
    """Return ``open_notebook(path)``: a copy of a notebook, open in a page of its own with its kernel ready."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = []

    def open_notebook(path: Path) -> OpenNotebook:
        shutil.copy(path, lab.folder / path.name)
        page = context.new_page()
        opened.append(page)
        page.set_default_timeout(60_000)
        page.goto(f"{lab.url}/lab/tree/{path.name}?token={lab.token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
        page.evaluate(READY)
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
        )
        return OpenNotebook(page, path.name)

    yield open_notebook
    for page in opened:
        page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
    context.close()
