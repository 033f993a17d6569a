"""write_parquet, read_parquet: what comes back, what is refused, and what damage does."""

import dataclasses
import datetime as dt
import random
import subprocess
import sys
from enum import Enum, StrEnum
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from atlas_lab import DataError, Event, EventType
from atlas_lab.errors import PayloadTypeError
from atlas_lab.frames import concat_frames, to_frame
from atlas_lab.parquet import read_parquet, write_parquet


class Order(Enum):
    PLACED = 1


class Level(StrEnum):
    LOW = "low"


class Point(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Place:
    x: int


NAN, INF = float("nan"), float("inf")
PAYLOADS = [
    {"a": 1, "b": {"c": "x", "n": None}, "t": True},
    {"a": 2**70, "b": {"c": "é", "n": -(2**64)}, "f": NAN},
    {"f": -INF, "l": [1.0, NAN, {"g": INF}], "b": {}},
    {1: "one", None: 2, (1, 2): b"\x00\xff"},
    {"$set": [1], "$float": "nan"},
    {"$tuple": 1},
    {"time": dt.datetime(2020, 1, 2, 3, 4, 5, 6), "when": dt.timedelta(microseconds=-1)},
    [1, (2, [3])],
    None,
    NAN,
    -0.0,
    "text",
    np.float32(0.1),
    np.float64(NAN),
]


def events():
    kinds = [EventType.SYSTEM_METRIC, Order.PLACED]
    for row, payload in enumerate(PAYLOADS):
        yield Event(kinds[row % 2], payload, "s" if row % 3 else None, {"m": NAN, "k": (row,)}, f"e{row}", row + 0.1)


def same(one, other):
    return repr(one) == repr(other)  # tells 1 from True and 1.0, and holds for NaN


FRAMES = {
    "keep": lambda: to_frame(events(), run="r"),
    "drop": lambda: to_frame(events(), data="drop"),
    "expand": lambda: to_frame(events(), data="expand", run="r"),
    "empty": lambda: to_frame([]),
    "empty expand": lambda: to_frame([], data="expand", run="r"),
    "concat": lambda: concat_frames([to_frame(events(), run="b"), to_frame(events(), run="a")]),
    "filtered": lambda: to_frame(events())[3:9:2],
    "sorted": lambda: to_frame(events(), data="expand").sort_values("seq", ascending=False).set_index("event_id"),
    "no rows left": lambda: to_frame(events(), data="expand").iloc[:0],
    "columns of one's own": lambda: to_frame(events()).assign(x=1.5, y=range(14), z="z", w=pd.NaT, u=np.uint8(3)),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames_come_back_equal(make, tmp_path):
    """Index, columns, dtypes, categories in their order and cells come back equal, whatever the frame."""
    frame = make()
    write_parquet(frame, tmp_path / "f.parquet")
    again = read_parquet(str(tmp_path / "f.parquet"))
    assert_frame_equal(again, frame)
    for name in frame.columns[frame.dtypes == "category"]:
        assert again[name].cat.categories.tolist() == frame[name].cat.categories.tolist()
    for name in frame.columns[frame.dtypes == "object"]:
        assert all(map(same, again[name], frame[name])), name


def test_sets_and_enormous_numbers_come_back(tmp_path):
    """Sets keep their kind at any depth, and whole numbers of any size every digit."""
    payloads = [{1, "a"}, {"k": [frozenset({(1, 2)})]}, {"n": -(10**5000)}]
    write_parquet(to_frame([Event(EventType.SYSTEM_INIT, payload) for payload in payloads]), tmp_path / "f.parquet")
    again = read_parquet(tmp_path / "f.parquet")["data"].tolist()
    assert again == payloads
    assert type(again[0]) is set and type(again[1]["k"][0]) is frozenset


def test_categories_that_do_not_occur_and_their_order_stay(tmp_path):
    """A category nobody uses, and an order of categories that is not the alphabet's, come back."""
    frame = to_frame([Event(EventType.TASK_COMPLETED, source="b"), Event(EventType.SYSTEM_INIT, source="a")])
    frame["source"] = frame["source"].cat.set_categories(["b", "never", "a"], ordered=True)
    write_parquet(frame, tmp_path / "f.parquet")
    assert read_parquet(tmp_path / "f.parquet")["source"].dtype == frame["source"].dtype


def test_other_tools_can_read_the_file(tmp_path):
    """Payloads are JSON text, and types and sources plain text, for whoever reads the file without atlas_lab."""
    write_parquet(to_frame([Event(EventType.SYSTEM_INIT, {"a": [1, None]}, "s")]), tmp_path / "f.parquet")
    row = pq.read_table(tmp_path / "f.parquet").to_pylist()[0]
    assert (row["data"], row["metadata"], row["type"], row["source"]) == ('{"a":[1,null]}', "{}", "SYSTEM_INIT", "s")


def holding_itself():
    payload = []
    payload.append(payload)
    return payload


@pytest.mark.parametrize(
    "payload, place, problem",
    [
        ({"p": [0, Point(1)]}, "data['p'][1] in row 1", "Point(x=1)"),
        (Place(1), "data in row 1", "Place(x=1)"),
        ({"k": Order.PLACED}, "data['k'] in row 1", "Order.PLACED"),
        ({"k": Level.LOW}, "data['k'] in row 1", "Level.LOW"),
        ({Level.LOW: 1}, f"data[{Level.LOW!r}] in row 1", "Level"),
        ({"k": np.arange(3)}, "data['k'] in row 1", "numpy.ndarray"),
        ({"k": object}, "data['k'] in row 1", "type"),
        ({"k": "\ud800"}, "data['k'] in row 1", "UTF-8"),
        ({"\ud800": 1}, "data in row 1", "UTF-8"),
        ({"k": pd.NA}, "data['k'] in row 1", "NAType"),
        ({"t": dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC"))}, "data['t'] in row 1", "use UTC"),
        ({"t": dt.datetime(2020, 1, 1, fold=1)}, "data['t'] in row 1", "use UTC"),
        ({"t": dt.time(1, tzinfo=dt.timezone(dt.timedelta(microseconds=1)))}, "data['t'] in row 1", "use UTC"),
        (holding_itself(), "data in row 1", "holds itself"),
    ],
)
def test_what_would_not_come_back_is_refused(payload, place, problem, tmp_path):
    """A payload that would come back as something else is refused by row and key, and nothing is written."""
    with pytest.raises(PayloadTypeError) as caught:
        write_parquet(
            to_frame([Event(EventType.SYSTEM_INIT, {}), Event(EventType.SYSTEM_INIT, payload)]), tmp_path / "f"
        )
    assert place in str(caught.value) and problem in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda frame: frame.rename(columns={"seq": "run"}),
            "column names that are strings and differ, got .'run', 'run'",
        ),
        (lambda frame: frame.rename(columns={"seq": 1}), "column names that are strings and differ"),
        (lambda frame: frame.assign(z=1j), "cannot be written to Parquet"),
        (lambda frame: frame.assign(z=pd.Categorical([1])), "'z' must have categories of dtype str, got int64"),
    ],
)
def test_columns_that_parquet_lacks_are_refused(change, message, tmp_path):
    """Repeated names and dtypes that Parquet lacks are refused, and nothing is written."""
    with pytest.raises(ValueError, match=message):
        write_parquet(change(to_frame([Event(EventType.SYSTEM_INIT)])), tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_not_overwritten(tmp_path):
    """Who has the old file open goes on reading the old file while a new one takes its name."""
    path = tmp_path / "f.parquet"
    write_parquet(to_frame([Event(EventType.SYSTEM_INIT)]), path)
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_parquet(to_frame([]), path)
        assert reader.read() == before
    assert len(read_parquet(path)) == 0


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    """The old file stays whole, and nothing else is left, when writing breaks off in the middle."""
    path = tmp_path / "f.parquet"
    write_parquet(to_frame([Event(EventType.SYSTEM_INIT)]), path)
    before = path.read_bytes()

    def break_off(table, file, **options):
        file.write(b"PAR1")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", break_off)
    with pytest.raises(KeyboardInterrupt):
        write_parquet(to_frame([]), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all" * 9])
def test_what_is_no_parquet_is_a_data_error(content, tmp_path):
    """Something else in the file's place is a DataError that names the file."""
    path = tmp_path / "f.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"f\.parquet is damaged"):
        read_parquet(path)


def test_parquet_of_others_is_a_data_error(tmp_path):
    """A Parquet file that something else wrote is a DataError that says so; a missing file an OSError."""
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match="was not written by write_parquet"):
        read_parquet(tmp_path / "f.parquet")
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "missing.parquet")


@pytest.mark.parametrize(
    "text",
    ["{", '{"$float":"x"}', '{"$no":1}', '{"$numpy":["object",1]}', '{"$dict":[1]}', '{"$set":[[1]]}', "[" * 9999],
)
def test_hostile_cells_are_a_data_error_with_their_row(text, tmp_path):
    """A cell that write_parquet would not have written is a DataError that names column and row."""
    path = tmp_path / "f.parquet"
    write_parquet(to_frame([Event(EventType.SYSTEM_INIT)] * 2), path)
    table = pq.read_table(path)
    place = table.column_names.index("data")
    cells = table.column(place).to_pylist()
    pq.write_table(table.set_column(place, "data", pa.array([cells[0], text], table.column(place).type)), path)
    with pytest.raises(DataError, match=r"f\.parquet.*data in row 1"):
        read_parquet(path)


def test_damage_is_never_read_as_data(tmp_path):
    """A file with a changed byte or cut short raises DataError, or reads equal where the byte meant nothing."""
    path = tmp_path / "f.parquet"
    frame = FRAMES["keep"]()
    write_parquet(frame, path)
    whole = path.read_bytes()
    chance = random.Random(0)
    damaged = [whole[: chance.randrange(len(whole))] for _ in range(20)]
    for _ in range(300):
        place = chance.randrange(len(whole))
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            again = read_parquet(path)
        except DataError as error:
            refused += "f.parquet" in str(error)
        else:
            assert_frame_equal(again, frame)
    assert refused > 150


def test_missing_pyarrow_names_the_extra():
    """Without pyarrow both functions say which extra to install, and importing them does not fail."""
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from atlas_lab.errors import MissingExtraError\n"
        "from atlas_lab.frames import to_frame\n"
        "from atlas_lab.parquet import read_parquet, write_parquet\n"
        "for act in (lambda: write_parquet(to_frame([]), 'x'), lambda: read_parquet('x')):\n"
        "    try: act()\n"
        "    except MissingExtraError as error: print(error.package, error.extra)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["pyarrow", "lab"] * 2
