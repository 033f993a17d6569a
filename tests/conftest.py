"""What holds for every test: what it does on a machine that lacks what it needs, and what it costs.

A test that a machine cannot run is skipped there, and fails in CI.
"""

from __future__ import annotations

import gc
import shutil
import signal
from collections.abc import Callable, Generator
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from atlas_lab.testing.contract.lacking import give_up

# How fast a machine is, and how busy, is no property of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# For `make mutants`, which runs the tests some thousand times and must come to the same result each time.
settings.register_profile("mutants", max_examples=3, deadline=None, derandomize=True, database=None)


def pytest_configure(config: pytest.Config) -> None:
    # Told of --cov, nbval would trace every kernel too, and the notebooks measure time.
    config.option.cov_source = []
    # A shell that starts a job in the background has it ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    # What a test logged may hold what UTF-8 cannot, and could not be sent from one process to another.
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(scope="module", autouse=True)
def garbage_of_its_own() -> None:
    """Keep what there is before a module out of the collections of its tests, which take as long as there are objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Return ``unavailable(reason)``: ends a test that cannot run on this machine."""
    return give_up


@pytest.fixture(scope="session")
def require() -> Callable[..., str]:
    """Return ``require(*names)``: the path of the first of these programs that the machine has."""

    def require(*names: str) -> str:
        __tracebackhide__ = True
        path = next(filter(None, map(shutil.which, names)), None)
        return path or give_up(f"this machine has no {' or '.join(names)}")

    return require
