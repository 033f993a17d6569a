"""Which run of which notebook cell made a view, so that running the cell again replaces it."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Hashable
from types import FrameType
from typing import Any, NamedTuple, Protocol

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - as strings, like in code objects


class Closable(Protocol):
    """A view."""

    def close(self) -> None:
        """Leave nothing behind."""


class CellRun(NamedTuple):
    """A run of a cell.

    Attributes
    ----------
    cell : hashable
        The same for each run of one cell.
    run : hashable
        Another one for each run.
    """

    cell: Hashable
    run: Hashable


_views: list[tuple[CellRun, weakref.ref[Any]]] = []
_lock = threading.Lock()


def current_run() -> CellRun | None:
    """Return the run of a cell in which this is called; None outside a kernel, and in a callback.

    JupyterLab tells the id of a cell. Where nobody does, as in nbclient, a cell is known by the file name that the
    kernel gives its code, which follows from its text, and by the line.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = None if ipython is None else ipython.get_ipython()
    try:
        request = shell.get_parent()
        header = request["header"]
        if header["msg_type"] != "execute_request":
            return None
        run = str(header["msg_id"])
        cell = (request.get("metadata") or {}).get("cellId")
    except Exception:  # noqa: BLE001 - no kernel, none that says so, or a thread that knows of no cell
        return None
    return CellRun(str(cell) if cell else _place(), run)


def _place() -> Hashable:
    """Return the place of the module-level code that called the package."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, and the only way
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def replace_earlier(view: Closable, run: CellRun | None = None) -> None:
    """Close what earlier runs of this cell made, and remember `view` for the next run. Views are held weakly.

    Parameters
    ----------
    view : object with ``close()``
    run : CellRun, optional
        The one that is going on, by default. Outside of one nothing is closed and nothing remembered.
    """
    run = current_run() if run is None else run
    if run is None:
        return
    with _lock:
        known = [(other, reference, reference()) for other, reference in _views]
        alive = [(other, reference, one) for other, reference, one in known if one is not None]
        earlier = [one for other, _, one in alive if other.cell == run.cell and other.run != run.run]
        _views[:] = [(other, ref) for other, ref, _ in alive if other.cell != run.cell or other.run == run.run]
        _views.append((run, weakref.ref(view)))
    for one in earlier:
        one.close()


def forget(view: Closable) -> None:
    """Remember a view no more, as one that was closed."""
    with _lock:
        _views[:] = [(run, reference) for run, reference in _views if reference() not in (None, view)]
