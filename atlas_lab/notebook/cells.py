"""The cells of a notebook as events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar, Token, copy_context
from enum import Enum
from sys import maxsize
from time import perf_counter
from typing import Any

from atlas_lab.bus import EventBus
from atlas_lab.events import Event
from atlas_lab.naming import attribute_of, message_of
from atlas_lab.signals import logger

LONGEST_LINE = 200
"""Characters that are kept of the first line of a cell, and of the message of an error."""


class CellEvent(Enum):
    """Event types of the cells of a notebook, on ``atlas_lab.notebook.bus()``."""

    CELL_STARTED = "cell.started"
    CELL_FINISHED = "cell.finished"
    CELL_FAILED = "cell.failed"


class Cells:
    """The cells of one shell, as events of a bus.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell

    Attributes
    ----------
    bus : EventBus
    watching : bool
        Whether cells become events.
    running : list of RunningCell
        The cells under way, outermost first.
    """

    def __init__(self, shell: Any) -> None:
        self.bus = EventBus(name="notebook")
        self.watching = False
        self.running: list[RunningCell] = []
        self._shell = shell
        self._endings: list[tuple[int, Callable[[], object]]] = []

    def watch(self) -> None:
        """Hook into the shell."""
        self._shell.events.register("pre_run_cell", self._started)
        self._shell.events.register("post_run_cell", self._ended)
        self.watching = True

    def unwatch(self) -> None:
        """Take the hooks out."""
        self.watching = False
        self._shell.events.unregister("pre_run_cell", self._started)
        self._shell.events.unregister("post_run_cell", self._ended)
        self._end_what_waits(0)
        while self.running:
            self.running.pop().leave()

    def at_end(self, step: Callable[[], object]) -> None:
        """Have a step done when the cell under way has ended, however it ends."""
        self._endings.append((len(self.running), step))

    def _started(self, info: Any) -> None:
        cell = RunningCell(info, self._number())
        self.running.append(cell)
        # A handler runs with the event that it handles as the cause of what it publishes, and that goes into every
        # copy of its context. So a handler makes one, and the cell takes over what it holds.
        inside: list[Context] = []

        def look(event: Event[Any]) -> None:
            inside.append(copy_context())

        if not self.bus.closed:
            with suppress_and_log(), self.bus.subscribe(CellEvent.CELL_STARTED, look, priority=maxsize):
                self.bus.publish(CellEvent.CELL_STARTED, dict(cell.about), cell.source)
        if inside:
            cell.enter(inside[0])

    def _number(self) -> int:
        """Return the number of the cell that starts; when it is counted up differs among versions of IPython."""
        inputs = attribute_of(self._shell.history_manager, "input_hist_raw")
        return len(inputs) if inputs else int(self._shell.execution_count)

    def _ended(self, result: Any = None) -> None:
        self._end_what_waits(len(self.running))
        if not self.running:  # the extension was loaded in this very cell
            return
        cell = self.running.pop()
        cell.leave()
        # A cell that is interrupted while it awaits has no result.
        error = KeyboardInterrupt() if result is None else result.error_before_exec or result.error_in_exec
        about = {**cell.about, "duration": perf_counter() - cell.began}
        kind = CellEvent.CELL_FINISHED
        if error is not None:
            kind = CellEvent.CELL_FAILED
            known = error if isinstance(error, type) else type(error)
            message = "" if isinstance(error, type) else message_of(error)[:LONGEST_LINE]
            about |= {"error_type": known.__name__, "error": message}
        if not self.bus.closed:
            with suppress_and_log():
                cell.context.run(self.bus.publish, kind, about, cell.source)

    def _end_what_waits(self, depth: int) -> None:
        """Do what waits for the end of cells that are as deep as this, or deeper."""
        while self._endings and self._endings[-1][0] >= depth:
            _, step = self._endings.pop()
            with suppress_and_log():
                step()


class RunningCell:
    """A cell under way.

    Attributes
    ----------
    about : dict of str to object
        What its events tell.
    source : str
        The source of its events: ``In[3]``, or ``cell`` for one that is not counted.
    context : contextvars.Context
        In which the event of its start is the cause.
    """

    def __init__(self, info: Any, execution_count: int) -> None:
        counted = execution_count if attribute_of(info, "store_history") else None
        code = attribute_of(info, "raw_cell")
        self.about = {
            "execution_count": counted,
            "cell_id": attribute_of(info, "cell_id"),
            "source": first_line(code if isinstance(code, str) else ""),
        }
        self.source = "cell" if counted is None else f"In[{counted}]"
        self.began = perf_counter()
        self.context = copy_context()
        self._tokens: list[tuple[ContextVar[Any], Token[Any]]] = []

    def enter(self, context: Context) -> None:
        """Take over, in the context of now, what another one holds."""
        self.context = context
        nothing = object()
        self._tokens = [
            (variable, variable.set(value)) for variable, value in context.items() if variable.get(nothing) is not value
        ]

    def leave(self) -> None:
        """Give back what was taken over; a kernel runs cells in contexts of their own, which are gone by now."""
        for variable, token in reversed(self._tokens):
            with suppress(ValueError):
                variable.reset(token)


class suppress_and_log:  # noqa: N801 - used like contextlib.suppress
    """Keep an error of the notebook's bus from the notebook: no cell fails for it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.error("the bus of the notebook could not take a cell event", exc_info=error)
        return True


def first_line(code: str) -> str:
    """Return the first line of a cell that is not empty, shortened."""
    line = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
