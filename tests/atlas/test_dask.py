"""Workflows and partitions on a real cluster of dask.distributed, one of whose workers is killed."""

from __future__ import annotations

import math
import os
import time

import dask
import pytest
from distributed import Client, LocalCluster

from atlas_lab import EventBus, EventType
from atlas_lab.atlas import Workflow, WorkflowEngine, WorkflowError
from atlas_lab.patterns import DeadWorkerError, Partitioner, Unit


@pytest.fixture(scope="module")
def executor(tmp_path_factory):
    options = {
        "temporary-directory": str(tmp_path_factory.mktemp("dask")),
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.scheduler.allowed-failures": 0,  # a unit is not tried on a second worker
        "logging": {"distributed": "critical"},
    }
    with (
        dask.config.set(options),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        client.get_executor(pure=False) as executor,
    ):
        yield executor


def statuses(bus):
    return [(event.data.node, event.data.status) for event in bus.history["WORKFLOW_NODE_EXITED"]]


def chain(last, **options):
    flow = Workflow("chain", inputs={"n": int})
    flow.add(last, flow.add(math.factorial, "n", name="first"), name="last", **options)
    return flow


def test_a_workflow_runs_on_a_cluster(executor):
    """With its retries, its failures and its timeouts, all told."""
    bus = EventBus(history_limit=None)
    with WorkflowEngine(bus, executor) as engine:
        assert engine.run(chain(math.isqrt), {"n": 4}).results == {"first": 24, "last": 4}
        with pytest.raises(WorkflowError, match="node 'last' .* ValueError: math domain error") as failed:
            engine.run(chain(math.acos, retries=1), {"n": 4})
        assert isinstance(failed.value.__cause__, ValueError)
        with pytest.raises(WorkflowError, match=r"it took longer than 0\.2 s"):
            engine.run(chain(time.sleep, timeout=0.2), {"n": 1})
    first = ("first", "completed")
    assert statuses(bus) == [
        first, ("last", "completed"), first, ("last", "failed"), ("last", "failed"), first, ("last", "timed out"),
    ]  # fmt: skip


def test_a_worker_that_is_killed_loses_nothing_that_was_done(executor):
    """The node is named, an event tells it, and the run is resumed on the same cluster."""
    bus = EventBus(history_limit=None)
    with WorkflowEngine(bus, executor) as engine:
        with pytest.raises(WorkflowError, match=r"node 'last' .* a worker died, .* \(KilledWorker") as failed:
            engine.run(chain(os._exit), {"n": 3})
        assert failed.value.node == "last"
        assert bus.history[-1].type is EventType.WORKFLOW_ERROR
        assert engine.resume(chain(math.sqrt), bus)["last"] == math.sqrt(6)
    assert statuses(bus) == [("first", "completed"), ("last", "failed"), ("last", "completed")]


def test_units_in_the_hands_of_a_worker_that_is_killed_are_told_as_lost(executor):
    """What was done before is kept, and spares it in the next run."""
    bus = EventBus(history_limit=None)
    units = [
        Unit("done", math.factorial, (3,)),
        Unit("deadly", os._exit, needs=("done",)),
        Unit("after", abs, needs=("deadly",)),
    ]
    with pytest.raises(DeadWorkerError, match=r"lost 1 of 3 units: deadly: a worker died: .* Not run: after") as dead:
        Partitioner(bus, executor).run(units)
    assert dead.value.run.results == {"done": 6}
    assert [event.data.outcome for event in bus.history["TASK_COMPLETED"]] == ["ok", "lost"]
    units[1] = Unit("deadly", abs, needs=("done",))
    run = Partitioner(bus, executor).run(units, done=dead.value.run.results)
    assert run.results == {"done": 6, "deadly": 6, "after": 6}
