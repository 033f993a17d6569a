"""The exception tree: who is what, what is said, and what survives pickling."""

from __future__ import annotations

import pickle

import pytest

from atlas_lab import (
    AtlasLabError,
    BusClosedError,
    DataError,
    EventBus,
    EventType,
    HandlerErrors,
    MiddlewareError,
    MissingExtraError,
    NoEventLoopError,
    PayloadTypeError,
    PublishDepthError,
)


@pytest.mark.parametrize(
    "error, built_in",
    [
        (BusClosedError, RuntimeError),
        (PublishDepthError, RuntimeError),
        (MiddlewareError, RuntimeError),
        (NoEventLoopError, RuntimeError),
        (PayloadTypeError, TypeError),
        (HandlerErrors, ExceptionGroup),
        (DataError, ValueError),
        (MissingExtraError, ImportError),
    ],
)
def test_every_error_is_ours_and_what_python_calls_it(error, built_in):
    """One can catch all of the package's errors, or each by the built-in kind it is."""
    assert issubclass(error, AtlasLabError) and issubclass(error, built_in)


@pytest.mark.parametrize(
    "error",
    [
        PublishDepthError(("A", "B"), 1),
        MiddlewareError("gate", "raised ValueError"),
        MissingExtraError("pandas", "lab"),
        HandlerErrors("2 failed", [ValueError("a"), KeyError("b")]),
        BusClosedError("closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_through_pickling(error):
    """What a worker process raises arrives as it was."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    if not isinstance(error, HandlerErrors):
        assert vars(again) == vars(error)


def test_a_missing_extra_names_the_command():
    """The message can be pasted into a shell."""
    error = MissingExtraError("pandas", "lab")
    assert "pip install 'atlas_lab[lab]'" in str(error)
    assert (error.name, error.package, error.extra) == ("pandas", "pandas", "lab")


def test_parts_of_handler_errors_are_handler_errors():
    """`split` and `subgroup` keep the kind, the message and the errors."""
    bus = EventBus(on_error="raise")
    bus.subscribe(EventType.SYSTEM_INIT, lambda event: 1 // 0)
    bus.subscribe(EventType.SYSTEM_INIT, lambda event: {}["x"])
    with pytest.raises(HandlerErrors) as caught:
        bus.publish(EventType.SYSTEM_INIT)
    match, rest = caught.value.split(KeyError)
    assert isinstance(match, HandlerErrors) and isinstance(rest, HandlerErrors)
    assert match.message == rest.message == caught.value.message
    assert [type(error) for error in (*match.exceptions, *rest.exceptions)] == [KeyError, ZeroDivisionError]
