"""What measured times depend on: told as far as the machine tells it, and never in the way."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import atlas_lab
from atlas_lab.machine import load_average, stamp


def test_a_stamp_tells_date_machine_versions_and_load():
    """As plain values, so that it can go into any file."""
    before = datetime.now(UTC)
    told = stamp("pandas", "no-such-package")
    assert list(told) == ["date", "machine", "versions", "load"]
    assert abs((datetime.fromisoformat(told["date"]) - before).total_seconds()) < 60
    assert told["machine"].startswith(f"{platform.python_implementation()} {platform.python_version()}")
    assert told["machine"].endswith(f"{os.cpu_count()} cores")
    assert told["versions"]["atlas_lab"] == atlas_lab.__version__
    assert told["versions"]["no-such-package"] is None
    assert json.loads(json.dumps(told)) == told


def test_a_system_without_a_load_average_has_none(monkeypatch):
    """Windows keeps none."""
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert load_average() is None
    assert stamp()["load"] is None


@pytest.mark.parametrize("kind, processor", [("darwin", "arm"), ("linux", "")])
def test_a_processor_that_is_not_told_is_left_out(monkeypatch, kind, processor):
    """Other systems tell it elsewhere; a container may hide it."""
    read = Path.read_text

    def hidden(path, *args, **options):
        if str(path).startswith("/proc"):
            raise PermissionError(path)
        return read(path, *args, **options)

    monkeypatch.setattr(sys, "platform", kind)
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(Path, "read_text", hidden)
    parts = stamp()["machine"].split(", ")
    assert parts[2:-1] == ([processor] if processor else [])
    assert parts[-1].endswith("cores")
