"""What a test does on a machine that lacks what it needs: it skips there, and fails where nothing may be skipped."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """End a test that cannot run here: skip it, or fail it if the environment says ATLAS_LAB_REQUIRE=all."""
    __tracebackhide__ = True
    if os.environ.get("ATLAS_LAB_REQUIRE") == "all":
        pytest.fail(f"{reason}, and ATLAS_LAB_REQUIRE=all lets nothing be skipped", pytrace=False)
    pytest.skip(reason)
