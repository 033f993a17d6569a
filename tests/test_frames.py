"""to_frame, concat_frames: dtypes, causes, payloads."""

import dataclasses
import subprocess
import sys
from collections import OrderedDict, UserDict, defaultdict
from enum import Enum, IntEnum
from types import MappingProxyType, SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from atlas_lab import Event, EventType
from atlas_lab.frames import concat_frames, to_frame

DTYPES = {
    "run": "category",
    "seq": "int64",
    "event_id": "str",
    "parent_id": "str",
    "root_id": "str",
    "depth": "int32",
    "type": "category",
    "timestamp": "datetime64[ns, UTC]",
    "t_rel": "timedelta64[ns]",
    "source": "category",
    "scope": "category",
    "data": "object",
    "metadata": "object",
}


class Order(Enum):
    PLACED = 1
    PAID = 2


def event(name, parent=None, **fields):
    return Event(EventType.STREAM_CHUNK, id=name, parent_id=parent, **fields)


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def expanded(payloads):
    frame = to_frame([Event(EventType.STREAM_CHUNK, payload) for payload in payloads], data="expand")
    assert list(frame)[:11] == list(DTYPES)[:11] and list(frame)[-1] == "metadata"
    return frame.iloc[:, 11:-1]


@pytest.mark.parametrize("events", [[], [event("a", source="s", scope="run/x")], [event("a"), event("b", "a")]])
@pytest.mark.parametrize("run", [None, "first"])
def test_columns_and_dtypes_never_change(events, run):
    """Every column has its dtype, whether the history is empty, lacks a value everywhere, or is full."""
    assert dtypes(to_frame(events, run=run)) == DTYPES
    kept = {name: dtype for name, dtype in DTYPES.items() if name != "data"}
    assert dtypes(to_frame(events, data="drop", run=run)) == kept
    assert dtypes(to_frame(events, data="expand", run=run)) == kept
    assert to_frame(events, run=run)["run"].cat.categories.tolist() == [run] * bool(events and run)


def test_values_of_a_row():
    """Each column holds what the event holds, missing where the event has none."""
    payload, metadata = {"n": 1}, {"retry": 2}
    first = Event(EventType.AGENT_STARTED, payload, "planner", metadata, "a", 1.5, None, "run/x", 7)
    frame = to_frame([first, event("b", "a", timestamp=1.0)], run="r")
    row, other = frame.iloc[0], frame.iloc[1]
    assert row[["run", "seq", "event_id", "root_id", "depth", "type", "source", "scope"]].tolist() == [
        *("r", 7, "a", "a", 0, "AGENT_STARTED", "planner", "run/x"),
    ]
    assert row["timestamp"] == pd.Timestamp(1.5, unit="s", tz="UTC")
    assert row["t_rel"] == pd.Timedelta("500ms") and other["t_rel"] == pd.Timedelta(0)
    assert row["data"] is payload and row["metadata"] is first.metadata
    assert other["parent_id"] == "a" and other["data"] is None
    assert pd.isna(row["parent_id"]) and pd.isna(other["source"]) and pd.isna(other["scope"])


def test_a_subclass_of_event_is_read_by_name():
    """Fields that a subclass of Event adds or moves do not shift the columns."""

    class Timed(Event, frozen=True, kw_only=True):
        took: float = 0.0
        seq: int = 5

    frame = to_frame([Timed(EventType.SYSTEM_INIT, id="a"), event("b", "a", seq=2)])
    assert frame["seq"].tolist() == [5, 2] and frame["depth"].tolist() == [0, 1]


def test_an_ordered_dict_expands_in_its_own_order():
    """A dict subclass that orders its keys differently keeps each value under its key."""
    payload = OrderedDict(a=1, b="x")
    payload.move_to_end("a")
    assert expanded([payload, {"n": payload}]).iloc[0].dropna().to_dict() == {"data.b": "x", "data.a": 1}


@pytest.mark.parametrize("wrap", [list, iter, lambda events: SimpleNamespace(history=events), tuple])
def test_reads_a_bus_a_history_or_an_iterable(wrap):
    """A bus is read by its history, and an iterator once: all give the same frame."""
    events = [event("a"), event("b", "a")]
    assert_frame_equal(to_frame(wrap(events)), to_frame(events))


def test_wrong_arguments_are_named():
    """A wrong argument raises at the call and says which, what came and where."""
    with pytest.raises(TypeError, match="events must be a bus.*got int"):
        to_frame(5)
    with pytest.raises(TypeError, match="events must hold only Event, got str 'no' at row 1"):
        to_frame([event("a"), "no"])
    with pytest.raises(ValueError, match="data must be 'keep', 'expand' or 'drop', got 'all'"):
        to_frame([], data="all")
    with pytest.raises(TypeError, match="run must be a string or None, got int 3"):
        to_frame([], run=3)


def test_types_are_categories_in_definition_order():
    """The type's categories are every EventType in order, then the user's own in this frame, sorted."""
    frame = to_frame([Event(Order.PLACED), Event(EventType.HANDLER_ERROR), Event(Order.PAID)])
    core = [member.name for member in EventType]
    assert frame["type"].cat.categories.tolist() == [*core, "Order.PAID", "Order.PLACED"]
    assert frame["type"].tolist() == ["Order.PLACED", "HANDLER_ERROR", "Order.PAID"]
    assert to_frame([])["type"].cat.categories.tolist() == core


def test_an_enum_defined_twice_is_one_type():
    """Two classes of one name, as a re-run cell leaves them, are one category; equal IntEnums are not."""
    twice = [Enum("Job", ["DONE"]).DONE, Enum("Job", ["DONE"]).DONE]
    frame = to_frame([Event(member) for member in twice])
    assert frame["type"].tolist() == ["Job.DONE", "Job.DONE"]
    assert frame["type"].cat.categories.tolist().count("Job.DONE") == 1
    alike = to_frame([Event(IntEnum("A", ["X"]).X), Event(IntEnum("B", ["X"]).X)])
    assert alike["type"].tolist() == ["A.X", "B.X"]


def test_sources_and_scopes_are_sorted_categories():
    """Categories depend on which labels occur, not on their order: frames of like runs concatenate."""
    one = to_frame([event("a", source="y", scope="q"), event("b", source="x", scope="p")])
    other = to_frame([event("a", source="x", scope="p"), event("b", source="y", scope="q")])
    assert one["source"].cat.categories.tolist() == ["x", "y"]
    assert dtypes(pd.concat([one, other])) == DTYPES


def test_timestamps_keep_every_nanosecond_of_the_float():
    """A timestamp is its float to the nanosecond, before 1970 too, and t_rel counts from the earliest."""
    seconds = [1_760_000_000.123456, -1.25, 0.000000001, 0]
    frame = to_frame([event(str(n), timestamp=n) for n in seconds])
    whole, part = divmod(seconds[0], 1)
    assert frame["timestamp"].astype("int64").tolist() == [int(whole) * 10**9 + round(part * 1e9), -1_250_000_000, 1, 0]
    assert frame["t_rel"].tolist()[1:] == [pd.Timedelta(0), pd.Timedelta(1_250_000_001), pd.Timedelta("1.25s")]


def test_a_timestamp_that_is_no_number_is_missing():
    """NaN is a missing time and does not disturb the others."""
    frame = to_frame([event("a", timestamp=float("nan")), event("b", timestamp=3), event("c", timestamp=4)])
    assert frame["timestamp"].isna().tolist() == frame["t_rel"].isna().tolist() == [True, False, False]
    assert frame["t_rel"][2] == pd.Timedelta("1s")


@pytest.mark.parametrize(
    "seconds, message",
    [([1, float("inf")], "got inf at row 1"), ([1.7e12], "seconds.*row 0"), ([-9e9, 9e9], "292 years")],
)
def test_impossible_timestamps_are_refused(seconds, message):
    """Times that nanoseconds cannot hold, such as a clock in milliseconds, are an error, never a wrong date."""
    with pytest.raises(ValueError, match=message):
        to_frame([event(str(n), timestamp=n) for n in seconds])


def test_root_and_depth_follow_the_chain_of_parents():
    """Root and depth are found whatever the order, and the same event listed twice counts once."""
    frame = to_frame([event("c", "b"), event("x"), event("b", "a"), event("a"), event("b", "a")])
    assert frame["root_id"].tolist() == ["a", "x", "a", "a", "a"]
    assert frame["depth"].tolist() == [2, 0, 1, 0, 1]


def test_a_parent_that_was_pushed_out_is_the_root():
    """A parent outside the frame is the root of what is known, and depth counts from it."""
    frame = to_frame([event("b", "gone"), event("c", "b"), event("d")])
    assert frame["root_id"].tolist() == ["gone", "gone", "d"]
    assert frame["depth"].tolist() == [1, 2, 0]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 1000])
def test_parents_in_a_circle_have_no_root(size):
    """A circle, of any length, ends: no root and depth -1 for it and all below it, the rest unharmed."""
    circle = [event(str(n), str((n + 1) % size)) for n in range(size)]
    frame = to_frame([*circle, event("below", "0"), event("a"), event("b", "a"), event("z", "gone")])
    assert frame["depth"].tolist() == [-1] * (size + 1) + [0, 1, 1]
    assert frame["root_id"].isna().tolist() == [True] * (size + 1) + [False] * 3
    assert frame["root_id"].tolist()[-3:] == ["a", "a", "gone"]


@pytest.mark.parametrize("backwards", [False, True])
def test_very_long_chains(backwards):
    """A chain of 100,000 events neither recurses nor takes quadratic time."""
    chain = [event(f"{n}", f"{n - 1}" if n else None) for n in range(100_000)]
    frame = to_frame(chain[::-1] if backwards else chain)
    depth = frame["depth"].tolist()
    assert (depth[::-1] if backwards else depth) == list(range(100_000))
    assert frame["root_id"].unique().tolist() == ["0"]


def test_parents_are_found_by_text_and_by_identity():
    """It does not matter whether a parent id is the parent's own string or an equal one, as after JSON."""
    ids = [f"event-{n}" for n in range(50)]
    shared = [event(name, ids[n - 1] if n else None) for n, name in enumerate(ids)]
    copied = [event(name, f"event-{n - 1}" if n else None) for n, name in enumerate(ids)]
    assert copied[1].parent_id is not copied[0].id
    for frame in (to_frame(shared), to_frame(copied)):
        assert frame["depth"].tolist() == list(range(50))


def test_parents_found_both_ways_in_one_history():
    """Parents by identity, by text, unseen ones and ids that are no text or missing do not disturb one another."""
    first, copy_of_child = "first", "CHILD".lower  # each call makes a string of its own
    rows = [event(first), event("child", first), event(copy_of_child(), "x"), event("grandchild", copy_of_child())]
    rows += [event("stranger", "gone"), event(None, first), event(None), event(7, "stranger"), event("last", 7)]
    frame = to_frame(rows)
    assert frame["depth"].tolist() == [0, 1, 1, 2, 1, 1, 0, 2, 3]
    roots = frame["root_id"]
    assert roots.tolist()[:6] == ["first", "first", "x", "first", "gone", "first"]
    assert pd.isna(roots[6]) and roots.tolist()[7:] == ["gone", "gone"]


def test_text_that_utf8_cannot_hold_does_not_cost_the_frame():
    """Half a surrogate pair in an id, a source or a payload is shown escaped or as an object."""
    frame = to_frame([event("\ud800", source="\ud801", data={"t": "\ud802"})], data="expand", run="\ud803")
    assert frame["event_id"][0] == r"\ud800" and frame["source"][0] == r"\ud801" and frame["run"][0] == r"\ud803"
    assert frame["data.t"].dtype == object and frame["data.t"][0] == "\ud802"
    (column,) = [name for name in to_frame([event("1", data={"\ud800": 1})], data="expand") if name.startswith("data.")]
    assert column == r"data.\ud800"


@pytest.mark.parametrize(
    "payloads",
    [
        [{"a": 1, "b": {"c": 2, "d": {}}}, {"b": {"c": 3}}, {}],
        [{"a.b": 1, "a": {"b": 2}}, {"a": {"b": 3}, "a.b": 4}],
        [{"n": {"x": 1}, "z": 1}, {"n": None, "z": 2}, {"n": {"y": {"x": 2}}, "w": 0}],
        [{"": {"b": 1, "": {"c": 2}}, ".a": 3}, {"": 1}],
        [{"a": 2**63}, {"a": 1}],
        [{"a": 2**63}, {"a": -1}, {"b": 2**70}, {"b": 1}],
        [{"a": True}, {"a": None}, {"b": "x"}, {"b": float("nan")}],
        [{1: {2: 3}, "n": 4}, {True: 0, "1": 5}, {1: {True: 6}}, {"n": {1: 1}}, {"n": {True: 2}}],
        [{"a": np.float32(1.5)}, {"a": pd.NaT, "b": pd.NaT}, {"a": pd.NA}],
        [{"a": pd.Timestamp("2020-01-01"), "b": 1j, "c": b"x"}, {"a": None, "b": 2}],
        [{"tags": [1, {"x": 2}], "who": "\u00e9\U0001f989"}, {"tags": "none"}],
        [{f"k{n}": n} for n in range(300)],
        [{"a": 1, "b": 2}, {"a": 3, "c": 4}],
        [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
        [{"a": 2**53 + 1, "b": -(2**63)}, {"a": 2**63 - 1}, {}],
        [{"a": 2**63, "b": 1}, {"b": 2}],
        [{"a": 1.5, "b": True, "s": "x"}, {}, {"a": float("nan"), "b": False, "s": None}],
        [{"a": True, "n": 1}, {"a": 1, "n": 2}, {"a": 1.0, "n": None}],
        [{1: {"x": 1}, "n": 2}, {True: {"x": 3}, "n": 4}, {"n": 5, True: {"x": 6}}],
        [{1: 1, "n": 2}, {"n": 3, True: 4}],
    ],
)
def test_expanded_payloads_are_those_of_json_normalize(payloads):
    """Columns, order, values and dtypes of expanded payloads are those of pandas.json_normalize."""
    expected = pd.json_normalize(payloads)
    expected.columns = [f"data.{name}" for name in expected]
    assert_frame_equal(expanded(payloads), expected, check_column_type=False)


@pytest.mark.parametrize(
    "last",
    [
        {"a": 1, "b": {"c": "x"}},
        {"b": {"c": "x"}, "a": 1},
        {"a": 1},
        {"a": 1, "c": 2},
        {"a": 1, "b": {"c": "x"}, "d": 2},
        {"a": 1, "b": {"d": "x"}},
        {"a": 1, "b": None},
        {"a": None, "b": {"c": None}},
        {"a": 0.5, "b": {"c": b"x"}},
    ],
)
def test_one_payload_unlike_a_thousand_before_it(last):
    """A last payload with other keys, order, nesting or types changes what json_normalize says it changes."""
    payloads = [{"a": n, "b": {"c": f"{n}"}} for n in range(1100)] + [last]
    expected = pd.json_normalize(payloads)
    expected.columns = [f"data.{name}" for name in expected]
    assert_frame_equal(expanded(payloads), expected, check_column_type=False)


def test_expanding_leaves_payloads_alone():
    """A dict that makes up missing values keeps the keys that it has, and is not asked for others."""
    payloads = [{"a": 1, "b": 2}, defaultdict(int, a=3, c=4)]
    assert expanded(payloads)["data.b"].isna().tolist() == [False, True]
    assert payloads == [{"a": 1, "b": 2}, {"a": 3, "c": 4}]


def test_structs_and_dataclasses_expand_like_the_dict_of_their_fields():
    """A Struct, a dataclass and other mappings, one inside another too, expand like dicts."""

    class Inner(msgspec.Struct):
        n: int

    @dataclasses.dataclass
    class Outer:
        inner: Inner
        name: str

    payloads = [Outer(Inner(1), "x"), {"inner": Inner(2), "name": "y"}, MappingProxyType({"name": "z"}), UserDict(k=1)]
    plain = [{"inner": {"n": 1}, "name": "x"}, {"inner": {"n": 2}, "name": "y"}, {"name": "z"}, {"k": 1}]
    assert_frame_equal(expanded(payloads), expanded(plain))


def test_payloads_that_are_no_mapping_share_one_column():
    """What has no keys goes to one column ``data`` before the others; no payload is missing everywhere."""
    frame = expanded([1.5, {"a": 1}, None, 2.5])
    assert dtypes(frame) == {"data": "float64", "data.a": "float64"}
    assert_series_equal(frame["data"], pd.Series([1.5, np.nan, np.nan, 2.5]), check_names=False)
    assert list(expanded([None, {}])) == []


def test_a_payload_that_holds_itself_is_refused_when_expanded():
    """A payload without end is a clear error when expanded, and no matter when kept."""
    payload = {"n": 1}
    payload["self"] = payload
    with pytest.raises(ValueError, match="holds itself.*data='keep'"):
        expanded([payload])
    assert to_frame([event("a", data=payload)])["data"][0] is payload


def runs():
    first = [Event(EventType.AGENT_STARTED, {"n": 1, "s": "x"}, "planner", scope="b"), Event(Order.PLACED, {"n": 2})]
    second = [Event(EventType.AGENT_STARTED, {"n": 3, "flag": True}, "critic", scope="a"), Event(Order.PAID, {"n": 4})]
    return first, second


@pytest.mark.parametrize("data", ["keep", "drop"])
def test_concat_frames_keeps_every_dtype(data):
    """Runs with other sources, scopes and types keep every dtype, and their categories are united in order."""
    first, second = runs()
    frame = concat_frames([to_frame(first, data=data, run="b"), to_frame(second, data=data, run="a")])
    assert dtypes(frame) == dtypes(to_frame([], data=data))
    assert frame["run"].tolist() == ["b", "b", "a", "a"] and frame["run"].cat.categories.tolist() == ["a", "b"]
    assert frame["type"].dtype == to_frame(first + second)["type"].dtype
    assert frame["type"].cat.categories.tolist()[-2:] == ["Order.PAID", "Order.PLACED"]
    assert frame["source"].dropna().tolist() == ["planner", "critic"]
    assert frame.index.tolist() == [0, 1, 2, 3]


def test_concat_frames_of_expanded_runs_is_the_frame_of_both():
    """Expanded columns that differ between runs come out as in one frame of all events, metadata last."""
    first, second = runs()
    parts = [to_frame(events, data="expand", run="r").drop(columns="t_rel") for events in (first, second)]
    whole = to_frame([*first, *second], data="expand", run="r").drop(columns="t_rel")
    assert_frame_equal(concat_frames(parts), whole)


def test_an_empty_run_changes_no_dtype():
    """A run without events, or filtered to none, leaves the dtypes of the others alone; its columns stay."""
    first, _ = runs()
    frame = to_frame(first, data="expand", run="a")
    empty = frame[frame["seq"] < 0].rename(columns={"data.s": "data.only"})
    for order in ([frame, empty], [empty, frame], [frame, to_frame([], run="b")]):
        joined = concat_frames(order)
        assert dtypes(frame).items() <= dtypes(joined).items()
        assert_frame_equal(joined[list(frame)], frame, check_categorical=False)
    assert dtypes(concat_frames([frame, empty]))["data.only"] == "str"
    assert dtypes(concat_frames([to_frame([]), to_frame([])])) == DTYPES


def test_concat_frames_loses_no_value_where_a_column_is_no_category_everywhere():
    """A column that is a category in one frame and text in another keeps all its values."""
    first, second = runs()
    text = to_frame(second)
    text["source"] = text["source"].astype("str")
    joined = concat_frames([to_frame(first), text, to_frame([event("a", source="third")])])
    assert joined["source"].dropna().tolist() == ["planner", "critic", "third"]


def test_concat_frames_refuses_what_is_no_frame():
    """No frames, or something else among them, is a clear error."""
    with pytest.raises(ValueError, match="at least one DataFrame"):
        concat_frames([])
    with pytest.raises(TypeError, match="got list at position 1"):
        concat_frames([to_frame([]), []])


def script(text):
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.strip()


def test_missing_pandas_names_the_extra():
    """Without pandas the import says which extra to install."""
    assert "pip install 'atlas_lab[lab]'" in script(
        "import sys; sys.modules['pandas'] = None\n"
        "import atlas_lab.errors\n"
        "try: import atlas_lab.frames\n"
        "except atlas_lab.errors.MissingExtraError as error: print(error.package, error.extra, error)"
    )


def test_frames_need_no_pyarrow():
    """Without pyarrow frames have the same dtypes and values."""
    answer = script(
        "import sys; sys.modules['pyarrow'] = None\n"
        "from atlas_lab import Event, EventType\n"
        "from atlas_lab.frames import to_frame\n"
        "events = [Event(EventType.SYSTEM_INIT, {'s': t}, id=i, parent_id=p)\n"
        "          for i, p, t in [('a', None, 'x'), ('b', 'gone', None), ('c', 'b', 'y')]]\n"
        "frame = to_frame(events, data='expand')\n"
        "print(frame.root_id.tolist(), frame.depth.tolist(), frame['data.s'].tolist(), *frame.dtypes.astype('str'))"
    )
    kept = [dtype for name, dtype in DTYPES.items() if name != "data"]
    assert answer == " ".join(["['a', 'gone', 'gone'] [0, 1, 2] ['x', nan, 'y']", *kept[:-1], "str", "object"])
