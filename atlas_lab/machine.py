"""What measured times depend on: the machine, its load, and the versions of what runs on it."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

RUNS_ON = ("atlas_lab", "blinker", "msgspec")


class Stamp(TypedDict):
    """What `stamp` returns.

    Attributes
    ----------
    date : str
        Now in UTC, as ISO 8601.
    machine : str
        Python, system, processor and cores in one line.
    versions : dict of str to str or None
        By package; None for one that is not installed.
    load : float or None
        As `load_average` gives it.
    """

    date: str
    machine: str
    versions: dict[str, str | None]
    load: float | None


def stamp(*packages: str) -> Stamp:
    """Return what measured times depend on, as plain values that JSON can hold.

    Parameters
    ----------
    *packages : str
        Packages to name the versions of, beside atlas_lab and those that it runs on.

    Examples
    --------
    >>> from atlas_lab.machine import stamp
    >>> list(stamp("pandas")["versions"])
    ['atlas_lab', 'blinker', 'msgspec', 'pandas']
    """
    free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    parts = (
        f"{platform.python_implementation()} {platform.python_version()}{free_threaded}",
        f"{platform.system()} {platform.machine()}",
        processor(),
        f"{os.cpu_count()} cores",
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "machine": ", ".join(filter(None, parts)),
        "versions": {name: _version(name) for name in (*RUNS_ON, *packages)},
        "load": load_average(),
    }


def load_average() -> float | None:
    """Return how many threads wanted to run on the machine, on average over the last minute; None where none is kept."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Return the name of the processor; "" where nothing tells it."""
    if sys.platform != "linux":
        return platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
