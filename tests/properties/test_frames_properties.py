"""Frames against naive models: json_normalize, a walk up the parents, and what went into a Parquet file."""

import datetime as dt
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from atlas_lab import Event, EventType
from atlas_lab.frames import to_frame
from atlas_lab.parquet import read_parquet, write_parquet

KEYS = st.one_of(st.sampled_from(["a", "b", "a.b", "a.b.c", "", "é", "$set"]), st.text(max_size=3))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**65),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(), st.text(max_size=2)), max_size=3),
)
ODD_LEAVES = st.one_of(
    st.datetimes(),
    st.timedeltas(),
    st.dates(),
    st.binary(max_size=3),
    st.decimals(allow_nan=False),
    st.just(np.float32(1.5)),
    st.just(np.int8(3)),
    st.just(np.bool_(True)),
    st.just(pd.NaT),
    st.just(pd.NA),
    st.complex_numbers(),
    st.datetimes(timezones=st.just(dt.UTC)),
)


def nested(keys, leaves):
    return st.dictionaries(
        keys, st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6), max_size=4
    )


def check_identity(payloads):
    try:
        expected = pd.json_normalize(payloads)
    except (UnicodeEncodeError, OverflowError, pd.errors.OutOfBoundsDatetime) as error:
        expected = error
    events = [Event(EventType.STREAM_CHUNK, payload) for payload in payloads]
    if isinstance(expected, UnicodeEncodeError):
        to_frame(events, data="expand")
        return
    frame = to_frame(events, data="expand")
    expected.columns = [f"data.{name}" for name in expected]
    assert_frame_equal(frame.iloc[:, 11:-1], expected, check_column_type=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(nested(KEYS, LEAVES), min_size=1, max_size=6))
def test_expanding_json_is_json_normalize(payloads):
    """Any JSON payloads expand to the columns, order, values and dtypes of json_normalize."""
    check_identity(payloads)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        nested(st.one_of(st.sampled_from(["a", "b", 1, True, 1.0, "1", (1,)])), LEAVES | ODD_LEAVES),
        min_size=1,
        max_size=4,
    )
)
def test_expanding_anything_else_is_json_normalize_too(payloads):
    """Keys that are no text, dates, decimals and NumPy scalars are treated as json_normalize does."""
    names = pd.json_normalize([dict.fromkeys(payload, 0) for payload in payloads]).columns
    if names.map(lambda name: f"data.{name}").is_unique:
        check_identity(payloads)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 12)), unique_by=lambda link: link[0]))
def test_root_and_depth_match_a_walk_up_the_parents(links):
    """Root and depth equal those of a plain walk from event to event, in any order, circles included."""
    parents = dict(links)
    frame = to_frame(
        [Event(EventType.STREAM_CHUNK, id=f"{n}", parent_id=None if p is None else f"{p}") for n, p in links]
    )
    for row, start in enumerate(parents):
        node, depth, seen = start, 0, {start}
        while parents.get(node) is not None:
            node, depth = parents[node], depth + 1
            if node in seen:
                node, depth = None, -1
                break
            seen.add(node)
        root = frame["root_id"][row]
        assert (None if pd.isna(root) else root) == (None if node is None else f"{node}")
        assert frame["depth"][row] == depth


OFFSETS = st.integers(-86399, 86399).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.dates(),
    st.times().map(lambda time: time.replace(fold=0)),
    st.timedeltas(),
    st.datetimes().map(lambda time: time.replace(fold=0)),
    st.datetimes(timezones=OFFSETS).map(lambda time: time.replace(fold=0)),
    st.decimals(allow_nan=False),
    st.just(uuid.UUID(int=7)),
    st.sampled_from([np.float32, np.float64, np.int16, np.uint64, np.bool_, np.float16]).map(lambda kind: kind(1)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(SCALARS, max_size=3),
        st.frozensets(SCALARS, max_size=3),
        st.dictionaries(SCALARS | KEYS, inner, max_size=3),
    ),
    max_leaves=8,
)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(map(same, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and (isinstance(one, set | frozenset) or repr(one) == repr(other))


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_cells_come_back_from_parquet_with_their_types(payloads):
    """Whatever the documentation calls lossless comes back equal and of the same type, at any depth."""
    frame = to_frame([Event(EventType.STREAM_CHUNK, payload, metadata={"m": payload}) for payload in payloads])
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(frame, Path(folder) / "f.parquet")
        again = read_parquet(Path(folder) / "f.parquet")
    assert_frame_equal(again.drop(columns=["data", "metadata"]), frame.drop(columns=["data", "metadata"]))
    assert all(map(same, again["data"], payloads))
    assert all(same(found["m"], payload) for found, payload in zip(again["metadata"], payloads, strict=True))
