"""How a handler is called: held weakly or strongly, once, filtered, with a typed payload, or awaited.

Each function here wraps a call in another one, so that a plain handler is called directly and pays for
none of it.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .arguments import is_kind, refuse
from .errors import PayloadTypeError
from .events import Event
from .naming import attribute_of, callable_name, definition_of
from .payloads import PayloadType
from .subscription import Handler, Slot, Subscription

T = TypeVar("T")


def bind(subscription: Subscription, handler: Handler, weak: bool | None) -> Slot:
    """Return a call of `handler` that holds it as `weak` asks; see ``EventBus.subscribe``.

    Raises
    ------
    TypeError
        If `handler` would be gone at once when held weakly, or cannot be held weakly.
    """
    if weak is False or (weak is None and type(handler) is not types.MethodType):
        subscription.recover = lambda: handler
        return handler
    name = callable_name(handler)
    if is_kind(handler, functools.partial | types.BuiltinMethodType) or name.endswith("<lambda>"):
        raise TypeError(
            f"weak=True would lose the handler {name} at once: nothing else is sure to keep a lambda, a partial or a "
            "built-in method alive. Leave weak out to have the bus keep it until it is unsubscribed."
        )
    owner: Any = handler.__self__ if type(handler) is types.MethodType else handler
    function = handler.__func__ if type(handler) is types.MethodType else None
    try:
        reference = weakref.ref(owner, lambda _: subscription.signals.orphan(subscription))
    except TypeError:
        raise TypeError(
            f"{type(owner).__name__} objects cannot be referenced weakly, so the handler {name} cannot be held weakly; "
            "pass weak=False, or add '__weakref__' to the class's __slots__"
        ) from None

    def recover() -> Handler | None:
        alive: Any = reference()
        return alive if alive is None or function is None else types.MethodType(function, alive)

    def call_if_alive(event: Event[Any]) -> object:
        alive = recover()
        if alive is None:
            subscription.signals.bury()
            return subscription.miss()
        return alive(event)

    subscription.recover = recover
    return call_if_alive


def only_from(subscription: Subscription, call: Slot, source: str) -> Slot:
    """Return `call` for the events of one source."""

    def from_source(event: Event[Any]) -> object:
        if event.source == source:
            return call(event)
        return subscription.miss()

    return from_source


def only_where(subscription: Subscription, call: Slot, where: Callable[[Event[Any]], object]) -> Slot:
    """Return `call` for the events that meet a condition."""

    def if_met(event: Event[Any]) -> object:
        try:
            met = where(event)
        except BaseException:
            subscription.miss()
            raise
        return call(event) if met else subscription.miss()

    return if_met


def only_once(subscription: Subscription, call: Slot) -> Slot:
    """Return `call` for the first event; the subscription ends before the handler runs."""

    def first(event: Event[Any]) -> object:
        return call(event) if subscription.unsubscribe() else subscription.miss()

    return first


def typed(subscription: Subscription, call: Slot, payload_type: PayloadType) -> Slot:
    """Return `call` for events whose payload is of a type, or fits it."""

    def with_payload(event: Event[Any]) -> object:
        try:
            payload = payload_type.fit(event.data)
        except PayloadTypeError:
            subscription.miss()
            raise
        return call(event if payload is event.data else event.replace(data=payload))

    return with_payload


def annotated_payload(handler: Handler, local_names: Callable[[], Mapping[str, Any]]) -> Any:
    """Return T if the first parameter of `handler` is annotated ``Event[T]``, else None.

    Parameters
    ----------
    handler : callable
    local_names : callable
        Returns the local names that an annotation written as text may use, if the global ones don't do.

    Raises
    ------
    TypeError
        If the annotation names something that cannot be found.
    """
    function = definition_of(handler)
    if not isinstance(function, types.FunctionType):
        return None
    parameters = list(inspect.signature(handler).parameters.values())
    annotation = parameters[0].annotation if parameters else None
    if "[" not in str(annotation):
        return None
    holder: Any = types.SimpleNamespace(__annotations__={"event": annotation})
    try:
        try:
            # With local names of its own, or typing would remember what the name meant in another module.
            annotation = get_type_hints(holder, function.__globals__, {})["event"]
        except NameError:
            annotation = get_type_hints(holder, function.__globals__, dict(local_names()))["event"]
    except Exception as error:
        raise TypeError(
            f"cannot tell what {annotation!r}, the annotation of {callable_name(handler)}, means ({error}); "
            "pass data_type= to bus.on instead"
        ) from error
    if get_origin(annotation) is not Event:
        return None
    (data_type,) = get_args(annotation)
    return None if data_type is Any or data_type is object or isinstance(data_type, TypeVar) else data_type


def safe_subscribe(
    bus: Any, event_type: Enum | Iterable[Enum] | None, handler: Handler, **options: Any
) -> Subscription:
    """Subscribe a handler whose errors never reach the publisher, whatever the bus does with errors.

    An error is logged and published as HANDLER_ERROR, also on a bus with ``on_error="raise"``.

    Parameters
    ----------
    bus : EventBus
    event_type : Enum, iterable of Enum, or None for every type
    handler : callable of Event
    **options
        As in ``EventBus.subscribe``.

    Returns
    -------
    Subscription
        Call it to unsubscribe.

    Examples
    --------
    >>> import logging; logging.getLogger("atlas_lab").setLevel(logging.CRITICAL)
    >>> from atlas_lab import EventBus, EventType, safe_subscribe
    >>> bus = EventBus(on_error="raise")
    >>> unsubscribe = safe_subscribe(bus, EventType.AGENT_STARTED, lambda event: 1 / 0)
    >>> _ = bus.publish(EventType.AGENT_STARTED)
    >>> bus.history[-1].data["error_type"]
    'ZeroDivisionError'
    >>> unsubscribe()
    True
    """
    if not callable(attribute_of(bus, "subscribe")):
        raise refuse("bus", bus, "an EventBus")
    subscription: Subscription = bus.subscribe(event_type, handler, **options)
    subscription.isolated = True
    return subscription
