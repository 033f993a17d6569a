"""A shell in this process, and a kernel of its own: what a notebook runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel
from traitlets.config import Config

from atlas_lab import EventBus, EventType
from atlas_lab.testing.contract.workers import PATIENCE


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """Return an IPython shell that keeps nothing on disk; it ends with the test."""
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    InteractiveShell.clear_instance()
    bus = EventBus()
    bus.publish(EventType.SYSTEM_INIT)
    assert bus.history[0].parent_id is None, "a cell is still the cause of what is published"


class Ran(NamedTuple):
    """What came of a cell: streams by name, data that was shown, an error, and what widgets were told."""

    streams: dict[str, str]
    shown: list[dict[str, Any]]
    error: str | None
    comms: list[dict[str, Any]]


class Kernel:
    """A running kernel, and cells run in it as JupyterLab does, with ids."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.comms: list[dict[str, Any]] = []

    def start(self, code: str, cell: str | None = None) -> str:
        """Have a cell run, and return the id of its message."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {} if cell is None else {"cellId": cell}
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def run(self, code: str, cell: str | None = None, seconds: float = PATIENCE) -> Ran:
        """Run a cell, and return what came of it."""
        return self.finish(self.start(code, cell), seconds)

    def finish(self, request: str, seconds: float = PATIENCE) -> Ran:
        """Wait for a cell, and return what came of it."""
        ran = Ran({}, [], None, [])
        while True:
            message = self.client.get_iopub_msg(timeout=seconds)
            kind, content = message["msg_type"], message["content"]
            if kind.startswith("comm_"):
                self.comms.append(content)
                ran.comms.append(content)
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind == "stream":
                ran.streams[content["name"]] = ran.streams.get(content["name"], "") + content["text"]
            elif kind in {"display_data", "execute_result"}:
                ran.shown.append(content["data"])
            elif kind == "error":
                ran = ran._replace(error=f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return ran

    def outputs(self) -> dict[str, Any]:
        """Return what each open output widget was last told to show, by id."""
        self.run("from tests.notebook.timers import until_shown; until_shown()")
        outputs: dict[str, Any] = {}
        for comm in self.comms:
            state = comm.get("data", {}).get("state", {})
            if state.get("_model_name") == "OutputModel" or comm["comm_id"] in outputs:
                outputs.setdefault(comm["comm_id"], [])
                if "outputs" in state:
                    outputs[comm["comm_id"]] = state["outputs"]
            if comm.get("data") == {} and comm["comm_id"] in outputs and "target_name" not in comm:
                del outputs[comm["comm_id"]]
        return outputs

    def stop(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Return a kernel of this module's own."""
    kernel = Kernel()
    yield kernel
    kernel.stop()
