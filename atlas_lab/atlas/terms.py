"""How texts and questions are cut into the terms that are compared, and long texts into pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

Terms: TypeAlias = "Callable[[str], list[str]]"

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")
"""Scripts that put no spaces between words: those of Thai, Lao, Burmese, Khmer, Japanese and Chinese."""

_COMMON_WORDS = """
a an and any are as at be been being but by can do does for from had has have how i if in into is it its me my no
not of on or our should so some such than that the their them then there these they this those to was we were what
when where which while who whose why will with would you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def terms_of(text: str) -> list[str]:
    """Cut a text into terms: words in lower case without their endings; names in code also into their parts.

    Endings are those of English; words of other languages are compared whole, and those of scripts that put no
    spaces between them by each two neighbouring signs.

    Examples
    --------
    >>> from atlas_lab.atlas.terms import terms_of
    >>> terms_of("The copied files: os.path.joinAll, read_text")
    ['copi', 'file', 'os', 'path', 'join', 'all', 'read', 'text']
    >>> terms_of("Die Straße"), terms_of("事件总线")
    (['die', 'strass'], ['事件', '件总', '总线'])
    """
    lowered = (word.casefold() for word in _words(unicodedata.normalize("NFKC", text)))
    return [_stem(word) for word in lowered if word not in _COMMON]


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if word.isascii():
            yield from _CAMEL.split(word)
            continue
        for place, part in enumerate(_UNSPACED.split(word)):
            if place % 2:
                yield from (part[start : start + 2] for start in range(max(len(part) - 1, 1)))
            elif part:
                yield from _CAMEL.split(part)


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
    >>> from atlas_lab.atlas.terms import paragraphs
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
