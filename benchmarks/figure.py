"""One look at what a publish costs beside other libraries, and at what each of them does for it."""

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.machine import unquiet
from benchmarks.peers import FEATURES, OURS, PEERS
from benchmarks.report import costs, noise
from benchmarks.storage import load

# Okabe and Ito's colours, which colour-blind readers tell apart; the marks differ in shape as well.
# Each has a height of its own in a row: equal times would hide one another.
MARKS = {1: ("#E69F00", "o", 0.22), 10: ("#56B4E9", "s", 0), 100: ("#0072B2", "D", -0.22)}
CHEAPER = "#009E73"
INK = "#222222"
LIMITS = (0.012, 40)  # times a blinker send; who costs more stands at the edge


def draw(path, target):
    """Draw the figure from a file of results.

    Parameters
    ----------
    path : Path
        What `benchmarks.storage.save` wrote.
    target : Path
        A PNG.
    """
    cells, known = load(path)
    found = {peer: costs(cells, peer) for peer in PEERS}
    order = sorted(found, key=lambda peer: found[peer][10].median, reverse=True)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.edgecolor": "0.6"}):
        figure = Figure(figsize=(9, 4.9), dpi=160, facecolor="white", layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(5, 3.2))
        _costs(left, order, found)
        _features(right, order)
        left.set_yticks(range(len(order)), order)
        for label in left.get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == OURS else "normal")
        figure.supxlabel(_caption(known["handlers"], cells), fontsize=7, color="0.35", x=0.01, ha="left")
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)


def _costs(ax, order, found):
    """Mark the ratios of each peer, in a row of its own."""
    ax.axvspan(LIMITS[0], 1, color=CHEAPER, alpha=0.08, linewidth=0)
    ax.axvline(1, color=CHEAPER, linewidth=1.2)
    for row, peer in enumerate(order):
        for count, ratio in found[peer].items():
            if count in MARKS and ratio.median <= LIMITS[1]:
                color, mark, height = MARKS[count]
                ax.plot([ratio.low, ratio.high], [row + height] * 2, color=color, linewidth=1.5)
                ax.plot(ratio.median, row + height, mark, color=color, markersize=5.5)
                if peer == OURS:
                    place = (ratio.high * 1.12, row + height)
                    ax.text(*place, f"{ratio.median:.2f}", fontsize=7.5, fontweight="bold", va="center_baseline")
        beyond = [ratio.median for count, ratio in found[peer].items() if count in MARKS and ratio.median > LIMITS[1]]
        if beyond:
            span = " to ".join(f"{value:,.0f}" for value in dict.fromkeys([min(beyond), max(beyond)]))
            ax.text(LIMITS[1] * 0.9, row, f"{span} times →", ha="right", va="center", fontsize=8)
    for count in MARKS:
        ax.plot(
            [], [], MARKS[count][1], color=MARKS[count][0], markersize=6, label=f"{count} handler{'s' * (count > 1)}"
        )
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, handletextpad=0.1, columnspacing=1)
    ax.text(0.93, len(order) - 0.42, "← cheaper than Blinker", color=CHEAPER, ha="right", va="center", fontsize=8)
    ax.set(xscale="log", xlim=LIMITS, ylim=(-0.6, len(order) - 0.1))
    ax.set_xticks([0.02, 0.1, 0.5, 1, 2, 10, 40], ["0.02", "0.1", "0.5", "1", "2", "10", "40"])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("one publish, times a bare blinker send to as many")
    ax.tick_params(length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    _stripe(ax, order)


def _features(ax, order):
    """Mark what each peer does."""
    for column, feature in enumerate(FEATURES):
        rows = [row for row, peer in enumerate(order) if feature in PEERS[peer].does]
        others = sorted(set(range(len(order))) - set(rows))
        ax.plot([column] * len(rows), rows, "o", color=INK, markersize=6)
        ax.plot([column] * len(others), others, ".", color="0.8", markersize=2)
    ax.set_xticks(range(len(FEATURES)), FEATURES, rotation=45, ha="left", rotation_mode="anchor")
    ax.xaxis.tick_top()
    ax.set_xlim(-0.6, len(FEATURES) - 0.1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _stripe(ax, order)


def _stripe(ax, order):
    ax.axhspan(order.index(OURS) - 0.5, order.index(OURS) + 0.5, color="0.93", linewidth=0, zorder=-1)


def _caption(about, cells):
    noisy = ", not a quiet machine" if unquiet(about, noise(cells, "publish")) else ""
    return (
        f"{about['date'][:10]}, {about['platform']}, {about['cpu_model_name']}, Python {about['python_version']}, "
        f"blinker {about['version_blinker']}; medians of {about['rounds']} rounds{noisy}"
    )
