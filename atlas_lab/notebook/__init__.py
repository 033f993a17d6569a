"""atlas_lab in a notebook: cells as events, cells that are recorded, and handlers that show below their cell what they print.

``%load_ext atlas_lab`` makes every cell that runs an event of the notebook's own bus, and brings two magics:
``%%record`` and ``%events``. `captured` needs no loading.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.bus import EventBus
from atlas_lab.errors import MissingExtraError
from atlas_lab.scopes import ScopedEventBus

try:
    from IPython import get_ipython
    from IPython.core.interactiveshell import InteractiveShell
except ImportError as error:
    raise MissingExtraError("ipython", "lab") from error

from .capturing import captured as captured
from .cells import CellEvent as CellEvent
from .cells import Cells
from .magics import BenchMagics, recorded_lines

__all__ = ["CellEvent", "bus", "captured", "load_ipython_extension", "unload_ipython_extension"]

_NAME = "_atlas_lab_cells"
"""Where a shell keeps its cells: hooks and a bus belong to one shell, and end with it."""


def load_ipython_extension(shell: Any) -> None:
    """Make the cells of a shell events, and bring its magics; ``%load_ext atlas_lab`` calls it.

    Loading again changes nothing, and loading after unloading goes on with the same bus.

    Raises
    ------
    TypeError
        If `shell` is no shell of IPython.
    """
    cells = cells_of(shell)
    if cells is None:
        cells = Cells(shell)
        setattr(shell, _NAME, cells)
    if cells.watching:
        return
    cells.watch()
    let_completion_look_into(EventBus, ScopedEventBus)
    shell.register_magics(BenchMagics(shell, cells))
    shell.input_transformers_cleanup.append(recorded_lines)


def unload_ipython_extension(shell: Any) -> None:
    """Take out what loading brought; ``%unload_ext atlas_lab`` calls it. The bus keeps its history and its handlers.

    Raises
    ------
    TypeError
        If `shell` is no shell of IPython.
    """
    cells = cells_of(shell)
    if cells is None or not cells.watching:
        return
    cells.unwatch()
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if one is not recorded_lines]
    magics = shell.magics_manager.magics
    for kind, name in BenchMagics.NAMES:
        magics[kind].pop(name, None)


def let_completion_look_into(*kinds: type) -> None:
    """Have TAB after ``bus.history["`` offer types: completion asks for properties of classes that it knows only."""
    with suppress(
        ImportError, KeyError, AttributeError
    ):  # it may be elsewhere in another version, and is but a comfort
        from IPython.core.guarded_eval import EVALUATION_POLICIES  # noqa: PLC0415 - see above

        known: Any = EVALUATION_POLICIES["limited"]
        known.allowed_getattr.update(kinds)


def cells_of(shell: Any) -> Cells | None:
    """Return the cells of a shell in which the extension was loaded at least once."""
    if not is_kind(shell, InteractiveShell):
        raise refuse("shell", shell, "a shell of IPython, as get_ipython() returns it")
    cells: Cells | None = getattr(shell, _NAME, None)
    return cells


def bus() -> EventBus:
    """Return the bus on which the cells of this notebook are events.

    Each event has a `CellEvent` as its type and a dict as its payload: ``execution_count``, ``cell_id`` (None outside
    JupyterLab), ``source`` (the first line of the cell), and at its end ``duration`` in seconds and, if it failed,
    ``error_type`` and ``error``. What a cell publishes, on any bus, has its CELL_STARTED event as the cause.

    Raises
    ------
    RuntimeError
        If the extension was not loaded: ``%load_ext atlas_lab``.
    """
    shell = get_ipython()
    cells: Cells | None = getattr(shell, _NAME, None)
    if cells is None:
        raise RuntimeError("this notebook has no bus yet; run %load_ext atlas_lab in a cell first")
    return cells.bus
