"""Tables computed from frames: what happened, how often, how long it took, and what led to what.

Every table is a function from a frame to a frame with the same columns and dtypes every time, also for
an empty one. It neither changes its input nor looks at its index.

=========================  ============================================================================
question                   table
=========================  ============================================================================
How much happened when?    `rates`, `interarrival`
What follows what?         `transitions`, `variants`
What led to what?          `causality`, `causality_tree`
Who was slow, who failed?  `handler_latency`, `errors_by_handler`, `handlers_of`
Where did events go?       `middleware_funnel`
How did streams go?        `stream_quality`
What changed?              `diff_runs`
=========================  ============================================================================
"""

from .causes import causality, causality_tree
from .comparing import diff_runs
from .flows import transitions, variants
from .funnel import middleware_funnel
from .handling import errors_by_handler, handler_latency, handlers_of
from .streams import stream_quality
from .timing import interarrival, rates

__all__ = [
    "causality",
    "causality_tree",
    "diff_runs",
    "errors_by_handler",
    "handler_latency",
    "handlers_of",
    "interarrival",
    "middleware_funnel",
    "rates",
    "stream_quality",
    "transitions",
    "variants",
]
