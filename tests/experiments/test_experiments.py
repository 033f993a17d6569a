"""throughput and latency: what is set up, what is measured, what the frame says, and what is left behind."""

from __future__ import annotations

import gc
import json
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

import blinker
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from atlas_lab import EventBus, EventType, concat_frames, latency, read_parquet, throughput, write_parquet
from atlas_lab.experiments import Configuration, publisher

CONFIGURATION = {
    "run": "category",
    "system": "category",
    "handlers": "int32",
    "middleware": "int32",
    "threads": "int32",
    "scopes": "int32",
    "payload_bytes": "int32",
}
STAMP = {
    "load": "float64",
    "seed": "int64",
    "date": "datetime64[ns, UTC]",
    "machine": "category",
    "versions": "category",
}
THROUGHPUT = {
    **CONFIGURATION,
    "round": "int32",
    "events": "int64",
    "seconds": "float64",
    "ns_per_event": "float64",
    "events_per_s": "float64",
    **STAMP,
}
LATENCY = {
    **CONFIGURATION,
    "rate": "float64",
    "round": "int32",
    "event": "int64",
    "intended": "float64",
    "latency_ns": "int64",
    "service_ns": "int64",
    "share": "float64",
    **STAMP,
}
FACTORS = ["handlers", "middleware", "threads", "scopes", "payload_bytes"]

quick = partial(throughput, rounds=2, block=0.0005, progress=False)
brief = partial(latency, rates=2000, seconds=0.02, rounds=2, progress=False)


def nothing(configuration):
    return lambda: None


def blinker_send(configuration):
    signal = blinker.Signal()
    for _ in range(configuration.handlers):
        signal.connect(lambda event: None, weak=False)
    return partial(signal.send, "event")


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """However an experiment ends: no thread, and the collector as it was."""
    before, collecting, frozen = {*threading.enumerate()}, gc.isenabled(), gc.get_freeze_count()
    yield
    assert {*threading.enumerate()} <= before
    assert gc.isenabled() == collecting
    assert bool(frozen) == bool(gc.get_freeze_count()) and gc.get_freeze_count() <= frozen  # what was frozen may die


def test_throughput_has_a_row_per_round_and_configuration():
    """Every combination of every factor is measured in every round, for each system, and nothing else."""
    frame = quick(
        handlers=(0, 2), middleware=[0, 1], threads=(1, 2), scopes=1, payload_bytes=(0, 9), against={"none": nothing}
    )
    assert dtypes(frame) == THROUGHPUT
    assert len(frame) == 2 * 16 * 2
    assert (frame.groupby(["round", "system", *FACTORS], observed=True).size() == 1).all()
    assert set(frame["scopes"]) == {1}
    assert frame["system"].cat.categories.tolist() == ["atlas_lab", "none"]


def test_costs_follow_from_events_and_seconds():
    """What is derived agrees with what was measured."""
    frame = quick(handlers=(1, 10))
    assert (frame["events"] > 0).all()
    assert (frame["ns_per_event"] == frame["seconds"] / frame["events"] * 1e9).all()
    assert (frame["events_per_s"] == frame["events"] / frame["seconds"]).all()


def test_rows_come_in_the_order_measured_which_the_seed_decides():
    """An experiment can be run again as it was, and what one configuration does to the next can be looked for."""

    def order(seed):
        return quick(nothing, handlers=range(20), seed=seed)[["round", "handlers"]].to_numpy().tolist()

    assert order(5) == order(5)
    assert order(5) != order(6)
    assert order(5) != sorted(order(5))


def test_latency_has_a_row_per_event():
    """Every event that was due is there, in order, with when it was due and how long it took from then."""
    frame = brief(rates=(500, 2000), arrivals="uniform", handlers=(1, 2))
    assert dtypes(frame) == LATENCY
    sizes = frame.groupby(["round", "rate", "handlers"]).size()
    assert sizes.xs(500, level="rate").tolist() == [10] * 4
    assert sizes.xs(2000, level="rate").tolist() == [40] * 4
    for _, block in frame.groupby(["round", "rate", "handlers"]):
        assert block["event"].tolist() == list(range(len(block)))
        assert block["intended"].is_monotonic_increasing
    assert frame["intended"].between(0, 0.02, inclusive="left").all()
    assert (frame["latency_ns"] >= frame["service_ns"]).all()
    assert (frame["service_ns"] > 0).all()
    assert (frame["share"] == 1).all()


def test_a_system_that_is_too_slow_makes_events_wait():
    """Each event takes 2 ms and one is due every ms: the 50th is done 50 ms late, though service stays short."""

    def slow(configuration):
        def publish():
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass

        return publish

    frame = brief(slow, rates=1000, seconds=0.05, arrivals="uniform", rounds=1)
    assert frame["latency_ns"].iloc[-1] >= 50 * 2_000_000 - 50_000_000
    assert frame["latency_ns"].iloc[-1] > 10 * frame["service_ns"].median()


def test_of_too_many_events_a_sample_is_kept_and_said_so():
    """The frame stays small, the sample is spread over the block, and the seed decides it."""
    frame = brief(nothing, rates=10_000, arrivals="uniform", keep=50)
    assert frame.groupby("round").size().tolist() == [50, 50]
    assert frame["share"].unique().tolist() == [0.25]
    assert frame["event"].max() > 150
    again = brief(nothing, rates=10_000, arrivals="uniform", keep=50)
    assert frame["event"].tolist() == again["event"].tolist()
    assert frame["intended"].tolist() == again["intended"].tolist()


@pytest.mark.parametrize("experiment", [quick, brief])
def test_a_run_says_where_and_on_what_it_ran(experiment):
    """A number without its machine is worth nothing; what is told survives concat and files."""
    frames = [
        experiment(handlers=1, seed=seed, run=run, packages=["pandas", "no-such-package"])
        for seed, run in enumerate(["before", "after"])
    ]
    for seed, (frame, run) in enumerate(zip(frames, ["before", "after"], strict=True)):
        stamp = frame.attrs["stamp"]
        assert (stamp["run"], stamp["seed"]) == (run, seed)
        assert stamp["versions"]["pandas"] == pd.__version__
        assert stamp["versions"]["no-such-package"] is None
        assert json.loads(json.dumps(stamp)) == stamp
        assert set(frame["run"]) == {run}
        assert set(frame["seed"]) == {seed}
        assert set(frame["machine"]) == {stamp["machine"]}
        assert sys.version.split()[0] in stamp["machine"]
        assert f"blinker {version('blinker')}, " in frame["versions"].iloc[0]
        assert set(frame["date"]) == {pd.Timestamp(stamp["date"])}
    both = concat_frames(frames)
    assert dtypes(both) == dtypes(frames[0])
    assert both["run"].cat.categories.tolist() == ["after", "before"]
    assert both.groupby("run", observed=True)["seed"].unique().map(list).to_dict() == {"before": [0], "after": [1]}


def test_a_run_survives_parquet(tmp_path):
    """Measured today and compared next year."""
    frame = quick(handlers=1)
    write_parquet(frame, tmp_path / "run.parquet")
    assert_frame_equal(read_parquet(tmp_path / "run.parquet"), frame)


def test_runs_have_names_that_differ():
    """Two runs under one another can be told apart although nobody named them."""
    first, second = quick(nothing, handlers=1), quick(nothing, handlers=1)
    assert first["run"].iloc[0] != second["run"].iloc[0]


def test_the_publisher_sets_up_what_the_configuration_says():
    """What is measured as ten handlers and two scopes is just that."""
    bus = EventBus(name="run")
    with publisher(Configuration(handlers=10, middleware=3, scopes=2, payload_bytes=7), bus) as publish:
        publish()
        assert bus.history[-1].scope == "run/level-1/level-2"
        assert len(bus.history[-1].data.encode()) == 7
        (middle,) = bus.scopes
        (inner,) = middle.scopes
        assert [entry.stats.passed for entry in inner.middleware] == [1, 1, 1]
        assert inner.stats().calls == 10
        assert len({subscription.handler_name for subscription in inner.subscriptions()}) == 1
    assert bus.closed
    assert inner.closed
    with publisher(Configuration(handlers=0)) as publish:
        publish()


def test_a_bus_of_ones_own_can_be_set_up():
    """To measure what an option costs, one changes the bus and leaves the rest to the publisher."""
    buses = []

    def queued(configuration):
        buses.append(EventBus(nested="queued"))
        return publisher(configuration, buses[-1])

    frame = quick(against={"queued": queued}, handlers=(1, 2))
    assert [(bus.closed, bus.stats().accepted > 0) for bus in buses] == [(True, True)] * 2
    assert frame["system"].cat.categories.tolist() == ["atlas_lab", "queued"]


@pytest.mark.parametrize("experiment", [quick, brief])
@pytest.mark.parametrize("fails", [False, True])
def test_systems_are_taken_down_however_it_ends(experiment, fails):
    """A connection, a thread pool or a server of somebody's system does not outlive the experiment."""
    up = []

    @contextmanager
    def system(configuration):
        up.append(configuration)
        calls = iter(range(20 if fails else 10**9))
        try:
            yield lambda: None if next(calls, None) is not None else 1 / 0
        finally:
            up.remove(configuration)

    if fails:
        with pytest.raises(ZeroDivisionError):
            experiment(system, handlers=(1, 2))
    else:
        experiment(system, handlers=(1, 2))
    assert up == []


def test_a_system_may_leave_configurations_out():
    """Blinker knows no middleware, and a row of it with five entries would compare what is not alike."""

    def plain(configuration):
        return NotImplemented if configuration.middleware else blinker_send(configuration)

    frame = quick(against={"blinker": plain}, handlers=1, middleware=(0, 5))
    measured = frame.groupby(["system", "middleware"], observed=True).size()
    assert measured.to_dict() == {("atlas_lab", 0): 2, ("atlas_lab", 5): 2, ("blinker", 0): 2}
    with pytest.raises(ValueError, match="none of plain can be set up"):
        quick(plain, middleware=5)


def test_threads_share_what_make_returns():
    """A system is called from as many threads as the configuration says, and the caller's is one of one only."""
    seen = {}

    def make(configuration):
        idents = seen.setdefault(configuration.threads, set())
        return lambda: idents.add(threading.current_thread().name)

    quick(make, threads=(1, 3), handlers=1)
    here = threading.current_thread().name
    assert seen[1] == {here}
    assert len(seen[3] - {here}) == 3


def fails_at_once(configuration):
    return lambda: 1 / 0


def fails_later(configuration):
    calls = iter(range(50))
    return lambda: next(calls, None) is None and 1 / 0


def cannot_be_made(configuration):
    return 1 / 0


@pytest.mark.parametrize("experiment", [quick, brief])
@pytest.mark.parametrize("make", [fails_at_once, fails_later, cannot_be_made])
def test_an_error_names_system_and_configuration(experiment, make):
    """The traceback shows the system's code, and the note under it which of a hundred set-ups it was."""
    with pytest.raises(ZeroDivisionError) as raised:
        experiment(make, handlers=3)
    (note,) = raised.value.__notes__
    assert f"{make.__name__!r} with handlers=3, middleware=0, threads=1, scopes=0, payload_bytes=0" in note


async def publish_sometime():
    """Nothing is published until somebody awaits it."""


def forget_to_wait():
    return publish_sometime()


@pytest.mark.parametrize("returned", [publish_sometime, forget_to_wait])
def test_async_publishers_are_refused(returned):
    """Calling one only makes a coroutine, which would seem to be a very fast publish."""
    with pytest.raises(TypeError, match="must not be async") as raised:
        quick(lambda configuration: returned, handlers=2)
    assert "handlers=2" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"make": 3}, TypeError, "make must be callable with a Configuration"),
        ({"make": lambda configuration: 3}, TypeError, "what make returns must be callable without arguments"),
        ({"make": lambda configuration: None}, TypeError, "what make returns must be callable without arguments"),
        ({"against": [nothing]}, TypeError, "against must be a mapping"),
        ({"against": {"other": 3}}, TypeError, r"against\['other'\] must be callable"),
        ({"against": {3: nothing}}, TypeError, "the names in against must be text"),
        ({"against": {"atlas_lab": nothing}}, ValueError, "against must not name a system 'atlas_lab'"),
        ({"rounds": 0}, ValueError, "rounds must be 1 or more, got 0"),
        ({"rounds": 2.5}, TypeError, "rounds must be an int"),
        ({"handlers": ()}, ValueError, "handlers must hold at least one value"),
        ({"handlers": -1}, ValueError, "handlers must be 0 or more, got -1"),
        ({"handlers": (1, 1)}, ValueError, "handlers must hold each value once"),
        ({"handlers": "10"}, TypeError, "handlers must be an int of 0 or more, or several"),
        ({"middleware": (0, True)}, TypeError, "middleware must be an int"),
        ({"scopes": None}, TypeError, "scopes must be an int"),
        ({"payload_bytes": 1.5}, TypeError, "payload_bytes must be an int"),
        ({"seed": "a"}, TypeError, "seed must be an int"),
        ({"seed": -1}, ValueError, "seed must be 0 or more"),
        ({"run": 3}, TypeError, "run must be a str"),
        ({"packages": "pandas"}, TypeError, "packages must be several names"),
    ],
)
@pytest.mark.parametrize("experiment", [quick, brief])
def test_wrong_settings_are_told(experiment, arguments, error, message):
    """Before anything is measured, by the name of the argument."""
    with pytest.raises(error, match=message):
        experiment(**arguments)


@pytest.mark.parametrize(
    "experiment, arguments, error, message",
    [
        (throughput, {"threads": (0, 1)}, ValueError, "threads must be 1 or more, got 0"),
        (throughput, {"block": 0}, ValueError, "block must be a number above 0, got 0"),
        (throughput, {"block": float("nan")}, ValueError, "block must be a number above 0, got nan"),
        (throughput, {"block": "1"}, TypeError, "block must be a number above 0"),
        (latency, {"seconds": float("inf")}, ValueError, "seconds must be a number above 0, got inf"),
        (latency, {"rates": ()}, ValueError, "rates must hold at least one value"),
        (latency, {"rates": (5, 5)}, ValueError, "rates must hold at least one value, and each once"),
        (latency, {"rates": (0, 5)}, ValueError, "rates must be a number above 0, got 0"),
        (latency, {"rates": "fast"}, TypeError, "rates must be a number above 0"),
        (latency, {"rates": 3, "seconds": 0.1}, ValueError, "rates must bring an event within 0.1 seconds"),
        (latency, {"keep": 0}, ValueError, "keep must be 1 or more"),
        (latency, {"arrivals": "regular"}, ValueError, "arrivals must be 'poisson' or 'uniform'"),
    ],
)
def test_wrong_settings_of_one_experiment_are_told(experiment, arguments, error, message):
    """As above."""
    with pytest.raises(error, match=message):
        experiment(**arguments)


def interrupting_at(number):
    """Make a system whose call of that number is interrupted, as by the stop button."""

    def make(configuration):
        calls = iter(range(1, 10**9))

        def publish():
            if next(calls) == number:
                signal.raise_signal(signal.SIGINT)
            time.sleep(0.0001)

        return publish

    return make


@pytest.mark.parametrize("experiment", [quick, brief])
def test_an_interrupt_gives_back_the_rounds_that_were_complete(experiment):
    """An hour of measuring is not lost because somebody needs the machine."""
    with pytest.warns(RuntimeWarning, match=r"rounds that were complete, \d+ of 100000") as caught:
        frame = experiment(interrupting_at(500), handlers=(1, 2), rounds=100_000)
    assert caught[0].filename == __file__
    rounds = frame["round"].max() + 1
    assert 0 < rounds < 100_000
    assert set(frame.groupby("round")["handlers"].nunique()) == {2}
    assert f" {rounds} of " in str(caught[0].message)


@pytest.mark.parametrize("experiment", [quick, brief])
def test_an_interrupt_before_the_first_round_is_raised(experiment):
    """There is nothing to give back, and a notebook that is stopped stops."""
    with pytest.raises(KeyboardInterrupt):
        experiment(interrupting_at(2), handlers=(1, 2))


def test_the_collector_runs_in_blocks_if_asked_to():
    """What a collection costs in a program that nobody measures can be seen."""
    states = set()
    quick(lambda configuration: lambda: states.add(gc.isenabled()), handlers=1, rounds=1, collecting=True)
    assert True in states


def test_measuring_ours_runs_the_events_through_the_bus():
    """What is timed is the whole publish: each event of a block is accepted, and reaches each handler."""
    bus = EventBus()
    quick(lambda configuration: publisher(configuration, bus), handlers=3)
    stats = bus.stats()
    assert stats.by_type == {EventType.STREAM_CHUNK.name: stats.accepted}
    assert stats.calls == 3 * stats.accepted > 0
