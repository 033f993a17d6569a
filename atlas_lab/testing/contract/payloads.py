"""Promise 15: subscribers with a payload type."""

from __future__ import annotations

import asyncio
import sys
import types
from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest

from atlas_lab import Event, EventBus, EventType, HandlerErrors, PayloadTypeError

from .making import MakesBuses

A = EventType.STREAM_CHUNK
HANDLER_ERROR = EventType.HANDLER_ERROR


@dataclass
class Place:
    x: int
    y: int


@dataclass
class ChunkData:
    text: str
    index: int
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFrozen:
    text: str
    index: int
    place: Place | None = None


class ChunkStruct(msgspec.Struct):
    text: str
    index: int
    place: Place | None = None


class ChunkDict(TypedDict):
    text: str
    index: int
    place: NotRequired[Place | None]


both_headers = pytest.mark.parametrize("header", ["", "from __future__ import annotations\n"], ids=["objects", "text"])

CHUNKS = (ChunkData, ChunkFrozen, ChunkStruct, ChunkDict)
CLASSES = (ChunkData, ChunkFrozen, ChunkStruct)


class Plain:
    """A class without fields that could be filled in."""

    def __init__(self, text: str) -> None:
        self.text = text


def as_dict(chunk: Any) -> dict[str, Any]:
    return (
        dict(chunk) if isinstance(chunk, dict) else {name: getattr(chunk, name) for name in ("text", "index", "place")}
    )


def module_of(patch: pytest.MonkeyPatch, source: str, **names: Any) -> types.ModuleType:
    """Run source code as a module of its own, which is known as long as the test runs."""
    module = types.ModuleType("a_users_module")
    module.__dict__.update(names)
    patch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their own module up
    exec(compile(source, "<a user's module>", "exec", dont_inherit=True), module.__dict__)
    return module


DEFINITIONS = """
import functools
from dataclasses import dataclass
from atlas_lab import Event, EventType

@dataclass
class Chunk:
    text: str

class Owner:
    def __init__(self, got):
        self.got = got
    def handler(self, event: Event[Chunk]) -> None:
        self.got.append(event.data)

def plain(on, got):
    @on
    def handler(event: Event[Chunk]) -> None:
        got.append(event.data)

def quoted(on, got):
    @on
    def handler(event: "Event[Chunk]") -> None:
        got.append(event.data)

def quoted_inside(on, got):
    @on
    def handler(event: Event["Chunk"]) -> None:
        got.append(event.data)

def method(on, got):
    return on(Owner(got).handler)

def partial(on, got):
    def handler(seen, event: Event[Chunk]) -> None:
        seen.append(event.data)
    on(functools.partial(handler, got))
"""

LOCAL = """
from dataclasses import dataclass
from atlas_lab import Event

def subscribe(bus, event_type, got):
    @dataclass
    class Local:
        text: str
    @bus.on(event_type)
    def handler(event: Event[Local]) -> None:
        got.append(event.data)
    return Local
"""


class PayloadsContract(MakesBuses):
    # 15. Typed subscribers

    @pytest.mark.parametrize("chunk", CHUNKS)
    @pytest.mark.parametrize("mapping", [dict, MappingProxyType, UserDict])
    def test_15_a_mapping_that_fits_arrives_as_the_type(self, chunk, mapping):
        """A mapping becomes a dataclass, Struct or TypedDict, with nested types and defaults filled in."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data), data_type=chunk)
        bus.publish(A, mapping({"text": "hello", "index": 2, "place": {"x": 1, "y": 2}}))
        bus.publish(A, mapping({"text": "there", "index": 3}))
        kind = dict if chunk is ChunkDict else chunk
        assert [type(payload) for payload in got] == [kind, kind]
        assert as_dict(got[0]) == {"text": "hello", "index": 2, "place": Place(1, 2)}
        assert as_dict(got[1])["text"] == "there"
        assert as_dict(got[1]).get("place") is None
        assert bus.stats().errors == 0

    @pytest.mark.parametrize("chunk", CLASSES)
    def test_15_a_payload_of_the_type_passes_as_it_is(self, chunk):
        """An instance of the type, or of a class derived from it, reaches the handler as the same object."""

        class Derived(chunk): ...

        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data), data_type=chunk)
        payloads = [chunk(text="hello", index=2), Derived(text="hello", index=2)]
        for payload in payloads:
            bus.publish(A, payload)
        assert [id(payload) for payload in got] == [id(payload) for payload in payloads]

    @pytest.mark.parametrize(
        "data_type, payload, expected",
        [
            (int, 3, 3),
            (str, "text", "text"),
            (dict, {"any": 1}, {"any": 1}),
            (dict[str, int], {"one": 1}, {"one": 1}),
            (list[int], [1, 2], [1, 2]),
            (list[Place], [{"x": 1, "y": 2}], [Place(1, 2)]),
            (list[Place], [Place(1, 2)], [Place(1, 2)]),
            (Place | None, None, None),
            (Place | None, {"x": 1, "y": 2}, Place(1, 2)),
            (Place | None, Place(1, 2), Place(1, 2)),
            (type(None), None, None),
            (Mapping, MappingProxyType({"any": 1}), {"any": 1}),
            (object, "anything", "anything"),
        ],
        ids=str,
    )
    def test_15_other_types_work_too(self, data_type, payload, expected):
        """Built-in classes, abstract ones, generics and unions are types of payloads as well."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data), data_type=data_type)
        bus.publish(A, payload)
        assert got == [expected]
        assert bus.stats().errors == 0

    @pytest.mark.parametrize("chunk", CHUNKS)
    @pytest.mark.parametrize(
        "payload, named",
        [
            ({"text": "hello", "index": "two"}, ["index", "int", "str"]),
            ({"text": 5, "index": 2}, ["text", "str", "int"]),
            ({"text": "hello", "index": "2"}, ["index", "int", "str"]),
            ({"text": "hello"}, ["index"]),
            ({"text": "hello", "index": 2, "place": {"x": 1, "y": "north"}}, ["place.y", "int", "str"]),
            ({"text": "hello", "index": None}, ["index", "int"]),
            ("hello", ["str"]),
            (["hello", 2], []),
            (None, []),
            (Place(1, 2), ["Place"]),
        ],
        ids=[
            "wrong",
            "wrong too",
            "number as text",
            "missing",
            "nested",
            "null",
            "str",
            "list",
            "None",
            "another class",
        ],
    )
    def test_15_what_does_not_fit_is_a_handler_error(self, chunk, payload, named):
        """A payload that does not fit keeps the event from this handler only, and is reported with field and type."""
        bus, got, others = self.make_bus(), [], []
        subscription = bus.subscribe(A, got.append, data_type=chunk, name="typed")
        bus.subscribe(A, lambda event: others.append(event.data))
        bus.publish(A, payload)
        assert got == []
        assert others == [payload]
        assert (subscription.calls, subscription.errors) == (0, 1)
        (report,) = [event.data for event in bus.history.select(HANDLER_ERROR)]
        assert (report["error_type"], report["handler"]) == ("PayloadTypeError", "typed")
        for word in (chunk.__name__, *named):
            assert word in report["message"]
            assert word in subscription.last_error

    def test_15_nothing_is_converted_that_is_not_a_mapping(self):
        """Text is no number, a number no text, and a list of values no dataclass."""
        bus, got = self.make_bus(), []
        for data_type in (int, str, Place, Plain):
            bus.subscribe(A, got.append, data_type=data_type)
        for payload in ([1, 2], 1.0, b"text", {"x": 1}):
            bus.publish(A, payload)
        assert got == []
        assert bus.stats().by_type["HANDLER_ERROR"] == 16
        assert {event.data["error_type"] for event in bus.history.select(HANDLER_ERROR)} == {"PayloadTypeError"}

    def test_15_a_class_that_cannot_be_filled_takes_its_instances_only(self):
        """For a class that is no dataclass or the like, instances pass and mappings are payload errors."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data), data_type=Plain)
        payload = Plain("hello")
        bus.publish(A, payload)
        bus.publish(A, {"text": "hello"})
        assert got == [payload]
        assert bus.history[-1].data["error_type"] == "PayloadTypeError"

    def test_15_a_class_that_refuses_its_values_is_a_payload_error(self):
        """A mapping that the class itself refuses while it is built does not fit either, whatever it raises."""

        @dataclass
        class Positive:
            number: int

            def __post_init__(self) -> None:
                if self.number < 0:
                    raise ValueError("number must not be negative")
                if not self.number:
                    raise KeyError("nor zero")

        bus, got = self.make_bus(), []
        subscription = bus.subscribe(A, lambda event: got.append(event.data.number), data_type=Positive)
        for number in (-1, 0, 1):
            bus.publish(A, {"number": number})
        assert got == [1]
        assert (subscription.calls, subscription.errors) == (1, 2)
        assert {event.data["error_type"] for event in bus.history.select(HANDLER_ERROR)} == {"PayloadTypeError"}

    def test_15_only_the_payload_changes(self):
        """The handler sees the event with everything else as it was; history and other handlers keep the mapping."""
        bus, typed, untyped = self.make_bus(), [], []
        bus.subscribe(A, typed.append, data_type=ChunkData)
        bus.subscribe(A, untyped.append)
        payload = {"text": "hello", "index": 2}
        bus.publish(A, payload, "me", {"run": 7})
        (seen,), (stored,) = typed, bus.history
        assert seen.data == ChunkData("hello", 2)
        for field in ("id", "type", "source", "metadata", "timestamp", "seq", "parent_id", "scope"):
            assert getattr(seen, field) == getattr(stored, field)
        assert stored.data is untyped[0].data is payload

    def test_15_where_sees_the_typed_payload(self):
        """The condition of a typed subscriber gets the payload as T, and is not asked about what does not fit."""
        bus, got, asked = self.make_bus(), [], []

        def where(event: Event[Any]) -> bool:
            asked.append(type(event.data))
            return event.data.index > 1

        bus.subscribe(A, lambda event: got.append(event.data.index), data_type=ChunkData, where=where)
        for payload in ({"text": "a", "index": 1}, "no chunk", ChunkData("b", 2)):
            bus.publish(A, payload)
        assert got == [2]
        assert asked == [ChunkData, ChunkData]

    def test_15_once_waits_for_a_payload_that_fits(self):
        """An event whose payload does not fit does not use up a once subscription."""
        bus, got = self.make_bus(), []
        bus.subscribe(A, lambda event: got.append(event.data), data_type=int, once=True)
        for payload in ("one", 2, 3):
            bus.publish(A, payload)
        assert got == [2]

    def test_15_a_type_error_of_the_handler_is_no_payload_error(self):
        """A TypeError that the handler raises is reported as what it is."""
        bus = self.make_bus()
        bus.subscribe(A, lambda event: event.data + "text", data_type=int)
        bus.publish(A, 1)
        assert bus.history[-1].data["error_type"] == "TypeError"

    def test_15_the_publisher_gets_it_under_raise(self):
        """Under on_error="raise" the payload error is among the errors that the publisher gets."""
        bus = self.make_bus(on_error="raise")
        bus.subscribe(A, print, data_type=ChunkData)
        with pytest.raises(HandlerErrors) as caught:
            bus.publish(A, {"text": "hello", "index": "two"})
        (error,) = caught.value.exceptions
        assert isinstance(error, PayloadTypeError)
        assert isinstance(error, TypeError)
        assert "index" in str(error)

    @pytest.mark.parametrize("awaited", [True, False], ids=["publish_async", "publish"])
    def test_15_async_handlers_are_typed_too(self, awaited):
        """An async handler gets the payload as T, and none that does not fit."""

        async def main() -> list[Any]:
            bus, got = self.make_bus(), []

            @bus.on(A)
            async def handler(event: Event[ChunkData]) -> None:
                await asyncio.sleep(0)
                got.append(event.data)

            for payload in ({"text": "hello", "index": 2}, "no chunk"):
                if awaited:
                    await bus.publish_async(A, payload)
                else:
                    bus.publish(A, payload)
            await bus.join()
            assert bus.history[-1].data["error_type"] == "PayloadTypeError"
            return got

        assert asyncio.run(main()) == [ChunkData("hello", 2)]

    def test_15_streams_are_typed_too(self):
        """A stream with data_type yields events whose payload is T."""

        async def main() -> list[Any]:
            with self.make_bus() as bus:
                stream = bus.stream(A, data_type=ChunkData)
                bus.publish(A, {"text": "hello", "index": 2})
            return [event.data async for event in stream]

        assert asyncio.run(main()) == [ChunkData("hello", 2)]

    @both_headers
    @pytest.mark.parametrize("way", ["plain", "quoted", "quoted_inside", "method", "partial"])
    def test_15_an_annotation_is_a_data_type(self, way, header, monkeypatch):
        """A parameter annotated Event[T] on an @bus.on handler means data_type=T, however it is written."""
        bus, got = self.make_bus(), []
        module = module_of(monkeypatch, header + DEFINITIONS)
        kept = getattr(module, way)(bus.on(A), got)
        self._check_typed(bus, module.Chunk, got)
        del kept

    @both_headers
    def test_15_an_annotation_may_name_a_local_class(self, header, monkeypatch):
        """T may be a class of the function in which the handler is decorated."""
        bus, got = self.make_bus(), []
        self._check_typed(bus, module_of(monkeypatch, header + LOCAL).subscribe(bus, A, got), got)

    def _check_typed(self, bus: EventBus, chunk: Any, got: list[Any]) -> None:
        bus.publish(A, {"text": "hello"})
        bus.publish(A, chunk("there"))
        assert got == [chunk("hello"), chunk("there")]
        bus.publish(A, {"text": 5})
        assert len(got) == 2
        assert bus.history[-1].data["error_type"] == "PayloadTypeError"

    @both_headers
    @pytest.mark.parametrize(
        "annotation, fits, refused",
        [
            ("Event[dict]", {"a": 1}, "text"),
            ("Event[dict[str, int]]", {"a": 1}, {"a": "text"}),
            ("Event[list[int]]", [1], ["text"]),
            ("Event[int | None]", None, "text"),
            ("Event[str]", "text", 7),
        ],
    )
    def test_15_annotations_of_built_in_types_count(self, annotation, fits, refused, header, monkeypatch):
        """Event[dict], Event[list[int]] and the like are checked as well."""
        bus, got = self.make_bus(), []
        source = f"@bus.on(A)\ndef handler(event: {annotation}): got.append(event.data)"
        module_of(monkeypatch, header + source, bus=bus, got=got, A=A, Event=Event)
        bus.publish(A, fits)
        bus.publish(A, refused)
        assert got == [fits]
        assert bus.history[-1].data["error_type"] == "PayloadTypeError"

    @both_headers
    @pytest.mark.parametrize("parameter", ["event", "event: Event", "event: Event[Any]", "event: object", "*events"])
    def test_15_without_a_type_in_the_annotation_everything_passes(self, parameter, header, monkeypatch):
        """A handler whose annotation names no payload type gets every payload."""
        bus, got = self.make_bus(), []
        source = f"from typing import Any\n@bus.on(A)\ndef handler({parameter}): got.append(parameter)"
        module_of(monkeypatch, header + source, bus=bus, got=got, A=A, Event=Event, parameter=parameter)
        for payload in (1, "text", None, {"a": 1}):
            bus.publish(A, payload)
        assert len(got) == 4
        assert bus.stats().errors == 0

    def test_15_data_type_goes_before_the_annotation(self):
        """data_type= given to bus.on decides, whatever the annotation says."""
        bus, got = self.make_bus(), []

        @bus.on(A, data_type=str)
        def handler(event: Event[int]) -> None:
            got.append(event.data)

        bus.publish(A, "text")
        bus.publish(A, 7)
        assert got == ["text"]

    def test_15_an_annotation_that_cannot_be_read_is_refused(self, monkeypatch):
        """An annotation that names nothing known is a TypeError at the decorator that says what to do."""
        bus = self.make_bus()
        source = "from __future__ import annotations\n@bus.on(A)\ndef handler(event: Event[Nowhere]): ..."
        with pytest.raises(TypeError, match="Nowhere") as caught:
            module_of(monkeypatch, source, bus=bus, A=A, Event=Event)
        assert "data_type=" in str(caught.value)
        assert bus.subscriptions() == []

    @pytest.mark.parametrize("data_type", ["ChunkData", 7, ChunkData("hello", 2)], ids=["str", "int", "instance"])
    def test_15_what_is_no_type_is_refused(self, data_type):
        """A data_type that is no type is a TypeError at subscribe, on and stream."""
        bus = self.make_bus()
        for subscribe in (
            lambda: bus.subscribe(A, print, data_type=data_type),
            lambda: bus.on(A, data_type=data_type)(print),
            lambda: bus.stream(A, data_type=data_type),
        ):
            with pytest.raises(TypeError, match="data_type must be a type"):
                subscribe()
        assert bus.subscriptions() == []
