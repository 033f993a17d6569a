"""A captured handler shows what it prints and raises in its own area, and is the same handler otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import inspect
import io
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass

import nbformat
import pytest
from ipywidgets import Output
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from atlas_lab import Event, EventBus, EventType, HandlerErrors, MissingExtraError, captured, safe_subscribe
from atlas_lab.notebook.capturing import Router
from tests.notebook.timers import until_shown

CHUNK, ERROR = EventType.STREAM_CHUNK, EventType.HANDLER_ERROR

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ipywidgets")


@dataclass
class Chunk:
    text: str


@pytest.fixture
def bus(caplog):
    caplog.set_level(100, "atlas_lab")
    return EventBus()


def shown(output):
    until_shown()
    return "".join(one["text"] if one["output_type"] == "stream" else f"!{one['evalue']}" for one in output.outputs)


def test_what_a_handler_prints_is_shown_in_its_area_alone(bus, capsys):
    """Both streams, from plain functions, lambdas, partials, methods and objects; what others print is not."""

    class Agent:
        def work(self, event):
            print("method", event.data)

        def __call__(self, event):
            print("object", event.data, file=sys.stderr)

    agent = Agent()
    handlers = [
        lambda event: print("lambda", event.data),
        functools.partial(print, "partial"),
        agent.work,
        agent,
    ]
    outputs = [Output() for _ in handlers]
    for handler, output in zip(handlers, outputs, strict=True):
        bus.subscribe(CHUNK, captured(handler, output=output))
    bus.subscribe(CHUNK, lambda event: print("not captured"))
    bus.publish(CHUNK, 7)
    assert [shown(output)[:11] for output in outputs] == ["lambda 7\n", "partial Eve", "method 7\n", "object 7\n"]
    assert outputs[3].outputs[0]["name"] == "stderr"
    assert capsys.readouterr() == ("not captured\n", "")


def test_errors_are_shown_from_the_handler_on_and_go_to_the_bus(bus):
    """The area shows the traceback without our frames; isolation, counts, HANDLER_ERROR and "raise" are as ever."""
    output = Output()

    def fail(event):
        print("before")
        raise ValueError("no <b>")

    wrapped = captured(fail, output=output)
    subscription = bus.subscribe(CHUNK, wrapped)
    bus.publish(CHUNK)
    text, error = output.outputs
    assert text["text"] == "before\n"
    assert (error["ename"], error["evalue"]) == ("ValueError", "no <b>")
    assert error["traceback"][0].startswith("Traceback")
    assert "in fail" in error["traceback"][1]
    assert not any("/capturing.py" in line for line in error["traceback"])
    assert subscription.errors == 1
    assert (bus.history[-1].type, bus.history[-1].data["handler"]) == (ERROR, subscription.handler_name)
    assert bus.history[-1].data["defined_at"].startswith(__file__)
    with pytest.raises(HandlerErrors):
        strict = EventBus(on_error="raise")
        strict.subscribe(CHUNK, wrapped)
        strict.publish(CHUNK)
    safe_subscribe(strict, EventType.STREAM_STARTED, wrapped)
    strict.publish(EventType.STREAM_STARTED)


def test_interrupts_pass(bus):
    """A KeyboardInterrupt is no error of the handler, and leaves the streams as they were."""

    def stop(event):
        raise KeyboardInterrupt

    output, before = Output(), sys.stdout
    bus.subscribe(CHUNK, captured(stop, output=output))
    with pytest.raises(KeyboardInterrupt):
        bus.publish(CHUNK)
    assert output.outputs == ()
    assert sys.stdout is before


def test_a_captured_handler_looks_like_its_handler():
    """Name, place, documentation, parameters and annotations; so typed payloads and re-runs of ``@bus.on`` work."""

    def show(event: Event[Chunk]) -> None:
        """Show it."""

    wrapped = captured(show, output=Output())
    assert (wrapped.__name__, wrapped.__qualname__, wrapped.__module__, wrapped.__doc__) == (
        show.__name__, show.__qualname__, show.__module__, show.__doc__,
    )  # fmt: skip
    assert inspect.signature(wrapped) == inspect.signature(show)
    assert wrapped.__annotations__ == show.__annotations__
    assert inspect.unwrap(wrapped) is show


def test_typed_payloads_arrive_as_their_type(bus):
    """Also for methods, whose first parameter is not the event."""
    outputs = [Output(), Output()]

    class Agent:
        def work(self, event: Event[Chunk]):
            print(event.data.text)

    agent = Agent()

    @bus.on(CHUNK)
    @functools.partial(captured, output=outputs[0])
    def show(event: Event[Chunk]):
        print(event.data.text.upper())

    bus.on(CHUNK)(captured(agent.work, output=outputs[1]))
    bus.publish(CHUNK, {"text": "to be"})
    bus.publish(CHUNK, {"text": 1})
    assert [shown(output) for output in outputs] == ["TO BE\n", "to be\n"]
    assert {event.data["error_type"] for event in bus.history[ERROR]} == {"PayloadTypeError"}


def test_a_handler_of_the_same_name_replaces_the_earlier_one(bus):
    """As `@bus.on` has it without capturing."""
    for _ in range(3):

        @bus.on(CHUNK)
        @functools.partial(captured, output=Output())
        def show(event): ...

    assert len(bus.subscriptions()) == 1


def test_async_handlers_are_captured_across_their_awaits(bus, capsys):
    """Two that take turns keep apart, and what others print in between is not captured."""
    outputs = [Output(), Output()]

    def make(name):
        async def speak(event):
            for number in range(3):
                print(name, number)
                await asyncio.sleep(0)
            if event.data:
                raise ValueError(name)

        return speak

    async def main():
        for name, output in zip("ab", outputs, strict=True):
            bus.subscribe(CHUNK, captured(make(name), output=output))
        bus.publish(CHUNK, True)
        for _ in range(3):
            print("main")
            await asyncio.sleep(0)
        await bus.join()
        await bus.publish_async(CHUNK)

    asyncio.run(main())
    once = [f"{name} 0\n{name} 1\n{name} 2\n" for name in "ab"]
    assert [shown(output) for output in outputs] == [
        f"{text}!{name}{text}" for text, name in zip(once, "ab", strict=True)
    ]
    assert capsys.readouterr().out == "main\n" * 3
    assert not isinstance(sys.stdout, Router)


def test_threads_are_kept_apart(bus, capsys):
    """A thread's handler prints to its area while another thread prints where it always does, and nothing is lost."""
    output, rounds = Output(), 200
    bus.subscribe(CHUNK, captured(lambda event: print(event.data), output=output))
    ready = threading.Barrier(5)

    def publish(number):
        ready.wait()
        for _ in range(rounds):
            bus.publish(CHUNK, f"in {number}")

    def speak():
        ready.wait()
        for _ in range(rounds):
            print("out")

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)] + [threading.Thread(target=speak)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(shown(output).split("\n")) == sorted([f"in {n}" for n in range(4)] * rounds + [""])
    assert capsys.readouterr().out == "out\n" * rounds


def test_a_line_that_is_begun_is_shown_when_flushed(bus):
    """Otherwise at its end, or the handler's, so that calls in several threads don't mix their lines."""
    output, seen = Output(), []

    def show(event):
        print("a", end="")
        seen.append(shown(output))
        print("b", end="", flush=True)
        seen.append(shown(output))
        print("c", end="")

    bus.subscribe(CHUNK, captured(show, output=output))
    bus.publish(CHUNK)
    assert [*seen, shown(output)] == ["", "ab", "abc"]


def test_streams_that_somebody_else_redirects_stay_theirs(bus):
    """A redirection inside a handler is the handler's, and one around it is found again."""
    output, theirs, around = Output(), io.StringIO(), io.StringIO()

    def show(event):
        print("area")
        with contextlib.redirect_stdout(theirs):
            print("theirs")
        sys.stdout.writelines(["area ", "again\n"])
        sys.stdout.flush()
        assert sys.stdout.encoding == around.encoding

    bus.subscribe(CHUNK, captured(show, output=output))
    with contextlib.redirect_stdout(around):
        bus.publish(CHUNK)
        print("around")
    assert (shown(output), theirs.getvalue(), around.getvalue()) == ("area\narea again\n", "theirs\n", "around\n")


def test_a_method_is_held_weakly(bus):
    """As a bus holds it: once the object is gone, its subscription ends with the next event."""

    class Agent:
        def work(self, event):
            print("work")

    agent, output = Agent(), Output()
    subscription = bus.subscribe(CHUNK, captured(agent.work, output=output))
    bus.publish(CHUNK)
    gone = weakref.ref(agent)
    del agent
    gc.collect()
    assert gone() is None
    bus.publish(CHUNK)
    assert (shown(output), subscription.active) == ("work\n", False)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("print",), {}, "handler must be callable with one event, got str 'print'"),
        ((print,), {"output": "here"}, "output must be an ipywidgets.Output or None, got str 'here'"),
        ((Chunk,), {}, "handler must be a handler, not a class, got Chunk"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, message):
    """Each error names the argument and what came."""
    with pytest.raises(TypeError, match=message):
        captured(*arguments, **options)


def test_capturing_twice_is_refused():
    """The inner area would stay empty."""
    with pytest.raises(TypeError, match="captured already"):
        captured(captured(print, output=Output()), output=Output())


def test_outside_a_notebook_a_widget_is_needed():
    """There is no cell to show anything below; the error says what to pass."""
    with pytest.raises(RuntimeError, match=r"no notebook runs this; pass output=ipywidgets.Output"):
        captured(print)


def test_without_widgets_the_error_names_what_to_install(monkeypatch):
    """What a notebook needs is an extra."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtraError, match=r"ipywidgets is not installed.*atlas_lab\[lab\]"):
        captured(print)
    importlib.import_module("atlas_lab.notebook")


SETUP = """
import logging; logging.getLogger("atlas_lab").setLevel(100)
from atlas_lab import EventBus, EventType, captured, Event
bus = EventBus()
KIND = EventType.STREAM_CHUNK
"""
SUBSCRIBE = """
def show(event):
    print("got", event.data)
    1 / event.data
one = bus.subscribe(KIND, captured(show))
two = bus.subscribe(KIND, captured(lambda event: print("two")))
"""


@pytest.mark.parametrize("cell", ["cell-1", None])
def test_running_the_cell_again_replaces_areas_and_subscriptions(kernel, cell):
    """One area per captured handler below the cell, from threads too; no widget and no subscription is left behind."""
    kernel.run(SETUP)
    for _ in range(3):
        ran = kernel.run(SUBSCRIBE, cell=cell)
        assert [data["text/plain"] for data in ran.shown] == ["what show prints", "what <lambda> prints"]
        assert len(kernel.outputs()) == 2
        ran = kernel.run(
            "import threading\nthread = threading.Thread(target=bus.publish, args=(KIND, 0))\n"
            "thread.start()\nthread.join()\nprint(len(bus.subscriptions()), one.calls, bus.history[-1].type_name)"
        )
        assert ran.streams == {"stdout": "2 1 HANDLER_ERROR\n"}
        first, second = kernel.outputs().values()
        assert [one["output_type"] for one in first] == ["stream", "error"]
        assert (first[0]["text"], first[1]["evalue"], second[0]["text"]) == ("got 0\n", "division by zero", "two\n")
    kernel.run("bus.close()\nimport ipywidgets\nipywidgets.Widget.close_all()")


def test_a_notebook_that_captures_runs_again_as_a_test(tmp_path):
    """What a handler prints comes when it comes: nbval compares none of it, and finds what was saved."""
    subscribe = "@bus.on(KIND)\n@captured\ndef show(event): print('got', event.data)"
    publish = "bus.publish(KIND, 1)\nimport time; time.sleep(0.3)\nprint('published')"
    notebook = new_notebook(cells=[new_code_cell(source) for source in (SETUP, subscribe, publish)])
    path = tmp_path / "captures.ipynb"
    NotebookClient(notebook, kernel_name="python3").execute()
    nbformat.write(notebook, path)
    nbval = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", str(path)]
    done = subprocess.run(nbval, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout


def test_other_cells_keep_their_areas(kernel):
    """What one cell captures is not ended by another cell, and a decorated handler works in one."""
    kernel.run(SETUP)
    kernel.run("@bus.on(KIND)\n@captured\ndef first(event): print('first', event.data)", cell="a")
    kernel.run("@bus.on(KIND)\n@captured\nasync def second(event: Event[dict]): print(event.data['x'])", cell="b")
    kernel.run("await bus.publish_async(KIND, {'x': 5})", cell="c")
    assert sorted(output[0]["text"] for output in kernel.outputs().values() if output) == ["5\n", "first {'x': 5}\n"]
    kernel.run("bus.close()\nimport ipywidgets\nipywidgets.Widget.close_all()")


def test_a_flood_is_few_messages_and_its_end_is_shown(kernel):
    """Ten thousand prints are a handful of messages, and the last line is there."""
    kernel.run(SETUP + "\nbus.subscribe(KIND, captured(lambda event: print(event.data)))")
    ran = kernel.run("for number in range(10_000): bus.publish(KIND, number)")
    (output,) = kernel.outputs().values()
    assert len(ran.comms) < 100
    assert output[0]["text"].endswith("characters before this were dropped\n")
    assert output[1]["text"].endswith("\n9998\n9999\n")
    kernel.run("bus.close()\nimport ipywidgets\nipywidgets.Widget.close_all()")
