"""A small language model of words that needs no network: it has read the text that it is given, and no other."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator

from .checking import check
from .provider_errors import NotConnectedError
from .provider_types import Completion, Delta, Prompt

_START = ""
"""Stands before the first word of a text."""
_TOKEN = re.compile(r" ?(?:\w+(?:['.\-_]\w+)*|[^\w ])")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


def tokens_of(text: str) -> list[str]:
    """Cut a text into words and signs, each with the space before it.

    Examples
    --------
    >>> from atlas_lab.atlas.ngram import tokens_of
    >>> tokens_of("The bus,  at os.path.")
    ['The', ' bus', ',', ' at', ' os.path', '.']
    """
    return _TOKEN.findall(" ".join(text.split()))


class NgramModel:
    """How often each word followed the words before it.

    Parameters
    ----------
    texts : str or iterable of str
        What it learns from. Each sentence is a text of its own.
    order : int, default 4
        Words that are looked at together, the one that is guessed included.

    Raises
    ------
    ValueError
        If `order` is below 1.

    Notes
    -----
    Probabilities are interpolated after I. H. Witten and T. C. Bell, The zero-frequency problem (1991): in a context
    that was seen ``c`` times with ``t`` different words after it, the share ``t / (c + t)`` goes to the context that
    is one word shorter, and in the end to all words alike.

    Examples
    --------
    >>> from atlas_lab.atlas.ngram import NgramModel
    >>> model = NgramModel("The bus carries events. The bus keeps a history. The bus keeps it.", order=3)
    >>> round(model.probability([" bus"], " keeps"), 2), model.perplexity("The bus keeps events.") < 4
    (0.44, True)
    """

    def __init__(self, texts: str | Iterable[str] = (), *, order: int = 4) -> None:
        check("order", order, int, "an int of 1 or more")
        if order < 1:
            raise ValueError(f"order must be 1 or more, got {order}")
        self.order = order
        self._after: dict[tuple[str, ...], Counter[str]] = {}
        self._seen: set[str] = set()
        self.tokens = 0
        for text in (texts,) if isinstance(texts, str) else texts:
            self.learn(text)

    @property
    def vocabulary(self) -> int:
        """Number of different words that it knows; the end of a text is one of them."""
        return len(self._seen)

    def learn(self, text: str) -> None:
        """Count the words of a text."""
        for sentence in _SENTENCE.split(" ".join(text.split())):
            words = tokens_of(sentence)
            if words:
                self.tokens += len(words)
                self._count([_START, *words, _START])

    def _count(self, words: list[str]) -> None:
        after = self._after
        for place in range(1, len(words)):
            word = words[place]
            self._seen.add(word)
            for start in range(place, max(place - self.order, -1), -1):
                context = tuple(words[start:place])
                counts = after.get(context)
                if counts is None:
                    counts = after[context] = Counter()
                counts[word] += 1

    def following(self, context: Iterable[str]) -> Counter[str]:
        """Return how often which word followed the longest end of `context` that was seen."""
        words = tuple(context)[-(self.order - 1) :] if self.order > 1 else ()
        for start in range(len(words) + 1):
            counts = self._after.get(words[start:])
            if counts:
                return counts
        return Counter()

    def probability(self, context: Iterable[str], word: str) -> float:
        """Return the probability of a word after others; those of all words, and one that is unknown, sum to 1."""
        words = tuple(context)[-(self.order - 1) :] if self.order > 1 else ()
        probability = 1 / (len(self._seen) + 1)
        for start in range(len(words), -1, -1):
            counts = self._after.get(words[start:])
            if counts:
                total, kinds = counts.total(), len(counts)
                probability = (counts[word] + kinds * probability) / (total + kinds)
        return probability

    def perplexity(self, text: str) -> float:
        """Return among how many words alike, on average, the next word of a text would be as hard to guess.

        Raises
        ------
        ValueError
            If there is no word in it.
        """
        surprise, number = 0.0, 0
        for sentence in _SENTENCE.split(" ".join(text.split())):
            words = [_START, *tokens_of(sentence), _START]
            if len(words) > 2:
                for place in range(1, len(words)):
                    surprise -= math.log(self.probability(words[:place], words[place]))
                    number += 1
        if not number:
            raise ValueError("text must hold a word")
        return math.exp(surprise / number)

    def sample(self, prompt: str, *, temperature: float, rng: random.Random) -> Iterator[str]:
        """Give the words that follow a text, until the model ends the sentence; it has no end if the model says none.

        Parameters
        ----------
        prompt : str
            Where the model never saw its last word, a new sentence is begun.
        temperature : float
            0 for the word seen most often, of several the one seen first; 1 as often as it was seen.
        rng : random.Random
        """
        words = [_START, *tokens_of(prompt)]
        if words[-1] not in self._seen or not self._after.get((words[-1],)):
            words = self._same_word(words[-1])
        while True:
            counts = self.following(words)
            if not counts:
                return
            word = _choose(counts, temperature, rng)
            if word == _START:
                return
            words.append(word)
            yield word

    def _same_word(self, last: str) -> list[str]:
        """Return a context for a word that was not seen as it stands: with or without its space, or a new sentence."""
        other = last.removeprefix(" ") if last.startswith(" ") else f" {last}"
        return [other] if last != _START and (other,) in self._after else [_START]


def _choose(counts: Counter[str], temperature: float, rng: random.Random) -> str:
    if temperature == 0:
        return max(counts, key=counts.__getitem__)  # the first of those that are alike
    most = max(counts.values())
    weights = [(number / most) ** (1 / temperature) for number in counts.values()]
    return rng.choices(list(counts), weights)[0]


def _overlap(text: str, stop: str) -> int:
    """Return how much of the end of `text` is the beginning of `stop`."""
    return next((size for size in range(min(len(stop), len(text)), 0, -1) if text.endswith(stop[:size])), 0)


class NgramProvider:
    """A provider that needs no network: an n-gram model of words, trained on the text that it is given.

    It goes on where the last message of the prompt ends, to the end of a sentence. The same text, prompt and seed give
    the same answer, on every machine.

    Parameters
    ----------
    texts : str or iterable of str
        What it has read. It is read when it is first connected.
    order : int, default 4
        Words that are looked at together.
    seed : int, default 0
        For prompts without a seed of their own.
    delay : float, seconds, default 0
        Between two words of a stream, for what would otherwise be over at once.

    Raises
    ------
    ValueError
        If `order` is below 1 or `delay` below 0.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import NgramProvider, ProviderManager
    >>> with ProviderManager(EventBus()) as manager:
    ...     manager.register("local", NgramProvider("Handlers run in order. Handlers run once."))
    ...     manager.connect("local")
    ...     print(list(manager.stream("local", "Handlers")))
    [' run', ' in', ' order', '.']
    """

    def __init__(self, texts: str | Iterable[str], *, order: int = 4, seed: int = 0, delay: float = 0.0) -> None:
        check("texts", texts, Iterable, "a str or an iterable of them")
        check("delay", delay, int | float, "a number of seconds")
        if not 0 <= delay < float("inf"):
            raise ValueError(f"delay must be 0 seconds or more, got {delay}")
        self._texts = [texts] if isinstance(texts, str) else list(texts)
        for text in self._texts:
            check("texts", text, str, "a str or an iterable of them")
        self._model = NgramModel(order=order)
        self._read = self._ready = False
        self.seed = seed
        self.delay = delay

    @property
    def name(self) -> str:
        """What it calls its model."""
        return f"{self._model.order}-gram"

    async def connect(self) -> None:
        """Read the texts, the first time."""
        if not self._read:
            self._read = True
            model = NgramModel(order=self._model.order)
            for number, text in enumerate(self._texts):
                model.learn(text)
                if number % 100 == 0:
                    await asyncio.sleep(0)  # others wait for this loop too
            self._model = model
        self._ready = True

    async def disconnect(self) -> None:
        """Answer no more; what was read is kept."""
        self._ready = False

    async def health(self) -> str:
        """Return how much it has read."""
        self._check_ready()
        return f"{self._model.tokens:,} words read, {self._model.vocabulary:,} different"

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt."""
        pieces: list[str] = []
        reason = ""
        for delta in self._deltas(prompt):
            pieces.append(delta.text)
            reason = delta.finish_reason or reason
            if len(pieces) % 100 == 0:
                await asyncio.sleep(0)
        text = "".join(pieces)
        asked = sum(len(tokens_of(message.content)) for message in prompt.messages)
        return Completion(text, self.name, reason, asked, len(tokens_of(text)))

    async def stream(self, prompt: Prompt) -> AsyncIterator[Delta]:
        """Give the answer word by word."""
        for delta in self._deltas(prompt):
            yield delta
            await asyncio.sleep(self.delay)

    def _deltas(self, prompt: Prompt) -> Iterator[Delta]:
        self._check_ready()
        asked = prompt.messages[-1].content
        rng = random.Random(f"{self.seed if prompt.seed is None else prompt.seed} {asked}")  # noqa: S311 - no secret
        words = self._model.sample(asked, temperature=prompt.temperature, rng=rng)
        held = ""  # what may turn out to be the beginning of a stop
        for number, word in enumerate(words):
            if number == prompt.max_tokens:
                yield Delta(held, "length")
                return
            held += word
            ends = [end for end in map(held.find, prompt.stop) if end >= 0]
            if ends:
                yield Delta(held[: min(ends)], "stop")
                return
            kept = max((_overlap(held, stop) for stop in prompt.stop), default=0)
            if len(held) > kept:
                yield Delta(held[: len(held) - kept])
                held = held[len(held) - kept :]
        yield Delta(held, "stop")

    def _check_ready(self) -> None:
        if not self._ready:
            raise NotConnectedError("this NgramProvider is not connected")

    def __repr__(self) -> str:
        return f"NgramProvider({self.name}, {len(self._texts)} texts, seed={self.seed})"
