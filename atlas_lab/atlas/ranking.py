"""Which of many documents fit a question best, by BM25."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from atlas_lab import MissingExtraError

from .documents import Document, Hit
from .terms import Terms

try:
    import bm25s
    import numpy as np
except ImportError as error:
    raise MissingExtraError("bm25s", "atlas") from error

_TITLE_WEIGHT = 1
_NAME_WEIGHT = 2  # more for a title without spaces, or the last part of one with dots: what `os.path.join` is called
_SUMMARY_WEIGHT = 2  # more for the first paragraph of a text, which says what it is about
_RELATED_WEIGHT = 0.85  # these four did best on `questions.TUNING`


class Ranking:
    """Documents by their terms, of which those that fit a question can be asked for. For any number of threads.

    Parameters
    ----------
    terms : callable of str to list of str
        Cuts texts into what is compared.
    related : mapping of term to terms
        Terms that stand for one another.
    k1, b : float
        How soon the repetition of a term stops to count, and how much long documents pay for their length.

    Examples
    --------
    >>> from atlas_lab.atlas import Document
    >>> from atlas_lab.atlas.ranking import Ranking
    >>> ranking = Ranking(str.split, {}, 2.0, 0.6)
    >>> ranking.add(Document("bus", "events on a bus")), ranking.add(Document("cat", "a cat"))
    (['events', 'on', 'a', 'bus', 'events', 'on', 'a', 'bus', 'events', 'on', 'a', 'bus'], ['a', 'cat', 'a', 'cat', 'a', 'cat'])
    >>> [hit.document.id for hit in ranking.best(["bus"], 5)]
    ['bus']
    """

    def __init__(self, terms: Terms, related: Mapping[str, Sequence[str]], k1: float, b: float) -> None:
        self._terms = terms
        self._related = related
        self._k1, self._b = k1, b
        self._lock = threading.Lock()
        self._documents: list[Document] = []
        self._term_lists: list[list[str]] = []
        self._index: tuple[bm25s.BM25, tuple[Document, ...]] | None = None

    def add(self, document: Document) -> list[str]:
        """Take a document in, and return its terms, each as often as it counts."""
        summary = document.text.partition("\n\n")[0]
        name = document.title if " " in document.title else document.title.rpartition(".")[2]
        terms = [
            *_TITLE_WEIGHT * self._terms(document.title),
            *_NAME_WEIGHT * self._terms(name),
            *self._terms(document.text),
            *_SUMMARY_WEIGHT * self._terms(summary),
        ]
        with self._lock:
            self._documents.append(document)
            self._term_lists.append(terms)
            self._index = None
        return terms

    def best(self, terms: Sequence[str], k: int) -> tuple[Hit, ...]:
        """Return the `k` documents that fit best, of those that share a term; of equal ones, the first that was added."""
        index, documents = self._indexed()
        if index is None:
            return ()
        scores = np.zeros(len(documents))
        for term in terms:
            score = index.get_scores([term]).astype(np.float64)
            for other in self._related.get(term, ()):
                score = np.maximum(score, _RELATED_WEIGHT * index.get_scores([other]))
            scores += score
        best = np.argsort(-scores, kind="stable")[:k]
        found = [(float(scores[place]), documents[place]) for place in best.tolist() if scores[place] > 0]
        return tuple(Hit(rank, score, document) for rank, (score, document) in enumerate(found, 1))

    def _indexed(self) -> tuple[bm25s.BM25 | None, tuple[Document, ...]]:
        with self._lock:
            if self._index is not None:
                return self._index
            documents, terms = tuple(self._documents), list(self._term_lists)
        if not any(terms):  # bm25s makes no index of nothing
            return None, documents
        index = bm25s.BM25(k1=self._k1, b=self._b, method="lucene", backend="numpy")
        index.index(terms, show_progress=False)
        with self._lock:
            if len(self._documents) == len(documents):  # else a document came meanwhile
                self._index = index, documents
        return index, documents
