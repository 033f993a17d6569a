"""A health check that is under way."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

Check: TypeAlias = Callable[[], object]


class RunningCheck:
    """A check that is under way in a thread of its own, so that one that hangs holds up nothing else.

    Attributes
    ----------
    outcome : tuple of bool and str, or None
        Whether it is well, and the detail, once it is known.
    began, latency : float, seconds
    """

    def __init__(self, function: Check, name: str) -> None:
        self.began = time.perf_counter()
        self.outcome: tuple[bool, str] | None = None
        self.latency = 0.0
        context = contextvars.copy_context()
        self._function = function
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=f"check {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            found = self._function()
            outcome = (found is not False, "" if found is None or isinstance(found, bool) else str(found))
        except BaseException as error:  # noqa: BLE001 - whatever it is, sys.exit() too, the check found it
            outcome = (False, f"{type(error).__name__}: {error}")
        self.latency = time.perf_counter() - self.began
        self.outcome = outcome

    def wait(self, seconds: float) -> bool:
        """Wait so long for its end, and return whether it has come."""
        self._thread.join(seconds)
        return self._thread.ident is not None and not self._thread.is_alive()
