"""Agents: declared states, tasks by events, failures that are seen and harm nobody, and a stop that is one."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import weakref

import pytest

from atlas_lab import BusClosedError, EventBus, EventType, ScopedEventBus
from atlas_lab.atlas import (
    LIFECYCLE,
    AgentController,
    AgentError,
    AgentFailed,
    AgentInterruptedError,
    AgentStateChanged,
    AgentTaskAssigned,
    UnknownAgentError,
)
from atlas_lab.testing.contract.workers import PATIENCE


@pytest.fixture
def bus():
    with EventBus(name="run", history_limit=None) as bus:
        yield bus


@pytest.fixture
def agents(bus):
    before = set(threading.enumerate())
    with AgentController(bus, stop_timeout=PATIENCE) as agents:
        yield agents
    deadline = time.monotonic() + PATIENCE
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == set()


def told(bus, *types):
    return [event for event in bus.history if event.type in types]


def states(bus, agent):
    changes = [event.data for event in told(bus, EventType.AGENT_STATE_CHANGED) if event.data.agent == agent]
    assert all(one.after == two.before for one, two in itertools.pairwise(changes))
    return [change.after for change in changes]


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def plain(agent, text):
    return text.upper()


async def awaiting(agent, text):
    await asyncio.sleep(0)
    return text.upper()


both = pytest.mark.parametrize("work", [plain, awaiting])


@both
def test_a_life_is_told_by_events(bus, agents, work):
    """From created to stopped, each step is an event, in order, and the task is what causes its result."""
    agents.create("crier", work)
    agents.start("crier")
    assert agents.ask("crier", "hear me") == "HEAR ME"
    assert agents.stop("crier") is True
    assert states(bus, "crier") == ["idle", "working", "idle", "stopped"]
    assigned, completed = told(bus, EventType.AGENT_TASK_ASSIGNED, EventType.AGENT_TASK_COMPLETED)
    assert completed.parent_id == assigned.id
    assert (completed.data.result, completed.data.task_id) == ("HEAR ME", assigned.data.task_id)
    kinds = [event.type.name for event in bus.history if event.type is not EventType.AGENT_STATE_CHANGED]
    assert kinds[0] == "AGENT_CREATED" and kinds[1] == "AGENT_STARTED" and kinds[-1] == "AGENT_STOPPED"


@both
def test_what_an_agent_publishes_has_its_task_for_its_cause(bus, agents, work):
    """Across the thread or the loop of the agent, who asked is known; and the scope tells which agent it was."""

    def publishing(agent, text):
        agent.bus.publish(EventType.STREAM_CHUNK, text)

    async def publishing_later(agent, text):
        await asyncio.sleep(0)
        agent.bus.publish(EventType.STREAM_CHUNK, text)

    agents.create("writer", publishing_later if work is awaiting else publishing)
    agents.start("writer")
    for text in ("a", "b"):
        agents.ask("writer", text)
    assigned = told(bus, EventType.AGENT_TASK_ASSIGNED)
    chunks = told(bus, EventType.STREAM_CHUNK)
    assert [chunk.parent_id for chunk in chunks] == [one.id for one in assigned]
    assert [chunk.scope for chunk in chunks] == ["run/writer", "run/writer"]


@both
def test_a_failure_is_contained_and_visible(bus, agents, work):
    """One task that fails is told with its traceback, and the next is done."""

    def fail(agent, text):
        return {"ok": 1}[text]

    async def fail_later(agent, text):
        return fail(agent, text)

    agents.create("fragile", fail_later if work is awaiting else fail)
    agents.start("fragile")
    with pytest.raises(AgentError, match="agent 'fragile' failed at its task: KeyError: 'bad'"):
        agents.ask("fragile", "bad")
    assert agents.ask("fragile", "ok") == 1
    (error,) = told(bus, EventType.AGENT_ERROR)
    assert error.data.kind == "KeyError" and '{"ok": 1}[text]' in error.data.traceback
    assert error.parent_id == told(bus, EventType.AGENT_TASK_ASSIGNED)[0].id
    assert states(bus, "fragile") == ["idle", "working", "failed", "idle", "working", "idle"]


def test_work_that_exits_the_interpreter_fails_alone(bus, agents):
    """sys.exit() in an agent ends the task and not the agent."""
    agents.create("leaver", lambda agent, task: exec("raise SystemExit('bye')"))
    agents.start("leaver")
    with pytest.raises(AgentError, match="SystemExit: bye"):
        agents.ask("leaver")
    assert agents.state_of("leaver") == "idle"


@both
def test_an_agent_that_stops_at_failures_keeps_its_tasks(bus, agents, work):
    """Nothing is lost: what waits behind a failure is done after the next start."""
    tries = []

    def fail_first(agent, text):
        tries.append(text)
        if len(tries) == 1:
            raise OSError("disk full")
        return text

    async def fail_first_later(agent, text):
        return fail_first(agent, text)

    agents.create("careful", fail_first_later if work is awaiting else fail_first, on_failure="stop")
    agents.assign("careful", "one")
    agents.assign("careful", "two")
    agents.start("careful")
    until(lambda: told(bus, EventType.AGENT_STOPPED))
    (stopped,) = told(bus, EventType.AGENT_STOPPED)
    assert (stopped.data.reason, stopped.data.waiting, stopped.data.interrupted) == ("failed", 1, None)
    assert agents.state_of("careful") == "failed"
    agents.start("careful")
    until(lambda: told(bus, EventType.AGENT_TASK_COMPLETED))
    assert tries == ["one", "two"]


def test_declared_steps_are_told_and_others_refused(bus, agents):
    """An agent's states are those it declares; a change that is not declared fails the task that asked for it."""

    def work(agent, task):
        for state in task:
            agent.become(state)
        return agent.state

    machine = LIFECYCLE.with_steps({"working": ["searching"], "searching": ["reading"]})
    agents.create("scholar", work, machine=machine)
    agents.start("scholar")
    assert agents.ask("scholar", ["searching", "reading"]) == "reading"
    with pytest.raises(AgentError, match="no change from 'working' to 'reading'"):
        agents.ask("scholar", ["reading"])
    assert states(bus, "scholar")[:5] == ["idle", "working", "searching", "reading", "idle"]
    assert "searching" in told(bus, EventType.AGENT_CREATED)[0].data.states["working"]


def test_agents_coordinate_through_events_alone(bus, agents):
    """One agent's result is the next one's task; none knows another, and every event leads back to the first."""

    def find(agent, question):
        agent.bus.publish(EventType.RETRIEVAL_COMPLETED, question.split())

    async def write(agent, words):
        agent.bus.publish(EventType.DOCUMENT_ADDED, sorted(words))

    agents.create("finder", find, listens=EventType.RETRIEVAL_STARTED)
    agents.create("writer", write, listens=EventType.RETRIEVAL_COMPLETED, where=lambda event: len(event.data) > 1)
    agents.start("finder")
    agents.start("writer")
    asked = bus.publish(EventType.RETRIEVAL_STARTED, "to be or not")
    bus.publish(EventType.RETRIEVAL_STARTED, "alone")
    until(lambda: len(told(bus, EventType.AGENT_TASK_COMPLETED)) == 3)
    (added,) = told(bus, EventType.DOCUMENT_ADDED)
    assert added.data == ["be", "not", "or", "to"]
    by_id = {event.id: event for event in bus.history}
    chain = [added]
    while chain[-1].parent_id:
        chain.append(by_id[chain[-1].parent_id])
    assert [event.type.name for event in chain[1:]] == [
        "AGENT_TASK_ASSIGNED",
        "RETRIEVAL_COMPLETED",
        "AGENT_TASK_ASSIGNED",
        "RETRIEVAL_STARTED",
    ]
    assert chain[-1].id == asked


def test_a_task_is_assigned_by_whoever_publishes_it(bus, agents):
    """A plain dict that fits will do; what does not fit is a handler error that names the field."""
    agents.create("crier", plain)
    agents.start("crier")
    task = bus.publish(EventType.AGENT_TASK_ASSIGNED, {"agent": "crier", "task": "x"})
    until(lambda: told(bus, EventType.AGENT_TASK_COMPLETED))
    assert told(bus, EventType.AGENT_TASK_COMPLETED)[0].data.task_id == task
    bus.publish(EventType.AGENT_TASK_ASSIGNED, {"task": "x"})
    assert "agent" in told(bus, EventType.HANDLER_ERROR)[0].data["message"]


def test_tasks_run_in_the_order_assigned_one_at_a_time(bus, agents):
    """An agent is never in two tasks at once, whatever number of threads assign them."""
    inside, most, done = 0, 0, []

    def count(agent, number):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        done.append(number)
        inside -= 1

    agents.create("counter", count)
    agents.start("counter")
    threads = [
        threading.Thread(target=lambda base=base: [agents.assign("counter", base + i) for i in range(50)])
        for base in (0, 1000, 2000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(told(bus, EventType.AGENT_TASK_COMPLETED)) == 150)
    assert most == 1
    assert all([n for n in done if n // 1000 == k] == [k * 1000 + i for i in range(50)] for k in range(3))
    assert done == [event.data.task for event in told(bus, EventType.AGENT_TASK_ASSIGNED)]


def test_stop_interrupts_work_that_asks_and_keeps_the_task(bus, agents):
    """Work that calls `pause` ends at once, and its task is the first after the next start."""
    seen = []

    def wait(agent, task):
        seen.append(task)
        if len(seen) == 1:
            agent.pause(60)
        return task

    agents.create("waiter", wait)
    agents.start("waiter")
    first = agents.assign("waiter", "first")
    agents.assign("waiter", "second")
    until(lambda: seen)
    assert agents.stop("waiter") is True
    (stopped,) = told(bus, EventType.AGENT_STOPPED)
    assert (stopped.data.clean, stopped.data.interrupted, stopped.data.waiting) == (True, first, 2)
    agents.start("waiter")
    until(lambda: len(told(bus, EventType.AGENT_TASK_COMPLETED)) == 2)
    assert seen == ["first", "first", "second"]


def test_stop_cancels_work_on_a_loop_and_keeps_the_task(bus, agents):
    """A coroutine is cancelled where it waits."""
    seen = []

    async def wait(agent, task):
        seen.append(task)
        await asyncio.sleep(60 if len(seen) == 1 else 0)

    agents.create("waiter", wait)
    agents.start("waiter")
    agents.assign("waiter", "first")
    until(lambda: seen)
    assert agents.stop("waiter") is True
    assert agents.state_of("waiter") == "stopped"
    agents.start("waiter")
    until(lambda: told(bus, EventType.AGENT_TASK_COMPLETED))
    assert seen == ["first", "first"]


def test_a_coroutine_whose_own_wait_was_cancelled_has_failed(bus, agents):
    """Only a cancellation from outside is a stop; one that comes from inside is a failure like any other."""

    async def odd(agent, task):
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner

    agents.create("odd", odd)
    agents.start("odd")
    with pytest.raises(AgentError, match="CancelledError"):
        agents.ask("odd")
    assert agents.state_of("odd") == "idle"


def test_stopped_means_stopped_also_for_work_that_does_not_listen(bus, agents):
    """Within the bound the agent is stopped; what its work does later is neither published nor counted."""
    go, late = threading.Event(), []

    def deaf(agent, task):
        go.wait(PATIENCE)
        for act in (lambda: agent.bus.publish(EventType.STREAM_CHUNK), lambda: agent.become("idle")):
            with pytest.raises((BusClosedError, AgentInterruptedError)) as refused:
                act()
            late.append(refused.type)
        return "too late"

    agents.create("deaf", deaf)
    agents.start("deaf")
    task = agents.assign("deaf")
    until(lambda: agents.state_of("deaf") == "working")
    assert agents.stop("deaf", timeout=0.05) is False
    (stopped,) = told(bus, EventType.AGENT_STOPPED)
    assert (stopped.data.clean, stopped.data.interrupted) == (False, task)
    count = len(bus.history)
    go.set()
    until(lambda: len(late) == 2)
    assert late == [BusClosedError, AgentInterruptedError]
    until(lambda: not any(thread.name == "agent deaf" for thread in threading.enumerate()))
    assert len(bus.history) == count and agents.state_of("deaf") == "stopped"


def test_an_agent_can_stop_itself(bus, agents):
    """Its work asks for the end and does not wait for itself."""
    agents.create("tired", lambda agent, task: agents.stop("tired"))
    agents.start("tired")
    assert agents.ask("tired") is True
    until(lambda: told(bus, EventType.AGENT_STOPPED))
    assert agents.state_of("tired") == "stopped"


def test_agents_run_on_a_loop_of_the_user():
    """With `loop`, work shares the loop of the program, and stop_async does not hold it up."""

    async def main():
        bus = EventBus()
        loops, begun = [], asyncio.Event()

        async def work(agent, task):
            loops.append(asyncio.get_running_loop())
            begun.set()
            await asyncio.sleep(60)

        agents = AgentController(bus, loop=asyncio.get_running_loop())
        agents.create("guest", work)
        agents.start("guest")
        agents.assign("guest")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        assert await agents.stop_async("guest") is True
        assert loops == [asyncio.get_running_loop()]
        await asyncio.to_thread(agents.close)

    asyncio.run(main())


def test_a_program_that_ends_with_agents_at_work_on_its_loop_ends():
    """asyncio.run() cancels what is left, and an agent does not go on in spite of it."""

    async def main():
        agents = AgentController(EventBus(), loop=asyncio.get_running_loop())

        async def work(agent, task):
            await asyncio.sleep(60)

        agents.create("guest", work)
        agents.start("guest")
        agents.assign("guest")
        await asyncio.sleep(0.05)
        return agents

    agents = asyncio.run(main())
    assert agents.state_of("guest") == "stopped" and agents.waiting("guest") == 1
    agents.close()


def test_unknown_agents_are_named_with_those_there_are(bus, agents):
    """A wrong name is an error at the call and an event, and by event an event."""
    agents.create("crier", plain)
    for call in (agents.start, agents.stop, agents.assign, agents.ask, agents.state_of):
        with pytest.raises(UnknownAgentError, match="there is no agent 'cryer'; there are: crier"):
            call("cryer")
    bus.publish(EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned("nobody", 1))
    errors = told(bus, EventType.AGENT_ERROR)
    assert len(errors) == 6
    assert errors[-1].data == AgentFailed(
        "nobody", errors[-1].parent_id, "UnknownAgentError", "there is no agent 'nobody'; there are: crier"
    )


def test_ask_gives_up_in_time(bus, agents):
    """Who asks an agent that is not started learns that, and the task stays."""
    agents.create("sleeper", plain)
    with pytest.raises(TimeoutError, match="agent 'sleeper', created, gave no result in 0.01 s; start it"):
        agents.ask("sleeper", "x", timeout=0.01)
    assert agents.waiting("sleeper") == 1


def test_bad_arguments_are_refused(bus, agents):
    """Each error names the argument and what is expected."""
    agents.create("crier", plain)
    for error, arguments, options in (
        (ValueError, ("crier", plain), {}),
        (ValueError, ("a/b", plain), {}),
        (TypeError, ("other", "work"), {}),
        (ValueError, ("other", plain), {"on_failure": "panic"}),
        (TypeError, ("other", plain), {"machine": "created"}),
        (TypeError, ("other", plain), {"listens": "AGENT_ERROR"}),
        (TypeError, ("other", plain), {"listens": EventType.SYSTEM_METRIC, "where": 3}),
    ):
        with pytest.raises(error):
            agents.create(*arguments, **options)
    assert list(agents.agents) == ["crier"]
    assert len(told(bus, EventType.AGENT_CREATED)) == 1
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        AgentController("bus")
    with pytest.raises(ValueError, match="stop_timeout must be seconds"):
        AgentController(EventBus(), stop_timeout=-1)


def test_a_bus_has_one_controller_and_each_scope_may_have_another(bus, agents):
    """A second one on the same bus would call the tasks of the first unknown; that of a scope keeps to its own."""
    with pytest.raises(RuntimeError, match=r"there is an AgentController on .* already; close it first"):
        AgentController(bus)
    agents.create("above", plain)
    scope = ScopedEventBus(parent=bus, scope_name="team")
    with AgentController(scope) as team:
        team.create("below", lambda agent, task: task * 2)
        for controller, name in ((agents, "above"), (team, "below")):
            controller.start(name)
        assert team.ask("below", 2) == 4
        scope.publish(EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned("above", "x"))
        scope.publish(EventType.AGENT_TASK_ASSIGNED, AgentTaskAssigned("nobody", 1))
    assert [event.data.agent for event in told(bus, EventType.AGENT_ERROR)] == ["nobody"]
    agents.close()
    AgentController(bus).close()


def test_a_closed_controller_takes_no_task(bus):
    """A task that nobody would ever do is refused at the call."""
    agents = AgentController(bus)
    agents.create("crier", plain)
    agents.close()
    for call in (agents.assign, agents.ask):
        with pytest.raises(BusClosedError, match="its agents take no more tasks"):
            call("crier", 1)
    assert told(bus, EventType.AGENT_TASK_ASSIGNED) == []


def test_closing_stops_all_and_can_be_repeated(bus):
    """After close no agent works, none can be created, and the bus is left as it was."""
    agents = AgentController(bus)
    for number in range(3):
        agents.create(f"a{number}", lambda agent, task: agent.pause(60))
        agents.start(f"a{number}")
        agents.assign(f"a{number}")
    agents.create("never started", plain, listens=EventType.STREAM_CHUNK)
    agents.close()
    agents.close()
    assert set(agents.agents.values()) == {"stopped"}
    assert bus.subscriptions() == [] and bus.scopes == []
    with pytest.raises(BusClosedError):
        agents.create("more", plain)


def test_a_bus_that_is_closed_under_agents_harms_nobody(bus, agents):
    """Work goes on until it is stopped; that nobody hears it is no failure."""
    done = []
    agents.create("crier", lambda agent, task: done.append(task))
    agents.start("crier")
    agents.ask("crier", 1)
    bus.close()
    assert agents.stop("crier") is True and done == [1]


def test_a_strict_bus_and_a_broken_listener_do_not_stop_an_agent():
    """A fault of who listens is the listener's: with on_error="raise" the agent goes on all the same."""
    with EventBus(on_error="raise") as bus, AgentController(bus) as agents:
        agents.create("crier", plain)
        agents.start("crier")
        bus.subscribe(EventType.AGENT_STATE_CHANGED, lambda event: 1 / 0)
        assert [agents.ask("crier", text) for text in "ab"] == ["A", "B"]


def test_a_controller_that_is_let_go_is_freed(bus):
    """The bus does not keep a controller alive."""
    agents = AgentController(bus)
    agents.create("idle", plain)
    gone = weakref.ref(agents)
    del agents
    gc.collect()
    assert gone() is None


def test_state_changes_form_the_declared_machine(bus, agents):
    """Every change that is told is one that was declared at creation."""
    agents.create("a", plain)
    agents.start("a")
    agents.ask("a", "x")
    agents.stop("a")
    declared = told(bus, EventType.AGENT_CREATED)[0].data.states
    for event in told(bus, EventType.AGENT_STATE_CHANGED):
        assert isinstance(event.data, AgentStateChanged)
        assert event.data.after in declared[event.data.before]
