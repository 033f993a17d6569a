"""Undoing what a command performed, last effect first."""

from __future__ import annotations

from collections.abc import Mapping

from .interpreting import Command, Effect, Performer, UndoError, name_of


def undo_effects(command: Command, performers: Mapping[type[Effect], Performer], *, partial: bool) -> int:
    """Undo the effects of a command that are not undone yet, and return how many were.

    Raises
    ------
    UndoError
        If one of them has no undo and not `partial`, before any is undone; or if an undo fails, where this ends.
    """
    to_undo = command.to_undo
    lasting = [one for one in to_undo if performers[type(one.effect)].undo is None]
    if lasting and not partial:
        named = ", ".join(sorted({name_of(one.effect) for one in lasting}))
        raise UndoError(f"{command.run} cannot be undone, as {named} has no undo; undo the rest with partial=True", 0)
    undone = 0
    for one in reversed(to_undo):
        performer = performers[type(one.effect)]
        if performer.undo is None:
            continue
        try:
            performer.undo(one.effect, one.result)
        except Exception as error:
            raise UndoError(
                f"undoing {name_of(one.effect)} of {command.run} failed: {type(error).__name__}: {error}; {undone} "
                "later effects are undone, and calling undo() again goes on from here",
                undone,
            ) from error
        command.reverted.add(id(one))
        command.undone += 1
        undone += 1
    return undone
