"""How often a call is made again, and how long is waited before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from atlas_lab import MissingExtraError

from .checking import check

try:
    import tenacity
except ImportError as error:
    raise MissingExtraError("tenacity", "atlas") from error

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is made again when an error passes, and how long is waited before.

    Parameters
    ----------
    attempts : int, default 3
        Calls in all; 1 for no retry.
    first_wait : float, seconds, default 0.5
        Before the second attempt; doubled before each one after.
    longest_wait : float, seconds, default 30
        No wait is longer. A provider that asks for more (Retry-After) is not called again.
    jitter : float, seconds, default 0.1
        Up to so much more, at random, so that clients that failed together do not come back together.

    Raises
    ------
    TypeError, ValueError
        If a number is none, or out of range.

    Examples
    --------
    >>> from atlas_lab.atlas import RetryPolicy
    >>> RetryPolicy(attempts=0)
    Traceback (most recent call last):
    ValueError: attempts must be 1 or more, got 0
    """

    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 30.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        check("attempts", self.attempts, int, "an int of 1 or more")
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, got {self.attempts}")
        for name in ("first_wait", "longest_wait", "jitter"):
            check(name, getattr(self, name), int | float, "a number of seconds")
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 seconds or more, got {getattr(self, name)}")

    def worth_it(self, error: BaseException) -> bool:
        """Whether a call that ended with `error` is made again."""
        transient = getattr(error, "transient", isinstance(error, ConnectionError | TimeoutError))
        return bool(transient) and (getattr(error, "retry_after", None) or 0) <= self.longest_wait

    def call(
        self,
        once: Callable[[], T],
        failed: Callable[[BaseException, int, float | None], None],
        sleep: Callable[[float], None],
    ) -> T:
        """Call `once` until it succeeds or a retry is not worth it.

        Parameters
        ----------
        once : callable
        failed : callable of (error, attempt, seconds until the next attempt or None)
            Told of each attempt that failed.
        sleep : callable of seconds
            May raise, which ends it.

        Raises
        ------
        BaseException
            The error of the last attempt.
        """
        told = 0

        def before_sleep(state: tenacity.RetryCallState) -> None:
            nonlocal told
            error = state.outcome.exception() if state.outcome is not None else None
            assert error is not None, "tenacity sleeps only after an attempt that failed"
            told = state.attempt_number
            failed(error, told, state.upcoming_sleep)

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self.worth_it),
            sleep=sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except Exception as error:
            failed(error, told + 1, None)
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        backoff = tenacity.wait_exponential(self.first_wait, self.longest_wait) + tenacity.wait_random(0, self.jitter)
        return max(backoff(state), getattr(error, "retry_after", None) or 0.0)
