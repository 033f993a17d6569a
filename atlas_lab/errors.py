"""Every error that atlas_lab raises on purpose.

::

    AtlasLabError (Exception)
    ├── BusClosedError         (RuntimeError)    the bus was closed
    ├── PublishDepthError      (RuntimeError)    a chain of nested publishes grew too deep
    ├── MiddlewareError        (RuntimeError)    a middleware raised, or returned no event
    ├── NoEventLoopError       (RuntimeError)    an async handler with no loop to run it on
    ├── PayloadTypeError       (TypeError)       a payload does not fit the type asked for
    ├── HandlerErrors          (ExceptionGroup)  handlers failed under on_error="raise"
    ├── DataError              (ValueError)      a data file is missing or damaged
    └── MissingExtraError      (ImportError)     an optional dependency is not installed

Wrong arguments raise the built-in ``TypeError`` or ``ValueError`` at the call. Each message says
what came, what is expected, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AtlasLabError(Exception):
    """Base of every error that atlas_lab raises on purpose.

    Examples
    --------
    >>> from atlas_lab import AtlasLabError, BusClosedError
    >>> issubclass(BusClosedError, AtlasLabError)
    True
    """


class BusClosedError(AtlasLabError, RuntimeError):
    """The bus was closed: it takes no more events, subscriptions or middleware.

    Its history and statistics can still be read.
    """


class PublishDepthError(AtlasLabError, RuntimeError):
    """A chain of publishes from inside handlers grew deeper than the bus allows.

    Unlike other errors inside a handler, it travels all the way to the first publisher: a chain that
    feeds itself is a fault of the system, not of one handler.

    Attributes
    ----------
    chain : tuple of str
        Names of the event types, outermost first; the last one is the publish that was refused.
    """

    def __init__(self, chain: tuple[str, ...], max_depth: int) -> None:
        self.chain = chain
        self.max_depth = max_depth
        super().__init__(chain, max_depth)

    def __str__(self) -> str:
        shown = list(self.chain)
        if len(shown) > 12:
            shown[6:-6] = [f"... {len(shown) - 12} more ..."]
        return (
            f"publishes are nested deeper than max_depth={self.max_depth}: {' > '.join(shown)}. "
            "Handlers are publishing in a circle; break it, or give the bus a larger max_depth."
        )


class MiddlewareError(AtlasLabError, RuntimeError):
    """A middleware raised, or returned something that is neither an event nor None.

    The event was neither stored nor delivered. The middleware's own exception, if there was one, is
    the ``__cause__``.

    Attributes
    ----------
    middleware : str
        Name of the entry that failed.
    """

    def __init__(self, middleware: str, problem: str) -> None:
        self.middleware = middleware
        self.problem = problem
        super().__init__(middleware, problem)

    def __str__(self) -> str:
        return f"middleware {self.middleware!r} {self.problem}. The event was not stored and not delivered."


class NoEventLoopError(AtlasLabError, RuntimeError):
    """An ``async def`` handler, waiter or stream was asked for where no event loop is running."""


class PayloadTypeError(AtlasLabError, TypeError):
    """A payload does not fit the type that a subscriber or a validator asked for.

    The message names the field and its type.
    """


class HandlerErrors(AtlasLabError, ExceptionGroup[Exception]):
    """The errors of one publish under ``on_error="raise"``, raised once every handler has run.

    Catch single kinds with ``except*``, or read ``.exceptions``.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus(on_error="raise")
    >>> _ = bus.subscribe(EventType.SYSTEM_INIT, lambda event: 1 / 0)
    >>> try:
    ...     _ = bus.publish(EventType.SYSTEM_INIT)
    ... except* ZeroDivisionError as group:
    ...     print(group.exceptions)
    (ZeroDivisionError('division by zero'),)
    """

    def derive(self, excs: Sequence[Exception], /) -> HandlerErrors:  # type: ignore[override]
        """Make a group of the same kind, as ``except*`` and ``split`` do."""
        return HandlerErrors(self.message, excs)


class DataError(AtlasLabError, ValueError):
    """A bundled data file is missing, or its content is not what its checksum promises."""


class MissingExtraError(AtlasLabError, ImportError):
    """A feature needs an optional dependency that is not installed.

    Attributes
    ----------
    package : str
        The package that is missing.
    extra : str
        The extra of atlas_lab that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed; run: pip install 'atlas_lab[{extra}]'", name=package)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.package, self.extra)
