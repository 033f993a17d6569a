"""Promise 28: what importers refuse."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from atlas_lab import DataError, EventBus, datasets


def test_28_importers_read_no_pickle(tmp_path, monkeypatch):
    """A pickle put in the place of a data file is refused as damaged, and not one byte of it is run."""
    proof = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (proof,)

    for name in datasets.CHECKSUMS:
        (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    monkeypatch.setattr(datasets, "_folders", lambda: (tmp_path,))
    for load in (datasets.load_flights, datasets.load_quakes):
        with pytest.raises(DataError, match="damaged"):
            load()
    assert not proof.exists()


def test_28_damaged_data_loses_nothing_that_was_read_before(tmp_path, monkeypatch):
    """Data that went over a bus stays there when the next file turns out to be damaged."""
    bus = EventBus(history_limit=None)
    for event in datasets.load_quakes()[:50]:
        bus.emit(event)
    (tmp_path / "earthquakes.json").write_text('{"features": [')
    monkeypatch.setattr(datasets, "_folders", lambda: (tmp_path,))
    with pytest.raises(DataError, match=r"earthquakes\.json"):
        for event in datasets.load_quakes():
            bus.emit(event)
    assert len(bus.history) == 50
