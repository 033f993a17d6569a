"""What an agent does between a start and a stop: take its tasks one after the other, in a thread or on a loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from atlas_lab import ScopedEventBus

from .agent_events import AgentInterruptedError, AgentTaskAssigned

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Host(Protocol):
    """What is needed of an agent's member here."""

    state: str

    def change(self, agent: Agent, after: str) -> None:
        """Change the state of an agent, if this is still its shift."""


class Agent:
    """What the work of an agent is given: its name, its bus, its state, and whether it is to stop.

    It stands for the agent from one start to the next stop, and is made by `AgentController.start`.

    Attributes
    ----------
    name : str
    bus : ScopedEventBus
        The agent's own bus, a scope of the controller's. It is closed when the agent has stopped, so that not even
        work that could not be ended publishes anything after that.
    """

    def __init__(self, name: str, bus: ScopedEventBus, host: Host) -> None:
        self.name = name
        self.bus = bus
        self._host = host
        self._stopping = threading.Event()

    @property
    def state(self) -> str:
        """The state that the agent is in."""
        return self._host.state

    @property
    def stopping(self) -> bool:
        """Whether the agent was asked to stop. Work that takes long looks at it, or calls `pause` between its steps."""
        return self._stopping.is_set()

    def become(self, state: str) -> None:
        """Go to a state of the agent's machine.

        Raises
        ------
        TransitionError
            If the machine declares no such change.
        AgentInterruptedError
            If the agent has stopped.
        """
        self._host.change(self, state)

    def pause(self, seconds: float = 0.0) -> None:
        """Wait, but not longer than until the agent is asked to stop. For work in threads.

        Raises
        ------
        AgentInterruptedError
            If the agent was asked to stop. Let it pass: the task is kept.
        """
        if self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set():
            raise AgentInterruptedError(f"agent {self.name!r} is to stop")

    def __repr__(self) -> str:
        return f"<Agent {self.name}: {self.state}>"


class Shift:
    """An agent at work, from a start to a stop. Subclasses say on what."""

    def __init__(self, agent: Agent, tasks: deque[Task], lock: threading.RLock) -> None:
        self.agent = agent
        self.over = threading.Event()
        self.current: AgentTaskAssigned | None = None
        self.retired = False
        self._tasks = tasks
        self._lock = lock

    def begin(self) -> None:
        """Start taking tasks."""
        raise NotImplementedError

    def wake(self) -> None:
        """Say that there is a task."""
        raise NotImplementedError

    def end(self) -> None:
        """Ask to stop; `over` is set when it has."""
        self.agent._stopping.set()  # noqa: SLF001 - the two halves of one thing
        self.wake()

    def is_mine(self) -> bool:
        """Say whether this runs inside the shift, which cannot wait for its own end."""
        raise NotImplementedError

    def take(self) -> Task | None:
        """Return the next task, and note it as the current one; None if there is none now."""
        with self._lock:
            if self.agent.stopping or not self._tasks:
                return None
            task = self._tasks.popleft()
            self.current = task.given
            return task

    def keep(self, task: Task) -> None:
        """Put a task back that was interrupted."""
        with self._lock:
            if not self.retired:
                self._tasks.appendleft(task)


class Task:
    """A task that waits, with the context in which its event is the cause."""

    __slots__ = ("context", "given")

    def __init__(self, given: AgentTaskAssigned, context: Context) -> None:
        self.given = given
        self.context = context


class ThreadShift(Shift):
    """A shift in a thread of its own.

    Parameters
    ----------
    perform : callable of Shift and AgentTaskAssigned
        Does a task and returns whether to go on.
    ended : callable of Shift
        Told at the end.
    """

    def __init__(
        self,
        agent: Agent,
        tasks: deque[Task],
        lock: threading.RLock,
        perform: Callable[[Shift, AgentTaskAssigned], bool],
        ended: Callable[[Shift], object],
    ) -> None:
        super().__init__(agent, tasks, lock)
        self._perform = perform
        self._ended = ended
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"agent {agent.name}", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Let the thread look for a task."""
        self._woken.set()

    def is_mine(self) -> bool:
        """Say whether this is the thread."""
        return threading.current_thread() is self._thread

    def _serve(self) -> None:
        go_on = True
        try:
            while go_on and not self.agent.stopping:
                self._woken.clear()
                while go_on and (task := self.take()) is not None:
                    try:
                        go_on = task.context.copy().run(self._perform, self, task.given)
                    except AgentInterruptedError:
                        self.keep(task)
                        go_on = False
                    else:
                        self.current = None
                if go_on and not self.agent.stopping:
                    self._woken.wait()
        finally:
            self.over.set()
            self._ended(self)


class LoopShift(Shift):
    """A shift as a task of an event loop that runs in another thread; the parameters are those of `ThreadShift`."""

    def __init__(
        self,
        agent: Agent,
        tasks: deque[Task],
        lock: threading.RLock,
        perform: Callable[[Shift, AgentTaskAssigned], Coroutine[Any, Any, bool]],
        ended: Callable[[Shift], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(agent, tasks, lock)
        self._perform = perform
        self._ended = ended
        self._loop = loop
        self._woken = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the task."""
        self._loop.call_soon_threadsafe(self._start)

    def wake(self) -> None:
        """Let the task look for work."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    def end(self) -> None:
        """Cancel what is under way."""
        super().end()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def is_mine(self) -> bool:
        """Say whether this runs on the loop, whose tasks could not end while it waits."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _start(self) -> None:
        self._serving = self._loop.create_task(self._serve(), name=f"agent {self.agent.name}")
        # A task that is cancelled before its first step runs none of its code.
        self._serving.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    def _finish(self, _: object) -> None:
        self.over.set()
        self._ended(self)

    async def _serve(self) -> None:
        go_on = True
        while go_on and not self.agent.stopping:
            self._woken.clear()
            while go_on and (task := self.take()) is not None:
                try:
                    doing = self._perform(self, task.given)
                    go_on = await self._loop.create_task(doing, context=task.context.copy())
                except (AgentInterruptedError, asyncio.CancelledError):
                    self.keep(task)
                    return
                self.current = None
            if go_on and not self.agent.stopping:
                await self._woken.wait()
