"""Units run in parallel on any executor, in an allowed order, seen on the bus; what fails or dies is told."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lab import EventBus, EventType, causality, to_frame
from atlas_lab.patterns import (
    DeadWorkerError,
    Partitioner,
    PartitionError,
    Unit,
    map_reduce,
    order_violations,
    speedup_table,
    split,
    task_table,
)
from tests.patterns import work

DIAMOND = [
    Unit("all", work.total, needs=("low", "high")),
    Unit("load", work.total, ([1, 2, 3],)),
    Unit("low", work.total, (10,), needs=("load",)),
    Unit("high", work.total, (20,), needs=("load",)),
]
EXPECTED = {"all": 42, "load": 6, "low": 16, "high": 26}


def processes(workers):
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.fixture(scope="module")
def pool():
    with processes(2) as executor:
        yield executor


@pytest.fixture
def threads():
    with ThreadPoolExecutor(3) as executor:
        yield executor


def seen(bus):
    return [(event.type.name, event.data.unit) for event in bus.history]


def check_diamond(bus, run):
    assert run.results == EXPECTED
    assert list(run.results) == list(EXPECTED)
    assert order_violations(bus) == []
    by_id = {event.id: event for event in bus.history}
    for event in bus.history["TASK_COMPLETED"]:
        assert by_id[event.parent_id].type is EventType.TASK_SUBMITTED
        assert by_id[event.parent_id].data.unit == event.data.unit
        assert event.source == event.data.worker
    for event in bus.history["TASK_SUBMITTED"]:
        cause = by_id.get(event.parent_id)
        assert (cause.data.unit in event.data.needs) if event.data.needs else cause is None
    assert len(bus.history) == 8


def test_threads_run_units_in_an_allowed_order(threads):
    """A unit gets the results of what it needs; each event tells its cause, up to the first submission."""
    bus = EventBus()
    run = Partitioner(bus, threads).run(DIAMOND)
    check_diamond(bus, run)
    assert seen(bus)[:2] == [("TASK_SUBMITTED", "load"), ("TASK_COMPLETED", "load")]
    assert causality(to_frame(bus))["descendants"].tolist()[0] == 7
    assert run.critical_path[0] == "load"
    assert run.critical_path[-1] == "all"
    assert run.critical_seconds <= run.work


def test_processes_run_units_and_their_events_come_back(pool):
    """What workers tell was made in their processes, at their time."""
    bus = EventBus()
    check_diamond(bus, Partitioner(bus, pool).run(DIAMOND))
    pids = {event.data.worker.split(":")[1] for event in bus.history["TASK_COMPLETED"]}
    assert str(os.getpid()) not in pids
    for event in bus.history["TASK_COMPLETED"]:
        assert event.timestamp == event.data.ended


def test_dask_runs_units_on_a_cluster(tmp_path):
    """The same through the executor of a real scheduler and worker of dask.distributed."""
    bus = EventBus()
    options = {"temporary-directory": str(tmp_path), "distributed.admin.system-monitor.gil.enabled": False}
    with (
        dask.config.set(options),
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            host="127.0.0.1",
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        partitioner = Partitioner(bus, executor)
        check_diamond(bus, partitioner.run(DIAMOND))
        with pytest.raises(PartitionError, match="bad: ValueError: bad part"):
            partitioner.run([Unit("bad", work.fail)])


def test_a_worker_that_dies_is_told_and_nothing_done_is_lost():
    """A process that really ends: a clear error, an event, results kept, and the rest runs on a new executor."""
    bus = EventBus()
    units = [
        Unit("first", work.total, (1,)),
        Unit("deadly", work.die, needs=("first",)),
        Unit("last", work.total, (1,), needs=("first", "deadly")),
    ]
    with processes(1) as executor, pytest.raises(DeadWorkerError) as raised:
        Partitioner(bus, executor, name="rows").run(units)
    error = raised.value
    assert "rows lost 1 of 3 units: deadly: a worker died: BrokenProcessPool" in str(error)
    assert "Not run: last." in str(error)
    assert isinstance(error.__cause__, BrokenExecutor)
    assert error.run.results == {"first": 1}
    told = bus.history[-1]
    assert (told.data.unit, told.data.outcome, told.data.worker) == ("deadly", "lost", None)
    assert bus.history[-2].id == told.parent_id
    assert order_violations(bus) == []
    mended = [*units[:1], Unit("deadly", work.total, (5,), needs=("first",)), units[2]]
    with ThreadPoolExecutor(1) as executor:
        run = Partitioner(bus, executor, name="rows").run(mended, done=error.run.results)
    assert run.results == {"first": 1, "deadly": 6, "last": 8}
    assert [event.data.unit for event in run.events[::2]] == ["deadly", "last"]
    assert run.events[0].data.given == ("first",)
    assert order_violations(run.events) == []


def test_an_executor_that_is_broken_already_is_told(threads):
    """Submitting to what is dead is the same failure."""
    with processes(1) as executor:
        with pytest.raises(DeadWorkerError):
            Partitioner(EventBus(), executor).run([Unit("deadly", work.die)])
        bus = EventBus()
        with pytest.raises(DeadWorkerError, match="lost 1 of 2 units"):
            Partitioner(bus, executor).run([Unit("a", work.total), Unit("b", work.total, needs=("a",))])
        assert [one[0] for one in seen(bus)] == ["TASK_SUBMITTED", "TASK_COMPLETED"]


def test_an_executor_that_takes_no_more_loses_nothing_that_was_done():
    """One that is shut down, or cancels what waits: the units are told as lost, and results are kept."""
    for last in (ThreadPoolExecutor.shutdown, lambda one: one.shutdown(cancel_futures=True)):
        bus, executor = EventBus(), ThreadPoolExecutor(1)
        bus.subscribe(EventType.TASK_COMPLETED, lambda event, last=last, executor=executor: last(executor), once=True)
        units = [Unit("done", work.total, ([1],)), Unit("after", work.total, needs=("done",))]
        with pytest.raises(DeadWorkerError, match=r"lost 1 of 2 units: after: the executor takes no more: .* shutdown"):
            Partitioner(bus, executor).run(units)
        assert [event.data.outcome for event in bus.history["TASK_COMPLETED"]] == ["ok", "lost"]
    bus, executor = EventBus(), Cancelling()
    with pytest.raises(DeadWorkerError, match="a: it was cancelled, as when the executor is closed"):
        Partitioner(bus, executor).run([Unit("a", work.total)])
    assert bus.history[-1].data.outcome == "lost"


class Cancelling(Executor):
    """An executor that is being closed: what it took, it cancels."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_work_that_exits_the_interpreter_fails_alone(threads):
    """Not the thread that waits for it, and not the other units."""
    bus = EventBus()
    with pytest.raises(PartitionError, match=r"quits: SystemExit: 3\. 1 results are kept") as failed:
        Partitioner(bus, threads).run([Unit("quits", sys.exit, (3,)), Unit("other", work.total, ([1],))])
    assert failed.value.run.results == {"other": 1}
    assert isinstance(failed.value.__cause__, SystemExit)
    assert sorted(event.data.outcome for event in bus.history["TASK_COMPLETED"]) == ["failed", "ok"]


def test_async_work_is_run_to_its_end(threads):
    """What it returns is the result, not the coroutine."""
    assert Partitioner(EventBus(), threads).run([Unit("a", asyncio.sleep, (0, "slept"))]).results == {"a": "slept"}


def test_a_unit_that_fails_does_not_keep_others_from_running(pool, threads):
    """What does not need it runs; the error names what failed and what was not run, and has the results."""
    units = [
        Unit("bad", work.fail),
        Unit("after", work.total, needs=("bad",)),
        Unit("good", work.total, (1,)),
        Unit("better", work.total, (1,), needs=("good",)),
    ]
    for executor in (pool, threads):
        bus = EventBus()
        with pytest.raises(
            PartitionError, match="1 of 4 units of partition failed: bad: ValueError: bad part"
        ) as raised:
            Partitioner(bus, executor).run(units)
        assert not isinstance(raised.value, DeadWorkerError)
        assert "Not run: after." in str(raised.value)
        assert (raised.value.units, raised.value.run.results) == (("bad",), {"good": 1, "better": 2})
        assert isinstance(raised.value.__cause__, ValueError)
        (told,) = [event.data for event in bus.history["TASK_COMPLETED"] if event.data.outcome == "failed"]
        assert "work.py" in told.traceback
    assert raised.value.units == pickle.loads(pickle.dumps(raised.value)).units


def test_what_cannot_travel_is_told(pool):
    """A function, an exception or a result that does not pickle is an error of its unit, with a reason."""
    bus = EventBus()
    with pytest.raises(PartitionError, match="local: it could not be sent to a worker, or its result"):
        Partitioner(bus, pool).run([Unit("local", lambda: 1)])
    with pytest.raises(PartitionError, match="odd: Stubborn: 12"):
        Partitioner(bus, pool).run([Unit("odd", work.fail_stubbornly)])
    assert [event.data.outcome for event in bus.history["TASK_COMPLETED"]] == ["failed", "failed"]
    assert Partitioner(bus, pool).run(DIAMOND).results == EXPECTED


@pytest.mark.parametrize(
    "units, error, message",
    [
        ([Unit("a", work.total, needs=("b",)), Unit("b", work.total, needs=("a",))], ValueError, "in a circle"),
        ([Unit("a", work.total, needs=("x",))], ValueError, "unit 'a' needs 'x', which is none of: a"),
        ([Unit("a", work.total), Unit("a", work.total)], ValueError, "two units have the name 'a'"),
        ([work.total], TypeError, "units must be instances of Unit, got function"),
    ],
    ids=["circle", "unknown", "twice", "no unit"],
)
def test_units_that_cannot_be_put_in_order_are_refused(threads, units, error, message):
    """Nothing is run; the error tells, and an event."""
    bus = EventBus()
    with pytest.raises(error, match=message):
        Partitioner(bus, threads).run(units)
    (told,) = bus.history
    assert told.type is EventType.COMMAND_FAILED
    assert message.removeprefix("in a ") in told.data.error


def test_bad_arguments_are_refused(threads):
    """Each error names the argument and what to write."""
    for arguments, message in [
        ((1, work.total), "name must be a str"),
        (("a", 1), "function of unit 'a' must be callable"),
        (("a", work.total, 5), r"args of unit 'a' must be a tuple, got 5; write \(value,\)"),
        (("a", work.total, (), "b"), "needs of unit 'a' must be a tuple of names, got 'b'"),
        (("a", work.total, (), (), 3), "kwargs of unit 'a' must be a mapping, got 3"),
    ]:
        with pytest.raises(TypeError, match=message):
            Unit(*arguments)
    with pytest.raises(ValueError, match="name is empty"):
        Unit("", work.total)
    with pytest.raises(TypeError, match="units must be an iterable of Unit, got int"):
        Partitioner(EventBus(), threads).run(7)
    with pytest.raises(TypeError, match="done must be a mapping of names to results, got list"):
        Partitioner(EventBus(), threads).run([], done=[1])
    with pytest.raises(TypeError, match="executor must be a concurrent.futures.Executor"):
        Partitioner(EventBus(), None)
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        Partitioner(None, threads)
    with pytest.raises(ValueError, match="parts must be an int of 1 or more"):
        split([1], 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 8))
def test_split_loses_nothing_and_is_even(items, parts):
    """Parts are the items in order, and differ by one at most."""
    got = split(items, parts)
    assert [one for part in got for one in part] == items
    assert len(got) == min(parts, len(items))
    lengths = {len(part) for part in got}
    assert lengths == set() or max(lengths) - min(lengths) <= 1


def test_map_and_reduce(pool):
    """Split, work in processes, combine: the sum of a thousand numbers."""
    bus = EventBus()
    run = Partitioner(bus, pool).run(map_reduce(work.total, range(1000), 4, work.total))
    assert run.results["combined"] == 499500
    assert len(run.results) == 5


graphs = st.integers(1, 9).flatmap(
    lambda size: st.tuples(*(st.sets(st.integers(0, place - 1)) if place else st.just(set()) for place in range(size)))
)


@settings(max_examples=25, deadline=None)
@given(graphs, st.randoms(use_true_random=False))
def test_any_graph_runs_in_an_allowed_order(graph, chance):
    """Whatever needs whatever, in whatever order it is given, recorded events show no violation."""
    units = [
        Unit(str(place), lambda *needed, place=place: (place, needed), needs=tuple(map(str, sorted(needs))))
        for place, needs in enumerate(graph)
    ]
    chance.shuffle(units)
    bus = EventBus()
    with ThreadPoolExecutor(3) as executor:
        run = Partitioner(bus, executor).run(units)
    assert order_violations(bus) == []
    for unit in units:
        assert run.results[unit.name] == (int(unit.name), tuple(run.results[need] for need in unit.needs))


def recorded(threads):
    return list(Partitioner(EventBus(), threads).run(DIAMOND).events)


def by_unit(events, kind, unit):
    return next(place for place, event in enumerate(events) if event.type is kind and event.data.unit == unit)


def renumbered(events):
    return [event.replace(seq=place) for place, event in enumerate(events, start=1)]


def test_every_broken_constraint_is_found(threads):
    """Events that were tampered with show each kind of violation."""
    done, sent = EventType.TASK_COMPLETED, EventType.TASK_SUBMITTED
    events = recorded(threads)
    assert order_violations(events) == []
    assert order_violations(to_frame(events)) == []
    early = list(events)
    early.insert(0, early.pop(by_unit(events, sent, "all")))
    assert {(one.unit, one.rule) for one in order_violations(renumbered(early))} == {("all", "need")}
    assert [one.rule for one in order_violations(events, order=[("all", "load")])] == ["order"]
    assert order_violations(events, order=[("load", "all")]) == []
    place = by_unit(events, done, "low")
    without = events[:place] + events[place + 1 :]
    assert {str(one) for one in order_violations(renumbered(without))} >= {"low: was submitted and never completed"}
    twice = [*events, events[place]]
    assert [one.rule for one in order_violations(renumbered(twice))] == ["completion"]
    orphan = [*events[:place], events[place].replace(parent_id=None), *events[place + 1 :]]
    assert "cause" in {one.rule for one in order_violations(orphan)}
    last = by_unit(events, done, "all")
    data = events[last].data
    hasty = type(data)(**{name: getattr(data, name) for name in data.__struct_fields__} | {"started": data.started - 9})
    tampered = [*events[:last], events[last].replace(data=hasty), *events[last + 1 :]]
    assert {one.rule for one in order_violations(tampered)} == {"clock"}
    first = by_unit(events, done, "load")
    swapped = [events[first], *events[:first], *events[first + 1 :]]
    assert "was completed before it was submitted" in str(order_violations(renumbered(swapped))[0])


def test_speed_up_is_measured_against_what_is_possible():
    """Waiting in parallel is faster than one after another, and never faster than the critical path."""
    units = [Unit(f"wait-{n}", work.wait_for, (0.03,)) for n in range(4)]
    units.append(Unit("end", work.wait_for, (0.03,), needs=tuple(unit.name for unit in units)))
    runs = {}
    for workers in (1, 4):
        with ThreadPoolExecutor(workers) as executor:
            runs[workers] = Partitioner(EventBus(), executor).run(units)
    table = speedup_table(runs)
    assert table["workers"].tolist() == [1, 4]
    assert table["speedup"].iloc[0] == 1
    assert table["speedup"].iloc[1] > 1
    assert (table["speedup"] <= table["ceiling"]).all()
    assert table["ceiling"].iloc[0] == pytest.approx(runs[1].seconds / table["critical"].min())
    assert (table["seconds"] >= table["critical"]).all()
    assert len(runs[4].critical_path) == 2
    with pytest.raises(ValueError, match="must hold one with 1 worker"):
        speedup_table({4: runs[4]})


def test_the_table_of_a_run(threads):
    """One row per unit, also for what did not come back."""
    run = Partitioner(EventBus(), threads).run(DIAMOND)
    table = run.frame()
    assert table["unit"].tolist()[0] == "load"
    assert (table["started"] <= table["ended"]).all()
    assert table["outcome"].tolist() == ["ok"] * 4
    assert set(table.loc[table["critical"], "unit"]) == set(run.critical_path)
    open_ended = task_table(run.events[:1])
    assert open_ended["outcome"].isna().all()
    assert list(task_table([])) == list(table)


def test_a_clock_of_ones_own_times_the_events(threads):
    """On a bus in a time of its own, events of partitions are in that time too."""
    ticks = iter(range(100, 200))
    bus = EventBus(clock=ticks.__next__)
    Partitioner(bus, threads, clock=ticks.__next__).run(DIAMOND)
    times = [event.timestamp for event in bus.history]
    assert times == sorted(times)
    assert times[0] >= 100
    assert times[-1] < 200


def test_handlers_see_events_while_work_goes_on(threads):
    """A completion is on the bus before the last unit began, not only at the end."""
    bus, gate = EventBus(), threading.Event()
    bus.subscribe(EventType.TASK_COMPLETED, lambda event: gate.set() if event.data.unit == "quick" else None)
    run = Partitioner(bus, threads).run([Unit("quick", work.total, (1,)), Unit("slow", gate.wait, (60,))])
    assert run.results == {"quick": 1, "slow": True}


def test_a_run_inside_a_handler_is_its_child(threads):
    """Submissions have the event being handled as their cause."""
    bus = EventBus()
    partitioner = Partitioner(bus, threads)
    bus.subscribe(EventType.SYSTEM_INIT, lambda event: partitioner.run([Unit("a", work.total, (1,))]))
    began = bus.publish(EventType.SYSTEM_INIT)
    assert bus.history["TASK_SUBMITTED"][0].parent_id == began
