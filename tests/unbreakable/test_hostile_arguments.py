"""Whatever is passed to whatever is public: a documented error that names the argument, and a bus that works on."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from enum import Enum
from types import CoroutineType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas_lab import AtlasLabError, EventBus, Tap
from atlas_lab.widgets.view import LiveView

from .calls import World, functions, methods, nothing
from .guards import no_tracing
from .hostile import VALUES, raising

CALLS = methods() | functions()
PLOTS = {name for name in CALLS if name.startswith("plot_") or name == "overview"}
# They ask pandas for a column by a name, and pandas asks a str for its hash.
ON_FRAMES = {"a", "deliveries", "events", "frame", "frames", "middleware", "run", "runs"}
ON_FILES = {"read_parquet", "write_parquet"}

# What an argument is called in a message, where that is not its name.
CALLED = {
    "function": "middleware",
    "onto": "onto|clock|event",
    "path": "path|frame",
    "receiver": "handler",
    "runs": "runs|deliveries|events",
    "sender": "senders",
    "fields": "fields|enrich",
    "overwrite": "overwrite|enrich",
}

pytestmark = pytest.mark.filterwarnings("ignore")  # such as that a coroutine was never awaited: an async clock's


@pytest.fixture(scope="module", autouse=True)
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """Keep the log silent, coverage out, and files that are written by a name that nobody expected together."""
    monkeypatch.setattr(logging.getLogger("atlas_lab"), "disabled", True)
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    monkeypatch.chdir(tmp_path)
    with no_tracing():
        yield


def hostile(name: str) -> list[str]:
    """Return which values make sense for a call."""
    return [one for one in VALUES if one != "hostile str" or not ON_FRAMES & set(CALLS[name].required)]


def attempt(
    runner: asyncio.Runner, name: str, wrong: dict[str, str], make_bus: Callable[..., EventBus] = EventBus
) -> None:
    """Call something with hostile arguments; check that an error is a documented one, and that the bus works on."""
    given = {argument: VALUES[value]() for argument, value in wrong.items()}
    error = runner.run(_outcome(name, given, make_bus))
    documented = (TypeError, ValueError, AtlasLabError, OSError) if name in ON_FILES else (
        TypeError, ValueError, AtlasLabError,
    )  # fmt: skip
    if error is None or ("as agreed" in _text(error) and isinstance(error, ValueError)):
        return
    if not isinstance(error, documented):
        raise AssertionError(f"{name} with {wrong} raised {type(error).__name__}: {_text(error)}") from error
    only = next(iter(wrong)) if len(wrong) == 1 else ""
    if only and not isinstance(error, OSError) and not callable(given[only]):
        wanted = CALLED.get(only, only)
        assert re.search(rf"\b({wanted})\b", _text(error)), f"{name} with {wrong} does not name it: {_text(error)}"


async def _outcome(name: str, given: dict[str, Any], make_bus: Callable[..., EventBus]) -> Exception | None:
    world, error = World(make_bus), None
    try:
        result = CALLS[name].make(world, given)
        if type(result) is CoroutineType:
            result = await result
        if name.endswith(".on"):
            result(nothing)
        _undo(result)
    except Exception as raised:
        error = raised
    for bus in (world.scope, world.bus):
        await asyncio.wait_for(bus.join(), 10)
    world.check()
    return error


def _undo(result: Any) -> None:
    for kind, undo in ((asyncio.Future, "cancel"), (Tap, "undo"), (EventBus, "close"), (LiveView, "close")):
        if issubclass(type(result), kind):
            getattr(result, undo)()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"<its own text raises {type(failure).__name__}>"


@pytest.mark.parametrize("name", sorted(CALLS.keys() - PLOTS))
def test_one_hostile_argument(name, runner):
    """Each argument of everything public refuses each hostile value by name, or can live with it; the bus works on."""
    for argument in CALLS[name].parameters:
        for value in hostile(name):
            attempt(runner, name, {argument: value})


@pytest.mark.parametrize("name", sorted(CALLS))
def test_several_hostile_arguments(name, runner):
    """However hostile values are combined, the error is a documented one, and the bus works on."""
    open_to = list(CALLS[name].parameters)
    values = st.dictionaries(st.sampled_from(open_to or ["nothing"]), st.sampled_from(hostile(name)), min_size=1)

    @settings(
        max_examples=max(settings.default.max_examples // (10 if name in PLOTS else 2), 5),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(values)
    def run(wrong: dict[str, str]) -> None:
        attempt(runner, name, wrong)

    if open_to:
        run()


def test_a_repr_that_raises_does_not_hide_the_message():
    """The message names the argument, what came and what is expected, though what came cannot be shown."""
    with pytest.raises(
        TypeError, match=r"^event_type must be a member of an Enum, got Raises_repr_ <Raises_repr_ whose"
    ):
        EventBus().publish(raising("__repr__"))


class HashesFirst(EventBus):
    """A bus that looks an argument up before it looks at it."""

    def explain(self, event_type: Any) -> Any:
        hash(event_type)
        return super().explain(event_type)


class ShowsAll(EventBus):
    """A bus whose messages show what came as it is."""

    def explain(self, event_type: Any) -> Any:
        if not issubclass(type(event_type), Enum):
            raise TypeError(f"event_type must be a member of an Enum, got {event_type!r}")
        return super().explain(event_type)


class ForgetsTheName(EventBus):
    """A bus whose messages do not say which argument they mean."""

    def subscribe(self, event_type: Any, handler: Any, **options: Any) -> Any:
        if not isinstance(options.get("priority", 0), int):
            raise TypeError("must be an int")
        return super().subscribe(event_type, handler, **options)


class KeepsHalf(EventBus):
    """A bus that begins before it has looked at its arguments, and does not take back what it began."""

    def get_signal(self, event_type: Any) -> Any:
        self._lock.acquire()
        signal = super().get_signal(event_type)
        self._lock.release()
        return signal


@pytest.mark.parametrize(
    "broken, name, argument",
    [
        (HashesFirst, "bus.explain", "event_type"),
        (ShowsAll, "bus.explain", "event_type"),
        (ForgetsTheName, "bus.subscribe", "priority"),
        (KeepsHalf, "bus.get_signal", "event_type"),
    ],
)
def test_a_bus_that_takes_arguments_on_trust_does_not_pass(broken, name, argument, runner):
    """Control: an error of any other kind, a message without the name and a bus left broken are all found."""
    with pytest.raises(AssertionError):
        for value in VALUES:
            attempt(runner, name, {argument: value}, broken)
