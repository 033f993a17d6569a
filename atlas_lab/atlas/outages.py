"""Providers that are down for a while, to see what a system does then."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Container

from .provider_errors import ProviderConnectionError
from .provider_types import Completion, Delta, Prompt, Provider


class Outage:
    """A provider that is down for some of its calls: to see what a system does then.

    Parameters
    ----------
    provider : Provider
    calls : container of int
        Which of its answers fail, counted from 0, retries too; a ``range``, say.
    after : int, default 0
        How many pieces of a stream come before it breaks off.

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.atlas import NgramProvider, Outage, ProviderManager, RetryPolicy
    >>> shaky = Outage(NgramProvider("The bus carries events."), calls=range(1))
    >>> with ProviderManager(EventBus(), retry=RetryPolicy(first_wait=0)) as manager:
    ...     manager.register("shaky", shaky)
    ...     manager.connect("shaky")
    ...     manager.request("shaky", "The bus").text
    ' carries events.'
    """

    def __init__(self, provider: Provider, calls: Container[int], *, after: int = 0) -> None:
        self.provider = provider
        self.calls = calls
        self._after = after
        self._numbers = itertools.count()

    async def connect(self) -> None:
        """Connect the provider."""
        await self.provider.connect()

    async def disconnect(self) -> None:
        """Disconnect it."""
        await self.provider.disconnect()

    async def health(self) -> str:
        """Return how it is."""
        return await self.provider.health()

    async def complete(self, prompt: Prompt) -> Completion:
        """Return its answer, unless it is down."""
        if next(self._numbers) in self.calls:
            raise ProviderConnectionError("the provider is down")
        return await self.provider.complete(prompt)

    async def stream(self, prompt: Prompt) -> AsyncIterator[Delta]:
        """Give its answer in pieces, until it is down."""
        down = next(self._numbers) in self.calls
        pieces = 0
        if down and not self._after:
            raise ProviderConnectionError("the provider is down")
        async for delta in self.provider.stream(prompt):
            yield delta
            pieces += 1
            if down and pieces >= self._after:
                raise ProviderConnectionError("the connection broke")
