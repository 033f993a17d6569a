"""How well a knowledge base finds what answers a question."""

from __future__ import annotations

from collections.abc import Iterable

from atlas_lab import MissingExtraError

from .checking import check
from .knowledge import KnowledgeBase
from .questions import Question

try:
    import pandas as pd
except ImportError as error:
    raise MissingExtraError("pandas", "lab") from error


def retrieval_quality(knowledge: KnowledgeBase, questions: Iterable[Question], *, k: int = 10) -> pd.DataFrame:
    """Return at which rank the answer to each question is found: recall@5 is ``frame["rank"].le(5).fillna(False).mean()``.

    Without the ``fillna``, questions that found no answer would not count.

    Parameters
    ----------
    knowledge : KnowledgeBase
    questions : iterable of Question
    k : int, default 10
        How far to look.

    Returns
    -------
    DataFrame, one row per question
        ======== ======= =======================================================
        column   dtype
        ======== ======= =======================================================
        question str
        answer   str     the answer that was found first, or the one to be found
        rank     Int64   from 1; missing if none is among the first `k`
        score    float64 of that answer; missing with the rank
        first    str     what was found first; missing if nothing was
        ======== ======= =======================================================

    Raises
    ------
    TypeError
        If `knowledge` is no KnowledgeBase, or a question no `Question`.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import KnowledgeBase, Question, retrieval_quality, stdlib_docstrings
    >>> knowledge = KnowledgeBase(EventBus())
    >>> _ = knowledge.add_documents(stdlib_docstrings(["textwrap"]))
    >>> retrieval_quality(knowledge, [Question("same indentation off all lines", ("textwrap.dedent",))])["rank"].tolist()
    [1]
    """
    check("knowledge", knowledge, KnowledgeBase, "a KnowledgeBase")
    rows = []
    for question in questions:
        check("questions", question, Question, "an iterable of Question")
        hits = knowledge.retrieve(question.text, k)
        best = next((hit for hit in hits if hit.document.id in question.answers), None)
        first = hits[0].document.id if hits else None
        found = (None, None) if best is None else (best.rank, best.score)
        rows.append((question.text, question.answers[0] if best is None else best.document.id, *found, first))
    frame = pd.DataFrame(rows, columns=["question", "answer", "rank", "score", "first"])
    return frame.astype({"question": "str", "answer": "str", "rank": "Int64", "score": "float64", "first": "str"})
