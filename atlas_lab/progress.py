"""A progress bar for what takes longer than a moment, if tqdm is installed."""

from __future__ import annotations

import importlib
import time
from typing import Any, Self

SHOWN_AFTER = 0.5  # seconds


class Progress:
    """How far something is; used as a context manager.

    The bar is made when it is worth showing: most things are over before, and a notebook keeps each bar's
    widgets. One that did not reach its end stays in the notebook where it stopped, in red.

    Parameters
    ----------
    total : int
        Number of steps.
    title : str
        Stands before the bar.
    unit : str
        What a step is, in the plural.
    show : bool
        Otherwise steps are only counted.

    Examples
    --------
    >>> from atlas_lab.progress import Progress
    >>> with Progress(2, "replay", "events", show=True) as progress:
    ...     progress.advance()
    >>> progress.done
    1
    """

    def __init__(self, total: int, title: str, unit: str, *, show: bool) -> None:
        self.total = total
        self.title = title
        self.unit = unit
        self.done = 0
        self._bars: Any = _bars() if show else None  # now: importing tqdm later would hold up what is timed
        self._bar: Any = None
        self._due = float("inf") if self._bars is None else time.monotonic() + SHOWN_AFTER

    def advance(self) -> None:
        """Note one more step."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
        elif time.monotonic() > self._due:
            self._due = float("inf")
            self._bar = self._bars(
                total=self.total, desc=self.title, unit=self.unit, initial=self.done, mininterval=0.5, leave=False
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _bars() -> Any:
    """Return the kind of tqdm bar that fits where Python runs, None if tqdm is not installed."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return None
    # Left alone, tqdm starts a thread that outlives its bars.
    return type("Bar", (tqdm,), {"monitor_interval": 0})
