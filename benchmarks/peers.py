"""One publish to so many handlers, in ours and in what else there is.

Each function takes a number of handlers and returns what to call for one publish. The handlers are
functions of their own that return None at once; Blinker keeps one entry for one function.
"""

import asyncio
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import blinker
import bubus
import eventkit
import psygnal
import pyee
import reactivex.subject
from pydispatch import dispatcher

from atlas_lab import Event, EventBus, EventType, ScopedEventBus

CHUNK = EventType.STREAM_CHUNK
EVENT = Event(CHUNK)
PACKAGES = ("blinker", "psygnal", "pyee", "eventkit", "reactivex", "PyDispatcher", "bubus", "msgspec")


def handlers(count):
    return [eval("lambda event: None") for _ in range(count)]


def ours(count, middleware=0, scopes=0):
    """Everything on: event, id, time, cause, seq in order, history, isolation, counts."""
    bus = EventBus()
    for level in range(scopes):
        bus = ScopedEventBus(bus, f"level-{level}")
    for handler in handlers(count):
        bus.subscribe(CHUNK, handler)
    for _ in range(middleware):
        bus.add_middleware(eval("lambda event: event"))
    return lambda publish=bus.publish: publish(CHUNK, None, "model")


def loop(count):
    """No bus at all: a loop over a tuple."""
    called = tuple(handlers(count))

    def call():
        for handler in called:
            handler(EVENT)

    return call


def blinker_send(count):
    """``blinker.Signal.send``, which returns the results and keeps no event."""
    signal = blinker.Signal()
    for handler in handlers(count):
        signal.connect(handler, weak=False)
    return lambda send=signal.send: send(EVENT)


def psygnal_instance(count):
    class Source:
        signal = psygnal.Signal(object)

    signal = Source().signal
    for handler in handlers(count):
        signal.connect(handler)
    return signal


def psygnal_emit(count):
    """``psygnal.SignalInstance.emit``."""
    signal = psygnal_instance(count)
    return lambda emit=signal.emit: emit(EVENT)


def psygnal_emit_fast(count):
    """``psygnal.SignalInstance.emit_fast``, which checks nothing."""
    signal = psygnal_instance(count)
    return lambda emit=signal.emit_fast: emit((EVENT,))


def pyee_emit(count):
    """``pyee.EventEmitter.emit``."""
    emitter = pyee.EventEmitter()
    for handler in handlers(count):
        emitter.on("chunk", handler)
    return lambda emit=emitter.emit: emit("chunk", EVENT)


def eventkit_emit(count):
    """``eventkit.Event.emit``."""
    event = eventkit.Event("chunk")
    for handler in handlers(count):
        event.connect(handler)
    return lambda emit=event.emit: emit(EVENT)


def reactivex_on_next(count):
    """``reactivex.subject.Subject.on_next``."""
    subject = reactivex.subject.Subject()
    for handler in handlers(count):
        subject.subscribe(handler)
    return lambda on_next=subject.on_next: on_next(EVENT)


def pydispatcher_send(count):
    """``pydispatch.dispatcher.send``."""
    signal = object()
    for _ in range(count):
        dispatcher.connect(eval("lambda sender: None"), signal=signal, weak=False)
    return lambda send=dispatcher.send: send(signal, EVENT)


def bubus_dispatch(count):
    """``bubus.EventBus.dispatch`` until its handlers are done, on a loop of its own."""

    class Chunk(bubus.BaseEvent[None]):
        pass

    bus = bubus.EventBus(name=f"bench_{uuid.uuid4().hex[:8]}", max_history_size=1000)
    for number, handler in enumerate(handlers(count)):
        handler.__name__ = f"handler_{number}"
        bus.on(Chunk, handler)
    running = asyncio.new_event_loop()

    async def publish():
        await bus.dispatch(Chunk())

    return lambda: running.run_until_complete(publish())


@dataclass
class PlainEvent:
    type: EventType
    data: object = None
    source: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))


def plain(count, limit=1000):
    """A bus as one writes it first: dataclass, uuid4, a lock around everything, a list cut to size, a Blinker send."""
    signal, lock, history = blinker.Signal(), threading.RLock(), []
    for handler in handlers(count):
        signal.connect(handler, weak=False)

    def publish(event_type, data, source):
        nonlocal history
        with lock:
            event = PlainEvent(event_type, data, source)
            history.append(event)
            if len(history) > limit:
                history = history[-limit:]
            signal.send(event)

    return lambda: publish(CHUNK, None, "model")


ALL = {
    "atlas_lab": ours,
    "loop over a tuple": loop,
    "blinker send": blinker_send,
    "psygnal emit": psygnal_emit,
    "psygnal emit_fast": psygnal_emit_fast,
    "pyee": pyee_emit,
    "eventkit": eventkit_emit,
    "reactivex": reactivex_on_next,
    "PyDispatcher": pydispatcher_send,
    "bubus": bubus_dispatch,
    "plain bus": plain,
}
