"""What a page without a kernel shows of an output area, which lives in a widget and would be gone."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any
from uuid import uuid4

from IPython.display import display

from atlas_lab.markup import Html, element, style
from atlas_lab.signals import logger

EVERY = 1.0
"""Seconds between two changes of a still."""

# The first line lets the widget scroll as a whole. JupyterLab, Jupyter Notebook and VS Code show it beside the still.
SHEET = """
.atlas-area>*{flex:none;overflow:visible}
.atlas-still{display:flex;flex-direction:column-reverse;max-height:400px;overflow:auto}
.atlas-still.atlas-still pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:0 0 0 7px;background:none;
font:13px/1.35 var(--jp-code-font-family,ui-monospace,monospace)}
.atlas-still .bad{color:var(--jp-error-color1,#A03C00)}
:is(.jp-NotebookPanel,[data-vscode-theme-kind]) .atlas-still{display:none}
"""


class Still:
    """The last state of an output area as text: displayed once, and changed once a second at most.

    Parameters
    ----------
    shell : InteractiveShell
        That of the kernel; what it publishes reaches the page whichever cell runs.
    later : callable
        Does a step after some seconds.
    """

    def __init__(self, shell: Any, later: Any) -> None:
        self._publish = shell.display_pub.publish
        self._later = later
        self._id = uuid4().hex
        self._latest: Sequence[dict[str, Any]] = ()
        self._waiting = False
        self._ended = False
        self._lock = Lock()
        display(bundle_of(()), raw=True, display_id=self._id)

    def show(self, outputs: Sequence[dict[str, Any]]) -> None:
        """Show these outputs, as a notebook has them, before long."""
        with self._lock:
            self._latest = outputs
            waiting, self._waiting = self._waiting, True
        if not waiting:
            self._later(EVERY, self._update)

    def end(self) -> None:
        """Change nothing any more: the cell runs again."""
        self._ended = True

    def _update(self) -> None:
        with self._lock:
            self._waiting = False
            latest = self._latest
        if self._ended:
            return
        try:
            self._publish(data=bundle_of(latest), metadata={}, transient={"display_id": self._id}, update=True)
        except Exception:  # noqa: BLE001 - a front end that is gone is no error of a handler
            logger.exception("the output of a captured handler could not be kept for a page without a kernel")


def bundle_of(outputs: Sequence[dict[str, Any]]) -> dict[str, str]:
    r"""Return outputs as text and as HTML.

    Examples
    --------
    >>> from atlas_lab.notebook.stills import bundle_of
    >>> bundle_of([{"output_type": "stream", "name": "stdout", "text": "1 < 2\n"}])["text/plain"]
    '1 < 2'
    """
    texts = [_text(one).rstrip("\n") for one in outputs]
    lines: list[Html] = [
        element("pre", text, class_="" if one.get("name") == "stdout" else "bad")
        for one, text in zip(outputs, texts, strict=True)
    ]
    return {
        "text/plain": "\n".join(texts),
        "text/html": str(element("div", style(SHEET), element("div", lines), class_="atlas-still")),
    }


def _text(output: dict[str, Any]) -> str:
    return "\n".join(output["traceback"]) if output["output_type"] == "error" else str(output["text"])
