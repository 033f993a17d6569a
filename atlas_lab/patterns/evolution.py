"""How a state came about, as a frame: one row for each event."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from atlas_lab import Event, MissingExtraError

from .freezing import parts_of

if TYPE_CHECKING:
    import pandas as pd


def steps_frame(steps: Iterable[tuple[Event[Any], Any]], before: Any) -> pd.DataFrame:
    """Return events and the states that they led to as a DataFrame; see `Projection.frame`."""
    try:
        import pandas as pd  # noqa: PLC0415 - heavy, and only for those who ask for a frame
    except ImportError as error:
        raise MissingExtraError("pandas", "lab") from error

    pairs = list(steps)
    states = [state for _, state in pairs]
    changed = [one is not other for one, other in zip(states, [before, *states], strict=False)]
    nanoseconds = [None if math.isnan(event.timestamp) else round(event.timestamp * 1e9) for event, _ in pairs]
    columns: dict[str, Any] = {
        "seq": pd.Series([event.seq for event, _ in pairs], dtype="int64"),
        "timestamp": pd.to_datetime(pd.Series(nanoseconds, dtype="Int64"), unit="ns", utc=True).astype(
            "datetime64[ns, UTC]"
        ),
        "type": pd.Series([event.type_name for event, _ in pairs], dtype="str"),
        "event_id": pd.Series([event.id for event, _ in pairs], dtype="str"),
        "changed": pd.Series(changed, dtype="bool"),
    }
    rows = [None if isinstance(state, Sequence) else parts_of(state) for state in states]
    if states and all(row is not None for row in rows):
        keys = dict.fromkeys(key for row in rows for key in row or ())
        columns |= {f"state.{key}": pd.Series([(row or {}).get(key) for row in rows]) for key in keys}
    else:
        columns["state"] = pd.Series(states, dtype="object")
    return pd.DataFrame(columns)
