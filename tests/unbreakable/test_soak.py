"""A minute of everything at once leaves nothing behind."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .soak import DEPARTED, HISTORY


def soak(seconds: float, bus: str) -> dict[str, Any]:
    """Soak a bus in a process of its own and return what it found; see there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unbreakable.soak", str(seconds), bus],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_memory(found: dict[str, Any]) -> None:
    """Check that the second half took no more memory than the first, within two per cent.

    Before that, a fifth is left out, in which Python and asyncio still fill what they keep for later.
    """
    memory = found["memory"][len(found["memory"]) // 5 :]
    half = len(memory) // 2
    assert half, "there were too few rounds"
    first, second = statistics.median(memory[:half]), statistics.median(memory[-half:])
    assert second <= first * 1.02, f"memory grew from {first} to {second} bytes, with {found['events']} events"


def check_alive(found: dict[str, Any]) -> None:
    """Check that nothing is alive but the three handlers that stayed, and the payloads of the events that are kept."""
    tokens = found["alive"].pop("tokens")
    assert found["alive"] == {"handlers": 3, "payloads": HISTORY, "owners": 0, "scopes": 0, "streams": 0}
    assert found["payloads kept"] == HISTORY
    assert 3 <= tokens <= 3 + DEPARTED
    assert set(found["alive after the end"].values()) == {0}


def test_a_minute_of_everything_leaves_nothing_behind():
    """Handlers, tokens, owners, scopes, streams and events come and go for a minute: none stays, and memory is level."""
    found = soak(75, "EventBus")
    check_memory(found)
    check_alive(found)


@pytest.mark.parametrize("bus", ["KeepsTokens", "KeepsOwners", "KeepsEvents"])
def test_a_bus_that_keeps_things_does_not_pass(bus):
    """Control: what a bus keeps for good is found, both by its memory and by what is still alive."""
    found = soak(3, bus)
    with pytest.raises(AssertionError, match="memory grew"):
        check_memory(found)
    with pytest.raises(AssertionError):
        check_alive(found)
