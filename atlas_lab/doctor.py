"""What is wrong with the subscriptions of a bus, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .arguments import check_kind, refuse
from .errors import MissingExtraError
from .events import event_type_name
from .frames import categorical, labels, texts
from .naming import attribute_of
from .subscription import Subscription

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

STATES = ["active", "paused", "gone"]
HEALTHY = "well"


def subscription_doctor(bus: Any, *, scopes: bool = True) -> pd.DataFrame:
    """Return one row per subscription of a bus, with what is wrong with it; the worst come first.

    Parameters
    ----------
    bus : EventBus
    scopes : bool, default True
        Whether to look at the scopes of the bus as well.

    Returns
    -------
    DataFrame, one row per active subscription, and per subscription whose object is gone (the latest 100)
        ========== =============== ==================================================================
        column     dtype
        ========== =============== ==================================================================
        scope      category        path of the bus; "" for one without a name
        handler    category
        listens_to str             names of the event types, or "every type"
        state      category        active, paused, or gone: its object was garbage-collected
        finding    str             what is wrong; "well" if nothing is
        calls      int64
        errors     int64
        last_error str             missing for none
        age        timedelta64[ns] since it was subscribed, by the clock of the bus
        defined_at str             notebook cell or file, and line
        ========== =============== ==================================================================

    Raises
    ------
    TypeError
        If `bus` is not an EventBus.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, subscription_doctor
    >>> bus = EventBus()
    >>> class Agent:
    ...     def work(self, event): ...
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, Agent().work)
    >>> _ = bus.subscribe(EventType.AGENT_STARTED, lambda event: 1 / 0, name="fragile")
    >>> _ = bus.publish(EventType.AGENT_STARTED)
    >>> for row in subscription_doctor(bus).itertuples():
    ...     print(f"{row.handler}: {row.finding}")
    Agent.work: its object was gone before an event came: keep a reference to it, or subscribe with weak=False
    fragile: it failed every time
    """
    if not callable(attribute_of(bus, "departed")):
        raise refuse("bus", bus, "an EventBus")
    check_kind("scopes", scopes, bool, "True or False")
    found = [(one, *_finding(one, state), state, scope, now) for one, state, scope, now in _patients(bus, scopes)]
    found.sort(key=lambda row: (row[1], -row[0].errors, -row[0].calls))
    tokens = [row[0] for row in found]
    ages = [round((now - token.created_at) * 1e9) for token, *_, now in found]
    return pd.DataFrame(
        {
            "scope": labels([row[4] for row in found]),
            "handler": labels([token.handler_name for token in tokens]),
            "listens_to": texts([", ".join(map(event_type_name, one.event_types)) or "every type" for one in tokens]),
            "state": categorical([STATES.index(row[3]) for row in found], STATES),
            "finding": texts([row[2] for row in found]),
            "calls": np.array([token.calls for token in tokens], np.int64),
            "errors": np.array([token.errors for token in tokens], np.int64),
            "last_error": texts([token.last_error for token in tokens]),
            "age": np.array(ages, "m8[ns]"),
            "defined_at": texts([token.defined_at for token in tokens]),
        }
    )


def _patients(bus: Any, scopes: bool) -> Iterator[tuple[Subscription, str, str, float]]:
    now = bus.clock()
    for token in bus.departed():
        yield token, "gone", bus.path, now
    for token in bus.subscriptions():
        yield token, "paused" if token.paused else "active", bus.path, now
    for scope in bus.scopes if scopes else ():
        yield from _patients(scope, scopes)


def _finding(token: Subscription, state: str) -> tuple[int, str]:
    """Return how bad it is, 0 for the worst, and what it is."""
    calls, errors = token.calls, token.errors
    if state == "gone" and not calls:
        return 0, "its object was gone before an event came: keep a reference to it, or subscribe with weak=False"
    if errors and errors >= calls:
        return 1, "it failed every time"
    if errors:
        return 2, f"it failed in {errors:,} of {calls:,} calls"
    if state == "paused":
        return 3, "it is paused: resume() has it called again"
    if not calls and token.dispatches:
        return 4, f"it was never called: none of {token.dispatches:,} events met {', '.join(token.filters)}"
    if not calls:
        return 5, "it was never called: no event that it listens to came since it was subscribed"
    if state == "gone":
        return 6, "its object is gone, and with it the subscription"
    return 7, HEALTHY
