"""Documents, how they are cut into terms, and the payloads of the events that tell of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias

import msgspec

Terms: TypeAlias = "Callable[[str], list[str]]"

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "being",
        "but",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


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


def terms_of(text: str) -> list[str]:
    """Cut a text into terms: words in lower case without their endings; names in code also into their parts.

    Examples
    --------
    >>> from atlas_lab.atlas.documents import terms_of
    >>> terms_of("The copied files: os.path.joinAll, read_text")
    ['copi', 'file', 'os', 'path', 'join', 'all', 'read', 'text']
    """
    words = (part for word in _WORD.findall(text) for part in _CAMEL.split(word))
    lowered = (word.lower() for word in words)
    return [_stem(word) for word in lowered if word not in _COMMON]


@lru_cache(50_000)
def _stem(word: str) -> str:
    """Take the ending off an English word, so that "copies", "copied" and "copying" are one term."""
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdgkmnprt":
        word = word[:-1]
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    return f"{word[:-1]}i" if len(word) > 2 and word.endswith("y") and word[-2] not in "aeiou" else word


_ENDINGS = [
    ("sses", "ss"), ("ies", "i"), ("ied", "i"), ("ss", "ss"), ("us", "us"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"),
    ("s", ""), ("ing", ""), ("eed", "ee"), ("ed", ""), ("ly", ""),
]  # fmt: skip


def paragraphs(text: str, size: int) -> Iterable[str]:
    r"""Cut a text at empty lines into pieces of about `size` characters; a longer paragraph stays whole.

    Examples
    --------
    >>> from atlas_lab.atlas.documents import paragraphs
    >>> list(paragraphs("one\n\ntwo\n\nthree", 8))
    ['one\n\ntwo', 'three']
    """
    held = ""
    for paragraph in re.split(r"\n\s*\n", text):
        if held and len(held) + len(paragraph) + 2 > size:
            yield held
            held = paragraph
        else:
            held = f"{held}\n\n{paragraph}" if held else paragraph
    if held.strip():
        yield held
