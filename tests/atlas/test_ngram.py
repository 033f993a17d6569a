"""The n-gram model: a real language model, small, seeded and honest about probabilities."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lab import EventBus
from atlas_lab.atlas import NgramModel, NgramProvider, Prompt, ProviderManager
from atlas_lab.atlas.ngram import tokens_of

TEXT = """A bus carries events from those who publish to those who subscribe. A handler is called for each event.
A handler that fails never stops the others. The history keeps the events in order. The history is bounded, and it
tells what it pushed out. A scope is a bus inside a bus. Events of a scope also reach the parent. A middleware may
change an event or drop it. A subscription ends when it is called."""


@pytest.fixture
def ask():
    """Return ``ask(prompt, texts=TEXT, ..)``: the answer of a provider that has read the texts."""
    with ProviderManager(EventBus()) as manager:

        def ask(prompt, texts=TEXT, **options):
            name = str(len(manager.providers))
            manager.register(name, NgramProvider(texts, **options))
            manager.connect(name)
            answer = manager.request(name, prompt)
            assert answer.text == manager.stream(name, prompt).result(10)
            return answer

        yield ask


@given(st.text())
def test_tokens_are_the_text(text):
    """Nothing is lost but the kind of white space."""
    assert "".join(tokens_of(text)).split() == text.split()
    assert "".join(tokens_of(text)) == " ".join(text.split())


def test_an_answer_goes_on_where_the_prompt_ends(ask):
    """Greedy, it says what it read most often."""
    assert ask("The history keeps").text == " the events in order."
    assert ask("The history keeps").finish_reason == "stop"


def test_a_prompt_that_it_never_read_begins_a_sentence(ask):
    """It has something to say about everything."""
    assert ask("Quaternions?").text.startswith("A ")


def test_the_same_seed_says_the_same(ask):
    """On every machine, in every order of asking; another seed says something else."""
    prompts = [Prompt.of("A handler", temperature=1.0, seed=seed, max_tokens=30) for seed in range(20)]
    first = [ask(prompt, order=2).text for prompt in prompts]
    assert [ask(prompt, order=2).text for prompt in reversed(prompts)] == first[::-1]
    assert len(set(first)) > 3
    assert ask(Prompt.of("A handler", temperature=1.0, max_tokens=30), order=2, seed=3).text == first[3]


def test_the_longest_answer_and_the_stop(ask):
    """Both ends are kept, and told apart."""
    cut = ask(Prompt.of("The history keeps", max_tokens=2))
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == (" the events", "length", 2)
    stopped = ask(Prompt.of("The history keeps", stop=["ts in"]))
    assert (stopped.text, stopped.finish_reason) == (" the even", "stop")


def test_no_text_is_no_answer(ask):
    """A model that read nothing says nothing."""
    assert ask("anything", texts="").text == ""


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_sum_to_one(order):
    """Over all words and the unknown one, in every context, seen or not."""
    model = NgramModel(TEXT, order=order)
    for context in (["A"], ["A", " handler"], [" unheard"], [" The", " history"], []):
        total = sum(model.probability(context, word) for word in [*model._seen, "<unknown>"])
        assert total == pytest.approx(1)


def test_it_learned_the_language():
    """A sentence of the same kind surprises it less than the same words shuffled, and less than guessing would."""
    model = NgramModel(TEXT, order=3)
    new = "A handler is called for the events of a scope. The history keeps the events of the parent."
    words = tokens_of(new)
    random.Random(1).shuffle(words)
    assert model.perplexity(new) < 0.5 * model.perplexity("".join(words))
    assert model.perplexity(new) < 0.5 * model.vocabulary
    assert NgramModel(TEXT, order=3).perplexity(new) < NgramModel(TEXT, order=1).perplexity(new)


def test_reading_is_done_once_and_health_tells_how_much():
    """A second connection does not read it all twice."""
    with ProviderManager(EventBus()) as manager:
        manager.register("p", NgramProvider("one two. three four."))
        for _ in range(2):
            manager.connect("p")
            assert manager.health("p").detail == "6 words read, 6 different"
            manager.disconnect("p")


def test_a_stream_with_a_delay_can_be_watched():
    """A first word is there while the last is not said yet."""
    with ProviderManager(EventBus()) as manager:
        manager.register("p", NgramProvider(TEXT, delay=0.2))
        manager.connect("p")
        seen = threading.Event()
        stream = manager.stream("p", "The history keeps")
        for _ in stream:
            if not seen.is_set():
                assert stream.state == "running"
            seen.set()
        assert stream.text == " the events in order."


@pytest.mark.parametrize(
    "wrong", [{"order": 0}, {"delay": -1}, {"order": "4"}, {"delay": "1"}, {"texts": 7}, {"texts": ["a", 7]}], ids=str
)
def test_wrong_arguments_are_refused(wrong):
    """At once, not when it is connected."""
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        NgramProvider(**({"texts": "text"} | wrong))
