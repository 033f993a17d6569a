"""Put a system that exists on a bus, without changing it: Blinker signals, logging, asyncio tasks.

A tap listens and publishes what it hears. It never breaks what it listens to: when the bus refuses an event, that
is logged; when the bus is closed, the tap takes itself out.
"""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Self

from .arguments import check_callable, check_choice, check_kind, check_optional, is_kind, refuse
from .errors import BusClosedError
from .naming import attribute_of, describe, short_repr
from .signals import logger

if TYPE_CHECKING:
    import asyncio

    from .bus import EventBus

LONGEST_TEXT = 200
"""Characters of the text that stands for an object in a payload."""


class LogEvent(Enum):
    """Event types of `tap_logging`, by the level of the record."""

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARNING = logging.WARNING
    ERROR = logging.ERROR
    CRITICAL = logging.CRITICAL


class TaskEvent(Enum):
    """Event types of `tap_asyncio`: the life of a task."""

    CREATED = "created"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Tap:
    """What listens to an existing system, as `tap`, `tap_logging` and `tap_asyncio` return it. Calling it undoes it.

    Attributes
    ----------
    types : type of Enum
        The event types that it publishes.
    active : bool
        Whether it still listens.
    """

    def __init__(self, bus: EventBus, types: type[Enum]) -> None:
        self.types = types
        self.active = True
        self._bus = bus
        self._undoing: list[Callable[[], object]] = []
        self._busy = threading.local()

    def undo(self) -> bool:
        """Stop listening and leave the system as it was. True the first time, False after."""
        was_active, self.active = self.active, False
        while self._undoing:
            self._undoing.pop()()
        return was_active

    __call__ = undo

    def on_undo(self, step: Callable[[], object]) -> None:
        """Have a step done by `undo`, before the steps that were told earlier."""
        self._undoing.append(step)

    def publish(self, event_type: Enum, data: object, source: str | None) -> None:
        """Publish what was heard; what goes wrong there is logged, and never reaches the system that is listened to."""
        if not self.active or getattr(self._busy, "here", False):  # heard because of what this very call did
            return
        self._busy.here = True
        try:
            self._bus.publish(event_type, data, source)
        except BusClosedError:
            self.undo()
        except Exception:  # noqa: BLE001 - no error of the bus is an error of the system
            logger.exception("a tap could not publish %s", event_type)
        finally:
            self._busy.here = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<Tap publishing {self.types.__name__}: {'active' if self.active else 'undone'}>"


def tap(
    signals: Any,
    bus: EventBus,
    *,
    name: str = "Signal",
    payload: Callable[[Any, dict[str, Any]], object] | None = None,
    sent: Literal["send", "send_async"] = "send",
) -> Tap:
    """Publish what is sent on Blinker signals as events of a bus.

    Parameters
    ----------
    signals : blinker.Signal, iterable of them, or mapping of name to them
        A ``blinker.Namespace`` is such a mapping; signals that are added to it later are not heard.
    bus : EventBus
    name : str, default "Signal"
        Name of the Enum that is made of the signals' names: ``request-started`` is heard as
        ``Signal.REQUEST_STARTED``. It is a valid Python name.
    payload : callable of sender and keyword arguments, optional
        Makes the payload. By default it is a dict of the keyword arguments in which numbers and text stay as
        they are, and every other object is replaced by its ``repr``, so that the history keeps no object of
        the system alive.
    sent : {"send", "send_async"}, default "send"
        How the signals are sent: Blinker refuses to mix plain and async receivers.

    Returns
    -------
    Tap
        Call it to undo, or use it in a ``with`` statement; ``.types`` is the Enum.

    Raises
    ------
    TypeError
        If an argument is not as described.
    ValueError
        If there are no signals, or one has no name, or two names give one member.

    Examples
    --------
    >>> import blinker
    >>> from atlas_lab import EventBus, tap
    >>> shop = blinker.Namespace()
    >>> sold = shop.signal("item-sold")
    >>> bus = EventBus()
    >>> with tap(shop, bus, name="Shop") as shop_tap:
    ...     _ = sold.send("till 3", item="owl", price=12.5)
    >>> bus.history[-1].type, bus.history[-1].source, bus.history[-1].data
    (<Shop.ITEM_SOLD: 'item-sold'>, 'till 3', {'item': 'owl', 'price': 12.5})
    """
    _check_bus(bus)
    check_kind("name", name, str, "a str")
    name = str.__str__(name)  # of no subclass, whose methods might do anything
    if not name.isidentifier():
        raise ValueError(f"name must be a valid Python name, as that of an Enum, got {short_repr(name)}")
    if payload is not None:
        check_callable("payload", payload, "callable with the sender and a dict of keyword arguments")
    check_choice("sent", sent, ("send", "send_async"))
    named = _named(signals)
    members = {_member_name(one): one for one in named}
    if len(members) < len(named):
        raise ValueError(f"signals must have names that differ beyond punctuation and case, got {', '.join(named)}")
    make_enum: Any = Enum  # mypy wants the members of an Enum in the source
    tapped = Tap(bus, make_enum(name, members))
    make = _plain_payload if payload is None else payload
    for label, signal in named.items():
        receiver = _receiver(tapped, tapped.types[_member_name(label)], make, sent)
        signal.connect(receiver, weak=False)
        tapped.on_undo(partial(signal.disconnect, receiver))
    return tapped


def tap_logging(watched: logging.Logger | str, bus: EventBus, *, level: int = logging.NOTSET) -> Tap:
    """Publish what is logged as events of a bus, one `LogEvent` per record.

    The payload is a dict with ``logger``, ``level``, ``message``, ``module``, ``line`` and, for an exception,
    ``traceback``: text and numbers only. Records of atlas_lab itself are left out, or a failing handler would
    feed itself. What the logger lets through is up to its own level, as ever.

    Parameters
    ----------
    watched : logging.Logger or str
        The logger, or its name; "" for the root, which hears them all.
    bus : EventBus
    level : int, default logging.NOTSET
        Records below it are left out.

    Returns
    -------
    Tap
        Call it to undo.

    Raises
    ------
    TypeError
        If an argument is not as described.

    Examples
    --------
    >>> import logging
    >>> from atlas_lab import EventBus, tap_logging
    >>> bus = EventBus()
    >>> with tap_logging("shop", bus):
    ...     logging.getLogger("shop.till").warning("no change for %s", "a guest")
    >>> bus.history[-1].type_name, bus.history[-1].source, bus.history[-1].data["message"]
    ('LogEvent.WARNING', 'shop.till', 'no change for a guest')
    """
    _check_bus(bus)
    check_kind("watched", watched, logging.Logger | str, "a logger or the name of one")
    check_kind("level", level, int, "a level such as logging.WARNING")
    target = watched if isinstance(watched, logging.Logger) else logging.getLogger(str.__str__(watched))
    tapped = Tap(bus, LogEvent)
    handler = _LogTap(tapped, level)
    target.addHandler(handler)
    tapped.on_undo(lambda: target.removeHandler(handler))
    return tapped


def tap_asyncio(loop: asyncio.AbstractEventLoop | None, bus: EventBus) -> Tap:
    """Publish the life of asyncio tasks as events of a bus: `TaskEvent` CREATED, then how it ended.

    A task that is created in a handler has the handled event as its cause, at its end too. The payload is a dict
    with ``number`` (from 1, the same at both ends) and ``coroutine``; at the end with ``task``, the task's name, which
    asyncio gives it late, and ``seconds`` since it was created or first seen; for a failure with ``error``. Tasks
    that are running when the tap is made are heard when they end. Tasks that come of handling these very events
    are not heard.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop or None
        The loop to listen to; None for the running one.
    bus : EventBus

    Returns
    -------
    Tap
        Call it to undo. Undo taps of one loop in reverse order.

    Raises
    ------
    TypeError
        If an argument is not as described.
    RuntimeError
        If `loop` is None and no loop is running.

    Examples
    --------
    >>> import asyncio
    >>> from atlas_lab import EventBus, tap_asyncio
    >>> bus = EventBus()
    >>> async def main() -> None:
    ...     with tap_asyncio(None, bus):
    ...         await asyncio.create_task(asyncio.sleep(0), name="nap")
    >>> asyncio.run(main())
    >>> [(event.type.name, event.data["coroutine"], event.data.get("task")) for event in bus.history]
    [('CREATED', 'sleep', None), ('FINISHED', 'sleep', 'nap')]
    """
    import asyncio  # noqa: PLC0415 - only who uses it pays for it

    _check_bus(bus)
    check_optional("loop", loop, asyncio.AbstractEventLoop, "an event loop")
    watched = asyncio.get_running_loop() if loop is None else loop
    before: Any = watched.get_task_factory()
    tapped = Tap(bus, TaskEvent)

    numbers = count(1)

    def watch(task: asyncio.Task[Any]) -> dict[str, object]:
        begun = watched.time()
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        about: dict[str, object] = {"number": next(numbers), "coroutine": name}
        task.add_done_callback(lambda task: _tell_end(tapped, task, about, watched.time() - begun))
        return about

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task = before(loop, coroutine, **options) if before else asyncio.Task(coroutine, loop=loop, **options)
        if tapped.active:
            tapped.publish(TaskEvent.CREATED, watch(task), "asyncio")
        return task

    def restore() -> None:
        if watched.get_task_factory() is factory:
            watched.set_task_factory(before)

    for task in asyncio.all_tasks(watched):
        watch(task)
    watched.set_task_factory(factory)
    tapped.on_undo(restore)
    return tapped


def plain(value: object) -> object:
    """Return a value as it is if it is a number, text, truth value or None, else its ``repr``, shortened."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, BaseException):
        return describe(value)
    return short_repr(value, LONGEST_TEXT)


class _LogTap(logging.Handler):
    def __init__(self, tapped: Tap, level: int) -> None:
        super().__init__(level)
        self._tapped = tapped

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == logger.name:
            return
        try:
            data = {
                "logger": record.name,
                "level": record.levelname,
                "message": record.getMessage(),
                "module": record.module,
                "line": record.lineno,
            }
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments: logging's own way to tell
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[0] is not None:
            data["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        level = max((one for one in LogEvent if one.value <= record.levelno), key=_value, default=LogEvent.DEBUG)
        self._tapped.publish(level, data, record.name)


def _value(level: LogEvent) -> int:
    return int(level.value)


def _receiver(
    tapped: Tap, event_type: Enum, make: Callable[[Any, dict[str, Any]], object], sent: str
) -> Callable[..., object]:
    def receive(sender: Any = None, **given: Any) -> None:
        try:
            data = make(sender, given)
        except Exception:  # noqa: BLE001 - as in Tap.publish
            logger.exception("the payload of %s could not be made", event_type)
            return
        tapped.publish(event_type, data, _source(sender))

    async def receive_async(sender: Any = None, **given: Any) -> None:
        receive(sender, **given)

    return receive if sent == "send" else receive_async


def _source(sender: object) -> str | None:
    """Return the name of a sender."""
    if sender is None or isinstance(sender, str):
        return sender
    name = getattr(sender, "name", None)
    return name if isinstance(name, str) else type(sender).__name__


def _tell_end(tapped: Tap, task: asyncio.Task[Any], about: dict[str, object], seconds: float) -> None:
    about = {**about, "task": task.get_name(), "seconds": seconds}
    if task.cancelled():
        tapped.publish(TaskEvent.CANCELLED, about, "asyncio")
        return
    # Asking by task.exception() would count as somebody having looked, and asyncio would not warn of it any more.
    error = getattr(task, "_exception", None)
    if error is None:
        tapped.publish(TaskEvent.FINISHED, about, "asyncio")
    else:
        tapped.publish(TaskEvent.FAILED, {**about, "error": describe(error)}, "asyncio")


def _plain_payload(sender: object, given: dict[str, Any]) -> dict[str, object]:
    return {key: plain(value) for key, value in given.items()}


def _named(signals: Any) -> dict[str, Any]:
    """Return signals by name."""
    if is_kind(signals, Mapping):
        named = {_label(name): signal for name, signal in signals.items()}
    else:
        alone = _is_signal(signals) or is_kind(signals, str) or not is_kind(signals, Iterable)
        several = [signals] if alone else list(signals)
        named = {}
        for signal in several:
            name = attribute_of(signal, "name")
            if _is_signal(signal) and not isinstance(name, str):
                raise ValueError("signals must have names to be told apart; pass {'its-name': signal}")
            named[_label(name)] = signal
    if not named:
        raise ValueError("signals is empty; define the signals before they are tapped")
    for signal in named.values():
        if not _is_signal(signal):
            raise refuse("signals", signal, "a Blinker signal, several, or a mapping of names to them")
    return named


def _label(name: object) -> str:
    return name if isinstance(name, str) else short_repr(name)


def _is_signal(thing: object) -> bool:
    return callable(attribute_of(thing, "connect")) and callable(attribute_of(thing, "disconnect"))


def _member_name(name: str) -> str:
    words = re.sub(r"\W+", "_", name).strip("_").upper() or "UNNAMED"
    return f"_{words}" if words[0].isdigit() else words


def _check_bus(bus: object) -> None:
    if not callable(attribute_of(bus, "publish")):
        raise refuse("bus", bus, "an EventBus")
