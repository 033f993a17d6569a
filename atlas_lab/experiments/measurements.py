"""What an experiment measured, as a tidy frame that says where, when and on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from atlas_lab.errors import MissingExtraError
from atlas_lab.machine import Stamp, stamp

from .configurations import FACTORS, System

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error

Column: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


class Notes(Stamp):
    """What is told about a run beside what it measured: the stamp of the machine, its name, and the seed."""

    run: str
    seed: int


def notes(run: str | None, seed: int, packages: Iterable[str]) -> Notes:
    """Return the notes of a run that begins now; without a name it is called by its date."""
    stamped = stamp(*packages)
    return {"run": stamped["date"] if run is None else run, "seed": seed, **stamped}


class Measured(Protocol):
    """One block of an experiment."""

    @property
    def round(self) -> int:
        """Its round."""

    @property
    def way(self) -> int:
        """The place of its system."""

    @property
    def load(self) -> float | None:
        """The load before it."""


def tidy(
    systems: Sequence[System],
    blocks: Sequence[Measured],
    measured: Sequence[Mapping[str, Column]],
    noted: Notes,
    rates: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Return a frame with the rows of every block under one another.

    Parameters
    ----------
    systems : sequence of System
        What ran, by their places.
    blocks : sequence of Measured
        In the order measured.
    measured : sequence of mapping of str to array
        The columns of each block, of equal lengths within one.
    noted : Notes
    rates : sequence of float, optional
        Of each block.
    """
    names = list(dict.fromkeys(system.name for system in systems))
    sizes = [len(next(iter(columns.values()))) for columns in measured]
    rows = sum(sizes)
    ran = [systems[block.way] for block in blocks]

    def each(values: Iterable[Any], kind: str) -> Column:
        return np.repeat(np.array(list(values), kind), sizes)

    def label(codes: Column, categories: list[str]) -> pd.Categorical:
        return pd.Categorical.from_codes(codes, categories=pd.Index(categories, dtype="str"))

    same = np.zeros(rows, np.int8)
    columns: dict[str, Any] = {
        "run": label(same, [noted["run"]]),
        "system": label(each((names.index(system.name) for system in ran), "int16"), names),
    }
    columns |= {name: each((getattr(system.configuration, name) for system in ran), "int32") for name in FACTORS}
    if rates is not None:
        columns["rate"] = each(rates, "float64")
    columns["round"] = each((block.round for block in blocks), "int32")
    columns |= {name: np.concatenate([one[name] for one in measured]) for name in measured[0]}
    versions = ", ".join(f"{name} {version}" for name, version in noted["versions"].items())
    columns |= {
        "load": each((block.load for block in blocks), "float64"),
        "seed": np.full(rows, noted["seed"], np.int64),
        "date": pd.DatetimeIndex([noted["date"]]).as_unit("ns").repeat(rows),
        "machine": label(same, [noted["machine"]]),
        "versions": label(same, [versions]),
    }
    frame = pd.DataFrame(columns)
    frame.attrs["stamp"] = dict(noted)
    return frame
