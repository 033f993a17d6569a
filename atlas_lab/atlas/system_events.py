"""What core services tell: the payload of each SYSTEM_* event."""

from __future__ import annotations

import msgspec


class SystemInit(msgspec.Struct, frozen=True):
    """Payload of SYSTEM_INIT: what is started where."""

    name: str
    pid: int
    python: str
    platform: str
    cpus: int
    interval: float


class SystemHealth(msgspec.Struct, frozen=True):
    """Payload of SYSTEM_HEALTH: what one check found.

    Attributes
    ----------
    check : str
    healthy : bool
    detail : str
        What the check returned or raised.
    latency : float, seconds
    tick : int
        Number of the round, from 1.
    """

    check: str
    healthy: bool
    detail: str
    latency: float
    tick: int


class SystemMetric(msgspec.Struct, frozen=True):
    """Payload of SYSTEM_METRIC: one number at one moment.

    Attributes
    ----------
    metric : str
        Such as ``process.memory``.
    value : float
    unit : str
        "bytes", "%", "threads", "events", "events/s" and so on.
    tick : int
        Number of the round, from 1.
    """

    metric: str
    value: float
    unit: str
    tick: int


class SystemShutdown(msgspec.Struct, frozen=True):
    """Payload of SYSTEM_SHUTDOWN: why it ended ("closed", "exit" of the interpreter, or an error), and after how long."""

    name: str
    reason: str
    uptime: float
    ticks: int
