"""Answers and what leads to them: passages, drafts, and how much of a draft stands in its passage."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from atlas_lab import MissingExtraError

from .documents import Document
from .terms import terms_of

if TYPE_CHECKING:
    import pandas as pd


class Passage(msgspec.Struct, frozen=True):
    """A document that was found for a question, how well it fits, and the beginning of its text."""

    document: str
    score: float
    text: str


class Draft(msgspec.Struct, frozen=True):
    """What a provider wrote about the document that fits best."""

    document: str
    text: str
    provider: str


class Verdict(msgspec.Struct, frozen=True):
    """What share of a draft stands in the passage, and whether that is enough."""

    grounded: float
    accepted: bool


class Answer(msgspec.Struct, frozen=True):
    """The answer to a question.

    Attributes
    ----------
    question : str
    text : str
    document : str
        Where the text comes from; "" if nothing was found.
    status : str
        "written" by a provider, "quoted" because what it wrote was not in the passage, "unknown" because no document
        shares a word with the question, or "failed", with the reason as text.
    provider : str
        Who wrote it; "" if nobody did.
    grounded : float
        The share of what was written that stands in the passage.
    passages : tuple of str
        The documents that were found, best first.
    """

    question: str
    text: str
    document: str = ""
    status: str = "unknown"
    provider: str = ""
    grounded: float = 0.0
    passages: tuple[str, ...] = ()


def answer_table(answers: Iterable[Answer]) -> pd.DataFrame:
    """Return a frame with one row per answer and a column for each of its fields.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.

    Examples
    --------
    >>> from atlas_lab.atlas import Answer, answer_table
    >>> answer_table([Answer("Why?", "Because.", status="written")])[["question", "status"]]
      question   status
    0     Why?  written
    """
    try:
        import pandas as pd  # noqa: PLC0415 - answers can be had without it
    except ImportError as error:
        raise MissingExtraError("pandas", "lab") from error
    rows = [msgspec.structs.asdict(answer) for answer in answers]
    kinds = dict.fromkeys(Answer.__struct_fields__, "str") | {"grounded": "float64", "passages": "object"}
    return pd.DataFrame(rows, columns=list(Answer.__struct_fields__)).astype(kinds)


def summary_of(document: Document) -> str:
    r"""Return the first paragraph of a document, on one line.

    Examples
    --------
    >>> from atlas_lab.atlas import Document, summary_of
    >>> summary_of(Document("a", "A bus\ncarries events.\n\nIn order."))
    'A bus carries events.'
    """
    return " ".join(document.text.strip().split("\n\n")[0].split())


def reading_of(documents: Iterable[Document]) -> list[str]:
    """Return what a model of words has to read, to go on with the name of a document by what that says.

    Examples
    --------
    >>> from atlas_lab.atlas import Document, reading_of
    >>> reading_of([Document("bus.publish", "Publish an event.")])
    ['bus.publish : Publish an event.']
    """
    return [f"{document.id} : {summary_of(document)}" for document in documents]


def grounding(text: str, passage: str) -> float:
    """Return the share of the pairs of neighbouring terms of a text that are also neighbours in a passage.

    Examples
    --------
    >>> from atlas_lab.atlas import grounding
    >>> grounding("The bus carries events.", "A bus carries events in order.")
    1.0
    >>> grounding("The bus carries people to work.", "A bus carries events in order.")
    0.333...
    """
    pairs, there = _pairs(text), set(_pairs(passage))
    return sum(pair in there for pair in pairs) / len(pairs) if pairs else 0.0


def _pairs(text: str) -> list[tuple[str, ...]]:
    terms = terms_of(text)
    return list(itertools.pairwise(terms)) if len(terms) > 1 else [(term,) for term in terms]
