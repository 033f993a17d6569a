"""The live lab: panels over a bus in JupyterLab.

Plain models hold the truth, and widgets show it: ipywidgets for controls, and what is drawn in the browser from
numbered messages for the rest. One ticker asks them all a dozen times a second whether there is something new.
"""

from __future__ import annotations

from atlas_lab.errors import MissingExtraError

# Before anything else that is here, so that whoever lacks one is told which.
try:
    import ipywidgets as _ipywidgets  # noqa: F401
except ImportError as error:
    raise MissingExtraError("ipywidgets", "lab") from error
try:
    import anywidget as _anywidget  # noqa: F401
except ImportError as error:
    raise MissingExtraError("anywidget", "lab") from error
try:
    import numpy as _numpy  # noqa: F401, ICN001
except ImportError as error:
    raise MissingExtraError("numpy", "lab") from error

from .feed import EventFeed
from .lab import Lab
from .middleware_panel import MiddlewarePanel
from .publish import PublishPanel
from .rate import RateView
from .subscriptions_panel import SubscriptionsPanel

__all__ = ["EventFeed", "Lab", "MiddlewarePanel", "PublishPanel", "RateView", "SubscriptionsPanel"]
