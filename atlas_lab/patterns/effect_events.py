"""What events tell of effects and commands."""

from __future__ import annotations

from typing import Any

import msgspec


class EffectRequested(msgspec.Struct, frozen=True):
    """Payload of EFFECT_REQUESTED: a program asks for an effect.

    Parameters
    ----------
    run : str
        The run of the program.
    number : int
        Which effect of the run it is, from 1.
    name : str
        Class of the effect.
    effect : Effect
    mode : str
        ``perform``, ``dry run`` or ``replay``.
    """

    run: str
    number: int
    name: str
    effect: Any
    mode: str


class EffectCompleted(msgspec.Struct, frozen=True):
    """Payload of EFFECT_COMPLETED: what came of an effect.

    Parameters
    ----------
    run, number, name, effect
        As in `EffectRequested`.
    mode : str
        As in `EffectRequested`.
    outcome : str
        ``performed``, ``failed``, ``refused``, ``dry run`` or ``replay``.
    result : object
        What the program was given.
    error : str or None
        Why it failed or was refused.
    error_type : str or None
        Name of the class of the exception it failed with.
    seconds : float
        How long it took.
    """

    run: str
    number: int
    name: str
    effect: Any
    mode: str
    outcome: str
    result: Any = None
    error: str | None = None
    error_type: str | None = None
    seconds: float = 0.0


class Commanded(msgspec.Struct, frozen=True):
    """Payload of COMMAND_EXECUTED, COMMAND_REVERTED and COMMAND_FAILED: a program ended, or was undone.

    Parameters
    ----------
    name : str
        Of the program.
    run : str
    mode : str
        ``perform``, ``dry run`` or ``replay``.
    effects : int
        How many it asked for.
    undone : int
        How many of them were undone.
    left : int
        How many changed something and are not undone.
    error : str or None
        Why it, or its undoing, failed.
    """

    name: str
    run: str
    mode: str
    effects: int
    undone: int
    left: int
    error: str | None = None
