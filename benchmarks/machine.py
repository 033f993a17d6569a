"""What the numbers depend on, and how much of the machine others took meanwhile."""

import os
import platform
import sys
import time
from datetime import UTC, datetime

import psutil

from atlas_lab.machine import processor, stamp

PACKAGES = ("atlas_lab", "blinker", "msgspec", "psygnal", "pyee", "eventkit", "reactivex", "PyDispatcher", "bubus")
FRAMES_PACKAGES = ("numpy", "pandas", "pyarrow")

QUIET_LOAD = 0.5  # of all cores
QUIET_WIDTH = 0.15  # of the interval of one and the same thing


def about():
    """Return versions and hardware, in the words of pyperf where it has some."""
    versions = stamp(*PACKAGES, *FRAMES_PACKAGES)["versions"]
    return {
        "python_version": platform.python_version(),
        "python_implementation": sys.implementation.name,
        "gil": "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off",
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": psutil.cpu_count() or 1,
        "cpu_model_name": processor() or platform.machine(),
        "date": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
    } | {f"version_{package}": found or "none" for package, found in versions.items()}


class Watch:
    """Tells, when it is asked, how busy others kept the machine since it was made.

    The load average counts this process too, so afterwards its own share is taken off.
    """

    def __init__(self, load_before=None):
        self.load_before = psutil.getloadavg()[0] if load_before is None else load_before
        self._start = time.perf_counter()
        self._busy = _busy()
        self._own = _own()

    def seen(self):
        spent = time.perf_counter() - self._start
        own = (_own() - self._own) / spent
        return {
            "run_seconds": round(spent, 1),
            "load_before": round(self.load_before, 2),
            "load_after": round(psutil.getloadavg()[0], 2),
            "cores_busy_own": round(own, 2),
            "cores_busy_others": round(max(0.0, (_busy() - self._busy) / spent - own), 2),
        }


def unquiet(known, width):
    """Return why a run was not quiet, as sentences; none if it was.

    Parameters
    ----------
    known : dict
        What `about` and `Watch.seen` told.
    width : float
        Width of the 95 % interval of the time of what all is compared with, as a share of its median.
    """
    limit = QUIET_LOAD * known["cpu_count"]
    after = known["load_after"] - known["cores_busy_own"]
    reasons = []
    if known["load_before"] > limit:
        reasons.append(f"the load average before was {known['load_before']:.2f}, over {limit:.2f}")
    if after > limit:
        reasons.append(f"the load average after, less our own, was {after:.2f}, over {limit:.2f}")
    if known["cores_busy_others"] > limit:
        reasons.append(f"others kept {known['cores_busy_others']:.2f} cores busy, over {limit:.2f}")
    if width > QUIET_WIDTH:
        reasons.append(f"the interval of what all is compared with is {width:.0%} wide, over {QUIET_WIDTH:.0%}")
    return reasons


def _busy():
    """Return seconds that all cores together were busy, or taken away by the host."""
    times = psutil.cpu_times()
    # Linux counts guests in user time already.
    idle = {"idle", "iowait", "guest", "guest_nice"}
    return sum(seconds for name, seconds in times._asdict().items() if name not in idle)


def _own():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
