"""Plots: what happened on a bus, one function for each question.

Each draws a table of `atlas_lab.tables` on the ``ax`` that it is given, or on a new figure, and returns the Axes. It
changes nothing but those: no styles, no current figure. Whatever frame the table takes, the plot takes, or the recording
that has it. What was cut, counted or left out is said on the plot.

=================================  ====================================================================
question                           plot
=================================  ====================================================================
What happened when?                `plot_timeline`, `plot_rate`
Who was slow, who failed?          `plot_latency`, `plot_handler_heatmap`
What follows what?                 `plot_transitions`
What led to what?                  `plot_causality`
Who saw which event in what order? `plot_marbles`
Where did events go?               `plot_funnel`
How did streams go?                `plot_stream`
What changed?                      `plot_diff`
What does a publish cost?          `plot_throughput`
All of it on one page              `overview`
The same in words                  `describe`
=================================  ====================================================================

Colours are those of Okabe and Ito, and never alone: a shape, a dash, a hatch or a place says the same. Greys come from
the style in use, so that ``plt.style.use("dark_background")`` gives dark plots. Names are shown as text whatever they
hold, shortened in the middle. Several plots on one figure have room for names with
``plt.subplots(layout="constrained")``; small ones have shorter names and fewer rows, and say so. With
`matplotlib.rcParams` you choose fonts and sizes, as for any other plot.
"""

from .costs import plot_throughput
from .drawing import DescribedFigure, describe
from .dumbbells import plot_diff
from .funnels import plot_funnel
from .latencies import plot_latency
from .marbles import plot_marbles
from .matrices import plot_handler_heatmap, plot_transitions
from .overviews import overview
from .rate_rows import plot_rate
from .stream_rows import plot_stream
from .timelines import plot_timeline
from .waterfalls import plot_causality

__all__ = [
    "DescribedFigure",
    "describe",
    "overview",
    "plot_causality",
    "plot_diff",
    "plot_funnel",
    "plot_handler_heatmap",
    "plot_latency",
    "plot_marbles",
    "plot_rate",
    "plot_stream",
    "plot_throughput",
    "plot_timeline",
    "plot_transitions",
]
