"""Core services: what they tell of a process and a bus, and that they tell its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import matplotlib as mpl
import pandas as pd
import psutil
import pytest
from matplotlib.figure import Figure

from atlas_lab import EventBus, EventType, describe, to_frame
from atlas_lab.atlas import CoreServices, SystemMetric, plot_services, service_health, service_metrics
from atlas_lab.testing.contract.workers import PATIENCE


@pytest.fixture
def bus():
    return EventBus(history_limit=None)


@pytest.fixture
def no_threads_left():
    before = set(threading.enumerate())
    yield
    assert {one for one in threading.enumerate() if "services" in one.name} <= before


def frame(bus):
    return to_frame(bus, data="expand")


def test_a_round_tells_health_and_numbers_that_are_true(bus):
    """The counts of the bus are those that it gives, and the process is this one."""
    bus.subscribe(EventType.AGENT_STARTED, lambda event: None)
    services = CoreServices(bus, checks={"disk": lambda: "roomy"})
    for _ in range(3):
        bus.publish(EventType.AGENT_STARTED)
    bus.publish(EventType.AGENT_STOPPED)
    health, metrics = services.sample()
    value = {metric.metric: metric.value for metric in metrics}
    assert (value["bus.accepted"], value["bus.calls"], value["bus.dead_letters"], value["bus.kept"]) == (4, 3, 1, 4)
    assert value["process.memory"] > 1e6
    assert value["process.threads"] >= threading.active_count() > 0
    assert [(one.check, one.healthy, one.detail) for one in health] == [("disk", True, "roomy")]
    told = [event.data for event in bus.history if event.type.name.startswith("SYSTEM")]
    assert told == [*health, *metrics]
    assert value["bus.rate"] > 0


def test_rounds_come_by_themselves_until_it_is_closed(bus, no_threads_left):
    """On an interval, between SYSTEM_INIT and SYSTEM_SHUTDOWN, which are told once."""
    third = threading.Event()
    bus.subscribe(EventType.SYSTEM_METRIC, lambda event: event.data.tick == 3 and third.set())
    services = CoreServices(bus, interval=0.01, name="test").start()
    assert services.start() is services
    assert third.wait(PATIENCE)
    services.close()
    services.close()
    events = list(bus.history)
    assert [event.type for event in (events[0], events[-1])] == [EventType.SYSTEM_INIT, EventType.SYSTEM_SHUTDOWN]
    assert len([event for event in events if event.type in {EventType.SYSTEM_INIT, EventType.SYSTEM_SHUTDOWN}]) == 2
    init, end = events[0].data, events[-1].data
    assert (init.name, init.pid, init.python) == ("test", os.getpid(), sys.version.split()[0])
    assert (end.reason, end.ticks >= 3, end.uptime > 0) == ("closed", True, True)
    for call in (services.start, services.sample):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_a_check_that_fails_and_a_metric_that_fails_are_told(bus):
    """False, an error, and a number that cannot be measured: each is a check that is not healthy, and the rest goes on."""
    services = CoreServices(bus, checks={"no": lambda: False, "broken": lambda: 1 / 0, "yes": lambda: None})
    services.add_metric("queue", lambda: 7, "jobs")
    services.add_metric("lost", lambda: {}["x"])
    health, metrics = services.sample()
    assert {one.check: (one.healthy, one.detail) for one in health} == {
        "no": (False, ""),
        "broken": (False, "ZeroDivisionError: division by zero"),
        "yes": (True, ""),
        "metric lost": (False, "KeyError: 'x'"),
    }
    assert SystemMetric("queue", 7.0, "jobs", 1) in metrics


def test_a_check_that_exits_the_interpreter_has_failed(bus):
    """It does not look like one that hangs, and is asked again."""
    services = CoreServices(bus, checks={"quits": lambda: sys.exit(3)})
    assert [services.sample()[0][0].detail for _ in range(2)] == ["SystemExit: 3"] * 2


@pytest.mark.parametrize("refused", ["memory_info", "__init__"])
def test_numbers_that_the_system_refuses_are_told_and_the_others_come(bus, monkeypatch, refused):
    """In a sandbox, not even the process may be looked at; the bus still can."""

    def refuse(*_):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, refused, refuse)
    health, metrics = CoreServices(bus).sample()
    told = {one.check: (one.healthy, one.detail.split(":")[0]) for one in health}
    measured = {metric.metric for metric in metrics}
    assert told["metric process.memory"] == (False, "AccessDenied")
    assert ("process.threads" in measured) is (refused == "memory_info")
    assert "bus.accepted" in measured


def test_two_services_on_a_bus_can_be_told_apart(bus):
    """By the source of their events."""
    with CoreServices(bus, name="one") as one, CoreServices(bus, name="two"):
        one.sample()
    starts = [(event.source, event.data.name) for event in bus.history["SYSTEM_INIT"]]
    assert starts == [("one", "one"), ("two", "two")]
    events = frame(bus)
    assert set(service_metrics(events[events["source"] == "two"])["tick"]) <= {1}


def test_a_check_that_hangs_is_not_healthy_and_holds_up_nothing(bus, no_threads_left):
    """It is reported each round, called once, and well again when it comes back."""
    go, calls = threading.Event(), []

    def hang():
        calls.append(1)
        go.wait(PATIENCE)
        return "back"

    services = CoreServices(bus, checks={"slow": hang, "quick": lambda: "fine"}, check_timeout=1)
    for _ in range(2):
        health = {one.check: one for one in services.sample()[0]}
        assert (health["slow"].healthy, health["slow"].detail[:9], health["quick"].detail) == (
            False,
            "no answer",
            "fine",
        )
    assert calls == [1]
    go.set()
    services._running["slow"]._thread.join(PATIENCE)
    health = {one.check: one for one in services.sample()[0]}
    assert health["slow"].detail == "back"


def test_closing_does_not_wait_for_a_check_that_hangs(bus, no_threads_left):
    """And nothing is told after the shutdown."""
    go, begun = threading.Event(), threading.Event()

    def hang():
        begun.set()
        go.wait(PATIENCE)

    services = CoreServices(bus, checks={"slow": hang}, check_timeout=PATIENCE).start()
    assert begun.wait(PATIENCE)
    services.close()
    go.set()
    assert [event.type.name for event in bus.history] == ["SYSTEM_INIT", "SYSTEM_SHUTDOWN"]


def test_a_handler_may_close_it_and_a_closed_bus_ends_it(bus, no_threads_left):
    """Neither waits for itself, nor prints from a thread that nobody reads."""
    services = CoreServices(bus, interval=0.01)
    ended = threading.Event()
    bus.subscribe(EventType.SYSTEM_SHUTDOWN, lambda event: ended.set())
    bus.subscribe(EventType.SYSTEM_METRIC, lambda event: services.close("enough"))
    services.start()
    assert ended.wait(PATIENCE)
    services._thread.join(PATIENCE)
    other = EventBus()
    late = CoreServices(other, interval=0.01).start()
    other.close()
    late._thread.join(PATIENCE)
    assert not late._thread.is_alive()
    late.close()


def test_an_error_in_the_block_is_the_reason(bus):
    """Whoever reads the log sees that it did not end as it should."""
    with pytest.raises(ValueError, match="x"), CoreServices(bus):
        raise ValueError("x")
    assert bus.history[-1].data.reason == "error: ValueError"


def test_the_start_has_its_cause_and_so_have_the_rounds(bus):
    """Also those in the thread."""
    first = threading.Event()
    made = []
    bus.subscribe(EventType.SYSTEM_METRIC, lambda event: first.set())
    bus.subscribe(EventType.AGENT_STARTED, lambda event: made.append(CoreServices(bus, interval=9).start()))
    cause = bus.publish(EventType.AGENT_STARTED)
    assert first.wait(PATIENCE)
    made[0].close()
    assert bus.history["SYSTEM_INIT"][0].parent_id == bus.history["SYSTEM_METRIC"][0].parent_id == cause


@pytest.mark.parametrize(
    "ending, code",
    [("", 0), ("sys.exit(3)", 3), ("raise SystemExit", 0), ("1/0", 1), ("threading.Timer(0.2, print).start()", 0)],
    ids=["end", "exit", "SystemExit", "error", "a thread that goes on"],
)
def test_the_end_of_the_interpreter_is_told(tmp_path, ending, code):
    """A handler still gets SYSTEM_SHUTDOWN, once, and can write it down: however the program ended."""
    log = tmp_path / "log"
    program = f"""
import sys, threading
from atlas_lab import EventBus, EventType
from atlas_lab.atlas import CoreServices
bus = EventBus()
def write(event):
    with open({str(log)!r}, "a") as file:
        print(event.type.name, getattr(event.data, "reason", ""), file=file)
bus.subscribe([EventType.SYSTEM_INIT, EventType.SYSTEM_SHUTDOWN], write)
services = CoreServices(bus, interval=0.01).start()
{ending}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert log.read_text().split() == ["SYSTEM_INIT", "SYSTEM_SHUTDOWN", "exit"]
    assert "services.py" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_does_not_tell_the_end_of_its_parent(tmp_path):
    """A child that exits is not the process that was started."""
    program = """
import os, sys
from atlas_lab import EventBus, EventType
from atlas_lab.atlas import CoreServices
bus = EventBus()
bus.subscribe(EventType.SYSTEM_SHUTDOWN, lambda event: print("end", event.data.reason, flush=True))
CoreServices(bus, interval=60).start()
child = os.fork()
if child:
    os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("end exit\n", 0)


@pytest.mark.parametrize(
    "wrong, problem",
    [
        ({"interval": 0}, "interval must be"),
        ({"interval": "1"}, "interval must be a number of seconds, got str"),
        ({"check_timeout": -1}, "check_timeout must be"),
        ({"checks": {"x": 7}}, "function must be callable"),
        ({"name": 7}, "name must be"),
        ({"checks": [len]}, "checks must be a mapping of names to callables"),
    ],
)
def test_wrong_arguments_are_refused(bus, wrong, problem):
    """With the argument's name."""
    with pytest.raises((TypeError, ValueError), match=problem):
        CoreServices(bus, **wrong)


# -- tables and plot


@pytest.fixture
def watched(bus):
    """A bus with ten rounds; one check failed twice."""
    clock = iter(range(1000))
    bus = EventBus(history_limit=None, clock=lambda: 1_700_000_000 + next(clock) * 0.5)
    answers = iter([None, False, None, None, False, None, None, None, None, None])
    services = CoreServices(bus, checks={"disk": lambda: True, "model": lambda: next(answers)})
    jobs = iter([5.0, 3.0, 8.0, 1.0, 0.0, 2.0, 2.0, 4.0, 9.0, 7.0])
    services.add_metric("jobs", lambda: next(jobs), "jobs")
    for _ in range(10):
        services.sample()
    return bus


def test_tables_say_what_the_events_say(watched):
    """Numbers by metric and round, and availability by check."""
    metrics = service_metrics(frame(watched))
    jobs = metrics[metrics["metric"] == "jobs"]
    assert jobs["value"].tolist() == [5, 3, 8, 1, 0, 2, 2, 4, 9, 7]
    assert jobs["tick"].tolist() == list(range(1, 11))
    assert list(map(str, metrics.dtypes)) == ["datetime64[ns, UTC]", "int64", "category", "float64", "category"]
    health = service_health(frame(watched)).set_index("check")
    assert health.loc["model", ["checked", "failed", "availability", "last"]].tolist() == [10, 2, 0.8, True]
    assert health.loc["disk", ["checked", "failed", "availability", "last"]].tolist() == [10, 0, 1.0, True]
    failures = [event for event in watched.history["SYSTEM_HEALTH"] if not event.data.healthy]
    assert health.loc["model", "last_failure"] == pd.Timestamp(failures[-1].timestamp, unit="s", tz="UTC")


def test_tables_of_nothing_have_the_same_columns(bus, watched):
    """What is computed from them does not break on a quiet day."""
    for table in (service_metrics, service_health):
        empty, full = table(frame(bus)), table(frame(watched))
        assert len(empty) == 0
        assert {name: str(kind) for name, kind in empty.dtypes.items()} == {
            name: str(kind) for name, kind in full.dtypes.items()
        }


def test_a_frame_that_lacks_the_payloads_says_what_to_pass(watched):
    """The usual mistake is to forget data="expand"."""
    for function in (service_metrics, service_health, plot_services):
        with pytest.raises(ValueError, match='data="expand"'):
            function(to_frame(watched))
        with pytest.raises(TypeError, match="must be a DataFrame"):
            function(watched)


def test_the_plot_shows_the_tables_and_says_it_in_words(watched):
    """A row for each check and metric; failures have a shape of their own; the words hold the counts."""
    ax = plot_services(frame(watched), ax=Figure(figsize=(8, 5)).subplots())
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows[:2] == ["model", "disk"]
    assert "process.memory" in rows
    assert "bus.errors" not in rows
    assert "0 throughout" in ax.get_xlabel()
    assert rows[-1] == "jobs"
    failed = [line for line in ax.lines if line.get_marker() == "X" and len(line.get_xdata())]
    assert [(len(line.get_xdata()), set(line.get_ydata())) for line in failed] == [(2, {0})]
    notes = [text.get_text() for text in ax.texts]
    assert notes[:2] == ["failed 2 of 10", "well 10 times"]
    assert notes[-1] == "7 jobs (0 to 9)"
    jobs = [line for line in ax.lines if len(line.get_xdata()) == 10][-1].get_ydata()
    assert jobs[8] == min(jobs)
    assert describe(ax) == "10 rounds; 2 of 20 checks failed, most often model (2); 13 metrics."


@pytest.mark.parametrize("name", ["$\\frac{$", "two\nlines", "x" * 300, "", "\u202eevil"])
def test_names_cannot_break_the_plot(bus, name):
    """Names come from anywhere."""
    services = CoreServices(bus, checks={name: lambda: name})
    services.add_metric(name, lambda: 1.0, name)
    services.sample()
    figure = Figure(figsize=(8, 5))
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        plot_services(frame(bus), ax=figure.subplots())
        figure.canvas.draw()


def test_a_plot_of_nothing_says_so(bus):
    """It does not raise, and does not look like a healthy system."""
    ax = plot_services(frame(bus), ax=Figure().subplots())
    assert "no health" in ax.texts[0].get_text()
