"""The contract finds fault: a bus that breaks a promise fails the tests of that promise, away from this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent

BROKEN = """
import threading

from atlas_lab import EventBus, new_event_id
from atlas_lab.testing import BusContract


class LosesUnderThreads(EventBus):
    publisher = None

    def publish(self, *args, **options):
        outer, me = self.publisher, threading.get_ident()
        if outer not in {None, me}:
            return new_event_id()
        self.publisher = me
        try:
            return super().publish(*args, **options)
        finally:
            self.publisher = outer


class RunsTheLatestFirst(EventBus):
    def subscribe(self, *args, priority=0, **options):
        return super().subscribe(*args, priority=len(self.subscriptions()), **options)


class ForgetsTheCause(EventBus):
    def __init__(self, **options):
        super().__init__(**options)
        self.add_middleware(lambda event: event.replace(parent_id=None))


class StopsAtTheFirstError(EventBus):
    def subscribe(self, event_type, handler, **options):
        failed = self.__dict__.setdefault("failed", set())

        def handle(event):
            if event.id not in failed:
                failed.add(event.id)
                handler(event)
                failed.discard(event.id)

        return super().subscribe(event_type, handle, **options)


class KeepsOneMore(EventBus):
    def __init__(self, history_limit=1000, **options):
        super().__init__(history_limit and history_limit + 1, **options)
"""
PROMISE_BROKEN = {
    "LosesUnderThreads": "test_09_nothing_is_lost_or_doubled",
    "RunsTheLatestFirst": "test_05_handlers_run_by_priority_then_subscription",
    "ForgetsTheCause": "test_07_the_handled_event_is_the_parent",
    "StopsAtTheFirstError": "test_17_a_failing_handler_never_stops_the_others",
    "KeepsOneMore": "test_23_the_latest_events_are_kept",
}


@pytest.fixture
def elsewhere(pytester, monkeypatch):
    """A project of somebody else's, which has pytest and atlas_lab and no other plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("ATLAS_LAB_REQUIRE", raising=False)
    return pytester


def failures(result):
    """Return the names of the tests that failed, by class."""
    failed = {}
    for line in result.outlines:
        if match := re.match(r"FAILED \S+::Test(\w+)::(\w+)", line):
            failed.setdefault(match[1], set()).add(match[2])
    return failed


def test_each_broken_promise_fails_its_own_tests(elsewhere):
    """Five buses that break one promise each fail tests of that promise, which an `EventBus` passes beside them."""
    classes = [
        f"class Test{name}(BusContract):\n    def make_bus(self, **options):\n        return {name}(**options)\n"
        for name in [*PROMISE_BROKEN, "EventBus"]
    ]
    elsewhere.makepyfile(test_broken="\n\n".join([BROKEN, *classes]))
    result = elsewhere.runpytest_subprocess("-k", " or ".join(PROMISE_BROKEN.values()), "-rf", "--tb=no")
    failed = failures(result)
    assert set(failed) == set(PROMISE_BROKEN)
    for name, promise in PROMISE_BROKEN.items():
        assert any(test.startswith(promise) for test in failed[name])


def test_a_failed_test_shows_the_values(elsewhere):
    """The assertions of the contract are explained as those in one's own tests are."""
    elsewhere.makepyfile(
        test_broken=BROKEN
        + """
class TestIt(BusContract):
    def make_bus(self, **options):
        return KeepsOneMore(**options)
"""
    )
    result = elsewhere.runpytest_subprocess("-k", "test_23_the_latest")
    result.stdout.fnmatch_lines(["E*assert [[]4, 5] == [[]5]"])


@pytest.mark.parametrize("strict", [False, True])
def test_what_a_machine_or_a_bus_lacks_is_said(elsewhere, monkeypatch, strict):
    """Without forks or scopes their tests are skipped, with the reason; ATLAS_LAB_REQUIRE=all makes them fail."""
    elsewhere.makeconftest("import os\n\nif hasattr(os, 'fork'):\n    del os.fork\n")
    elsewhere.makepyfile(
        test_mine="""
        from atlas_lab import EventBus
        from atlas_lab.testing import BusContract

        class Mine:
            def __init__(self, **options):
                self.hidden = EventBus(**options)

            def __getattr__(self, name):
                return getattr(self.hidden, name)

        class TestMine(BusContract):
            def make_bus(self, **options):
                return Mine(**options)
        """
    )
    if strict:
        monkeypatch.setenv("ATLAS_LAB_REQUIRE", "all")
    result = elsewhere.runpytest_subprocess("-k", "fork or test_26_scopes_are_listed", "-rs")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"failed" if strict else "skipped", "deselected"}
    text = result.stdout.str()
    assert "this system has no os.fork" in text
    assert "no scopes of Mine are known: TestMine has no make_scope" in text


def test_a_suite_without_a_bus_says_what_to_write(elsewhere):
    """Who derives from the contract and gives no `make_bus` is told to, in the first test."""
    elsewhere.makepyfile(
        """
        from atlas_lab.testing import BusContract

        class TestMine(BusContract):
            pass
        """
    )
    result = elsewhere.runpytest_subprocess("-k", "test_23_the_default")
    result.stdout.fnmatch_lines(["*give TestMine a method make_bus(self, ??options) that returns a new bus"])


def test_what_a_test_leaves_in_its_context_stays_out_of_the_next(elsewhere):
    """A bus that loses its place fails one test of the contract, not all after it."""
    elsewhere.makepyfile(
        """
        from contextvars import ContextVar
        from atlas_lab.testing import BusContract

        place = ContextVar("place", default="top")

        class TestMine(BusContract):
            def test_mine_1(self):
                place.set("inside")

            def test_mine_2(self):
                assert place.get() == "top"
        """
    )
    outcomes = elsewhere.runpytest_subprocess("-k", "test_mine").parseoutcomes()
    assert set(outcomes) == {"passed", "deselected"}
    assert outcomes["passed"] == 2
