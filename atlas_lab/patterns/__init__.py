"""Four patterns on the bus: versions, projections, effects and partitions, each driven by events and seen in them.

=========================  =================================================================================
module                     what it does
=========================  =================================================================================
``versioning``             `VersionedState`: events and commits make versions of a state that share what is the same
``projection``             `Projection`: reducers fold events into a state, live or from any history
``effects``                `EffectSystem`: programs describe effects; interpreters perform, refuse, replay or undo them
``partitioning``           `Partitioner`: units of work run in parallel, seen on the bus, checked and timed
=========================  =================================================================================

Each uses public names of atlas_lab only. A name is loaded when it is first used, so that one part does not need the
libraries of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from .effect_events import Commanded as Commanded
    from .effect_events import EffectCompleted as EffectCompleted
    from .effect_events import EffectRequested as EffectRequested
    from .effects import EffectSystem as EffectSystem
    from .failures import DeadWorkerError as DeadWorkerError
    from .failures import PartitionError as PartitionError
    from .freezing import Change as Change
    from .freezing import differences as differences
    from .freezing import freeze as freeze
    from .interpreting import Command as Command
    from .interpreting import Effect as Effect
    from .interpreting import EffectError as EffectError
    from .interpreting import EffectFailedError as EffectFailedError
    from .interpreting import EffectRefusedError as EffectRefusedError
    from .interpreting import Performer as Performer
    from .interpreting import Program as Program
    from .interpreting import UndoError as UndoError
    from .partitioning import Partitioner as Partitioner
    from .past import Snapshot as Snapshot
    from .planning import map_reduce as map_reduce
    from .planning import split as split
    from .projection import Projected as Projected
    from .projection import Projection as Projection
    from .recorded_effects import ReplayError as ReplayError
    from .reducing import ReducerError as ReducerError
    from .schedule_plots import plot_schedule as plot_schedule
    from .schedule_plots import plot_speedup as plot_speedup
    from .schedules import PartitionRun as PartitionRun
    from .schedules import Violation as Violation
    from .schedules import order_violations as order_violations
    from .schedules import speedup_table as speedup_table
    from .schedules import task_table as task_table
    from .units import PartitionRefused as PartitionRefused
    from .units import TaskDone as TaskDone
    from .units import TaskSubmitted as TaskSubmitted
    from .units import Unit as Unit
    from .versioning import VersionedState as VersionedState
    from .versions import Version as Version
    from .versions import Versioned as Versioned

_LAZY = {
    "effect_events": ("Commanded", "EffectCompleted", "EffectRequested"),
    "effects": ("EffectSystem",),
    "failures": ("DeadWorkerError", "PartitionError"),
    "freezing": ("Change", "differences", "freeze"),
    "interpreting": (
        "Command", "Effect", "EffectError", "EffectFailedError", "EffectRefusedError",
        "Performer", "Program", "UndoError",
    ),
    "partitioning": ("Partitioner",),
    "past": ("Snapshot",),
    "planning": ("map_reduce", "split"),
    "projection": ("Projected", "Projection"),
    "recorded_effects": ("ReplayError",),
    "reducing": ("ReducerError",),
    "schedule_plots": ("plot_schedule", "plot_speedup"),
    "schedules": ("PartitionRun", "Violation", "order_violations", "speedup_table", "task_table"),
    "units": ("PartitionRefused", "TaskDone", "TaskSubmitted", "Unit"),
    "versioning": ("VersionedState",),
    "versions": ("Version", "Versioned"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__all__":  # asked for by ``from .. import *`` and by help()
        return sorted(_MODULE_OF)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only who asks for a lazy name pays for it

    value: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
