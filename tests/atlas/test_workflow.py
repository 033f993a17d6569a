"""Workflows: typed graphs that run in parallel, fail in the open, and go on where their events end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import multiprocessing
import operator
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tenacity

from atlas_lab import (
    BusClosedError,
    DataError,
    EventBus,
    EventType,
    HandlerErrors,
    MiddlewareError,
    causality_tree,
    drop,
    to_frame,
    write_parquet,
)
from atlas_lab.atlas import (
    Checkpoint,
    GraphError,
    Workflow,
    WorkflowCancelledError,
    WorkflowEngine,
    WorkflowError,
    WorkflowStarted,
    is_cancelled,
    recorded_run,
)
from atlas_lab.testing.contract.workers import PATIENCE

ROOT = Path(__file__).parent.parent.parent
NO_WAIT = {"wait": tenacity.wait_none()}


@pytest.fixture
def bus():
    with EventBus(name="run", history_limit=None) as bus:
        yield bus


@pytest.fixture
def engine(bus):
    before = set(threading.enumerate())
    with WorkflowEngine(bus) as engine:
        yield engine
    until(lambda: not set(threading.enumerate()) - before)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def told(bus, *types):
    return [event for event in bus.history if event.type in types]


def exits(bus):
    return [
        (event.data.node, event.data.attempt, event.data.status) for event in told(bus, EventType.WORKFLOW_NODE_EXITED)
    ]


def diamond():
    """Make a workflow of four nodes and a log of what ran."""
    log = []
    flow = Workflow("diamond", inputs={"n": int})

    @flow.node("n")
    def top(n: int) -> int:
        log.append("top")
        return n + 1

    @flow.node(top)
    def left(top: int) -> int:
        log.append("left")
        return top * 10

    @flow.node(top)
    def right(top: int) -> int:
        log.append("right")
        return top * 100

    @flow.node(left, right)
    def bottom(left: int, right: int) -> int:
        log.append("bottom")
        return left + right

    return flow, log


# ---- running


def test_a_workflow_runs_in_the_order_of_its_needs(bus, engine):
    """Each node gets what it needs, and its result can be had by name or, typed, by node."""
    flow, log = diamond()
    run = engine.run(flow, {"n": 1}, run="first")
    assert run.results == {"top": 2, "left": 20, "right": 200, "bottom": 220}
    assert run[flow.nodes["bottom"]] == 220 and run.state == "completed"
    assert log[0] == "top" and log[3] == "bottom"
    (started,) = told(bus, EventType.WORKFLOW_STARTED)
    assert started.data.graph == {"top": ["n"], "left": ["top"], "right": ["top"], "bottom": ["left", "right"]}
    (completed,) = told(bus, EventType.WORKFLOW_COMPLETED)
    assert (completed.data.nodes, completed.data.skipped, completed.data.carried) == (4, 0, 0)


def test_events_tell_what_led_to_what(bus, engine):
    """A node is entered because the last of what it needs was done; what it publishes is caused by entering it."""
    flow = Workflow("chain")
    first = flow.add(lambda: bus.publish(EventType.STREAM_CHUNK, "mine"), name="first")
    flow.add(lambda _: None, first, name="second")
    engine.run(flow)
    tree = [(depth, kind) for depth, kind in zip(*[to_frame(bus)[name] for name in ("depth", "type")], strict=True)]
    assert tree == [
        (0, "WORKFLOW_STARTED"),
        (1, "WORKFLOW_NODE_ENTERED"),
        (2, "STREAM_CHUNK"),
        (2, "WORKFLOW_NODE_EXITED"),
        (3, "WORKFLOW_NODE_ENTERED"),
        (4, "WORKFLOW_NODE_EXITED"),
        (5, "WORKFLOW_COMPLETED"),
    ]
    assert "WORKFLOW_NODE_EXITED" in str(causality_tree(to_frame(bus)))


def test_a_run_that_a_handler_starts_is_caused_by_its_event(bus, engine):
    """Across the thread that decides, the question is known that a run answers."""
    flow, _ = diamond()
    bus.subscribe(EventType.RETRIEVAL_STARTED, lambda event: engine.run(flow, {"n": event.data}))
    asked = bus.publish(EventType.RETRIEVAL_STARTED, 1)
    assert told(bus, EventType.WORKFLOW_STARTED)[0].parent_id == asked
    assert set(to_frame(bus)["root_id"]) == {asked}


def test_nodes_that_need_each_other_not_run_at_once(bus, engine):
    """Two nodes that wait for one another can only end if both run."""
    meet = threading.Barrier(2, timeout=PATIENCE)
    flow = Workflow("meeting")
    for name in "ab":
        flow.add(meet.wait, name=name)
    assert sorted(engine.run(flow).results.values()) == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_any_graph_runs_each_node_once_after_what_it_needs(bus, engine, seed):
    """On random graphs, the events show every need completed before its node is entered."""
    count, step = 30, [7, 11, 13, 17, 19][seed]
    flow = Workflow("random")
    needs = {n: sorted({(n * step + k * 5) % n for k in range(n % 4)}) if n else [] for n in range(count)}
    for n in reversed(range(count)):  # what is needed may be added later
        flow.add(lambda *values, n=n: n + sum(values), *(f"n{k}" for k in needs[n]), name=f"n{n}")
    results = engine.run(flow).results
    expected = {}
    for n in range(count):
        expected[f"n{n}"] = n + sum(expected[f"n{k}"] for k in needs[n])
    assert results == expected
    seen = set()
    for event in bus.history:
        if event.type is EventType.WORKFLOW_NODE_ENTERED:
            assert {f"n{k}" for k in needs[int(event.data.node[1:])]} <= seen
        elif event.type is EventType.WORKFLOW_NODE_EXITED:
            assert event.data.node not in seen
            seen.add(event.data.node)
    assert len(seen) == count


class Inline(Executor):
    """An executor that runs at once, in the thread that submits."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def test_any_executor_will_do(bus):
    """Threads, processes or whatever has the interface: the results are the same."""
    flow = Workflow("numbers", inputs={"n": int})
    factorial = flow.add(math.factorial, "n", name="factorial")
    root = flow.add(math.isqrt, factorial, name="root")
    flow.add(operator.add, factorial, root, name="sum")
    spawn = multiprocessing.get_context("spawn")
    results = []
    for executor in (Inline(), ThreadPoolExecutor(1), ProcessPoolExecutor(1, mp_context=spawn)):
        with executor, WorkflowEngine(bus, executor) as engine:
            results.append(engine.run(flow, {"n": 10}).results)
    assert results == [{"factorial": 3628800, "root": 1904, "sum": 3630704}] * 3


def test_a_worker_that_dies_is_told_and_nothing_is_lost(bus):
    """A killed process fails the node by name, with an event; a resumed run does only what is left."""
    flow = Workflow("fragile", inputs={"n": int})
    before = flow.add(math.factorial, "n", name="before")
    flow.add(os._exit, before, name="dies", retries=3)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor, WorkflowEngine(bus, executor) as engine:
        with pytest.raises(WorkflowError, match="node 'dies' .* a worker died, .* make a new one") as failed:
            engine.run(flow, {"n": 3}, run="one")
        assert isinstance(failed.value.__cause__, BrokenExecutor)
        (error,) = told(bus, EventType.WORKFLOW_ERROR)
        assert (error.data.node, error.data.kind, error.data.unfinished) == ("dies", "BrokenProcessPool", ["dies"])
        assert exits(bus) == [("before", 1, "completed"), ("dies", 1, "failed")]
        with pytest.raises(WorkflowError, match="node 'before'"):  # the executor stays broken
            engine.run(flow, {"n": 3}, run="two")
    mended = Workflow("fragile", inputs={"n": int})
    before = mended.add(lambda n: 1 / 0, "n", name="before")
    mended.add(abs, before, name="dies")
    with WorkflowEngine(bus) as engine:
        assert engine.resume(mended, bus, run="one").results == {"before": 6, "dies": 6}


def test_async_nodes_are_run_to_their_end(bus):
    """In a thread and in another process; what they return is the result, not the coroutine."""
    flow = Workflow("waiting", inputs={"seconds": float})
    slept = flow.add(asyncio.sleep, "seconds", name="sleep")
    flow.add(wait_for_one, slept, name="one")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        for executor in (None, processes):
            with WorkflowEngine(bus, executor) as engine:
                assert engine.run(flow, {"seconds": 0.0}).results == {"sleep": None, "one": 1}


async def wait_for_one(before):
    return 1


def test_what_cannot_go_to_another_process_says_how_it_could(bus):
    """Pickle's own words tell a newcomer little."""
    flow = Workflow("local")
    flow.add(lambda: 1, name="local")
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
        WorkflowEngine(bus, executor) as engine,
        pytest.raises(WorkflowError, match="node 'local' .* define it at the top of a module"),
    ):
        engine.run(flow)


def test_results_are_had_by_node_and_by_name(engine):
    """A name that is not there is told with those that are, and why."""
    flow = Workflow("pair", inputs={"n": int})
    root = flow.add(math.isqrt, "n", name="root")
    flow.add(abs, root, name="never", when=lambda n: False)
    run = engine.run(flow, {"n": 9})
    assert (run[root], run["root"]) == (3, 3)
    with pytest.raises(KeyError, match="node 'never' was skipped; results: root"):
        run["never"]
    with pytest.raises(KeyError, match="there is no node 'rot'; results: root"):
        run["rot"]


def test_execute_node_takes_a_function_and_a_node_of_any_workflow(bus, engine):
    """Its events are those of a node, its error speaks of no run to resume, and what is neither is refused."""
    assert engine.execute_node(math.factorial, 4) == 24
    assert exits(bus) == [("factorial", 1, "completed")]
    with pytest.raises(WorkflowError, match=r"^node 'factorial' failed: ValueError: [^;]*$") as failed:
        engine.execute_node(math.factorial, -1)
    assert str(pickle.loads(pickle.dumps(failed.value))) == str(failed.value)
    node = Workflow("pair", inputs={"a": int, "b": int}).add(max, "a", "b", name="max")
    with pytest.raises(GraphError, match=r"needs 2 values \(a, b\), got 1"):
        engine.execute_node(node, 1)
    with pytest.raises(TypeError, match="node must be a Node, .* got 'max'"):
        engine.execute_node("max", 1, 2)


def test_closing_the_engine_ends_a_single_node_too(bus):
    """Who waits for it is told, and does not wait for ever."""
    engine, begun, over = WorkflowEngine(bus), threading.Event(), threading.Event()
    ended = []

    def hang():
        begun.set()
        over.wait(30)

    def ask():
        try:
            engine.execute_node(hang)
        except WorkflowCancelledError as error:
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(PATIENCE)
    engine.close(timeout=0.2)
    asking.join(PATIENCE)
    over.set()
    assert (len(ended), exits(bus)) == (1, [("hang", 1, "cancelled")])


def test_execute_node_runs_one_node_with_all_that_it_has(bus, engine):
    """A single node by itself: condition, retries and events as within a run."""
    failures = iter([OSError("busy")])

    def work(a: int, b: int) -> int:
        for failure in failures:
            raise failure
        return a + b

    flow = Workflow("sum", inputs={"a": int, "b": int})
    retry = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), **NO_WAIT)
    node = flow.add(work, "a", "b", retry=retry, when=lambda a, b: a > 0)
    assert engine.execute_node(node, 1, 2) == 3
    assert engine.execute_node(node, 0, 2) is None
    assert exits(bus) == [("work", 1, "failed"), ("work", 2, "completed"), ("work", 0, "skipped")]
    assert told(bus, EventType.WORKFLOW_STARTED, EventType.WORKFLOW_COMPLETED) == []
    with pytest.raises(GraphError, match="needs 2 values .a, b., got 1"):
        engine.execute_node(node, 1)


# ---- what is refused


@pytest.mark.parametrize(
    "needs, message",
    [
        ({"a": "b", "b": "c", "c": "a"}, "form a cycle: "),
        ({"a": "a"}, "form a cycle: a > a; break it"),
        ({"a": "nowhere"}, "needs 'nowhere', which is neither a node nor an input; there are: a, n"),
        ({}, "has no nodes"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_with_an_event(bus, engine, needs, message):
    """A cycle or an unknown node is named before anything runs."""
    flow = Workflow("bad", inputs={"n": int})
    for name, need in needs.items():
        flow.add(lambda value: value, need, name=name)
    with pytest.raises(GraphError, match=message):
        engine.run(flow, {"n": 1})
    (error,) = bus.history
    assert error.type is EventType.WORKFLOW_ERROR
    assert (error.data.status, error.data.kind) == ("refused", "GraphError") and message in error.data.message


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({}, "lacks n"),
        ({"n": 1, "m": 2}, "has no input m"),
        ({"n": "one"}, "input 'n' of workflow 'diamond' does not fit .*int"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_an_event(bus, engine, inputs, message):
    """What a run is given is checked before anything runs."""
    flow, log = diamond()
    with pytest.raises(GraphError, match=message):
        engine.run(flow, inputs)
    assert [event.type.name for event in bus.history] == ["WORKFLOW_ERROR"] and log == []


def test_types_of_nodes_are_compared_before_anything_runs():
    """An edge between types that cannot fit is named; what may fit, passes."""

    def number() -> int:
        return 1

    def text() -> str | None:
        return ""

    def takes_float(value: float) -> None: ...
    def takes_list(value: list[int]) -> None: ...
    def takes_optional(value: str | None) -> None: ...
    def takes_str(value: str) -> None: ...

    def order(give, take, **options):
        flow = Workflow("typed")
        flow.add(take, flow.add(give), **options)
        return flow.order()

    for give, take in ((number, takes_float), (text, takes_optional), (lambda: 1, takes_list)):
        assert len(order(give, take)) == 2
    with pytest.raises(GraphError, match="takes list.int. for 'value', but 'number' gives int"):
        order(number, takes_list)
    with pytest.raises(GraphError, match="takes str for 'value', but 'text' gives str . None"):
        order(text, takes_str)
    with pytest.raises(GraphError, match=r"is given 1 values, \(text\), but takes \(\) .*too many"):
        order(text, number)


def test_bad_options_of_a_node_are_refused():
    """Each error says what is wrong."""
    flow = Workflow("options")
    flow.add(len, "x")
    for error, options in (
        (ValueError, {}),  # the name is taken
        (ValueError, {"name": "a", "retries": -1}),
        (ValueError, {"name": "a", "retries": 1, "retry": tenacity.Retrying()}),
        (ValueError, {"name": "a", "timeout": 0}),
        (ValueError, {"name": "a", "join": "some"}),
        (TypeError, {"name": "a", "timeout": "1"}),
        (ValueError, {"name": "a", "timeout": math.inf}),
        (TypeError, {"name": "a", "retry": 3}),
        (TypeError, {"name": "a", "when": True}),
        (TypeError, {"name": "a", "when": wait_for_one}),
        (TypeError, {"name": 7}),
    ):
        with pytest.raises(error):
            flow.add(len, "x", **options)
    with pytest.raises(TypeError, match="needs must be nodes or names of nodes and inputs, got int"):
        flow.add(len, 7, name="a")
    with pytest.raises(TypeError, match="inputs must be a mapping of names to types, got list"):
        Workflow("options", inputs=["x"])
    with pytest.raises(TypeError, match="run must be callable"):
        flow.add("len")
    with pytest.raises(ValueError, match="workers must be 1 or more, got 0"):
        WorkflowEngine(EventBus(), workers=0)
    with pytest.raises(TypeError, match="executor must be"):
        WorkflowEngine(EventBus(), executor="threads")


def test_wrong_arguments_of_a_run_are_refused(bus, engine):
    """At the call, in the words of the argument."""
    flow, _ = diamond()
    for wrong, problem in (
        (lambda: engine.run("diamond"), "workflow must be a Workflow, got str"),
        (lambda: engine.resume("diamond", bus), "workflow must be a Workflow, got str"),
        (lambda: engine.run(flow, [1]), "inputs must be a mapping of names to values, got list"),
        (lambda: engine.run(flow, {"n": 1}, run=7), "run must be a str, got int"),
        (lambda: engine.resume(flow, 7), "events must be a bus, .* got int"),
        (lambda: engine.resume(flow, [7]), "events must be instances of Event, .* got int"),
        (lambda: Checkpoint(7, "run.parquet"), "bus must be an EventBus"),
        (lambda: Checkpoint(bus, 7), "path must be a path"),
    ):
        with pytest.raises(TypeError, match=problem):
            wrong()
    assert list(bus.history) == []


def test_a_checkpoint_goes_on_with_the_file_that_is_there(tmp_path):
    """A run of an earlier process is not lost when another one begins with the same file."""
    path = tmp_path / "runs.parquet"
    flow = Workflow("half", inputs={"n": int})
    flow.add(math.factorial, flow.add(abs, "n"), name="late")
    for run, number in (("first", -3), ("second", 4)):
        with EventBus() as bus, WorkflowEngine(bus) as engine, Checkpoint(bus, path) as checkpoint:
            if run == "first":
                bus.subscribe(EventType.WORKFLOW_NODE_EXITED, lambda event, engine=engine: engine.close(0))
            with contextlib.suppress(WorkflowCancelledError):
                engine.run(flow, {"n": number}, run=run)
            assert repr(checkpoint).startswith("<Checkpoint")
    assert recorded_run(path).results == {"abs": 4, "late": 24}
    assert recorded_run(path, run="first").results == {"abs": 3}
    with WorkflowEngine(EventBus()) as engine:
        assert engine.resume(flow, path, run="first")["late"] == 6


def test_a_checkpoint_that_could_keep_nothing_is_refused(bus, tmp_path):
    """Before the run, not by an error for each node that nobody reads."""
    with pytest.raises(FileNotFoundError, match="which is no folder; make it first"):
        Checkpoint(bus, tmp_path / "none" / "run.parquet")
    (tmp_path / "run.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"run\.parquet is damaged"):
        Checkpoint(bus, tmp_path / "run.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="it lacks b'atlas_lab'"):
        Checkpoint(bus, tmp_path / "other.parquet")
    assert len(bus.subscriptions()) == 0


# ---- failures, retries, timeouts, conditions, cancellation


def test_a_failure_stops_what_is_behind_it_and_keeps_what_is_under_way(bus, engine):
    """A node that runs beside one that fails is waited for, so that its result is not lost."""
    go = threading.Event()
    flow = Workflow("partly")
    bad = flow.add(lambda: 1 / 0, name="bad")
    flow.add(lambda: go.wait(PATIENCE), name="slow")
    flow.add(lambda _: None, bad, name="behind")
    bus.subscribe(EventType.WORKFLOW_NODE_EXITED, lambda event: go.set(), where=lambda event: event.data.node == "bad")
    with pytest.raises(WorkflowError, match="node 'bad' of workflow 'partly' failed: ZeroDivisionError") as failed:
        engine.run(flow)
    assert isinstance(failed.value.__cause__, ZeroDivisionError) and failed.value.node == "bad"
    assert exits(bus) == [("bad", 1, "failed"), ("slow", 1, "completed")]
    (error,) = told(bus, EventType.WORKFLOW_ERROR)
    assert error.data.unfinished == ["bad", "behind"]
    assert error.parent_id == told(bus, EventType.WORKFLOW_NODE_EXITED)[0].id


def test_an_executor_that_takes_no_work_fails_the_first_node_and_no_other_is_begun(bus):
    """What was shut down says so at the first node that is ready; the second is left for who resumes."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    flow = Workflow("late")
    for name in ("one", "two"):
        flow.add(lambda: None, name=name, retries=3)
    with WorkflowEngine(bus, executor) as engine, pytest.raises(WorkflowError, match="node 'one' .* after shutdown"):
        engine.run(flow)
    assert exits(bus) == [("one", 1, "failed")]
    assert told(bus, EventType.WORKFLOW_ERROR)[0].data.unfinished == ["one", "two"]


def test_retries_are_told_and_end(bus, engine):
    """Each attempt is an event, with the time to the next; the last failure is the node's."""
    calls = itertools.count(1)

    def flaky():
        if (call := next(calls)) < 3:
            raise OSError(f"busy {call}")
        return "done"

    def policy(attempts):
        return tenacity.Retrying(stop=tenacity.stop_after_attempt(attempts), **NO_WAIT)

    flow = Workflow("flaky")
    flow.add(flaky, retry=policy(3))
    assert engine.run(flow).results == {"flaky": "done"}
    told_exits = [event.data for event in told(bus, EventType.WORKFLOW_NODE_EXITED)]
    assert [(one.attempt, one.error, one.retry_in) for one in told_exits] == [
        (1, "OSError: busy 1", 0.0),
        (2, "OSError: busy 2", 0.0),
        (3, None, None),
    ]
    hopeless = Workflow("hopeless")
    hopeless.add(lambda: int("x"), name="never", retry=policy(2))
    with pytest.raises(WorkflowError, match="ValueError: invalid literal"):
        engine.run(hopeless)
    assert exits(bus)[-2:] == [("never", 1, "failed"), ("never", 2, "failed")]


def test_a_policy_of_tenacity_decides_what_is_tried_again(bus, engine):
    """By kind of error or by result, as tenacity has it."""
    only_os = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OSError), stop=tenacity.stop_after_attempt(5), **NO_WAIT
    )
    flow = Workflow("choosy")
    flow.add(lambda: 1 / 0, name="not this", retry=only_os)
    with pytest.raises(WorkflowError, match="ZeroDivisionError"):
        engine.run(flow)
    assert exits(bus) == [("not this", 1, "failed")]
    values = iter([None, None, 7])
    until_there = tenacity.Retrying(retry=tenacity.retry_if_result(lambda value: value is None), **NO_WAIT)
    flow = Workflow("patient")
    flow.add(lambda: next(values), name="poll", retry=until_there)
    assert engine.run(flow).results == {"poll": 7}


def test_waiting_for_a_retry_holds_up_no_other_node(bus, engine):
    """Backoff is waited for beside the others, and not in a worker."""
    failing = iter([True])
    flow = Workflow("beside")
    wait = tenacity.Retrying(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_attempt(2))

    def flaky():
        for _ in failing:
            raise OSError

    flow.add(flaky, retry=wait)
    chain = flow.add(lambda: 0, name="c0")
    for n in range(1, 5):
        chain = flow.add(lambda x: x + 1, chain, name=f"c{n}")
    with ThreadPoolExecutor(1) as executor, WorkflowEngine(bus, executor) as alone:
        alone.run(flow)
    assert [node for node, _, _ in exits(bus)] == ["flaky", "c0", "c1", "c2", "c3", "c4", "flaky"]


def test_a_timeout_ends_the_attempt_and_tells_the_node(bus, engine):
    """The attempt counts as failed, its node can know, and what it returns later counts for nothing."""
    noticed = threading.Event()

    def slow():
        while not is_cancelled():
            time.sleep(0.002)
        noticed.set()
        return "late"

    flow = Workflow("slow")
    flow.add(slow, timeout=0.05)
    with pytest.raises(WorkflowError, match="TimeoutError: it took longer than 0.05 s"):
        engine.run(flow)
    assert noticed.wait(PATIENCE)
    assert exits(bus) == [("slow", 1, "timed out")]


def test_time_in_the_queue_does_not_count(bus):
    """With one worker, a node that waits for another has its full time once it begins."""
    flow = Workflow("queue")
    flow.add(lambda: time.sleep(1.1), name="long")
    flow.add(lambda: "done", name="short", timeout=1)
    with ThreadPoolExecutor(1) as executor, WorkflowEngine(bus, executor) as engine:
        assert engine.run(flow).results["short"] == "done"
    waited = {event.data.node: event.data.waited for event in told(bus, EventType.WORKFLOW_NODE_EXITED)}
    assert waited["short"] > waited["long"]


def test_a_timeout_can_be_retried(bus, engine):
    """A second attempt may be faster."""
    slow = iter([True])

    def work():
        for _ in slow:
            while not is_cancelled():
                time.sleep(0.002)
        return "done"

    flow = Workflow("second")
    flow.add(work, timeout=1, retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(2), **NO_WAIT))
    assert engine.run(flow).results == {"work": "done"}
    assert exits(bus) == [("work", 1, "timed out"), ("work", 2, "completed")]


def test_conditions_skip_a_branch_and_a_join_takes_what_there_is(bus, engine):
    """A node whose condition is false is skipped with what needs it; join="any" goes on with the rest."""
    flow = Workflow("branches", inputs={"n": int})
    small = flow.add(lambda n: f"{n} is small", "n", name="small", when=lambda n: n < 10)
    large = flow.add(lambda n: f"{n} is large", "n", name="large", when=lambda n: n >= 10)
    flow.add(str.upper, small, name="shout")
    flow.add(lambda a, b: a or b, small, large, name="either", join="any")
    run = engine.run(flow, {"n": 50})
    assert run.results == {"large": "50 is large", "either": "50 is large"}
    assert sorted(run.skipped) == ["shout", "small"]
    assert told(bus, EventType.WORKFLOW_COMPLETED)[0].data.skipped == 2


def test_a_condition_that_fails_is_a_failure_of_its_node(bus, engine):
    """It is told as such, and not retried."""
    flow = Workflow("condition", inputs={"n": int})
    flow.add(lambda n: n, "n", name="node", when=lambda n: 1 / n, retries=3)
    with pytest.raises(WorkflowError, match="node 'node' .* ZeroDivisionError"):
        engine.run(flow, {"n": 0})


def test_cancelling_ends_a_run_at_once(bus, engine):
    """What is under way is told, no more is begun, and the waiter learns it."""
    started, ended = threading.Event(), threading.Event()

    def work():
        started.set()
        while not is_cancelled():
            time.sleep(0.002)
        ended.set()

    flow = Workflow("long")
    flow.add(lambda _: None, flow.add(work), name="behind")
    run = engine.start(flow, run="one")
    assert started.wait(PATIENCE)
    with pytest.raises(TimeoutError, match="it goes on"):
        run.result(timeout=0.01)
    run.cancel()
    with pytest.raises(WorkflowCancelledError):
        run.result(timeout=PATIENCE)
    assert ended.wait(PATIENCE) and run.state == "cancelled"
    assert exits(bus) == [("work", 1, "cancelled")]
    (error,) = told(bus, EventType.WORKFLOW_ERROR)
    assert (error.data.status, error.data.unfinished) == ("cancelled", ["work", "behind"])
    run.cancel()


def test_closing_the_engine_cancels_its_runs(bus):
    """Nothing is left running, and a closed engine says so."""
    flow = Workflow("long")

    @flow.node()
    def work():
        while not is_cancelled():
            time.sleep(0.002)

    engine = WorkflowEngine(bus)
    run = engine.start(flow)
    until(lambda: told(bus, EventType.WORKFLOW_NODE_ENTERED))
    engine.close()
    engine.close()
    with pytest.raises(WorkflowCancelledError):
        run.result(timeout=PATIENCE)
    assert bus.subscriptions() == []
    with pytest.raises(BusClosedError, match="engine is closed"):
        engine.start(flow)


def test_faults_of_the_bus_end_a_run_and_reach_its_waiter(engine, bus):
    """A closed bus, a failing middleware or a strict handler: no run hangs."""
    flow, _ = diamond()
    with EventBus(on_error="raise") as strict, WorkflowEngine(strict) as other:
        strict.subscribe(EventType.WORKFLOW_NODE_EXITED, lambda event: 1 / 0)
        with pytest.raises(HandlerErrors):
            other.run(flow, {"n": 1})
    remove = bus.add_middleware(lambda event: 1 / 0)
    with pytest.raises(MiddlewareError):
        engine.run(flow, {"n": 1})
    remove()
    bus.subscribe(EventType.WORKFLOW_NODE_ENTERED, lambda event: bus.close())
    with pytest.raises(BusClosedError):
        engine.run(flow, {"n": 1})


def test_a_middleware_that_drops_events_of_workflows_loses_no_node(bus, engine):
    """Events are how a run is seen, not how it works."""
    bus.add_middleware(drop(EventType.WORKFLOW_NODE_ENTERED))
    flow, _ = diamond()
    assert engine.run(flow, {"n": 1}).results["bottom"] == 220


def test_several_runs_of_one_workflow_at_once(bus, engine):
    """Runs share the workers and nothing else."""
    flow, _ = diamond()
    runs = [engine.start(flow, {"n": n}, run=f"r{n}") for n in range(10)]
    assert [run.result(10)["bottom"] for run in runs] == [110 * (n + 1) for n in range(10)]


# ---- resuming


@dataclass
class Found:
    title: str
    score: float


def halfway(broken):
    """Make a workflow whose third node fails while `broken` holds something, and a log of what ran."""
    log = []
    flow = Workflow("half", inputs={"query": str})

    @flow.node("query")
    def search(query: str) -> list[Found]:
        log.append("search")
        return [Found(query, 0.5)]

    skipped = flow.add(lambda query: "x", "query", name="never", when=lambda query: False)

    @flow.node(search)
    def best(found: list[Found]) -> Found:
        log.append("best")
        return found[0]

    @flow.node(best, skipped, join="any")
    def answer(best: Found | None, never: str | None) -> str:
        log.append("answer")
        if broken:
            raise OSError("no model")
        return f"{best.title} ({best.score})"

    return flow, log


def history(bus, folder):
    return bus


def events(bus, folder):
    return list(bus.history)


def frame(bus, folder):
    return to_frame(bus)


def checkpoint(bus, folder):
    return folder / "checkpoint.parquet"


@pytest.mark.parametrize("source", [history, events, frame, checkpoint])
def test_a_run_goes_on_where_its_events_end(bus, engine, source, tmp_path):
    """From a live history, a frame or a file: what is finished is not run again, and values are what they were."""
    broken = [True]
    flow, log = halfway(broken)
    with Checkpoint(bus, tmp_path / "checkpoint.parquet"), pytest.raises(WorkflowError):
        engine.run(flow, {"query": "owls"}, run="one")
    assert log == ["search", "best", "answer"]
    broken.clear()
    with EventBus() as second, WorkflowEngine(second) as other:
        run = other.resume(flow, source(bus, tmp_path))
        assert run.results["answer"] == "owls (0.5)" and run.skipped == ["never"]
        assert run.results["search"] == [Found("owls", 0.5)]
        assert log == ["search", "best", "answer", "answer"]
        assert [event.data.node for event in second.history["WORKFLOW_NODE_ENTERED"]] == ["answer"]
        assert run.name == "one"
        # The second history is enough to go on from, too: here, there is nothing left to do.
        assert other.resume(flow, second).results == run.results
        assert log[4:] == []


def test_a_run_resumed_twice_brings_its_results_along(bus, engine, tmp_path):
    """Stopped again after it was resumed, it needs only the newest file."""
    broken = [True]
    flow, log = halfway(broken)
    for number in range(3):
        path = tmp_path / f"{number}.parquet"
        with EventBus() as own, WorkflowEngine(own) as other, Checkpoint(own, path):
            with pytest.raises(WorkflowError):
                if number:
                    other.resume(flow, tmp_path / f"{number - 1}.parquet")
                else:
                    other.run(flow, {"query": "owls"}, run="one")
    broken.clear()
    assert engine.resume(flow, path).results["answer"] == "owls (0.5)"
    assert log == ["search", "best", "answer", "answer", "answer", "answer"]


def test_each_node_can_be_the_last_before_the_end(bus, engine):
    """Whatever prefix of the events is left, the run ends with the same results and repeats nothing finished."""
    flow, log = diamond()
    expected = engine.run(flow, {"n": 1}, run="one").results
    recorded = list(bus.history)
    for cut in range(1, len(recorded) + 1):
        finished = {event.data.node for event in recorded[:cut] if event.type is EventType.WORKFLOW_NODE_EXITED}
        log.clear()
        assert engine.resume(flow, recorded[:cut]).results == expected
        assert sorted(log) == sorted(set(expected) - finished)


SCRIPT = """
import sys, time
from atlas_lab import EventBus
from atlas_lab.atlas import Checkpoint, Workflow, WorkflowEngine

mode, folder = sys.argv[1:]

def note(node):
    with open(f"{folder}/log", "a") as log:
        log.write(node + "\\n")

flow = Workflow("killed", inputs={"text": str})

@flow.node("text")
def words(text: str) -> list[str]:
    note("words")
    return text.split()

@flow.node(words)
def lengths(words: list[str]) -> dict[str, int]:
    note("lengths")
    return {word: len(word) for word in words}

@flow.node(lengths)
def longest(lengths: dict[str, int]) -> str:
    note("longest")
    if mode == "first":
        time.sleep(60)
    return max(lengths, key=lengths.get)

@flow.node(words, longest)
def answer(words: list[str], longest: str) -> tuple[int, str]:
    note("answer")
    return len(words), longest

with EventBus() as bus, WorkflowEngine(bus) as engine, Checkpoint(bus, f"{folder}/run.parquet"):
    if mode == "first":
        engine.run(flow, {"text": "what is done is done"}, run="one")
    else:
        print(engine.resume(flow, f"{folder}/run.parquet")[answer])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_run_survives_the_death_of_its_process(tmp_path):
    """Killed while its third node runs, a workflow is ended by another process, which runs only what was not finished."""
    script = tmp_path / "flow.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    log = tmp_path / "log"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen([*command, "first", str(tmp_path)], env=environment) as first:
        deadline = time.monotonic() + PATIENCE
        while not log.exists() or "longest" not in log.read_text(encoding="utf-8"):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        assert first.wait(PATIENCE) == -signal.SIGKILL
    second = subprocess.run(
        [*command, "second", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (second.stdout, second.stderr) == ("(5, 'what')\n", "")
    assert log.read_text(encoding="utf-8").split() == ["words", "lengths", "longest", "longest", "answer"]
    assert recorded_run(tmp_path / "run.parquet").completed


def test_what_cannot_be_resumed_says_why(bus, engine, tmp_path):
    """No such run, another graph, a type that changed, a damaged payload: each has its words."""
    flow, _ = diamond()
    with pytest.raises(LookupError, match="no WORKFLOW_STARTED of a run of workflow 'diamond' .* there are: none"):
        engine.resume(flow, bus)
    engine.run(flow, {"n": 1}, run="one")
    with pytest.raises(LookupError, match="run 'two' of workflow 'diamond' .* there are: 'one' of 'diamond'"):
        engine.resume(flow, bus, run="two")
    other = Workflow("diamond", inputs={"n": int})
    other.add(abs, "n", name="top")
    with pytest.raises(GraphError, match="is not what it was in run 'one': it differs in left, right, bottom"):
        engine.resume(other, bus)
    assert told(bus, EventType.WORKFLOW_ERROR)[0].data.status == "refused"
    bad = to_frame(bus)
    bad["data"] = [{"workflow": 7}] * len(bad)
    with pytest.raises(DataError, match="WORKFLOW_STARTED in row 0 is not what a workflow tells"):
        engine.resume(flow, bad)
    with pytest.raises(ValueError, match="columns type and data"):
        engine.resume(flow, to_frame(bus, data="drop"))
    started = WorkflowStarted("diamond", "three", flow.graph, {"n": 1}, {"top": "two"})
    bus.publish(EventType.WORKFLOW_STARTED, started)
    with pytest.raises(DataError, match="the result of node 'top' does not fit"):
        engine.resume(flow, bus)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"damaged\.parquet"):
        engine.resume(flow, damaged)


def test_a_result_that_no_file_can_hold_is_told_and_run_again(bus, engine, tmp_path):
    """The checkpoint stays readable; the node with such a result counts as not finished."""
    flow = Workflow("odd")
    odd = flow.add(object, name="odd")
    flow.add(lambda _: "after", odd, name="after")
    with Checkpoint(bus, tmp_path / "run.parquet"):
        engine.run(flow)
    (error,) = told(bus, EventType.HANDLER_ERROR)
    assert "WORKFLOW_NODE_EXITED of node 'odd' cannot be kept" in error.data["message"]
    assert recorded_run(tmp_path / "run.parquet").results == {"after": "after"}


def test_a_run_is_found_among_those_of_other_workflows(bus, engine, tmp_path):
    """By default the latest of the workflow is resumed; a written frame of all events will do."""
    flow, _ = diamond()
    small = Workflow("small")
    small.add(lambda: 1, name="one")
    engine.run(flow, {"n": 1}, run="first")
    engine.run(flow, {"n": 2}, run="second")
    engine.run(small)
    assert recorded_run(bus).workflow == "small"
    assert engine.resume(flow, bus).name == "second"
    assert engine.resume(flow, bus, run="first").results["bottom"] == 220
    all_events = to_frame(bus)
    all_events["data"] = [{key: getattr(one, key) for key in one.__struct_fields__} for one in all_events["data"]]
    write_parquet(all_events, tmp_path / "all.parquet")
    assert recorded_run(tmp_path / "all.parquet", run="first").results["bottom"] == 220
