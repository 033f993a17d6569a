"""A bench for event-driven systems: a recording event bus and a notebook lab around it.

Importing it loads blinker, msgspec and the standard library. Names of other modules are loaded when
they are first used.

PYTEST_DONT_REWRITE: pytest, which would rewrite the asserts of a package with a plugin, then does not complain, or
stop, when it is started where atlas_lab was imported before, as in a notebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .bus import EventBus as EventBus
from .entries import Middleware as Middleware
from .entries import MiddlewareStats as MiddlewareStats
from .errors import AtlasLabError as AtlasLabError
from .errors import BusClosedError as BusClosedError
from .errors import DataError as DataError
from .errors import HandlerErrors as HandlerErrors
from .errors import MiddlewareError as MiddlewareError
from .errors import MissingExtraError as MissingExtraError
from .errors import NoEventLoopError as NoEventLoopError
from .errors import PayloadTypeError as PayloadTypeError
from .errors import PublishDepthError as PublishDepthError
from .events import Event as Event
from .events import EventId as EventId
from .events import EventType as EventType
from .events import event_type_name as event_type_name
from .events import new_event_id as new_event_id
from .history import History as History
from .recording import Recording as Recording
from .reports import BusStats as BusStats
from .reports import Explanation as Explanation
from .scopes import ScopedEventBus as ScopedEventBus
from .subscribers import safe_subscribe as safe_subscribe
from .subscription import Subscription as Subscription
from .waiting import EventStream as EventStream

if _TYPE_CHECKING:
    from .datasets import Flight as Flight
    from .datasets import FlightEvent as FlightEvent
    from .datasets import Quake as Quake
    from .datasets import QuakeEvent as QuakeEvent
    from .datasets import load_flights as load_flights
    from .datasets import load_quakes as load_quakes
    from .doctor import subscription_doctor as subscription_doctor
    from .experiments import fit as fit
    from .experiments import latency as latency
    from .experiments import summarize as summarize
    from .experiments import throughput as throughput
    from .frames import concat_frames as concat_frames
    from .frames import to_frame as to_frame
    from .middleware import dedupe as dedupe
    from .middleware import drop as drop
    from .middleware import enrich as enrich
    from .middleware import iso_timestamp as iso_timestamp
    from .middleware import keep as keep
    from .middleware import rate_limit as rate_limit
    from .middleware import redact as redact
    from .middleware import sample as sample
    from .middleware import validate as validate
    from .notebook import captured as captured
    from .notebook import load_ipython_extension as load_ipython_extension
    from .notebook import unload_ipython_extension as unload_ipython_extension
    from .parquet import read_parquet as read_parquet
    from .parquet import write_parquet as write_parquet
    from .plots import describe as describe
    from .plots import overview as overview
    from .plots import plot_causality as plot_causality
    from .plots import plot_diff as plot_diff
    from .plots import plot_funnel as plot_funnel
    from .plots import plot_handler_heatmap as plot_handler_heatmap
    from .plots import plot_latency as plot_latency
    from .plots import plot_marbles as plot_marbles
    from .plots import plot_rate as plot_rate
    from .plots import plot_stream as plot_stream
    from .plots import plot_throughput as plot_throughput
    from .plots import plot_timeline as plot_timeline
    from .plots import plot_transitions as plot_transitions
    from .replaying import ReplayClock as ReplayClock
    from .replaying import Replayed as Replayed
    from .replaying import replay as replay
    from .tables import causality as causality
    from .tables import causality_tree as causality_tree
    from .tables import diff_runs as diff_runs
    from .tables import errors_by_handler as errors_by_handler
    from .tables import handler_latency as handler_latency
    from .tables import handlers_of as handlers_of
    from .tables import interarrival as interarrival
    from .tables import middleware_funnel as middleware_funnel
    from .tables import rates as rates
    from .tables import stream_quality as stream_quality
    from .tables import transitions as transitions
    from .tables import variants as variants
    from .taps import LogEvent as LogEvent
    from .taps import Tap as Tap
    from .taps import TaskEvent as TaskEvent
    from .taps import tap as tap
    from .taps import tap_asyncio as tap_asyncio
    from .taps import tap_logging as tap_logging
    from .widgets import EventFeed as EventFeed
    from .widgets import Lab as Lab
    from .widgets import MiddlewarePanel as MiddlewarePanel
    from .widgets import PublishPanel as PublishPanel
    from .widgets import RateView as RateView
    from .widgets import SubscriptionsPanel as SubscriptionsPanel

__version__ = "0.1.0"

_LAZY = {
    "datasets": ("Flight", "FlightEvent", "Quake", "QuakeEvent", "load_flights", "load_quakes"),
    "doctor": ("subscription_doctor",),
    "experiments": ("fit", "latency", "summarize", "throughput"),
    "frames": ("concat_frames", "to_frame"),
    "middleware": (
        "dedupe", "drop", "enrich", "iso_timestamp", "keep", "rate_limit", "redact", "sample", "validate",
    ),
    "notebook": ("captured", "load_ipython_extension", "unload_ipython_extension"),
    "parquet": ("read_parquet", "write_parquet"),
    "plots": (
        "describe", "overview", "plot_causality", "plot_diff", "plot_funnel", "plot_handler_heatmap", "plot_latency",
        "plot_marbles", "plot_rate", "plot_stream", "plot_throughput", "plot_timeline", "plot_transitions",
    ),
    "replaying": ("ReplayClock", "Replayed", "replay"),
    "tables": (
        "causality", "causality_tree", "diff_runs", "errors_by_handler", "handler_latency", "handlers_of",
        "interarrival", "middleware_funnel", "rates", "stream_quality", "transitions", "variants",
    ),
    "taps": ("LogEvent", "Tap", "TaskEvent", "tap", "tap_asyncio", "tap_logging"),
    "widgets": ("EventFeed", "Lab", "MiddlewarePanel", "PublishPanel", "RateView", "SubscriptionsPanel"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only who asks for a lazy name pays for it

    value: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    public = (name for name, value in globals().items() if not name.startswith("_") and not _is_part(value))
    return sorted({*public, *_MODULE_OF, "__version__"})


def _is_part(value: object) -> bool:
    return type(value).__name__ in {"module", "_Feature"}
