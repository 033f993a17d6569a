"""The effects of a run, read from recorded events, and given again."""

from __future__ import annotations

from typing import Any

from atlas_lab import AtlasLabError, EventType

from .effect_events import Commanded, EffectCompleted
from .interpreting import Effect, EffectFailedError, EffectRefusedError
from .sources import Source, events_of, types_by_name

_TOLD = [EventType.EFFECT_COMPLETED, EventType.COMMAND_EXECUTED, EventType.COMMAND_FAILED]


class ReplayError(AtlasLabError, RuntimeError):
    """A program asks for something else than the recorded one did."""


class Recorded:
    """The effects of one run and what came of them, to be given again.

    Attributes
    ----------
    run : str
    completed : list of EffectCompleted
        In the order in which they were asked for.
    """

    def __init__(self, run: str, completed: list[EffectCompleted]) -> None:
        self.run = run
        self.completed = completed

    def interpret(self, effect: Effect, number: int) -> object:
        """Return the recorded result of an effect, or raise what it raised.

        Raises
        ------
        ReplayError
            If another effect was recorded in its place, or none.
        """
        if number > len(self.completed):
            raise ReplayError(
                f"effect {number} is {effect!r:.200}, but {self.run} asked for {len(self.completed)} only; the program is "
                "not the one that was recorded, or decides by something that is no effect"
            )
        told = self.completed[number - 1]
        if told.effect != effect:
            raise ReplayError(
                f"effect {number} is {effect!r:.200}, but {self.run} asked for {told.effect!r:.200}; the program is not "
                "the one that was recorded, or decides by something that is no effect"
            )
        if told.outcome == "refused":
            raise EffectRefusedError(effect, told.error or "")
        if told.outcome == "failed":
            kind = told.error_type or "Exception"
            raise EffectFailedError(effect, kind, (told.error or "").removeprefix(f"{kind}: "))
        return told.result

    def check_end(self, number: int) -> None:
        """Raise ReplayError if a program ended after `number` effects, and the recorded one after more."""
        if number < len(self.completed):
            raise ReplayError(
                f"the program ended after {number} effects, but {self.run} asked for {len(self.completed)}, the next being "
                f"{self.completed[number].effect!r:.200}; the program is not the one that was recorded, or decides by "
                "something that is no effect"
            )


def recorded_effects(source: Source, name: str, run: str | None = None) -> Recorded:
    """Return what was recorded of a run.

    Parameters
    ----------
    source : bus, history, iterable of Event, or DataFrame
    name : str
        Of the program, of which the latest run is taken that was performed, unless `run` is given.
    run : str, optional

    Raises
    ------
    LookupError
        If there is no such run, or effects of it are gone.
    """
    runs: dict[str, list[EffectCompleted]] = {}
    asked: dict[str, int] = {}
    for event in events_of(source, types_by_name(_TOLD)):
        told: Any = event.data
        if getattr(told, "mode", None) != "perform":
            continue
        if isinstance(told, Commanded):
            runs.setdefault(told.run, [])
            asked[told.run] = told.effects
            if not told.effects:
                runs[told.run] = []
        elif told.number == 1 or told.run not in runs:  # systems of one name, as of a cell that ran twice, begin anew
            runs.pop(told.run, None)  # the latest comes last
            runs[told.run] = [told]
            asked.pop(told.run, None)
        else:
            runs[told.run].append(told)
    if run is None:
        mine = [one for one in runs if one.rpartition("/")[2].rpartition("-")[0] == name]
        run = mine[-1] if mine else None
    if run is None or run not in runs:
        known = ", ".join(runs) or "none"
        raise LookupError(f"no run {run or f'of {name}'} is recorded; runs: {known}")
    completed = sorted(runs[run], key=lambda one: one.number)
    wanted = asked.get(run, max((one.number for one in completed), default=0))
    if [one.number for one in completed] != list(range(1, wanted + 1)):
        there = ", ".join(str(one.number) for one in completed) or "none"
        raise LookupError(
            f"of the {wanted} effects of {run}, only these are recorded: {there}. A bounded history pushes out the oldest; "
            "give the bus a larger history_limit"
        )
    return Recorded(run, completed)
