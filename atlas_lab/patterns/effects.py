"""An effect system: programs describe what is to happen; an interpreter performs it, refuses it, or only tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from time import perf_counter
from typing import Any, Literal, Self

from atlas_lab import Event, EventBus, EventType

from .effect_events import Commanded, EffectCompleted, EffectRequested
from .interpreting import (
    Command,
    Done,
    Effect,
    EffectError,
    EffectFailedError,
    EffectRefusedError,
    Performer,
    Program,
    UndoError,
    advance,
    check_unused,
    name_of,
    program_name,
)
from .recorded_effects import ReplayError, recorded_effects
from .requests import Request, under_way
from .sources import Source
from .undoing import undo_effects

Mode = Literal["perform", "dry run", "replay"]


class EffectSystem:
    """Performs the effects that programs ask for, on a bus where all of it can be seen.

    A program is a generator that yields effects, values that describe what is to happen, and is given their results.
    It never does anything itself, so it can be run for real, dry, or from the record of another run.

    Each effect is an EFFECT_REQUESTED event; the system handles that event and performs it, and an EFFECT_COMPLETED
    event, its child, tells the outcome. A middleware that drops the request refuses the effect. A program that ends is
    a COMMAND_EXECUTED, one that fails a COMMAND_FAILED, one that was undone a COMMAND_REVERTED event.

    Parameters
    ----------
    bus : EventBus
        Programs cannot be run inside handlers of a bus with ``nested="queued"``, which hands on requests too late.
    performers : mapping of type to Performer or callable
        For each class of effects, what performs them. A callable alone has no undo. Others are refused.
    refuse : callable of Effect, optional
        Returns why an effect is not to be performed, or None. It is asked before each one that is to be performed.
    name : str, default "effects"
        Shown in events and messages, and part of the names of runs.
    timer : callable, default time.perf_counter
        Measures how long effects take, in seconds.

    Raises
    ------
    TypeError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.patterns import Effect, EffectSystem, Performer
    >>> class Put(Effect, frozen=True):
    ...     key: str
    ...     value: int
    >>> def double(keys):
    ...     for key in keys:
    ...         old = yield Put(key, 0)
    ...         yield Put(key, 2 * old)
    >>> stock = {"owls": 2}
    >>> def put(effect):
    ...     old, stock[effect.key] = stock[effect.key], effect.value
    ...     return old
    >>> def put_back(effect, old):
    ...     stock[effect.key] = old
    >>> bus = EventBus()
    >>> effects = EffectSystem(bus, {Put: Performer(put, undo=put_back)})
    >>> effects.dry_run(double(["owls"]), results={Put: 5}).effects, stock
    ((Put(key='owls', value=0), Put(key='owls', value=10)), {'owls': 2})
    >>> command = effects.run(double(["owls"]))
    >>> stock
    {'owls': 4}
    >>> command.undo(), stock
    (2, {'owls': 2})
    """

    def __init__(
        self,
        bus: EventBus,
        performers: Mapping[type[Effect], Performer | Callable[[Any], object]],
        *,
        refuse: Callable[[Effect], str | None] | None = None,
        name: str = "effects",
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus or a scope of one, got {type(bus).__name__}")
        if not isinstance(performers, Mapping):
            raise TypeError(f"performers must be a mapping of effects to what performs them, got {performers!r:.80}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r:.80}")
        if refuse is not None and not callable(refuse):
            raise TypeError(f"refuse must be callable with an effect, got {refuse!r:.80}")
        self.name = name
        self._bus = bus
        self._performers = {kind: Performer.of(kind, one) for kind, one in performers.items()}
        self._refuse = refuse
        self._timer = timer
        self._lock = Lock()
        self._runs = 0
        self._subscription = bus.subscribe(EventType.EFFECT_REQUESTED, self._on_requested, weak=False)

    def run(self, program: Program, *, on_failure: Literal["undo", "keep"] = "undo") -> Command:
        """Run a program, performing its effects, and return what came of it.

        Parameters
        ----------
        program : generator of Effect
            A generator function that was called: ``run(move("a", "b"))``.
        on_failure : {"undo", "keep"}, default "undo"
            Whether the effects that were performed before a failure are undone, those that can be.

        Returns
        -------
        Command
            With the ``result`` that the program returned, its ``effects``, and `Command.undo`.

        Raises
        ------
        TypeError, ValueError
            If `program` is no generator, or one that was run before.
        Exception
            Whatever the program raises, once COMMAND_FAILED was published. An effect that failed or was refused is an
            `EffectFailedError` or `EffectRefusedError` inside the program, which may catch it.
        """
        if on_failure not in {"undo", "keep"}:
            raise ValueError(f"on_failure must be 'undo' or 'keep', got {on_failure!r:.80}")
        return self._run(program, "perform", self._perform, on_failure)

    def dry_run(self, program: Program, results: Mapping[type[Effect], object] | None = None) -> Command:
        """Run a program without performing anything, and return what it would do.

        Parameters
        ----------
        program : generator of Effect
        results : mapping of type to object, optional
            For a class of effects, what the program is given: a value, or a callable of the effect that returns it.
            Others give None.

        Raises
        ------
        Exception
            Whatever the program raises.
        """
        given = dict(results or {})

        def pretend(effect: Effect, number: int) -> object:
            result = given.get(type(effect))
            return result(effect) if callable(result) else result

        return self._run(program, "dry run", pretend, "keep")

    def replay(self, program: Program, source: Source, run: str | None = None) -> Command:
        """Run a program with the results that were recorded, without performing anything.

        Parameters
        ----------
        program : generator of Effect
            It must ask for the same effects as the recorded one.
        source : bus, history, iterable of Event, or DataFrame
            What was recorded.
        run : str, optional
            The recorded run, `Command.run`; by default the latest of a program of that name.

        Raises
        ------
        LookupError
            If there is no such run, or effects of it are no longer among the events.
        ReplayError
            If the program asks for another effect than the recorded one did, for more, or for fewer.
        """
        record = recorded_effects(source, program_name(program), run)
        return self._run(program, "replay", record.interpret, "keep", record.check_end)

    def close(self) -> None:
        """Perform nothing any more. Calling it again does nothing."""
        self._subscription.unsubscribe()

    def _run(
        self,
        program: Program,
        mode: Mode,
        interpret: Callable[[Effect, int], object],
        on_failure: str,
        check_end: Callable[[int], None] | None = None,
    ) -> Command:
        name = program_name(program)
        check_unused(program)
        with self._lock:
            self._runs += 1
            command = Command(self, name, f"{self.name}/{name}-{self._runs}", mode)
        answer: object = None
        error: Exception | None = None
        try:
            while True:
                effect = advance(program, answer, error)
                if not isinstance(effect, Effect):
                    command.result = effect.value
                    if check_end is not None:
                        check_end(len(command.done))
                    break
                answer, error = None, None
                try:
                    answer = self._request(command, effect, interpret)
                except EffectError as failure:
                    error = failure
        except BaseException as failure:
            self._failed(command, failure, on_failure if isinstance(failure, Exception) else "keep")
            raise
        finally:
            program.close()
        command.status = "executed"
        self._tell(EventType.COMMAND_EXECUTED, command)
        return command

    def _request(self, command: Command, effect: Effect, interpret: Callable[[Effect, int], object]) -> object:
        """Publish what a program asks for, and return the result that the interpreter gave while it was handled."""
        number = len(command.done) + 1
        request = Request(self, command, number, effect, interpret)
        asked = EffectRequested(command.run, number, name_of(effect), effect, command.mode)
        token = under_way.set(request)
        try:
            self._bus.publish(EventType.EFFECT_REQUESTED, asked, source=self.name)
        finally:
            under_way.reset(token)
        if request.told is None:
            reason = (
                "its request was not handed on: a middleware dropped it, the system is closed, or the program runs inside "
                "a handler of a bus that queues nested publishes"
            )
            request.error = EffectRefusedError(effect, reason)
            self._answer(request, "refused", reason)
        if request.error is not None:
            raise request.error
        return request.result

    def _on_requested(self, event: Event[Any]) -> None:
        request, asked = under_way.get(), event.data
        # Requests that another system published, or that are replayed, are not for this one.
        if request is None or request.system is not self or request.told is not None:
            return
        if (getattr(asked, "run", None), getattr(asked, "number", None)) != (request.command.run, request.number):
            return
        command, effect = request.command, request.effect
        began = self._timer()
        outcome, told = "performed" if command.mode == "perform" else command.mode, None
        try:
            request.result = request.interpret(effect, request.number)
        except EffectError as error:
            outcome = "refused" if isinstance(error, EffectRefusedError) else "failed"
            request.error, told = error, error.reason
        except ReplayError as error:
            outcome, told, request.error = "failed", str(error), error
        except Exception as error:  # noqa: BLE001 - it reaches the program, and through it whoever runs it
            outcome, told = "failed", f"{type(error).__name__}: {error}"
            failure = EffectFailedError(effect, type(error).__name__, str(error))
            failure.__cause__ = error
            request.error = failure
        self._answer(request, outcome, told, self._timer() - began)

    def _answer(self, request: Request, outcome: str, told: str | None, seconds: float = 0.0) -> None:
        command, effect = request.command, request.effect
        failed = request.error.error_type if isinstance(request.error, EffectFailedError) else None
        request.told = EffectCompleted(
            command.run,
            request.number,
            name_of(effect),
            effect,
            command.mode,
            outcome,
            request.result,
            told,
            failed,
            seconds,
        )
        performer = self._performers.get(type(effect))
        harmless = performer is not None and performer.harmless
        command.done.append(Done(effect, outcome, request.result, told, harmless))
        self._bus.publish(EventType.EFFECT_COMPLETED, request.told, source=self.name)

    def _perform(self, effect: Effect, number: int) -> object:
        performer = self._performers.get(type(effect))
        if performer is None:
            known = ", ".join(sorted(kind.__name__ for kind in self._performers)) or "none"
            raise EffectRefusedError(effect, f"nothing performs effects of this class; known: {known}")
        if self._refuse is not None and (reason := self._refuse(effect)) is not None:
            raise EffectRefusedError(effect, str(reason))
        return performer.perform(effect)

    def _failed(self, command: Command, failure: BaseException, on_failure: str) -> None:
        command.status = "failed"
        command.error = f"{type(failure).__name__}: {failure}"
        if on_failure == "undo":
            try:
                undo_effects(command, self._performers, partial=True)
            except UndoError as error:
                command.error = f"{command.error}; then {error}"
                failure.add_note(str(error))
        self._tell(EventType.COMMAND_FAILED, command)

    def undo(self, command: Command, *, partial: bool = False) -> int:
        """Undo the effects of a command, last first; see `Command.undo`."""
        if command.status != "executed" and not command.to_undo:
            raise UndoError(f"{command.run} is {command.status}; there is nothing to undo", 0)
        if command.mode != "perform":
            raise UndoError(f"{command.run} was a {command.mode}, which did nothing that could be undone", 0)
        try:
            undone = undo_effects(command, self._performers, partial=partial)
        except UndoError as error:
            command.error = str(error)
            self._tell(EventType.COMMAND_FAILED, command)
            raise
        command.error = None if command.status == "executed" else command.error
        command.status = "reverted"
        self._tell(EventType.COMMAND_REVERTED, command)
        return undone

    def _tell(self, event_type: EventType, command: Command) -> None:
        told = Commanded(
            command.name,
            command.run,
            command.mode,
            len(command.done),
            command.undone,
            len(command.to_undo),
            command.error,
        )
        self._bus.publish(event_type, told, source=self.name)

    def __repr__(self) -> str:
        performed = ", ".join(sorted(kind.__name__ for kind in self._performers)) or "nothing"
        return f"<EffectSystem {self.name}: performs {performed}, {self._runs} runs>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
