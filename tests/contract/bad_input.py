"""To come."""

from __future__ import annotations


class BadInputContract:
    pass
