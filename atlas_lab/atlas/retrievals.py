"""What a knowledge base found for a question, to be read as a sequence or a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from atlas_lab import MissingExtraError

from .documents import Hit

if TYPE_CHECKING:
    import pandas as pd


class Retrieval(Sequence[Hit]):
    """What was found, best first, as ``knowledge.retrieve(..)`` returns it: a sequence of `Hit`.

    Attributes
    ----------
    id : str
        The ``retrieval`` of its events.
    query : str
    hits : tuple of Hit
    latency : float, seconds
    """

    def __init__(self, retrieval: str, query: str, hits: tuple[Hit, ...], latency: float) -> None:
        self.id = retrieval
        self.query = query
        self.hits = hits
        self.latency = latency

    def __getitem__(self, place: Any) -> Any:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)

    def frame(self) -> pd.DataFrame:
        """Return a frame with one row per hit: rank, document, score, title and text."""
        try:
            import pandas as pd  # noqa: PLC0415 - only for those who ask for a frame
        except ImportError as error:
            raise MissingExtraError("pandas", "lab") from error
        columns = {
            "rank": pd.array([hit.rank for hit in self.hits], dtype="int64"),
            "document": pd.array([hit.document.id for hit in self.hits], dtype="str"),
            "score": pd.array([hit.score for hit in self.hits], dtype="float64"),
            "title": pd.array([hit.document.title for hit in self.hits], dtype="str"),
            "text": pd.array([hit.document.text for hit in self.hits], dtype="str"),
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        return f"<Retrieval {self.query!r}: {', '.join(hit.document.id for hit in self.hits) or 'nothing found'}>"
