"""What goes wrong with a provider.

::

    ProviderError (AtlasLabError, RuntimeError)
    ├── UnknownProviderError      (LookupError)      no provider of that name is registered
    ├── NotConnectedError                            it is registered, but not connected
    ├── ProviderConnectionError   (ConnectionError)  it cannot be reached, or the connection broke: worth a retry
    ├── ProviderTimeoutError      (TimeoutError)     it took too long: worth a retry
    ├── ProviderStatusError                          it refused, with a status: 429 and 5xx are worth a retry
    ├── BadResponseError                             it answered with something that is no answer
    └── RequestCancelledError                        somebody cancelled the call
"""

from __future__ import annotations

from typing import Any

from atlas_lab import AtlasLabError

TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class ProviderError(AtlasLabError, RuntimeError):
    """Base of every error of a provider.

    Attributes
    ----------
    transient : bool
        Whether the same call may well succeed when it is made again.
    status : int or None
        The status that a server answered with.
    retry_after : float or None
        Seconds that the provider asks to wait before the next call.
    """

    transient = False

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {"status": self.status, "retry_after": self.retry_after}


class UnknownProviderError(ProviderError, LookupError):
    """No provider of that name is registered."""


class NotConnectedError(ProviderError):
    """The provider is not connected."""


class ProviderConnectionError(ProviderError, ConnectionError):
    """The provider cannot be reached, or the connection broke."""

    transient = True


class ProviderTimeoutError(ProviderError, TimeoutError):
    """The provider took too long."""

    transient = True


class ProviderStatusError(ProviderError):
    """The provider refused with a status, such as 429 for too many requests."""

    @property
    def transient(self) -> bool:  # type: ignore[override]  # a class attribute elsewhere
        """Whether the status tells of a trouble that passes."""
        return self.status in TRANSIENT_STATUS


class BadResponseError(ProviderError):
    """The provider answered with something that is no answer."""


class RequestCancelledError(ProviderError):
    """The call was cancelled."""
