"""One agent as its controller sees it: its state, the tasks before it, and what becomes of each."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from atlas_lab import BusClosedError, EventBus, EventType, HandlerErrors, ScopedEventBus, Subscription

from .agent_events import (
    AgentFailed,
    AgentInterruptedError,
    AgentStarted,
    AgentStateChanged,
    AgentStopped,
    AgentTaskAssigned,
    AgentTaskCompleted,
)
from .machines import StateMachine
from .shifts import Agent, LoopShift, Shift, Task, ThreadShift

_log = logging.getLogger("atlas_lab.atlas")


class Member:
    """An agent that was created.

    Parameters
    ----------
    name : str
    bus : EventBus
        Where its events are published.
    work : callable of Agent and object
    machine : StateMachine
    on_failure : str
        "continue" or "stop".
    """

    def __init__(
        self, name: str, bus: EventBus, work: Callable[[Agent, Any], object], machine: StateMachine, on_failure: str
    ) -> None:
        self.name = name
        self.work: Callable[[Agent, Any], Any] = work
        self.machine = machine
        self.is_async = inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(
            getattr(type(work), "__call__", None)  # noqa: B004 - not whether it can be called, but how
        )
        self.state = machine.initial
        self.tasks: deque[Task] = deque()
        self.shift: Shift | None = None
        self.listening: Subscription | None = None
        self._bus = bus
        self._on_failure = on_failure
        self._lock = threading.RLock()

    def add(self, task: Task) -> None:
        """Put a task behind those that wait."""
        with self._lock:
            self.tasks.append(task)
            shift = self.shift
        if shift is not None:
            shift.wake()

    def start(self, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """Begin a shift, unless one is under way."""
        with self._lock:
            if self.shift is not None:
                return
            agent = Agent(self.name, ScopedEventBus(parent=self._bus, scope_name=self.name), self)
            self.shift = shift = (
                LoopShift(agent, self.tasks, self._lock, self._perform_async, self._ended, loop())
                if self.is_async
                else ThreadShift(agent, self.tasks, self._lock, self._perform, self._ended)
            )
        self._bus.publish(EventType.AGENT_STARTED, AgentStarted(self.name, len(self.tasks)), source=self.name)
        try:
            self._change("idle", shift)
        except AgentInterruptedError:  # stopped in the meantime
            return
        shift.begin()

    def stop(self, reason: str, timeout: float) -> bool:
        """End the shift; see `AgentController.stop`."""
        with self._lock:
            shift = self.shift
        if shift is None:
            if self.state in {"created", "idle", "failed"}:
                self._change("stopped", None)
            return True
        shift.end()
        if shift.is_mine():
            return True
        clean = shift.over.wait(timeout)
        self._retire(shift, reason, clean=clean)
        return clean

    def change(self, agent: Agent, after: str) -> None:
        """Change the state for the work of a shift."""
        with self._lock:
            shift = self.shift
        if shift is None or shift.agent is not agent:
            raise AgentInterruptedError(f"agent {self.name!r} was stopped")
        self._change(after, shift)

    def tell(self, event_type: EventType, data: object) -> None:
        """Publish what happened; a fault of those who listen is none of the agent's."""
        try:
            self._bus.publish(event_type, data, source=self.name)
        except (HandlerErrors, BusClosedError):  # the bus has told it, or there is nobody to tell
            pass
        except Exception:  # noqa: BLE001 - a middleware may raise, and the agent goes on
            _log.exception("%s of agent %s was not published", event_type.name, self.name)

    def _perform(self, shift: Shift, given: AgentTaskAssigned) -> bool:
        self._change("working", shift)
        began = time.perf_counter()
        try:
            result = self.work(shift.agent, given.task)
        except AgentInterruptedError:
            raise
        except BaseException as error:  # noqa: BLE001 - an agent's failure, sys.exit() too, is its own
            return self._failed(shift, given, error)
        return self._done(shift, given, result, time.perf_counter() - began)

    async def _perform_async(self, shift: Shift, given: AgentTaskAssigned) -> bool:
        self._change("working", shift)
        began = time.perf_counter()
        try:
            result = await self.work(shift.agent, given.task)
        except AgentInterruptedError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(shift, given, error)  # something that it waited for was cancelled, not it
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(shift, given, error)
        return self._done(shift, given, result, time.perf_counter() - began)

    def _done(self, shift: Shift, given: AgentTaskAssigned, result: object, seconds: float) -> bool:
        self._change("idle", shift)
        self.tell(EventType.AGENT_TASK_COMPLETED, AgentTaskCompleted(self.name, given.task_id, result, seconds))
        return True

    def _failed(self, shift: Shift, given: AgentTaskAssigned, error: BaseException) -> bool:
        trace = "".join(traceback.format_exception(error))
        self._change("failed", shift)
        told = AgentFailed(self.name, given.task_id, type(error).__name__, str(error), trace)
        self.tell(EventType.AGENT_ERROR, told)
        if self._on_failure == "stop" or self._bus.closed:
            shift.current = None
            return False
        self._change("idle", shift)
        return True

    def _ended(self, shift: Shift) -> None:
        """Finish a shift that ended by itself: its work failed, or asked for the end."""
        self._retire(shift, "failed" if self.state == "failed" else "asked", clean=True)

    def _retire(self, shift: Shift, reason: str, *, clean: bool) -> None:
        with self._lock:
            if shift.retired:
                return
            shift.retired = True
            self.shift = None
            interrupted = None if shift.current is None else shift.current.task_id
        shift.agent.bus.close()
        if self.state != "failed" or reason == "closed":
            self._change("stopped", None)
        self.tell(EventType.AGENT_STOPPED, AgentStopped(self.name, reason, clean, len(self.tasks), interrupted))

    def _change(self, after: str, shift: Shift | None) -> None:
        """Change the state, on behalf of a shift that may be over."""
        with self._lock:
            if shift is not None and shift is not self.shift:
                raise AgentInterruptedError(f"agent {self.name!r} was stopped")
            before = self.state
            self.machine.check(before, after)
            self.state = after
        self.tell(EventType.AGENT_STATE_CHANGED, AgentStateChanged(self.name, before, after))
