"""Interrupts that strike anywhere, as Ctrl-C does: a timer of the system raises them."""

from __future__ import annotations

import signal
from types import CodeType, FrameType
from typing import Any, Self

from .lacking import give_up

AGAIN = 0.01
"""Seconds until a signal is sent again: Python, busy with another look for signals, may overlook one until the next."""


class Alarm:
    """Raises KeyboardInterrupt in the main thread a few microseconds after it was set; ends a test without timers.

    Parameters
    ----------
    inside : function, optional
        Only inside a call of it: an alarm that goes off elsewhere is set anew.

    Attributes
    ----------
    raised : int
        How often it was raised.
    """

    def __init__(self, inside: Any = None) -> None:
        self.raised = 0
        self._code: CodeType | None = None if inside is None else inside.__code__
        self._sets = 0
        self._is_set = False

    def set(self) -> None:
        """Have one interrupt raised soon."""
        self._sets += 1
        self._is_set = True
        signal.setitimer(signal.ITIMER_REAL, 2e-5 + self._sets % 97 * 1e-6, AGAIN)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self._is_set:
            return
        while self._code is not None and frame is not None and frame.f_code is not self._code:
            frame = frame.f_back
        if frame is None:
            self.set()
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._is_set = False
        self.raised += 1
        raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if not hasattr(signal, "setitimer"):
            give_up("this system has no timers")
        self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_set = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
