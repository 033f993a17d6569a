"""An effect between the program that asks for it and the handler that has it performed."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from .effect_events import EffectCompleted
from .interpreting import Command, Effect


class Request:
    """An effect on its way: what was asked for, and what came of it."""

    __slots__ = ("command", "effect", "error", "interpret", "number", "result", "system", "told")

    def __init__(
        self,
        system: object,
        command: Command,
        number: int,
        effect: Effect,
        interpret: Callable[[Effect, int], object],
    ) -> None:
        self.system = system
        self.command = command
        self.number = number
        self.effect = effect
        self.interpret = interpret
        self.result: object = None
        self.error: Exception | None = None
        self.told: EffectCompleted | None = None


under_way: ContextVar[Request | None] = ContextVar("atlas_lab.patterns.under_way", default=None)
"""The request whose event is being handled."""
