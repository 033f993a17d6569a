"""Question answering: providers, knowledge, agents, workflow and services on one bus, and what they do when one fails."""

from __future__ import annotations

import threading
import time

import pytest

from atlas_lab import EventBus, EventType, to_frame
from atlas_lab.atlas import (
    AnsweringSystem,
    Checkpoint,
    Document,
    NgramProvider,
    Outage,
    RetryPolicy,
    WorkflowError,
    grounding,
    reading_of,
    stdlib_docstrings,
    summary_of,
)
from atlas_lab.testing.contract.workers import PATIENCE

DOCUMENTS = stdlib_docstrings(["textwrap", "heapq", "bisect", "shlex"])
DEDENT = "How do I remove common leading whitespace from every line?"
QUESTIONS = [DEDENT, "push an item onto a heap", "split a string using shell-like syntax"]
AT_ONCE = RetryPolicy(attempts=2, first_wait=0.0, jitter=0.0)


@pytest.fixture
def bus():
    with EventBus(name="atlas", history_limit=None) as bus:
        yield bus


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    left = before
    while left and time.monotonic() < deadline:
        left = {thread for thread in set(threading.enumerate()) - before if "tqdm" not in thread.name}
        time.sleep(0.005)
    assert left == set()


def local(**options):
    return NgramProvider(reading_of(DOCUMENTS), **options)


def down(calls=range(10**9), **options):
    return Outage(local(), calls, **options)


def system(bus, providers, **options):
    return AnsweringSystem(bus, DOCUMENTS, providers, retry=AT_ONCE, **options)


def told(bus, *types):
    return [event for event in bus.history if event.type in types]


def test_questions_are_answered_from_the_documents(bus):
    """The text of each answer stands in the document that it names, and a provider wrote it."""
    texts = {document.id: summary_of(document) for document in DOCUMENTS}
    with system(bus, {"local": local(order=6)}) as answering:
        answers = answering.ask_all(QUESTIONS)
    assert [answer.document for answer in answers] == ["textwrap.dedent", "heapq.heappush", "shlex.split"]
    assert [answer.question for answer in answers] == QUESTIONS
    assert answers[0].text == "Remove any common leading whitespace from every line in `text`."
    for answer in answers:
        assert grounding(answer.text, texts[answer.document]) >= 0.8
        assert (answer.status, answer.provider, answer.passages[0]) == ("written", "local", answer.document)


def test_every_step_leads_back_to_the_question(bus):
    """All that happens for a question, in five systems and a dozen threads, has the start of its run for its root."""
    with system(bus, {"local": local()}) as answering:
        answering.ask(DEDENT, run="one")
    frame = to_frame(bus)
    root = frame.loc[frame["type"] == "WORKFLOW_STARTED", "event_id"].item()
    types = set(frame.loc[frame["root_id"] == root, "type"])
    assert types >= {
        "AGENT_TASK_ASSIGNED",
        "AGENT_TASK_COMPLETED",
        "RETRIEVAL_STARTED",
        "RETRIEVAL_COMPLETED",
        "STREAM_STARTED",
        "STREAM_CHUNK",
        "STREAM_COMPLETED",
        "WORKFLOW_NODE_EXITED",
        "WORKFLOW_COMPLETED",
    }
    asked = frame["type"].isin(["RETRIEVAL_STARTED", "STREAM_CHUNK", "WORKFLOW_COMPLETED"])
    assert (frame.loc[asked, "root_id"] == root).all()


def test_the_life_of_the_system_is_told(bus):
    """Services tell the beginning and the end, and their checks find all well."""
    with system(bus, {"local": local()}) as answering:
        health, _ = answering.services.sample()
    assert {(one.check, one.healthy) for one in health} == {("knowledge", True), ("agents", True)}
    types = [event.type.name for event in bus.history]
    assert types[0] == "SYSTEM_INIT" and types[-1] == "SYSTEM_SHUTDOWN"
    assert types.count("AGENT_STARTED") == types.count("AGENT_STOPPED") == 4
    assert types.count("DOCUMENT_ADDED") == len(DOCUMENTS)


@pytest.mark.parametrize("after", [0, 3])
def test_a_provider_that_fails_is_survived(bus, after):
    """Down from the start, or broken off in the middle: the next one writes the whole answer, and all is told."""
    with system(bus, {"remote": down(range(2, 6), after=after), "local": local()}, writers=1) as answering:
        answers = answering.ask_all(QUESTIONS * 2, at_once=1)
    assert [answer.text for answer in answers[:3]] == [answer.text for answer in answers[3:]]
    assert {answer.provider for answer in answers} == {"remote", "local"}
    assert told(bus, EventType.STREAM_ERROR) if after else told(bus, EventType.PROVIDER_ERROR)
    falls = [event for event in told(bus, EventType.AGENT_STATE_CHANGED) if event.data.after == "falling back"]
    assert len(falls) == sum(answer.provider == "local" for answer in answers)


def test_when_every_provider_fails_the_question_can_be_resumed(bus, tmp_path):
    """The run fails by name; once a provider is back, it goes on from its file, without a second retrieval."""
    with system(bus, {"remote": down()}) as answering, Checkpoint(bus, tmp_path / "run.parquet"):
        with pytest.raises(WorkflowError, match="node 'draft' .* no provider answered .remote: the provider is down"):
            answering.ask(DEDENT, run="one")
        (failed,) = answering.ask_all([DEDENT])
        assert failed.status == "failed" and "no provider answered" in failed.text
    assert told(bus, EventType.AGENT_ERROR)[0].data.kind == "ProviderConnectionError"
    with EventBus(history_limit=None) as later, system(later, {"local": local(order=6)}) as answering:
        answer = answering.resume(tmp_path / "run.parquet", run="one")
        assert answer.text == "Remove any common leading whitespace from every line in `text`."
        assert told(later, EventType.RETRIEVAL_STARTED) == []


def test_what_is_not_in_the_passage_is_replaced_by_a_quotation(bus):
    """A model that makes things up is found out, and the document has the last word."""
    with system(bus, {"dreamer": NgramProvider("Whales sing at night under the moon.")}) as answering:
        answer = answering.ask(DEDENT)
    assert (answer.status, answer.grounded) == ("quoted", 0.0)
    assert answer.text == "Remove any common leading whitespace from every line in `text`."


def test_a_question_that_nothing_answers_is_said_to_be_unknown(bus):
    """No document, no draft: the steps behind are skipped, and no provider is asked."""
    with system(bus, {"local": local()}) as answering:
        answer = answering.ask("xyzzy plugh?")
    assert (answer.status, answer.document, answer.passages) == ("unknown", "", ())
    assert told(bus, EventType.STREAM_STARTED) == []
    skipped = [event.data.node for event in told(bus, EventType.WORKFLOW_NODE_EXITED) if event.data.status == "skipped"]
    assert sorted(skipped) == ["draft", "quote", "verdict"]


def test_many_questions_at_once_give_the_same_answers(bus):
    """What is asked at the same time does not mix."""
    with system(bus, {"local": local()}, writers=3) as answering:
        one_by_one = answering.ask_all(QUESTIONS * 5, at_once=1)
        together = answering.ask_all(QUESTIONS * 5, at_once=8)
    assert one_by_one == together


def test_a_provider_that_cannot_be_connected_is_passed_over(bus):
    """A system starts with what there is."""

    class Gone(NgramProvider):
        async def connect(self):
            raise OSError("no route")

    with system(bus, {"gone": Gone(""), "local": local()}) as answering:
        assert answering.ask(DEDENT).provider == "local"


def test_bad_arguments_are_refused(bus):
    """Each error names the argument."""
    with pytest.raises(ValueError, match="providers is empty"):
        AnsweringSystem(bus, DOCUMENTS, {})
    for error, options, problem in (
        (ValueError, {"writers": 0}, "writers must be 1 or more"),
        (TypeError, {"writers": "2"}, "writers must be an int"),
        (ValueError, {"passages": 0}, "passages must be 1 or more"),
        (ValueError, {"least": 2}, "least must be a share from 0 to 1"),
    ):
        with pytest.raises(error, match=problem):
            AnsweringSystem(bus, DOCUMENTS, {"local": local()}, **options)
    with pytest.raises(TypeError, match="providers must be a mapping"):
        AnsweringSystem(bus, DOCUMENTS, [local()])
    waiting = AnsweringSystem(bus, DOCUMENTS, {"local": local()})
    with pytest.raises(TypeError, match="questions must be several"):
        waiting.ask_all("one")
    for ask in (waiting.ask, lambda question: waiting.ask_all([question]), lambda question: waiting.resume(bus)):
        with pytest.raises(RuntimeError, match="is not started; call start"):
            ask("one")
    waiting.close()
    with pytest.raises(ValueError, match="already"):
        AnsweringSystem(bus, [Document("a", "x"), Document("a", "y")], {"local": local()}).__enter__()
