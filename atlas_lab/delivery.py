"""Steps 4 and 5 of an event's way: its handlers, then the parent; pauses, turns, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum
from threading import get_ident
from typing import Any

from .dispatch import Frame, Pause, Turn, enter, find_turn, innermost
from .errors import BusClosedError, HandlerErrors, MiddlewareError, PublishDepthError
from .events import Event, EventId, EventType, unnumbered
from .naming import describe
from .reports import error_report
from .signals import logger
from .subscribing import Subscribing
from .subscription import Route, Slot, Subscription


class Delivering(Subscribing):
    """Bringing accepted events to their handlers. `EventBus` adds accepting them; see there."""

    async def _deliver_async(
        self, event: Event[Any], route: Route, outer: Frame | None, turn: Turn | None = None, *, direct: bool = False
    ) -> list[Exception] | None:
        """Steps 4 and 5 for `publish_async`: what `_deliver` does, awaiting."""
        if self._detour and not direct:
            return await self._deliver_in_turn_async(event, route, outer)
        errors: list[Exception] | None = None
        if route.slots:
            frame = Frame(event.id, event.type)
            if outer is not None or turn is not None:
                frame.put_inside(outer, turn)
            before = innermost()  # not `outer`, if the event had to wait
            slot: Slot | None = None
            try:
                enter(frame)
                for slot in route.slots:
                    try:
                        result = route.awaitable(slot)(event)
                        if isinstance(result, Coroutine):
                            await result
                    except PublishDepthError:
                        raise
                    except Exception as error:  # noqa: BLE001 - as in _process
                        subscription = route.subscriptions[route.position(slot)]
                        report = self._note_failure(subscription, event, error)
                        if report is not None:
                            await self._report_async(report, subscription)
                        errors = self._collect(errors, subscription, event, error)
            except BaseException:
                route.abandon(slot, event)
                raise
            finally:
                enter(before)  # not by a token: an interrupt may come before it is kept
                if turn is None:  # tasks that live on keep the cause of what they publish, but are not nested in it
                    frame.depth = 0
        if self._parent is not None:
            errors = joined(errors, await self._parent._process_async(unnumbered(event), outer))
        return errors

    def _deliver_in_turn(self, event: Event[Any], route: Route, outer: Frame | None) -> list[Exception] | None:
        """Deliver an event when it is its turn: behind the event whose handler published it."""
        if self.nested == "immediate":
            return self._process(event, outer, route)
        turn = find_turn(outer, self)
        if turn is not None:
            turn.queue.append((event, route, outer))
            return None
        results = Results()
        with Turn(self, (event, route, outer)) as turn:
            while True:
                if not turn.queue:
                    break
                with results:
                    event, route, outer = turn.queue.popleft()
                    results.add(self._process(event, outer, route, turn))
        return results.settle()

    async def _deliver_in_turn_async(
        self, event: Event[Any], route: Route, outer: Frame | None
    ) -> list[Exception] | None:
        if self.nested == "immediate":
            return await self._deliver_async(event, route, outer, direct=True)
        turn = find_turn(outer, self)
        if turn is not None:
            turn.queue.append((event, route, outer))
            return None
        results = Results()
        with Turn(self, (event, route, outer)) as turn:
            while True:
                if not turn.queue:
                    break
                with results:
                    results.add(await self._deliver_async(*turn.queue.popleft(), turn, direct=True))
        return results.settle()

    def _hold(self, event: Event[Any], route: Route, outer: Frame | None) -> bool:
        """Keep an event back if the bus is paused, or is delivering what it held, in another thread.

        Called under the lock under which the event was accepted: what is held is in the order of the history.
        """
        waits = bool(self._pauses) or (self._releasing != get_ident() and bool(self._held or self._releasing))
        if waits:
            self._held.append((event, route, outer))
        return waits

    def _release(self) -> list[Exception] | None:
        """Deliver what was held, unless the bus is paused or another thread is at it."""
        results, me = Results(), get_ident()
        try:
            while True:
                with self._lock:
                    if self._pauses or self._releasing not in {None, me}:
                        break
                    if not self._held:
                        self._releasing = None
                        self._detour = self.nested == "queued"
                        break
                    self._releasing = me
                    waiting = self._held.popleft()
                with results:
                    results.add(self._deliver_in_turn(*waiting))
        finally:
            if self._releasing == me:
                self._releasing = None
        return results.settle()

    def _collect(
        self, errors: list[Exception] | None, subscription: Subscription, event: Event[Any], error: Exception
    ) -> list[Exception] | None:
        """Return `errors`, with a handler's error if the publisher is to see it."""
        hidden = self.on_error == "event" or subscription.isolated or event.type is EventType.HANDLER_ERROR
        return errors if hidden else joined(errors, [error])

    def _note_failure(self, subscription: Subscription, event: Event[Any], error: Exception) -> dict[str, str] | None:
        """Count and log a handler's error; return the report to publish, unless it came from handling one."""
        subscription.failed(error)
        logger.error(
            "handler %s failed on %s: %s", subscription.handler_name, event.type_name, describe(error), exc_info=error
        )
        return None if event.type is EventType.HANDLER_ERROR else error_report(subscription, event, error)

    def _handler_failed(self, subscription: Subscription, event: Event[Any], error: Exception) -> None:
        """Log a handler's error and publish it, unless it came from handling such a report."""
        report = self._note_failure(subscription, event, error)
        if report is None:
            return
        try:
            self.publish(EventType.HANDLER_ERROR, report, subscription.handler_name)
        except PublishDepthError:
            raise
        except Exception:  # noqa: BLE001 - a middleware may refuse the report; the error itself is logged above
            logger.exception("HANDLER_ERROR could not be published")

    async def _report_async(self, report: dict[str, str], subscription: Subscription) -> None:
        try:
            await self.publish_async(EventType.HANDLER_ERROR, report, subscription.handler_name)
        except PublishDepthError:
            raise
        except Exception:  # noqa: BLE001 - as in _handler_failed
            logger.exception("HANDLER_ERROR could not be published")

    def _task_failed(self, subscription: Subscription, event: Event[Any], error: Exception) -> None:
        """Report the error of an async handler that no publisher waits for."""
        try:
            self._handler_failed(subscription, event, error)
        except PublishDepthError:
            logger.exception("reports of errors are going in a circle")

    def _process(
        self, event: Event[Any], outer: Frame | None, route: Route | None = None, turn: Turn | None = None
    ) -> list[Exception] | None:
        raise NotImplementedError

    def publish(self, event_type: Enum, data: object = None, source: str | None = None) -> EventId:
        """Publish an event."""
        raise NotImplementedError

    async def publish_async(self, event_type: Enum, data: object = None, source: str | None = None) -> EventId:
        """Publish an event and await its async handlers."""
        raise NotImplementedError

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold deliveries back during a ``with`` block, in all threads; blocks may be nested.

        Events published meanwhile pass middleware and enter the history at once. They are delivered when
        the outermost block ends, in the order of the history, by the thread that ends it. Async handlers
        are then started as by `publish`.

        Raises
        ------
        HandlerErrors
            At the end of the block, if handlers failed and the bus was made with ``on_error="raise"``.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> _ = bus.subscribe(EventType.STREAM_CHUNK, lambda event: print("got", event.data))
        >>> with bus.paused():
        ...     _ = bus.publish(EventType.STREAM_CHUNK, 1)
        ...     print("held")
        held
        got 1
        """
        pause = Pause(get_ident())
        try:
            with self._lock:
                self._pauses.append(pause)
                self._detour = True
            yield
        finally:
            with self._lock:
                if pause in self._pauses:
                    self._pauses.remove(pause)
            errors = self._release()
        if errors:
            raise HandlerErrors(f"{len(errors)} handler(s) failed", errors)


class Results:
    """What comes of several deliveries, one after the other: a failure of one does not keep the others from theirs."""

    def __init__(self) -> None:
        self._errors: list[Exception] | None = None
        self._failure: Exception | None = None

    def add(self, errors: list[Exception] | None) -> None:
        """Note the errors of handlers that a publisher is to see."""
        self._errors = joined(self._errors, errors)

    def settle(self) -> list[Exception] | None:
        """Raise the first failure, or return the errors."""
        if self._failure is not None:
            raise self._failure
        return self._errors

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, MiddlewareError | BusClosedError):
            return False
        self._failure = self._failure or error
        return True


def joined(errors: list[Exception] | None, more: list[Exception] | None) -> list[Exception] | None:
    """Return the errors of two deliveries as one list; None if there are none."""
    return errors if not more else [*(errors or ()), *more]
