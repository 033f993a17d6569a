"""State machines: what is declared goes, and nothing else."""

from __future__ import annotations

import pickle

import pytest

from atlas_lab.atlas import LIFECYCLE, StateMachine, TransitionError


def test_what_is_not_declared_is_refused_with_what_is():
    """The error names the change and the ones that there are."""
    machine = StateMachine("a", {"a": ["b"], "b": []})
    machine.check("a", "b")
    with pytest.raises(TransitionError, match="from 'a' to 'c'; declared are b"):
        machine.check("a", "c")
    with pytest.raises(TransitionError, match="it declares none from there") as refused:
        machine.check("b", "a")
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_bad_machines_are_refused():
    """A state that nothing leads to, an initial that is none, or text for a list is a mistake."""
    with pytest.raises(ValueError, match="no change leads from 'a' to 'c'"):
        StateMachine("a", {"a": ["b"], "c": ["a"]})
    with pytest.raises(ValueError, match="initial must be a state"):
        StateMachine("x", {"a": ["b"]})
    with pytest.raises(TypeError, match="a list of states for 'a', got 'b'"):
        StateMachine("a", {"a": "b"})


def test_steps_can_end_however_work_can():
    """A step of work can be followed by rest, failure or a stop without saying so."""
    machine = LIFECYCLE.with_steps({"working": ["searching"], "searching": ["reading"]})
    for state in ("idle", "failed", "stopped"):
        machine.check("reading", state)
        machine.check("searching", state)
    with pytest.raises(TransitionError):
        machine.check("working", "reading")
    assert "searching" not in LIFECYCLE.changes["working"]
