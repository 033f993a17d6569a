"""What effects, their performers, programs and commands are, and what is told of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from atlas_lab import AtlasLabError


class Effect(msgspec.Struct, frozen=True):
    """Base of values that describe what is to happen. Subclass it with fields; it does nothing by itself.

    Examples
    --------
    >>> from atlas_lab.patterns import Effect
    >>> class SendText(Effect, frozen=True):
    ...     to: str
    ...     text: str
    >>> SendText("passenger", "gate A2")
    SendText(to='passenger', text='gate A2')
    """


Program: TypeAlias = Generator[Effect, Any, object]


class Performer:
    """How effects of a class are performed, and undone if that can be.

    Parameters
    ----------
    perform : callable of Effect
        Performs it and returns its result. It raises to tell that it failed, `EffectRefusedError` to tell that it will not.
    undo : callable of Effect and object, optional
        Takes it back, given the effect and its result.
    harmless : bool, default False
        Whether it changes nothing, as reading a clock, and so needs no undo.
    """

    __slots__ = ("harmless", "perform", "undo")

    def __init__(
        self,
        perform: Callable[[Any], object],
        undo: Callable[[Any, Any], object] | None = None,
        *,
        harmless: bool = False,
    ) -> None:
        if not callable(perform):
            raise TypeError(f"perform must be callable with an effect, got {perform!r:.80}")
        if undo is not None and not callable(undo):
            raise TypeError(f"undo must be callable with an effect and its result, got {undo!r:.80}")
        self.perform = perform
        self.undo = undo
        self.harmless = harmless

    @classmethod
    def of(cls, kind: object, performer: object) -> Performer:
        """Return a performer as it is, and a callable as one without undo."""
        if not (isinstance(kind, type) and issubclass(kind, Effect)):
            raise TypeError(f"performers must name subclasses of Effect, got {kind!r:.80}")
        if isinstance(performer, Performer):
            return performer
        if not callable(performer):
            raise TypeError(f"the performer of {kind.__name__} must be a Performer or callable, got {performer!r:.80}")
        return cls(performer)


class EffectError(AtlasLabError, RuntimeError):
    """An effect has no result. It is raised inside the program at the ``yield`` that asked for it.

    Attributes
    ----------
    effect : Effect
    reason : str
    """

    def __init__(self, effect: Effect, reason: str) -> None:
        self.effect = effect
        self.reason = reason
        super().__init__(effect, reason)


class EffectRefusedError(EffectError):
    """An interpreter would not perform an effect. Raise it in a performer to do so."""

    def __str__(self) -> str:
        return f"{name_of(self.effect)} was refused: {self.reason}"


class EffectFailedError(EffectError):
    """An effect failed while it was performed, or when it was recorded. Then there is no ``__cause__``.

    Attributes
    ----------
    error_type : str
        Name of the class of the performer's exception, the same in a replay.
    """

    def __init__(self, effect: Effect, error_type: str, message: str) -> None:
        self.error_type = error_type
        self.message = message
        super().__init__(effect, f"{error_type}: {message}")
        self.args = (effect, error_type, message)

    def __str__(self) -> str:
        return f"{name_of(self.effect)} failed: {self.reason}"


class UndoError(AtlasLabError, RuntimeError):
    """A command cannot be undone, or not wholly.

    Attributes
    ----------
    undone : int
        How many of its effects were undone by this attempt.
    """

    def __init__(self, problem: str, undone: int) -> None:
        self.undone = undone
        super().__init__(problem)


class Done(NamedTuple):
    """What came of one effect of a program."""

    effect: Effect
    outcome: str
    result: object
    error: str | None
    harmless: bool


class Undoing(Protocol):
    """What can undo a command: the `EffectSystem` that ran it."""

    def undo(self, command: Command, *, partial: bool = False) -> int:
        """Undo the effects of a command."""


class Command:
    """A program that was run.

    Attributes
    ----------
    name : str
        Of the program.
    run : str
        Tells this run from others, in events too.
    mode : str
        ``perform``, ``dry run`` or ``replay``.
    status : str
        ``running``, ``executed``, ``failed`` or ``reverted``.
    result : object
        What the program returned.
    done : list of Done
        Each effect that it asked for, with outcome and result.
    undone : int
        How many effects were undone.
    error : str or None
        Why it, or the last try to undo it, failed.
    """

    def __init__(self, system: Undoing, name: str, run: str, mode: str) -> None:
        self._system = system
        self.name = name
        self.run = run
        self.mode = mode
        self.status = "running"
        self.result: object = None
        self.done: list[Done] = []
        self.reverted: set[int] = set()
        self.undone = 0
        self.error: str | None = None

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the program asked for, in order."""
        return tuple(one.effect for one in self.done)

    @property
    def to_undo(self) -> list[Done]:
        """What was performed, is not harmless and not undone, in order."""
        changed = [one for one in self.done if one.outcome == "performed" and not one.harmless]
        return [one for one in changed if id(one) not in self.reverted]

    def undo(self, *, partial: bool = False) -> int:
        """Undo its effects, last first, and return how many were.

        Parameters
        ----------
        partial : bool, default False
            Leave those that have no undo as they are. Otherwise one of them keeps all from being undone.

        Raises
        ------
        UndoError
            If it cannot be undone, or the undo of an effect fails. What was undone till then stays so, and calling
            this again goes on from there.
        """
        return self._system.undo(self, partial=partial)

    def __repr__(self) -> str:
        error = f", {self.error}" if self.error else ""
        return (
            f"<Command {self.run}: {self.mode}, {self.status}, {len(self.done)} effects, {self.undone} undone{error}>"
        )


class Returned(NamedTuple):
    """What a program returned."""

    value: object


def advance(program: Program, answer: object, error: Exception | None) -> Effect | Returned:
    """Give a program the result of what it asked for, or the error; return what it asks for next, or returned.

    Raises
    ------
    TypeError
        If it yields something else.
    """
    try:
        asked = program.send(answer) if error is None else program.throw(error)
    except StopIteration as end:
        return Returned(end.value)
    if isinstance(asked, Effect):
        return asked
    raise TypeError(f"{program_name(program)} must yield effects, instances of Effect, got {asked!r:.80}")


def name_of(effect: Effect) -> str:
    """Return the name of the class of an effect."""
    return type(effect).__name__


def program_name(program: object) -> str:
    """Return the name of a program.

    Raises
    ------
    TypeError
        If it is no generator.
    """
    if not isinstance(program, Generator):
        hint = "call it: run(program(...))" if callable(program) else "write it as a function that yields effects"
        raise TypeError(f"program must be a generator of effects, got {type(program).__name__}; {hint}")
    return getattr(program, "__name__", "program")


def check_unused(program: Program) -> None:
    """Raise ValueError if a program was run before, wholly or in part: a generator goes through once."""
    if inspect.isgenerator(program) and inspect.getgeneratorstate(program) != inspect.GEN_CREATED:
        raise ValueError(f"program {program_name(program)} was run before; call its function again for another run")
