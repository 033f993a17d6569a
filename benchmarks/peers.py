"""One publish, in ours and in what else there is: each as its own documentation uses it, with its own defaults.

A builder takes the handlers and returns a `Rig`. Handlers are functions of their own that return None at once
(Blinker keeps one entry for one function), each called with the event.
"""

import asyncio
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import NamedTuple

import blinker
import bubus
import psygnal
import pyee
import reactivex.operators
import reactivex.subject
from pydispatch import dispatcher

from atlas_lab import Event, EventBus, EventType, ScopedEventBus
from benchmarks.harness import Way, way
from benchmarks.plain_bus import PlainBus

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it asks for an event loop that nobody has made yet
    import eventkit

CHUNK = EventType.STREAM_CHUNK
EVENT = Event(CHUNK)
BLINKER = "blinker send"
OURS = "atlas_lab"
BASE = "base"  # blinker send with one handler, once more in each section: ratios are taken within rounds

FEATURES = {
    "order": "handlers run in the order of subscription, each time",
    "isolation": "a handler that fails stops no other",
    "id, time": "an event has an id and a time",
    "cause": "an event knows the one whose handler published it",
    "history": "past events are kept, up to a limit",
    "middleware": "what stands before the handlers, once for all of them, may change or drop an event",
    "scopes": "a bus in a bus passes its events on; all have been handled when publish returns",
    "threads": "claims that several threads may publish on one bus, and subscribe, at once",
}


class Rig(NamedTuple):
    """One bus to measure on: a publish, a subscribe with its unsubscribe, and how to put the bus away."""

    publish: Way
    resubscribe: Way | None = None
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Peer:
    """A library, or a way to use one.

    Parameters
    ----------
    name : str
    build : callable
        Takes the handlers, and ``middleware`` and ``scopes``, numbers of them, where `does` says so.
    does : set of str
        Which of `FEATURES` it has.
    why_not : dict of str to str
        Why a setting, ``middleware``, ``scopes``, ``threads`` or ``subscribe``, is not measured.
    """

    name: str
    build: Callable[..., Rig]
    does: frozenset[str]
    why_not: dict[str, str] = field(default_factory=dict)


_serial = numbers()


def make_handlers(count):
    """Return functions of one event with names of their own."""
    made = [eval("lambda event: None") for _ in range(count)]
    for handler in made:
        handler.__name__ = f"handler_{next(_serial)}"
    return made


def make_middleware(count):
    """Return functions that pass an event on as it is."""
    return [eval("lambda event: event") for _ in range(count)]


def build_ours(handlers, middleware=0, scopes=0, history_limit=1000):
    """Everything on: event, id, time, cause, seq in order, history, isolation, counts. In scopes, at each level."""
    buses = [EventBus(history_limit)]
    for level in range(scopes):
        buses.append(ScopedEventBus(buses[-1], f"level-{level}"))
    for bus in buses:
        for handler in handlers:
            bus.subscribe(CHUNK, handler)
    for one in make_middleware(middleware):
        buses[-1].add_middleware(one)
    (another,) = make_handlers(1)
    return Rig(
        way("bus.publish(CHUNK, None, 'model')", bus=buses[-1], CHUNK=CHUNK, **_history_of(buses[-1], history_limit)),
        way("bus.subscribe(CHUNK, handler)()", bus=buses[-1], CHUNK=CHUNK, handler=another),
    )


def build_plain(handlers, middleware=0, history_limit=1000):
    """A dataclass, ``uuid4``, a lock around everything, a list cut to size, ``blinker.Signal.send``."""
    bus = PlainBus(10**12 if history_limit is None else history_limit)
    for handler in handlers:
        bus.subscribe(CHUNK, handler)
    for one in make_middleware(middleware):
        bus.add_middleware(one)
    (another,) = make_handlers(1)
    return Rig(
        way("bus.publish(CHUNK, None, 'model')", bus=bus, CHUNK=CHUNK, **_history_of(bus, history_limit)),
        way("bus.subscribe(CHUNK, handler)()", bus=bus, CHUNK=CHUNK, handler=another),
    )


def _history_of(bus, limit):
    """Return what makes every block begin with a history of the same size: a full one, or an empty one if unbounded."""
    if limit is not None:
        return {"warm": limit + 3}

    @contextmanager
    def emptied():
        yield
        bus.history.clear()

    return {"around": emptied}


def build_loop(handlers):
    """No bus at all: a loop over a tuple."""
    return Rig(way("for handler in handlers:\n    handler(event)", handlers=tuple(handlers), event=EVENT))


def build_blinker(handlers):
    """``blinker.Signal.send(event)``: it returns the results, and keeps no event."""
    signal = blinker.Signal()
    for handler in handlers:
        signal.connect(handler, weak=False)
    (another,) = make_handlers(1)
    return Rig(
        way("signal.send(event)", signal=signal, event=EVENT),
        way("signal.connect(handler, weak=False)\nsignal.disconnect(handler)", signal=signal, handler=another),
    )


def build_psygnal(handlers, publish="signal.emit(event)"):
    """``psygnal.SignalInstance.emit``."""

    class Source:
        signal = psygnal.Signal(object)

    source = Source()
    signal = source.signal
    for handler in handlers:
        signal.connect(handler)
    (another,) = make_handlers(1)
    return Rig(
        way(publish, signal=signal, event=EVENT, source=source),
        way("signal.connect(handler)\nsignal.disconnect(handler)", signal=signal, handler=another, source=source),
    )


def build_psygnal_fast(handlers):
    """``psygnal.SignalInstance.emit_fast``, which checks nothing and takes no lock."""
    return build_psygnal(handlers, "signal.emit_fast((event,))")


def build_pyee(handlers):
    """``pyee.EventEmitter.emit``."""
    emitter = pyee.EventEmitter()
    for handler in handlers:
        emitter.on("chunk", handler)
    (another,) = make_handlers(1)
    subscribe = "emitter.on('chunk', handler)\nemitter.remove_listener('chunk', handler)"
    return Rig(
        way("emitter.emit('chunk', event)", emitter=emitter, event=EVENT),
        way(subscribe, emitter=emitter, handler=another),
    )


def build_eventkit(handlers, middleware=0):
    """``eventkit.Event.emit``; its middleware is ``Event.map``."""
    source = heard = eventkit.Event("chunk")
    for one in make_middleware(middleware):
        heard = heard.map(one)
    for handler in handlers:
        heard.connect(handler)
    (another,) = make_handlers(1)
    return Rig(
        way("source.emit(event)", source=source, event=EVENT, heard=heard),
        way("heard.connect(handler)\nheard.disconnect(handler)", heard=heard, handler=another),
    )


def build_reactivex(handlers, middleware=0):
    """``reactivex.subject.Subject.on_next``; its middleware is ``map``, then ``share``, which runs it once for all."""
    subject = heard = reactivex.subject.Subject()
    if middleware:
        steps = [reactivex.operators.map(one) for one in make_middleware(middleware)]
        heard = subject.pipe(*steps, reactivex.operators.share())
    for handler in handlers:
        heard.subscribe(handler)
    (another,) = make_handlers(1)
    return Rig(
        way("subject.on_next(event)", subject=subject, event=EVENT),
        way("heard.subscribe(handler).dispose()", heard=heard, handler=another),
    )


def build_pydispatcher(handlers):
    """``pydispatch.dispatcher.send``, with the event as a named argument."""
    signal = f"chunk-{next(_serial)}"
    for handler in handlers:
        dispatcher.connect(handler, signal=signal, weak=False)
    (another,) = make_handlers(1)

    def close():
        for handler in handlers:
            dispatcher.disconnect(handler, signal=signal, weak=False)

    subscribe = "connect(handler, signal=signal, weak=False)\ndisconnect(handler, signal=signal, weak=False)"
    names = {"connect": dispatcher.connect, "disconnect": dispatcher.disconnect, "signal": signal, "handler": another}
    return Rig(
        way("dispatcher.send(signal, 'model', event=event)", dispatcher=dispatcher, signal=signal, event=EVENT),
        way(subscribe, **names),
        close,
    )


class Chunk(bubus.BaseEvent[None]):
    """The event of `build_bubus`."""


def build_bubus(handlers):
    """``await bus.dispatch(event)`` on a running loop, until its handlers are done; its default history of 50."""
    bus = bubus.EventBus(name=f"bench_{next(_serial)}")
    for handler in handlers:
        bus.on(Chunk, handler)
    loop = asyncio.new_event_loop()

    async def stop():
        await bus.stop(timeout=5, clear=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def close():
        loop.run_until_complete(stop())
        loop.close()

    return Rig(
        way("await bus.dispatch(Chunk())", loop, bus=bus, Chunk=Chunk, warm=bus.max_history_size + 3), None, close
    )


_NO_MIDDLEWARE = {"middleware": "it has none"}
_NO_SCOPES = {"scopes": "it has none"}
_UNPROTECTED = {"threads": "it does not claim to be thread safe"}

PEERS = {
    peer.name: peer
    for peer in [
        Peer(OURS, build_ours, frozenset(FEATURES)),
        Peer(
            "loop over a tuple",
            build_loop,
            frozenset({"order"}),
            {**_NO_MIDDLEWARE, **_NO_SCOPES, "subscribe": "a tuple does not change", "threads": "nothing is shared"},
        ),
        Peer(BLINKER, build_blinker, frozenset({"threads"}), _NO_MIDDLEWARE | _NO_SCOPES),
        Peer("psygnal emit", build_psygnal, frozenset({"order", "threads"}), _NO_MIDDLEWARE | _NO_SCOPES),
        Peer(
            "psygnal emit_fast",
            build_psygnal_fast,
            frozenset({"order"}),
            {
                **_NO_MIDDLEWARE,
                **_NO_SCOPES,
                "subscribe": "the same as with psygnal emit",
                "threads": "it says that it takes no lock",
            },
        ),
        Peer("pyee", build_pyee, frozenset({"order", "threads"}), _NO_MIDDLEWARE | _NO_SCOPES),
        Peer(
            "eventkit",
            build_eventkit,
            frozenset({"order", "isolation", "middleware"}),
            {
                **_NO_SCOPES,
                "threads": "its emit_threadsafe hands over to the loop of the main thread and returns at once",
            },
        ),
        Peer(
            "reactivex",
            build_reactivex,
            frozenset({"order", "middleware"}),
            {**_NO_SCOPES, "threads": "by the contract of Rx, calls of on_next must not overlap"},
        ),
        Peer("PyDispatcher", build_pydispatcher, frozenset({"order"}), _NO_MIDDLEWARE | _NO_SCOPES | _UNPROTECTED),
        Peer(
            "bubus",
            build_bubus,
            frozenset({"order", "isolation", "id, time", "cause", "history"}),
            {
                **_NO_MIDDLEWARE,
                "scopes": "it forwards to another bus, but awaiting an event does not await that bus's handlers",
                "subscribe": "it cannot unsubscribe",
                "threads": "a bus belongs to one event loop",
            },
        ),
        Peer("plain bus", build_plain, frozenset({"id, time", "history", "middleware", "threads"}), _NO_SCOPES),
    ]
}
