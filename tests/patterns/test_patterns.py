"""What the package offers, and that one part does not need the libraries of another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from atlas_lab import EventBus, EventType, patterns


def in_a_new_python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_can_be_used_and_tells_what_it_is():
    """Completion offers what there is, each with a docstring or, for a type alias, a value."""
    for name in dir(patterns):
        value = getattr(patterns, name)
        assert not isinstance(value, type) or value.__doc__
    assert {"EffectSystem", "Partitioner", "Projection", "VersionedState"} <= set(dir(patterns))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        patterns.nothing


def test_parts_are_loaded_when_they_are_used():
    """Effects and partitions need neither pyrsistent, pandas, matplotlib nor distributed."""
    program = """
import sys
from atlas_lab.patterns import Effect, EffectSystem, Partitioner, Unit, order_violations
print(sorted({"pyrsistent", "pandas", "matplotlib", "distributed", "dask"} & set(sys.modules)))
"""
    assert in_a_new_python(program) == "[]\n"


def test_a_missing_library_names_its_extra():
    """Without pyrsistent, a projection says what to install."""
    program = """
import sys
sys.modules["pyrsistent"] = None
from atlas_lab import MissingExtraError
try:
    from atlas_lab.patterns import Projection
except MissingExtraError as error:
    print(error)
"""
    assert in_a_new_python(program) == "pyrsistent is not installed; run: pip install 'atlas_lab[atlas]'\n"


def test_all_four_work_on_one_bus():
    """The patterns do not stand in each other's way: versions and projections of what effects and tasks tell."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    bus = EventBus(history_limit=None)

    def one_more(state, event):
        return state.set(event.type.name, state.get(event.type.name, 0) + 1)

    kinds = (EventType.EFFECT_COMPLETED, EventType.TASK_COMPLETED, EventType.STATE_VERSIONED)
    seen = patterns.Projection({}, dict.fromkeys(kinds, one_more)).follow(bus)
    board = patterns.VersionedState(bus, {}, {EventType.TASK_COMPLETED: one_more})

    class Nudge(patterns.Effect, frozen=True):
        pass

    def nudge():
        yield Nudge()

    effects = patterns.EffectSystem(bus, {Nudge: lambda effect: None})
    effects.run(nudge())
    with ThreadPoolExecutor(2) as executor:
        patterns.Partitioner(bus, executor).run([patterns.Unit("a", int), patterns.Unit("b", int)])
    assert seen.state == {"EFFECT_COMPLETED": 1, "TASK_COMPLETED": 2, "STATE_VERSIONED": 2}
    assert board.state == {"TASK_COMPLETED": 2}
