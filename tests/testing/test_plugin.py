"""The pytest plugin, and what docs/testing.md shows of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import atlas_lab.testing

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


@pytest.fixture
def elsewhere(pytester, monkeypatch):
    """Return a function that runs pytest on a test file of somebody else's, with our plugin and no other."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source, *options):
        pytester.makepyfile(test_theirs=source)
        return pytester.runpytest_subprocess("-p", "_atlas_lab_pytest", "-W", "error", *options)

    return run


def test_the_bus_of_the_fixture_is_the_same_in_each_run(elsewhere):
    """Times and ids are counted anew for each test, no event is pushed out, and after the test the bus is closed."""
    result = elsewhere("""
        import pytest
        from atlas_lab import EventType

        used = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(event_bus, event_clock, number):
            used.append(event_bus)
            assert [bus.closed for bus in used] == [True] * (number - 1) + [False]
            for _ in range(2000):
                event_bus.publish(EventType.SYSTEM_HEALTH)
            first = event_bus.history[0]
            assert (first.timestamp, first.id, first.seq) == (0.0, f"{1:032x}", 1)
            event_clock.advance(10)
            event_bus.publish(EventType.SYSTEM_HEALTH)
            assert event_bus.history[-1].timestamp == 2010.0
    """)
    result.assert_outcomes(passed=2)


def test_the_recorded_bus_is_the_bus_of_the_test(elsewhere):
    """A test may ask for the bus twice; what it publishes is recorded, what fails among it."""
    result = elsewhere("""
        from atlas_lab import EventType
        from atlas_lab.testing import assert_published

        def test_it(event_bus, recorded_bus):
            bus, published = recorded_bus
            assert bus is event_bus
            bus.subscribe(EventType.AGENT_STARTED, lambda event: 1 / 0)
            bus.publish(EventType.AGENT_STARTED)
            assert published.types == [EventType.AGENT_STARTED, EventType.HANDLER_ERROR]
            assert_published(recorded_bus, EventType.AGENT_STARTED, times=1)
    """)
    result.assert_outcomes(passed=1)


def test_a_fixture_of_the_users_own_wins(elsewhere):
    """A project that has fixtures of these names goes on with its own."""
    result = elsewhere("""
        import pytest

        @pytest.fixture
        def event_bus():
            return "theirs"

        def test_it(event_bus):
            assert event_bus == "theirs"
    """)
    result.assert_outcomes(passed=1)


def test_a_failed_assertion_points_to_the_test(elsewhere):
    """The report shows the line of the test and the message, and no line of atlas_lab."""
    result = elsewhere("""
        from atlas_lab import EventType
        from atlas_lab.testing import assert_nothing_published, assert_published, assert_sequence

        def test_one(recorded_bus):
            assert_published(recorded_bus, EventType.AGENT_STARTED)

        def test_two(recorded_bus):
            assert_sequence(recorded_bus, [EventType.AGENT_STARTED])

        def test_three(recorded_bus):
            assert_sequence(recorded_bus, [EventType.AGENT_STARTED], strict=True)

        def test_four(recorded_bus):
            recorded_bus.bus.publish(EventType.AGENT_STARTED)
            assert_nothing_published(recorded_bus)
    """)
    result.assert_outcomes(failed=4)
    text = result.stdout.str()
    assert set(re.findall(r"^(\S+):\d+: AssertionError", text, re.MULTILINE)) == {"test_theirs.py"}
    assert "E       AssertionError: AGENT_STARTED was not published" in text
    assert "assertions.py" not in text


def test_the_guide_does_what_it_says(elsewhere, pytester):
    """The Python of docs/testing.md, its blocks in order as one file, passes in a project of somebody else's."""
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    pytester.makepyfile(my_system="from atlas_lab import EventBus as MyBus\n")
    result = elsewhere("\n\n".join(blocks), "-k", "not TestMyBus or test_23", "-o", "pythonpath=.")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed", "deselected"}
    assert outcomes["passed"] > 4 + 8


def test_the_guide_shows_a_failure_as_it_is(elsewhere):
    """What docs/testing.md prints of a failed assertion is what pytest prints."""
    first = re.search(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    shown = re.search(r"^```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    failing = """
def test_a_word_that_never_came(recorded_bus):
    answer(recorded_bus.bus, "what is the question?")
    assert_published(recorded_bus, EventType.STREAM_CHUNK, source="model", data={"text": "bee"})
"""
    result = elsewhere(first[1] + failing)
    explained = [line.removeprefix("E").strip() for line in result.outlines if re.match("E( |$)", line)]
    assert explained == [line.strip() for line in shown[1].splitlines()]


def test_the_plugin_leaves_the_package_alone_until_a_fixture_is_used():
    """A pytest run that uses no fixture of ours loads nothing of atlas_lab, and coverage begins before it does."""
    program = "import sys, _atlas_lab_pytest; print([name for name in sys.modules if name.startswith('atlas_lab')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_the_contract_needs_pytest():
    """Recording and asserting work with any test runner; the contract is loaded when it is asked for."""
    program = """
import sys
from atlas_lab.testing import assert_published, matching, record, TickingClock
print([name for name in ("pytest", "unittest", "asyncio", "pandas") if name in sys.modules])
from atlas_lab.testing import BusContract
print("pytest" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"


def test_a_misspelt_name_is_an_attribute_error():
    """The module says that it has no such name, as any module does."""
    with pytest.raises(AttributeError, match="'atlas_lab.testing' has no attribute 'BusContact'"):
        atlas_lab.testing.BusContact
