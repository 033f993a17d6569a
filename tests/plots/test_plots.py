"""What all plots promise: where they draw, what they leave alone, and that no data breaks them."""

import io
import subprocess
import sys
import threading

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import style as styles
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas.testing import assert_frame_equal

import atlas_lab
from atlas_lab import plots
from atlas_lab.plots import DescribedFigure, describe, overview
from tests.plot_builders import HOSTILE, Run, agents, hostile, new_axes, nothing

NS = 1_000_000_000


def measured(name="r"):
    """A frame as `throughput` returns it, of two systems with two numbers of handlers."""
    rows = [
        {"run": name, "system": system, "handlers": handlers, "round": round_, "events": 100}
        | {"seconds": cost * handlers, "ns_per_event": cost * handlers * 1e7, "events_per_s": 100 / (cost * handlers)}
        for system, cost in (("ours", 1.0), (HOSTILE[0], 3.0))
        for handlers in (1, 10)
        for round_ in range(3)
    ]
    return pd.DataFrame(rows).astype({"run": "category", "system": "category"})


PLOTS = {
    "plot_timeline": plots.plot_timeline,
    "plot_timeline of calls": lambda run, **options: plots.plot_timeline(run.deliveries, **options),
    "plot_rate": plots.plot_rate,
    "plot_latency": plots.plot_latency,
    "plot_handler_heatmap": plots.plot_handler_heatmap,
    "plot_transitions": plots.plot_transitions,
    "plot_causality": plots.plot_causality,
    "plot_marbles": plots.plot_marbles,
    "plot_funnel": plots.plot_funnel,
    "plot_stream": plots.plot_stream,
    "plot_diff": lambda run, **options: plots.plot_diff(nothing(), run, **options),
    "plot_throughput": lambda run, **options: plots.plot_throughput(measured(run.name), **options),
}
OF_A_RUN = PLOTS.copy()
del OF_A_RUN["plot_throughput"]  # it shows all that was measured
every_plot = pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
FRAMES = {
    "plot_timeline": "events",
    "plot_rate": "events",
    "plot_transitions": "events",
    "plot_stream": "events",
    "plot_latency": "deliveries",
    "plot_handler_heatmap": "deliveries",
    "plot_funnel": "middleware",
}


def rendered(figure):
    figure.savefig(io.BytesIO(), dpi=50)


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


@every_plot
def test_given_axes_are_drawn_on_and_nothing_else_changes(draw):
    """A plot composes with others: no figure, no current axes and no setting is touched."""
    plt.get_backend()  # which it chooses when it is asked first
    settings, figures = mpl.rcParams.copy(), plt.get_fignums()
    ax = new_axes()
    assert draw(agents(), ax=ax) is ax
    assert len(ax.figure.axes) == 1
    assert plt.get_fignums() == figures
    assert mpl.rcParams == settings


@every_plot
def test_without_axes_a_figure_is_made_that_pyplot_shows(draw):
    """In a notebook and a script, one line draws and shows."""
    ax = draw(agents())
    try:
        assert isinstance(ax.figure, DescribedFigure)
        assert plt.figure(plt.get_fignums()[-1]) is ax.figure
        rendered(ax.figure)
    finally:
        plt.close(ax.figure)


@every_plot
def test_what_is_drawn_can_be_styled(draw):
    """Further options go to what shows the data."""
    ax = draw(agents(), ax=new_axes(), zorder=7.25)
    assert 7.25 in [artist.get_zorder() for artist in ax.get_children()]


@every_plot
def test_no_name_breaks_or_distorts_a_plot(draw):
    """Mathematics, control characters and endless names are shown as short plain text, without a warning."""
    ax = draw(hostile(), ax=new_axes())
    rendered(ax.figure)
    shown = texts(ax.figure)
    assert all(line.isprintable() for text in shown for line in text.get_text().split("\n"))
    assert [text for text in shown if "$" in text.get_text() and text.get_parse_math()] == []
    assert all(len(line) < 130 for text in shown for line in text.get_text().split("\n"))
    assert describe(ax).isprintable()


@every_plot
def test_no_name_is_run_as_latex(draw):
    """Where LaTeX sets all text, it sets numbers, and not what came from data and could read files."""
    with mpl.rc_context({"text.usetex": True}):
        ax = draw(hostile(), ax=new_axes())
        named = [text for text in texts(ax.figure) if any(sign in text.get_text() for sign in "$\\_")]
        assert [text.get_text() for text in named if text.get_usetex()] == []


@pytest.mark.parametrize("draw", OF_A_RUN.values(), ids=OF_A_RUN)
def test_no_data_is_told_not_drawn(draw):
    """A plot of nothing says so, in its place and in words, whatever it is of."""
    ax = draw(nothing(), ax=new_axes())
    rendered(ax.figure)
    assert len(ax.texts) == 1
    assert ax.texts[0].get_text() in describe(ax).replace("\n", " ")


@every_plot
def test_the_same_data_gives_the_same_words(draw):
    """The sentence can be printed, compared and kept."""
    assert describe(draw(agents(), ax=new_axes())) == describe(draw(agents(), ax=new_axes(4, 3)))


@every_plot
def test_input_is_not_changed(draw):
    """What is drawn can be analysed further."""
    run = Run("copy", *(frame.copy() for frame in agents()[1:]))
    draw(run, ax=new_axes())
    for kept, frame in zip(agents()[1:], run[1:], strict=True):
        assert_frame_equal(kept, frame)


@every_plot
def test_the_index_does_not_matter(draw):
    """A frame that was filtered and sorted is drawn like any other."""
    shuffled = [frame.set_index(pd.Index(range(len(frame), 0, -1))) for frame in agents()[1:]]
    assert describe(draw(Run("run", *shuffled), ax=new_axes())) == describe(draw(agents(), ax=new_axes()))


@every_plot
def test_plots_are_drawn_in_threads(draw):
    """With axes given, a service may draw in any thread."""
    told = []
    threads = [threading.Thread(target=lambda: told.append(describe(draw(agents(), ax=new_axes())))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [describe(draw(agents(), ax=new_axes()))] * 3


@every_plot
def test_axes_are_axes(draw):
    """What is no Axes is refused by name, such as the array that subplots returns."""
    with pytest.raises(TypeError, match=r"ax must be the Axes to draw on or None, got ndarray"):
        draw(agents(), ax=Figure().subplots(2))


@pytest.mark.parametrize("draw", OF_A_RUN.values(), ids=OF_A_RUN)
@pytest.mark.parametrize("limit, error", [(0, ValueError), ("all", TypeError)])
def test_limits_are_checked(draw, limit, error):
    """A limit that shows nothing is refused by name."""
    with pytest.raises(error, match="limit must be"):
        draw(agents(), ax=new_axes(), limit=limit)


@pytest.mark.parametrize("name, kind", FRAMES.items())
def test_a_recording_and_its_frame_are_drawn_alike(name, kind):
    """Whatever the table takes, the plot takes, or the recording that has it."""
    draw = getattr(plots, name)
    assert describe(draw(agents(), ax=new_axes())) == describe(draw(getattr(agents(), kind), ax=new_axes()))


@pytest.mark.parametrize("name, kind", FRAMES.items())
def test_another_input_is_refused_by_name(name, kind):
    """The error says what to pass."""
    with pytest.raises(TypeError, match=rf"{kind} must be a recording or a DataFrame of {kind}.*got list"):
        getattr(plots, name)([])
    with pytest.raises(ValueError, match=rf"lacks the column .* pass a frame of {kind}"):
        getattr(plots, name)(pd.DataFrame({"run": [1]}))


@every_plot
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_words_can_be_read_on_the_paper_of_any_style(draw, style):
    """No word has the colour of what is behind the plot."""
    with styles.context(style):
        ax = draw(agents(), ax=new_axes())
        rendered(ax.figure)
        paper = np.array(to_rgb(ax.get_facecolor()))
        outside = [text for text in texts(ax.figure) if text.get_ha() != "center"]
        assert outside != []
        assert all(abs(np.array(to_rgb(text.get_color())) - paper).max() > 0.25 for text in outside)


@every_plot
def test_a_hundred_types_and_handlers_stay_readable(draw):
    """What does not fit is folded or cut, and the plot says so."""
    many = 100
    events = agents().events
    repeated = pd.concat([events.assign(source=f"s{i}") for i in range(many)], ignore_index=True)
    repeated["event_id"] = [f"e{i}" for i in range(len(repeated))]
    repeated["type"] = [f"KIND_{i % many}" for i in range(len(repeated))]
    calls = pd.concat([agents().deliveries] * many, ignore_index=True)
    calls["handler"] = [f"h{i % many}" for i in range(len(calls))]
    calls["type"] = [f"KIND_{i % many}" for i in range(len(calls))]
    steps = pd.concat([agents().middleware.assign(middleware=f"m{i}") for i in range(many)], ignore_index=True)
    ax = draw(Run("many", repeated, calls, steps), ax=new_axes())
    rendered(ax.figure)
    assert len(ax.get_yticklabels()) <= 42
    assert len(texts(ax.figure)) < 400


@pytest.mark.parametrize("name", ["plot_timeline", "plot_timeline of calls", "plot_rate"])
def test_a_hundred_thousand_events_are_counted_not_drawn_one_by_one(name):
    """The number of shapes depends on the plot, not on the run."""
    number = 100_000
    at = pd.to_datetime(np.arange(number) * (NS // 10), utc=True)
    source = pd.Categorical.from_codes(np.arange(number) % 5, list("abcde"))
    events = pd.DataFrame({"timestamp": at, "type": "CHUNK", "source": source})
    calls = pd.DataFrame({
        "handler": source, "outcome": "ok", "start": pd.to_timedelta(np.arange(number) * 1000),
        "duration": pd.to_timedelta(np.full(number, 10)),
    })  # fmt: skip
    ax = PLOTS[name](Run("many", events, calls, calls), ax=new_axes())
    assert sum(len(collection.get_paths()) for collection in ax.collections) < 1000
    assert sum(len(line.get_xdata()) for line in ax.lines) == 0
    assert "100,000" in describe(ax)


def test_what_a_recording_did_not_keep_is_said():
    """A limit of the recording is a limit of the plot."""
    bus = atlas_lab.EventBus()
    bus.subscribe(None, lambda event: None, name="see")
    bus.add_middleware(lambda event: event, name="pass")
    with bus.record(limit=2) as run:
        for _ in range(5):
            bus.publish(atlas_lab.EventType.SYSTEM_HEALTH)
    said = {
        plots.plot_timeline: "3 earlier events",
        plots.plot_rate: "3 earlier events",
        plots.plot_latency: "3 earlier handler calls",
        plots.plot_funnel: "3 earlier steps",
    }
    for draw, note in said.items():
        assert any(f"{note} not kept" in text.get_text() for text in draw(run, ax=new_axes()).texts), draw
    assert "and 3 events, 3 handler calls and 3 middleware steps before that not kept" in describe(overview(run))


def test_public_names_are_lazy():
    """`import atlas_lab` loads no matplotlib, and drawing on given axes loads no pyplot."""
    program = """
import sys, atlas_lab
from matplotlib.figure import Figure
assert "atlas_lab.plots" not in sys.modules
events = atlas_lab.to_frame(atlas_lab.load_quakes())
atlas_lab.plot_rate(events, ax=Figure().subplots())
atlas_lab.overview(events)
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert set(plots.__all__) - {"DescribedFigure"} <= set(dir(atlas_lab))


@pytest.mark.parametrize("package", ["matplotlib", "pandas"])
def test_a_missing_package_is_named_with_its_extra(package):
    """Whoever installed only the bus reads what to install."""
    program = f"""
import sys
sys.modules[{package!r}] = None
import atlas_lab
try:
    atlas_lab.plot_rate
except atlas_lab.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{package} is not installed; run: pip install 'atlas_lab[lab]'\n"
