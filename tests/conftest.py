"""What a test does on a machine that lacks what it needs: it skips there, and fails in CI."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import NoReturn

import pytest

from atlas_lab.testing.contract.lacking import give_up


def pytest_configure(config: pytest.Config) -> None:
    # Told of --cov, nbval would trace every kernel too, and the notebooks measure time.
    config.option.cov_source = []


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
