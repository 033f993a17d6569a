"""Work for workers: functions that another process can import."""

from __future__ import annotations

import os
import time


def total(*parts):
    return sum(one if isinstance(one, int) else sum(one) for one in parts)


def wait_and_return(value, *needed):
    time.sleep(0.02)
    return value


def wait_for(seconds, *needed):
    time.sleep(seconds)
    return os.getpid()


def fail(*needed):
    raise ValueError("bad part")


def die(*needed):
    os._exit(3)


class Stubborn(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, a, b):
        super().__init__(f"{a}{b}")


def fail_stubbornly():
    raise Stubborn(1, 2)
