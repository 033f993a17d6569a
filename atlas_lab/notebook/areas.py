"""Output areas: what is shown in one is bounded, and changes ten times a second at most."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Timer
from time import monotonic
from typing import Any

from IPython import get_ipython
from IPython.display import display

from atlas_lab.arguments import is_kind, refuse
from atlas_lab.errors import MissingExtraError
from atlas_lab.naming import attribute_of, callable_name, code_of, message_of, on_one_line, sendable, traceback_of
from atlas_lab.signals import logger

KEPT = 20_000
"""Characters that an area keeps, and shows."""

LONGEST_LINE = 1_000
"""Characters to the end of a line, up to which a line is dropped as a whole."""

EVERY = 0.1
"""Seconds between two changes of an area."""

FOLLOWING = {"max_height": "400px", "overflow": "auto", "display": "flex", "flex_flow": "column-reverse"}
"""The layout of what an area stands in: it is no taller than this, and stays at its end, where the latest text is."""

WHOLE = {"flex": "none", "overflow": "visible"}
"""The layout of an area in there: it is as tall as its text."""

ERROR = "error"


class Area:
    """What one captured handler has printed and raised, and the widget that shows it.

    Parameters
    ----------
    widget : ipywidgets.Output
    """

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.dropped = 0
        self._pieces: deque[tuple[str, Any]] = deque()
        self._kept = 0
        self._lock = Lock()
        self._showing = Lock()
        self._shown_at = 0.0
        self._dirty = False
        self._waiting = False
        self._closed = False

    def write(self, stream: str, text: str) -> None:
        """Add text to what is shown."""
        if text:
            self._add(stream, sendable(text[-KEPT:]), len(text))

    def failed(self, error: Exception) -> None:
        """Add an error to what is shown, as it is from the handler on."""
        try:
            text = traceback_of(error)
        except Exception:  # noqa: BLE001 - any code may run where an error is asked for its text
            text = f"{type(error).__name__}: {message_of(error)}"
        trace = sendable(text.rstrip("\n")[-KEPT:])
        message = sendable(message_of(error)[:KEPT])
        shown = {"ename": type(error).__name__, "evalue": message, "traceback": trace.split("\n")}
        self._add(ERROR, shown, len(trace))

    def settle(self) -> None:
        """Show what is new, because a handler is done: now, or once the time since the last change is up."""
        if self._dirty and monotonic() >= self._shown_at + EVERY:
            self._show()

    def close(self) -> None:
        """Show nothing any more, and take the widget off the page."""
        self._closed = True
        self.widget.close()

    def _add(self, kind: str, piece: Any, size: int) -> None:
        with self._lock:
            self._pieces.append((kind, piece))
            self._kept += size if kind == ERROR else len(piece)
            self.dropped += 0 if kind == ERROR else size - len(piece)
            self._trim()
            self._dirty = True
            waiting, self._waiting = self._waiting, True
        if not waiting:
            later(EVERY, self._show_what_waited)

    def _trim(self) -> None:
        """Drop the oldest beyond what is kept."""
        while True:
            over = self._kept - KEPT
            if over <= 0:
                break
            kind, piece = self._pieces.popleft()
            size = len("\n".join(piece["traceback"])) if kind == ERROR else len(piece)
            gone = size if kind == ERROR or size <= over else over
            if gone < size:
                end = piece.find("\n", gone - 1, gone + LONGEST_LINE) + 1  # a line that lost its beginning is none
                gone = end or gone
            if gone < size:
                self._pieces.appendleft((kind, piece[gone:]))
            self._kept -= gone
            self.dropped += gone

    def _show_what_waited(self) -> None:
        self._waiting = False
        if self._dirty:
            self._show()

    def _show(self) -> None:
        with self._showing:  # one after the other, so that the last state is what is shown last
            with self._lock:
                self._dirty = False
                self._shown_at = monotonic()
                shown = self._outputs()
            if self._closed:
                return
            try:
                self.widget.outputs = shown
            except Exception:  # noqa: BLE001 - a front end that is gone is no error of a handler
                logger.exception("the output of a captured handler could not be shown")

    def _outputs(self) -> tuple[dict[str, Any], ...]:
        """Return what is kept as a notebook has it: adjacent text of one stream is one output."""
        shown: list[dict[str, Any]] = []
        texts: list[str] = []
        if self.dropped:
            shown.append(_stream("stderr", f"… {self.dropped:,} characters before this were dropped\n"))
        last = None
        for kind, piece in self._pieces:
            if kind == ERROR:
                shown.append({"output_type": ERROR, **piece})
            elif kind == last:
                texts.append(piece)
            else:
                texts = [piece]
                shown.append(_stream(kind, texts))
            last = kind
        return tuple(one if one["output_type"] == ERROR else {**one, "text": "".join(one["text"])} for one in shown)


def _stream(name: str, text: Any) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def later(seconds: float, step: Callable[[], None]) -> None:
    """Do a step after some time: in a thread, else on the running loop, else now."""
    timer = Timer(seconds, step)
    timer.daemon = True
    timer.name = "atlas_lab output"
    try:
        timer.start()
    except RuntimeError:  # there are no threads here, or no more of them
        try:
            asyncio.get_running_loop().call_later(seconds, step)
        except RuntimeError:
            step()


class Run:
    """One run of a cell: the areas that it made, and how to end what was subscribed there."""

    def __init__(self, token: object) -> None:
        self.token = token
        self.areas: list[Area] = []
        self.endings: list[Callable[[], None]] = []

    def end(self) -> None:
        """End what the run made, before another run of the same cell takes its place."""
        for ending in self.endings:
            ending()
        for area in self.areas:
            with suppress(Exception):
                area.close()


_RUNS = "_atlas_lab_captured"
"""Where a shell keeps the latest run of each cell."""


def new_area(handler: Any, output: Any, ending: Callable[[], None]) -> Area:
    """Return an area for a handler: below the cell under way, or in the widget given.

    Raises
    ------
    TypeError, RuntimeError, MissingExtraError
        See `captured`.
    """
    try:
        import ipywidgets  # noqa: PLC0415 - it takes longer than all else here
    except ImportError as error:
        raise MissingExtraError("ipywidgets", "lab") from error
    shell = get_ipython()
    if output is not None and not is_kind(output, ipywidgets.Output):
        raise refuse("output", output, "an ipywidgets.Output or None")
    kernel = attribute_of(shell, "kernel")
    if output is None and kernel is None:
        raise RuntimeError(
            "captured shows output below a notebook cell, and no notebook runs this; pass output=ipywidgets.Output()"
        )
    area = Area(ipywidgets.Output(layout=WHOLE) if output is None else output)
    if kernel is not None:
        run = run_of(shell, handler)
        run.endings.append(ending)
        if output is None:
            run.areas.append(area)
    if output is None:
        frame = ipywidgets.Box((area.widget,), layout=FOLLOWING)
        run.endings.append(frame.close)
        bundle = frame._repr_mimebundle_()
        display({**bundle, "text/plain": f"what {on_one_line(callable_name(handler))} prints"}, raw=True)
    return area


def run_of(shell: Any, handler: Any) -> Run:
    """Return the run of a cell that `handler` belongs to; an earlier run of the same cell ends."""
    runs: dict[object, Run] | None = getattr(shell, _RUNS, None)
    if runs is None:
        runs = {}
        setattr(shell, _RUNS, runs)
    parent = shell.get_parent()
    token = parent.get("header", {}).get("msg_id")
    cell = parent.get("metadata", {}).get("cellId") or place_of(handler)
    run = runs.get(cell)
    if run is None or run.token != token:
        if run is not None:
            run.end()
        run = runs[cell] = Run(token)
    return run


def place_of(handler: Any) -> object:
    """Return what tells a handler from others where cells have no ids: its name, or where a lambda is written."""
    name, code = callable_name(handler), code_of(handler)
    if code is not None and name.endswith("<lambda>"):
        return code.co_filename, code.co_firstlineno, name
    return attribute_of(handler, "__module__"), name
