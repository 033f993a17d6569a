"""What a partition raises when units have no result; what there is, comes with it."""

from __future__ import annotations

from atlas_lab import AtlasLabError

from .schedules import PartitionRun


class PartitionError(AtlasLabError, RuntimeError):
    """Units failed.

    Attributes
    ----------
    run : PartitionRun
        The results and events that there are.
    units : tuple of str
        The units that failed, or were lost.
    """

    def __init__(self, problem: str, run: PartitionRun, units: tuple[str, ...]) -> None:
        self.problem = problem
        self.run = run
        self.units = units
        super().__init__(problem, run, units)

    def __str__(self) -> str:
        return self.problem


class DeadWorkerError(PartitionError):
    """A worker died with units in its hands, or the executor takes no more."""
