"""Documents, what is found of them, and the payloads of the events that tell of both."""

from __future__ import annotations

import msgspec


class Document(msgspec.Struct, frozen=True):
    """A text that can be found.

    Attributes
    ----------
    id : str
        Unlike that of any other document of a knowledge base.
    text : str
    title : str
        Is compared with a question too.
    source : str
        Where it comes from, such as the path of a file.
    """

    id: str
    text: str
    title: str = ""
    source: str = ""


class Hit(msgspec.Struct, frozen=True):
    """A document that was found, its rank from 1, and how well it fits: above 0, and comparable within one answer."""

    rank: int
    score: float
    document: Document


class DocumentAdded(msgspec.Struct, frozen=True):
    """Payload of DOCUMENT_ADDED."""

    document: str
    title: str
    origin: str
    characters: int


class DocumentProcessed(msgspec.Struct, frozen=True):
    """Payload of DOCUMENT_PROCESSED: a document was cut into terms and can be found, or why it cannot.

    Attributes
    ----------
    terms, distinct : int
        Number of terms, and of different ones.
    latency : float, seconds
    error : str
        "" if all is well; else why the document is not there.
    """

    document: str
    terms: int
    distinct: int
    latency: float
    error: str = ""


class RetrievalStarted(msgspec.Struct, frozen=True):
    """Payload of RETRIEVAL_STARTED."""

    retrieval: str
    query: str
    k: int


class RetrievalCompleted(msgspec.Struct, frozen=True):
    """Payload of RETRIEVAL_COMPLETED: what was found, best first, with scores, or what went wrong."""

    retrieval: str
    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...]
    terms: tuple[str, ...]
    latency: float
    error: str = ""
