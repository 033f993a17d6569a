"""Handlers that show what they print and raise in an area of their own, below the cell that made them."""

from __future__ import annotations

import inspect
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, TextIO, TypeVar

from atlas_lab.arguments import check_callable
from atlas_lab.forks import buses
from atlas_lab.naming import attribute_of, callable_name, definition_of, is_async

from .areas import Area, new_area

H = TypeVar("H", bound=Callable[..., Any])


def captured(handler: H, *, output: Any = None) -> H:
    r"""Return a handler that shows what it prints and raises below the cell that calls this.

    What a handler prints is lost where an event comes from another thread, or lands below the cell that published it.
    A captured handler has an area of its own, from whatever thread or task it is called. Its errors are shown there
    and go to the bus all the same. The area shows ten changes a second at most, keeps the latest 20,000 characters,
    and says what it dropped. It is a widget, so that nbval, which cannot know when it changes, does not compare it.

    Running the cell again puts new areas in the place of the old ones, and ends the subscriptions of the earlier run's
    captured handlers. A method is held weakly, as a bus holds it. What is shown by ``display`` is not captured.

    Parameters
    ----------
    handler : callable of Event
        Plain or ``async def``; its name and its annotations stay, so that ``@bus.on`` finds ``Event[T]``.
    output : ipywidgets.Output, optional
        Show it in this widget instead, which is displayed wherever you put it. What it held is replaced.

    Raises
    ------
    TypeError
        If an argument is not as described.
    RuntimeError
        If this is no notebook, so that there is no cell to show anything below, and `output` is left out.
    MissingExtraError
        If ipywidgets is not installed.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, captured
    >>> from ipywidgets import Output
    >>> bus, area = EventBus(), Output()
    >>> def show(event):
    ...     print("got", event.data)
    >>> _ = bus.subscribe(EventType.STREAM_CHUNK, captured(show, output=area))
    >>> _ = bus.publish(EventType.STREAM_CHUNK, "a chunk")
    >>> area.outputs[0]["text"]
    'got a chunk\n'
    """
    check_callable("handler", handler, "callable with one event")
    if issubclass(type(handler), type):
        raise TypeError(f"handler must be a handler, not a class, got {handler.__name__}; pass a method of an instance")
    if type(attribute_of(handler, "__captured__")) is Capture:
        raise TypeError(f"handler {callable_name(handler)} is captured already")
    capture = Capture(handler)
    capture.area = new_area(handler, output, capture.end)
    wrapper: Any = capture.async_wrapper() if is_async(handler) else capture.wrapper()
    wrapper.__name__ = wrapper.__qualname__ = callable_name(handler)
    for name in ("__module__", "__doc__", "__name__", "__qualname__"):
        value = attribute_of(handler, name)
        if type(value) is str:
            setattr(wrapper, name, value)
    function = definition_of(handler)
    if type(function) is types.FunctionType:
        wrapper.__wrapped__ = function  # of a method, not the method: that would hold its object
        wrapper.__signature__ = inspect.signature(handler)
        wrapper.__annotations__ = dict(function.__annotations__)
    wrapper.__captured__ = capture
    return wrapper  # type: ignore[no-any-return]


class Capture:
    """One captured handler: where its output goes, and whether that is over."""

    def __init__(self, handler: Any) -> None:
        self.area: Area
        self._over = False
        self._recover: Callable[[], Any] = (
            weakref.WeakMethod(handler) if type(handler) is types.MethodType else lambda: handler
        )

    def end(self) -> None:
        """End what was subscribed on any bus, because the cell runs again."""
        self._over = True
        for bus in buses():
            for subscription in bus.subscriptions():
                if attribute_of(subscription.recover(), "__captured__") is self:
                    subscription.unsubscribe()

    def wrapper(self) -> Callable[..., object]:
        """Return a plain handler."""

        def call(event: Any) -> object:
            handler = self._alive()
            if handler is None:
                return None
            with captured_into(self.area):
                return handler(event)

        return call

    def async_wrapper(self) -> Callable[..., object]:
        """Return an async handler."""

        async def call(event: Any) -> object:
            handler = self._alive()
            if handler is None:
                return None
            with captured_into(self.area):
                return await handler(event)

        return call

    def _alive(self) -> Any:
        """Return the handler, or None if it is not to be called any more."""
        handler = None if self._over else self._recover()
        if handler is None:
            self.end()
        return handler


@contextmanager
def captured_into(area: Area) -> Iterator[None]:
    """Show in an area what is printed inside, by this task or this thread, and an error, which passes."""
    lines = Lines(area)
    token = _lines.set(lines)
    with _ROUTERS:
        try:
            yield
        except Exception as error:
            lines.flush()
            area.failed(error)
            raise
        finally:
            _lines.reset(token)
            lines.flush()
            area.settle()


class Lines:
    """What one call of a captured handler prints: it reaches the area line by line, so that calls don't mix theirs."""

    def __init__(self, area: Area) -> None:
        self._area = area
        self._begun: dict[str, str] = {}
        self._lock = Lock()

    def write(self, stream: str, text: str) -> None:
        """Add text, of which the line that it begins has to wait for its end."""
        with self._lock:
            whole, end, begun = (self._begun.get(stream, "") + text).rpartition("\n")
            self._begun[stream] = begun
            self._area.write(stream, whole + end)

    def flush(self) -> None:
        """Let go of lines that were only begun."""
        with self._lock:
            begun, self._begun = self._begun, {}
            self._area.write("stdout", begun.get("stdout", ""))
            self._area.write("stderr", begun.get("stderr", ""))


_lines: ContextVar[Lines | None] = ContextVar("atlas_lab.notebook.lines", default=None)


class Router:
    """A stream that sends what a captured handler writes to its area, and everything else where it went before."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name = name
        self.stream = stream

    def write(self, text: str) -> int:
        """Write as a text stream does."""
        lines = _lines.get()
        if lines is None or not isinstance(text, str):
            return self.stream.write(text)
        lines.write(self._name, text)
        return len(text)

    def flush(self) -> None:
        """Flush as a text stream does."""
        lines = _lines.get()
        if lines is None:
            self.stream.flush()
        else:
            lines.flush()

    def writelines(self, lines: Any) -> None:
        """Write as a text stream does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Routers:
    """Routers in the place of sys.stdout and sys.stderr, while any captured handler runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, Router):
                    setattr(sys, name, Router(name, stream))

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for name in ("stdout", "stderr"):
                    stream = getattr(sys, name)
                    if isinstance(stream, Router):
                        setattr(sys, name, stream.stream)


_ROUTERS = Routers()
