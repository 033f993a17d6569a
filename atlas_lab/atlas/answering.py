"""Question answering over documents: providers, knowledge, agents, a workflow and services, at work on one bus.

A librarian finds passages, a writer has a provider say what the best of them says, a critic compares the two, and what
the critic does not accept is replaced by a quotation. The writers go from one provider to the next when one fails.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from atlas_lab import AtlasLabError, Event, EventBus

from .agents import AgentController
from .answers import Answer, Draft, Passage, Verdict, grounding, summary_of
from .checking import check
from .documents import Document
from .graphs import Node, Workflow
from .knowledge import KnowledgeBase
from .machines import LIFECYCLE
from .provider_errors import ProviderConnectionError
from .provider_types import Message, Prompt, Provider
from .providers import ProviderManager
from .retrying import RetryPolicy
from .services import CoreServices
from .shifts import Agent
from .workflow import WorkflowEngine

if TYPE_CHECKING:
    import pandas as pd

_SYSTEM = "Go on with the last message, in one sentence, and say nothing that the passages do not say."
_WRITING = LIFECYCLE.with_steps(
    {"working": ["prompting"], "prompting": ["falling back"], "falling back": ["prompting"]}
)


class AnsweringSystem:
    """Answers questions from documents. Everything it does is told on the bus, with its cause.

    Parameters
    ----------
    bus : EventBus
    documents : iterable of Document
    providers : mapping of str to Provider
        In the order in which they are asked. For `NgramProvider`, `reading_of` makes of documents what it has to read.
    passages : int, default 3
        How many are found for a question.
    writers : int, default 2
        Agents that write at the same time.
    least : float, default 0.8
        The share of a draft that must stand in the passage.
    retry : RetryPolicy, optional
        For each provider, before the next is asked; by default two attempts.
    interval : float, seconds, default 60
        Between two rounds of health checks and metrics.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import AnsweringSystem, NgramProvider, reading_of, stdlib_docstrings
    >>> documents = stdlib_docstrings(["textwrap"])
    >>> with AnsweringSystem(EventBus(), documents, {"local": NgramProvider(reading_of(documents))}) as system:
    ...     answer = system.ask("How do I remove common leading whitespace from lines?")
    >>> answer.document, answer.status, answer.provider
    ('textwrap.dedent', 'written', 'local')
    >>> answer.text
    'Remove any common leading whitespace from every line in `text`.'
    """

    def __init__(
        self,
        bus: EventBus,
        documents: Iterable[Document],
        providers: Mapping[str, Provider],
        *,
        passages: int = 3,
        writers: int = 2,
        least: float = 0.8,
        retry: RetryPolicy | None = None,
        interval: float = 60.0,
    ) -> None:
        check("providers", providers, Mapping, "a mapping of names to providers")
        if not providers:
            raise ValueError("providers is empty; give at least one, such as NgramProvider(reading_of(documents))")
        for argument, number in (("passages", passages), ("writers", writers)):
            check(argument, number, int, "an int of 1 or more")
            if number < 1:
                raise ValueError(f"{argument} must be 1 or more, got {number}")
        check("least", least, int | float, "a share from 0 to 1")
        if not 0 <= least <= 1:
            raise ValueError(f"least must be a share from 0 to 1, got {least}")
        self.bus = bus
        self.knowledge = KnowledgeBase(bus)
        self.providers = ProviderManager(bus, retry=retry or RetryPolicy(attempts=2, first_wait=0.01, jitter=0.0))
        self.agents = AgentController(bus)
        self.engine = WorkflowEngine(bus, workers=2 * writers + 2)
        self.services = CoreServices(bus, interval=interval)
        self._documents = documents
        self._given = dict(providers)
        self._count = passages
        self._least = least
        self._writers = [f"writer-{number}" for number in range(1, writers + 1)]
        self._turns = itertools.cycle(self._writers)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._started = self._closed = False
        self.workflow, self._answer = self._made()

    def start(self) -> Self:
        """Read the documents, connect the providers and start the agents.

        A provider that cannot be connected is told of and passed over; it is tried again when it is asked.
        """
        self.services.add_check("knowledge", self._check_knowledge)
        self.services.add_check("agents", self._check_agents)
        self.services.start()
        self.knowledge.add_documents(self._documents)
        for name, provider in self._given.items():
            self.providers.register(name, provider)
            try:
                self.providers.connect(name)
            except Exception:  # noqa: BLE001, S112 - PROVIDER_ERROR tells it, and another one may be there
                continue
        self.agents.create("librarian", self._find)
        self.agents.create("critic", self._judge)
        for writer in self._writers:
            self.agents.create(writer, self._write, machine=_WRITING)
        for name in self.agents.agents:
            self.agents.start(name)
        self._started = True
        return self

    def ask(self, question: str, *, run: str | None = None) -> Answer:
        """Return the answer to a question.

        Parameters
        ----------
        question : str
        run : str, optional
            Names the run of the workflow; by default ``question-1`` and so on.

        Raises
        ------
        WorkflowError
            If a step failed for good, such as the writing, because every provider did. `resume` goes on from there.
        RuntimeError
            If it is not started.
        """
        self._check_started()
        return self.engine.run(self.workflow, {"question": question}, run=run or self._name())[self._answer]

    def ask_all(self, questions: Iterable[str], *, at_once: int = 4) -> list[Answer]:
        """Return the answers to several questions, in their order. One that failed has the status "failed"."""
        if isinstance(questions, str):
            raise TypeError("questions must be several questions; ask a single one with ask")
        self._check_started()
        answers: list[Answer] = []
        under_way: deque[tuple[str, Any]] = deque()
        for question in itertools.chain(questions, itertools.repeat(None)):
            if question is not None:
                under_way.append((question, self.engine.start(self.workflow, {"question": question}, run=self._name())))
            if not under_way:
                return answers
            if question is None or len(under_way) >= at_once:
                asked, run = under_way.popleft()
                try:
                    run.result()
                    answers.append(run[self._answer])
                except AtlasLabError as error:
                    answers.append(Answer(asked, str(error), status="failed"))
        return answers

    def resume(
        self,
        events: EventBus | Iterable[Event[Any]] | pd.DataFrame | str | PathLike[str],
        *,
        run: str | None = None,
    ) -> Answer:
        """Return the answer to a question whose run broke off, without doing again what was done; see `WorkflowEngine`."""
        self._check_started()
        return self.engine.resume(self.workflow, events, run=run)[self._answer]

    def _check_started(self) -> None:
        if not self._started:
            raise RuntimeError("this AnsweringSystem is not started; call start, or use it in a with statement")

    def close(self) -> None:
        """Stop everything, in the order in which it depends on one another."""
        if self._closed:
            return
        self._closed = True
        self.engine.close()
        self.agents.close()
        self.providers.close()
        self.knowledge.close()
        self.services.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AnsweringSystem: {self.knowledge!r}, {self.providers!r}, {self.agents!r}>"

    # -- the workflow

    def _made(self) -> tuple[Workflow, Node[Answer]]:
        flow = Workflow("answering", inputs={"question": str})
        passages = flow.add(self._passages, "question", name="passages", timeout=60)
        draft = flow.add(
            self._draft, "question", passages, name="draft", timeout=60, when=lambda question, passages: passages
        )
        verdict = flow.add(self._verdict, passages, draft, name="verdict", timeout=60)
        quote = flow.add(_quoted, passages, verdict, name="quote", when=lambda passages, verdict: not verdict.accepted)
        answer = flow.add(_answered, "question", passages, draft, verdict, quote, name="answer", join="any")
        return flow, answer

    def _passages(self, question: str) -> list[Passage]:
        found: list[Passage] = self.agents.ask("librarian", question)
        return found

    def _draft(self, question: str, passages: list[Passage]) -> Draft:
        with self._lock:
            writer = next(self._turns)
        draft: Draft = self.agents.ask(writer, (question, passages))
        return draft

    def _verdict(self, passages: list[Passage], draft: Draft) -> Verdict:
        verdict: Verdict = self.agents.ask("critic", (passages[0], draft))
        return verdict

    # -- what the agents do

    def _find(self, agent: Agent, question: str) -> list[Passage]:
        return [
            Passage(hit.document.id, round(hit.score, 3), summary_of(hit.document))
            for hit in self.knowledge.retrieve(question, self._count)
        ]

    def _write(self, agent: Agent, task: tuple[str, list[Passage]]) -> Draft:
        question, passages = task
        prompt = _prompt(question, passages)
        reasons: dict[str, str] = {}
        for name in self._given:
            if reasons:
                agent.become("falling back")
            agent.become("prompting")
            try:
                self.providers.connect(name)
                stream = self.providers.stream(name, prompt)
                for _ in stream:
                    if agent.stopping:
                        stream.cancel()
                        agent.pause()
                return Draft(passages[0].document, stream.text.strip(), name)
            except (AtlasLabError, OSError) as error:
                agent.pause()  # not on to the next, if it is to stop
                reasons[name] = f"{name}: {error}"
        raise ProviderConnectionError(f"no provider answered ({'; '.join(reasons.values())})")

    def _judge(self, agent: Agent, task: tuple[Passage, Draft]) -> Verdict:
        passage, draft = task
        grounded = grounding(draft.text, passage.text)
        return Verdict(round(grounded, 3), grounded >= self._least)

    # -- the rest

    def _name(self) -> str:
        with self._lock:
            return f"question-{next(self._numbers)}"

    def _check_knowledge(self) -> str:
        return f"{len(self.knowledge):,} documents"

    def _check_agents(self) -> bool:
        return not any(state in {"failed", "stopped"} for state in self.agents.agents.values())


def _prompt(question: str, passages: Sequence[Passage]) -> Prompt:
    shown = "\n\n".join(f"{passage.document} : {passage.text}" for passage in passages)
    messages = [
        Message("system", f"{_SYSTEM}\n\n{shown}"),
        Message("user", question),
        Message("assistant", f"{passages[0].document} :"),
    ]
    return Prompt.of(messages, max_tokens=80)


def _quoted(passages: list[Passage], verdict: Verdict) -> str:
    return passages[0].text


def _answered(
    question: str,
    passages: list[Passage] | None,
    draft: Draft | None,
    verdict: Verdict | None,
    quote: str | None,
) -> Answer:
    if not passages or draft is None or verdict is None:
        return Answer(question, "No document shares a word with the question.")
    return Answer(
        question,
        draft.text if quote is None else quote,
        draft.document,
        "written" if quote is None else "quoted",
        draft.provider,
        verdict.grounded,
        tuple(passage.document for passage in passages),
    )
