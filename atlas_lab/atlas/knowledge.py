"""Documents on a bus: adding them and finding them again are events, with scores."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from atlas_lab import AtlasLabError, EventBus, EventType, MissingExtraError

from .checking import check
from .documents import (
    Document,
    DocumentAdded,
    DocumentProcessed,
    Hit,
    RetrievalCompleted,
    RetrievalStarted,
    Terms,
    paragraphs,
    terms_of,
)
from .related_words import related_words
from .telling import tell

try:
    import bm25s
    import numpy as np
except ImportError as error:
    raise MissingExtraError("bm25s", "atlas") from error

if TYPE_CHECKING:
    import pandas as pd

_TITLE_WEIGHT = 2
_SUMMARY_WEIGHT = 3  # the first paragraph of a text says what it is about
_RELATED_WEIGHT = 0.85  # these three did best on `questions.TUNING`


class DocumentError(AtlasLabError, ValueError):
    """A document cannot be added; the others of the same call are."""


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
            "rank": np.array([hit.rank for hit in self.hits], np.int64),
            "document": pd.array([hit.document.id for hit in self.hits], dtype="str"),
            "score": np.array([hit.score for hit in self.hits], np.float64),
            "title": pd.array([hit.document.title for hit in self.hits], dtype="str"),
            "text": pd.array([hit.document.text for hit in self.hits], dtype="str"),
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        return f"<Retrieval {self.query!r}: {', '.join(hit.document.id for hit in self.hits) or 'nothing found'}>"


class KnowledgeBase:
    """Documents that are found by what they say, ranked by BM25, and told of on a bus.

    It can be used from any number of threads. A document that was added is found by the next retrieval.

    Parameters
    ----------
    bus : EventBus
        Gets DOCUMENT_ADDED, DOCUMENT_PROCESSED, RETRIEVAL_STARTED and RETRIEVAL_COMPLETED, with `name` as source. Their
        payloads are the classes `DocumentAdded` and so on.
    name : str, default "knowledge"
    terms : callable of str to list of str, optional
        Cuts texts and questions into what is compared; by default `terms_of`, for English and names in code.
    related : mapping of term to terms, optional
        Terms that stand for one another; one of a question that is met by a related one counts for 0.85 of it. By default
        `related_words`, some common words of computing.
    k1, b : float, default 1.5 and 0.75
        How soon the repetition of a term stops to count, and how much long documents pay for their length.

    Notes
    -----
    Scores are those of Lucene's BM25, by the library bm25s: X. H. Lu, BM25S (2024), https://arxiv.org/abs/2407.03618.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import KnowledgeBase
    >>> bus = EventBus()
    >>> knowledge = KnowledgeBase(bus)
    >>> _ = knowledge.add_texts(["A bus carries events.", "A cat sleeps.", "Handlers handle an event."])
    >>> [hit.document.id for hit in knowledge.retrieve("Which bus has carried the event?")]
    ['text-1', 'text-3']
    >>> bus.history[-1].data.scores[0] > bus.history[-1].data.scores[1]
    True
    """

    def __init__(
        self,
        bus: EventBus,
        *,
        name: str = "knowledge",
        terms: Terms = terms_of,
        related: Mapping[str, Sequence[str]] | None = None,
        k1: float = 1.5,
        b: float = 0.75,
    ) -> None:
        check("bus", bus, EventBus, "an EventBus")
        check("name", name, str, "a str")
        if not callable(terms):
            raise TypeError(f"terms must be callable, got {type(terms).__name__}")
        if not k1 > 0 or not 0 <= b <= 1:
            raise ValueError(f"k1 must be above 0 and b from 0 to 1, got {k1} and {b}")
        self.bus = bus
        self.name = name
        self._terms = terms
        self._related = related_words() if related is None else dict(related)
        self._k1, self._b = k1, b
        self._lock = threading.Lock()
        self._documents: dict[str, Document] = {}
        self._term_lists: list[list[str]] = []
        self._version = 0
        self._index: tuple[bm25s.BM25, tuple[Document, ...]] | None = None
        self._numbers = itertools.count(1)
        self._retrievals = itertools.count(1)
        self._closed = False

    # -- adding

    def add(self, document: Document) -> None:
        """Add a document: DOCUMENT_ADDED, then DOCUMENT_PROCESSED.

        Raises
        ------
        TypeError
            If it is no `Document`.
        DocumentError
            If there is one with its id already, or it cannot be cut into terms; told in DOCUMENT_PROCESSED too.
        """
        check("document", document, Document, "a Document (see add_texts, add_files and add_frame for others)")
        self._check_open()
        with self._lock:
            taken = document.id in self._documents
            if not taken:
                self._documents[document.id] = document
                place = len(self._term_lists)
                self._term_lists.append([])
        if taken:
            self._refuse(document.id, f"there is a document {document.id!r} already; give it another id")
        added = DocumentAdded(document.id, document.title, document.source, len(document.text))
        self.bus.publish(EventType.DOCUMENT_ADDED, added, self.name)
        began = time.perf_counter()
        try:
            summary = document.text.partition("\n\n")[0]
            terms = [
                *_TITLE_WEIGHT * self._terms(document.title),
                *self._terms(document.text),
                *_SUMMARY_WEIGHT * self._terms(summary),
            ]
        except Exception as error:  # noqa: BLE001 - a function of the user's
            self._refuse(document.id, f"{document.id!r} cannot be cut into terms: {type(error).__name__}: {error}")
        with self._lock:
            self._term_lists[place] = terms
            self._version += 1
            self._index = None
        processed = DocumentProcessed(document.id, len(terms), len(set(terms)), time.perf_counter() - began)
        self.bus.publish(EventType.DOCUMENT_PROCESSED, processed, self.name)

    def add_documents(self, documents: Iterable[Document]) -> int:
        """Add documents, such as those of `stdlib_docstrings`, and return their number."""
        number = 0
        for number, document in enumerate(documents, 1):  # noqa: B007 - the last one is the result
            self.add(document)
        return number

    def add_texts(self, texts: Iterable[str]) -> list[str]:
        """Add texts, and return the ids ``text-1``, ``text-2`` and so on that they get.

        Raises
        ------
        TypeError
            If `texts` is one text, or holds something else.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be several texts; put a single one in a list")
        added = []
        for text in texts:
            check("texts", text, str, "an iterable of str")
            added.append(f"text-{next(self._numbers)}")
            self.add(Document(added[-1], text))
        return added

    def add_files(
        self, paths: Iterable[str | PathLike[str]], *, size: int | None = None, encoding: str = "utf-8"
    ) -> list[str]:
        """Add text files, and return the ids of their documents.

        Parameters
        ----------
        paths : iterable of paths
        size : int, characters, optional
            Cut each file at empty lines into documents of about this size: ``path#1``, ``path#2`` and so on. By
            default a file is one document with its path as id.
        encoding : str, default "utf-8"

        Raises
        ------
        DocumentError
            If files cannot be read, once all others are added. Each of them is told in DOCUMENT_PROCESSED too.
        """
        if isinstance(paths, str | PathLike):
            raise TypeError("paths must be several paths; put a single one in a list")
        if size is not None and size < 1:
            raise ValueError(f"size must be 1 or more, got {size}")
        added, problems = [], []
        for path in map(Path, paths):
            try:
                text = path.read_text(encoding=encoding)
            except (OSError, UnicodeError) as error:
                problems.append(f"{path}: {type(error).__name__}: {error}")
                self._tell_failure(str(path), problems[-1])
                continue
            pieces = [text] if size is None else list(paragraphs(text, size))
            for number, piece in enumerate(pieces, 1):
                name = str(path) if size is None else f"{path}#{number}"
                try:
                    self.add(Document(name, piece, path.stem, str(path)))
                except DocumentError as error:
                    problems.append(str(error))
                else:
                    added.append(name)
        if problems:
            raise DocumentError(f"{len(problems)} could not be added, {len(added)} were: {'; '.join(problems)}")
        return added

    def add_frame(
        self,
        frame: pd.DataFrame,
        *,
        text: str,
        ids: str | None = None,
        title: str | None = None,
    ) -> list[str]:
        """Add the rows of a frame, and return the ids of their documents.

        Parameters
        ----------
        frame : DataFrame
        text : str
            Name of the column of texts. Rows whose text is missing are passed over.
        ids, title : str, optional
            Names of the columns of ids, by default ``row-`` and the index, and of titles.

        Raises
        ------
        ValueError
            If a column is missing.
        """
        for argument, column in (("text", text), ("ids", ids), ("title", title)):
            if column is not None and column not in frame:
                raise ValueError(f"{argument} must be a column, got {column!r}. Columns: {', '.join(map(str, frame))}")
        rows = frame[frame[text].notna()]
        names = [f"row-{index}" for index in rows.index] if ids is None else rows[ids].astype(str).tolist()
        titles = [""] * len(rows) if title is None else rows[title].fillna("").astype(str).tolist()
        for name, heading, body in zip(names, titles, rows[text].astype(str), strict=True):
            self.add(Document(name, body, heading, "frame"))
        return names

    def _refuse(self, name: str, problem: str) -> None:
        self._tell_failure(name, problem)
        raise DocumentError(problem)

    def _tell_failure(self, name: str, problem: str) -> None:
        tell(self.bus, EventType.DOCUMENT_PROCESSED, DocumentProcessed(name, 0, 0, 0.0, problem), self.name)

    # -- finding

    def retrieve(self, query: str, k: int = 5) -> Retrieval:
        """Return the documents that fit a question best: RETRIEVAL_STARTED, then RETRIEVAL_COMPLETED with scores.

        Parameters
        ----------
        query : str
        k : int, default 5
            The most documents to return; those that share no term with the question are not returned.

        Returns
        -------
        Retrieval
            A sequence of `Hit`, best first; of equal ones, that which was added first.

        Raises
        ------
        TypeError, ValueError
            If `query` is no str, or `k` no int of 1 or more.
        """
        check("query", query, str, "a str")
        check("k", k, int, "an int of 1 or more")
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        self._check_open()
        retrieval = f"{self.name}/{next(self._retrievals)}"
        self.bus.publish(EventType.RETRIEVAL_STARTED, RetrievalStarted(retrieval, query, k), self.name)
        began = time.perf_counter()
        try:
            terms = self._terms(query)
            hits = self._ranked(terms, k)
        except Exception as error:
            failed = (time.perf_counter() - began, f"{type(error).__name__}: {error}")
            data = RetrievalCompleted(retrieval, query, (), (), (), *failed)
            tell(self.bus, EventType.RETRIEVAL_COMPLETED, data, self.name)
            raise
        found = Retrieval(retrieval, query, hits, time.perf_counter() - began)
        names, scores = tuple(hit.document.id for hit in hits), tuple(hit.score for hit in hits)
        data = RetrievalCompleted(retrieval, query, names, scores, tuple(terms), found.latency)
        self.bus.publish(EventType.RETRIEVAL_COMPLETED, data, self.name)
        return found

    def _ranked(self, terms: list[str], k: int) -> tuple[Hit, ...]:
        if not terms or not len(self):
            return ()
        index, documents = self._indexed()
        scores = np.zeros(len(documents))
        for term in terms:
            score = index.get_scores([term]).astype(np.float64)
            for other in self._related.get(term, ()):
                score = np.maximum(score, _RELATED_WEIGHT * index.get_scores([other]))
            scores += score
        best = np.argsort(-scores, kind="stable")[:k]
        found = [(float(scores[place]), documents[place]) for place in best.tolist() if scores[place] > 0]
        return tuple(Hit(rank, score, document) for rank, (score, document) in enumerate(found, 1))

    def _indexed(self) -> tuple[bm25s.BM25, tuple[Document, ...]]:
        with self._lock:
            if self._index is not None:
                return self._index
            documents, terms, version = tuple(self._documents.values()), list(self._term_lists), self._version
        index = bm25s.BM25(k1=self._k1, b=self._b, method="lucene", backend="numpy")
        index.index(terms, show_progress=False)
        with self._lock:
            if self._version == version:  # else a document came meanwhile
                self._index = index, documents
        return index, documents

    # -- the rest

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, document_id: object) -> bool:
        return document_id in self._documents

    def __getitem__(self, document_id: str) -> Document:
        return self._documents[document_id]

    def close(self) -> None:
        """Take and find no more documents."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this KnowledgeBase is closed; make another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KnowledgeBase {self.name}: {len(self):,} documents>"
