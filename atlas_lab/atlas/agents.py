"""Agents on a bus: each takes its tasks from events, tells what it does by events, and fails without harm to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from enum import Enum
from types import TracebackType
from typing import Any, Literal, Self

from atlas_lab import BusClosedError, Event, EventBus, EventType, ScopedEventBus, new_event_id

from .agent_events import (
    AgentCreated,
    AgentError,
    AgentFailed,
    AgentTaskAssigned,
    AgentTaskCompleted,
    UnknownAgentError,
)
from .machines import LIFECYCLE, StateMachine
from .members import Member
from .shifts import Agent, Task


class AgentController:
    """Creates agents, starts and stops them, and gives them tasks, all of it told by AGENT_* events.

    A task is an AGENT_TASK_ASSIGNED event with an `AgentTaskAssigned`, whoever publishes it: that is how agents
    work together. What an agent publishes while it works has that event for its cause. Tasks wait in order, and are
    kept while an agent is stopped.

    Parameters
    ----------
    bus : EventBus
        One controller per bus; another one can be on a scope of it.
    stop_timeout : float, default 5.0, seconds
        How long `stop` and `close` wait for work that is under way.
    loop : asyncio.AbstractEventLoop, optional
        Where agents run whose work is ``async def``. By default on a loop of the controller, in a thread of its own.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    RuntimeError
        If there is a controller on that very bus already, to which the tasks of this one would be unknown.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import AgentController
    >>> def shout(agent, text):
    ...     return text.upper()
    >>> bus = EventBus()
    >>> with AgentController(bus) as agents:
    ...     agents.create("crier", shout)
    ...     agents.start("crier")
    ...     print(agents.ask("crier", "hear me"))
    HEAR ME
    >>> [event.type_name for event in bus.history if event.type_name != "AGENT_STATE_CHANGED"]
    ['AGENT_CREATED', 'AGENT_STARTED', 'AGENT_TASK_ASSIGNED', 'AGENT_TASK_COMPLETED', 'AGENT_STOPPED']
    """

    def __init__(
        self, bus: EventBus, *, stop_timeout: float = 5.0, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus, got {type(bus).__name__}")
        if _controlled(bus):
            raise RuntimeError(
                f"there is an AgentController on {bus!r} already; close it first, or use a scope of the bus"
            )
        self._bus = bus
        self._stop_timeout = _seconds("stop_timeout", stop_timeout)
        self._members: dict[str, Member] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._loop = loop
        self._own_loop: threading.Thread | None = None
        self._subscriptions = [
            bus.subscribe(EventType.AGENT_TASK_ASSIGNED, self._take, data_type=AgentTaskAssigned),
            bus.subscribe(EventType.AGENT_TASK_COMPLETED, self._answer),
            bus.subscribe(EventType.AGENT_ERROR, self._answer),
        ]

    def create(
        self,
        name: str,
        work: Callable[[Agent, Any], object],
        *,
        machine: StateMachine = LIFECYCLE,
        listens: Enum | Iterable[Enum] | None = None,
        where: Callable[[Event[Any]], object] | None = None,
        on_failure: Literal["continue", "stop"] = "continue",
    ) -> None:
        """Create an agent, which does nothing before it is started.

        Parameters
        ----------
        name : str
            Without "/".
        work : callable of Agent and object
            Called with each task; what it returns is the result. ``async def`` runs on an event loop, anything
            else in a thread of the agent.
        machine : StateMachine
            Its states, which are those of `LIFECYCLE` at least; see `StateMachine.with_steps`.
        listens : Enum or iterable of Enum, optional
            Types of event whose payloads are tasks for the agent.
        where : callable of Event, optional
            Only those events for which it is true.
        on_failure : {"continue", "stop"}
            Whether the agent takes its next task after one that failed, or stays in the state "failed" until it is
            started again.

        Raises
        ------
        TypeError, ValueError
            If there is an agent of this name, or an argument is not as described. Then no agent is created.
        """
        if not (name and isinstance(name, str)) or "/" in name:
            raise ValueError(f"name must be text without '/', got {name!r}")
        if not callable(work):
            raise TypeError(f"work must be callable with an Agent and a task, got {type(work).__name__}")
        if on_failure not in {"continue", "stop"}:
            raise ValueError(f"on_failure must be 'continue' or 'stop', got {on_failure!r}")
        if not isinstance(machine, StateMachine):
            raise TypeError(f"machine must be a StateMachine, such as LIFECYCLE, got {type(machine).__name__}")
        lacking = [
            f"{before} > {after}"
            for before, states in LIFECYCLE.changes.items()
            for after in states
            if after not in machine.changes.get(before, ())
        ]
        if lacking:
            raise ValueError(f"machine must hold the changes of LIFECYCLE, but lacks {', '.join(lacking)}")
        with self._lock:
            if self._closed:
                raise BusClosedError("the controller is closed; it takes no more agents")
            if name in self._members:
                raise ValueError(f"there is an agent {name!r} already")
            self._members[name] = member = Member(name, self._bus, work, machine, on_failure)
        created = threading.Event()
        if listens is not None:

            def assign(event: Event[Any]) -> None:
                if created.is_set():
                    self._bus.publish(EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned(name, event.data), source=name)

            try:
                member.listening = self._bus.subscribe(listens, assign, where=where)
            except Exception:
                del self._members[name]
                raise
        states = {state: list(after) for state, after in machine.changes.items()}
        self._bus.publish(
            EventType.AGENT_CREATED, AgentCreated(name, "asyncio" if member.is_async else "thread", states), source=name
        )
        created.set()

    def start(self, name: str) -> None:
        """Start an agent; one that is started stays so.

        Raises
        ------
        UnknownAgentError
            If there is no agent of this name.
        """
        member = self._member(name)
        self._check_open()
        member.start(self._running_loop)

    def assign(self, name: str, task: object = None) -> str:
        """Give an agent a task, and return the id of the task at once.

        Raises
        ------
        UnknownAgentError
            If there is no agent of this name.
        """
        self._member(name)
        self._check_open()
        return self._bus.publish(EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned(name, task), source="controller")

    def ask(self, name: str, task: object = None, *, timeout: float = 30.0) -> Any:
        """Give an agent a task, wait until it is done, and return its result.

        Raises
        ------
        UnknownAgentError
            If there is no agent of this name.
        AgentError
            If the agent failed at it.
        TimeoutError
            If there is no result after `timeout` seconds. The task stays with the agent.
        """
        self._member(name)
        self._check_open()
        task_id = new_event_id()
        answer: Future[Any] = Future()
        self._asked[task_id] = answer
        try:
            self._bus.publish(
                EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned(name, task, task_id), source="controller"
            )
            return answer.result(_seconds("timeout", timeout))
        except TimeoutError:
            if answer.done():  # the result itself is this error
                raise
            state = self.state_of(name)
            hint = "; start it" if state in {"created", "stopped", "failed"} else ""
            raise TimeoutError(f"agent {name!r}, {state}, gave no result in {timeout:g} s{hint}") from None
        finally:
            del self._asked[task_id]

    def stop(self, name: str, *, timeout: float | None = None) -> bool:
        """Stop an agent, and return whether its work ended in time.

        Work in a thread ends when it is done, or looks at ``agent.stopping`` or calls ``agent.pause``; work on a loop
        is cancelled. Work that has not ended after `timeout` is abandoned: its agent is stopped all the same, and it
        can publish no more on the agent's bus, and its result counts for nothing.

        Called by the agent's own work, or on the loop of the agent, it only asks; see `stop_async`.

        Raises
        ------
        UnknownAgentError
            If there is no agent of this name.
        """
        member = self._member(name)
        return member.stop("asked", self._stop_timeout if timeout is None else _seconds("timeout", timeout))

    async def stop_async(self, name: str, *, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as stop has it
        """Stop an agent as `stop` does, without holding up the running loop."""
        return await asyncio.to_thread(self.stop, name, timeout=timeout)

    def state_of(self, name: str) -> str:
        """Return the state of an agent.

        Raises
        ------
        UnknownAgentError
            If there is no agent of this name.
        """
        return self._member(name).state

    @property
    def agents(self) -> dict[str, str]:
        """The state of each agent, by name."""
        return {name: member.state for name, member in list(self._members.items())}

    def waiting(self, name: str) -> int:
        """Return how many tasks an agent has before it."""
        return len(self._member(name).tasks)

    def close(self) -> None:
        """Stop all agents, at once and within ``stop_timeout``; then take no more tasks."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            members = list(self._members.values())
        deadline = time.monotonic() + self._stop_timeout
        for member in members:
            if member.listening is not None:
                member.listening.unsubscribe()
            if (shift := member.shift) is not None:
                shift.end()
        for member in members:
            member.stop("closed", max(deadline - time.monotonic(), 0.0))
        for subscription in self._subscriptions:
            subscription.unsubscribe()
        if self._own_loop is not None and self._loop is not None:
            loop = self._loop
            loop.call_soon_threadsafe(loop.stop)
            self._own_loop.join(max(deadline - time.monotonic(), 0.1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        agents = ", ".join(f"{name} {state}" for name, state in self.agents.items())
        return f"<AgentController: {agents or 'no agents'}>"

    def _check_open(self) -> None:
        with self._lock:
            if self._closed:
                raise BusClosedError("the controller is closed; its agents take no more tasks")

    def _member(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            error = UnknownAgentError(f"there is no agent {name!r}; there are: {', '.join(self._members) or 'none'}")
            told = AgentFailed(str(name), None, UnknownAgentError.__name__, str(error))
            self._bus.publish(EventType.AGENT_ERROR, told, source=str(name))
            raise error
        return member

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                self._own_loop = threading.Thread(target=_run_loop, args=(loop,), name="agents", daemon=True)
                self._own_loop.start()
            return self._loop

    def _take(self, event: Event[AgentTaskAssigned]) -> None:
        """Put a task with those that wait."""
        given = event.data
        if given.agent not in self._members:
            if _taken.get() == event.id or _controlled_above(self._bus):  # by that of a scope, or the one above says so
                return
            known = ", ".join(self._members) or "none"
            message = f"there is no agent {given.agent!r}; there are: {known}"
            error = AgentFailed(given.agent, given.task_id or event.id, UnknownAgentError.__name__, message)
            self._bus.publish(EventType.AGENT_ERROR, error, source=given.agent)
            return
        member = self._members[given.agent]
        member.add(Task(AgentTaskAssigned(given.agent, given.task, given.task_id or event.id), copy_context()))
        _taken.set(event.id)

    def _answer(self, event: Event[Any]) -> None:
        """Hand the end of a task to who asked for it."""
        told = event.data
        answer = self._asked.get(getattr(told, "task_id", None) or "")
        if answer is None or answer.done():
            return
        if isinstance(told, AgentTaskCompleted):
            answer.set_result(told.result)
        elif isinstance(told, AgentFailed):
            answer.set_exception(AgentError(told))


_TAKES_TASKS = AgentController._take.__qualname__  # noqa: SLF001 - how its subscription is named
_taken: ContextVar[str] = ContextVar("atlas_lab.atlas.taken", default="")


def _controlled(bus: EventBus) -> bool:
    return any(one.handler_name == _TAKES_TASKS for one in bus.subscriptions())


def _controlled_above(bus: EventBus) -> bool:
    while isinstance(bus, ScopedEventBus) and bus.propagate:
        bus = bus.parent_bus
        if _controlled(bus):
            return True
    return False


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):  # of agents that did not stop in time
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _seconds(argument: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{argument} must be seconds, 0 or more, got {value!r}")
    return float(value)
