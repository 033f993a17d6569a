"""plot_funnel: how many events each middleware entry saw, and what it did with them."""

import pytest
from matplotlib.collections import PolyCollection

from atlas_lab import describe, middleware_funnel, plot_funnel
from tests.plot_builders import agents, key_of, middleware, new_axes, rectangles, rows, words


def steps(scope="run"):
    """Eight events through two entries: one drops three, the other changes two and fails on one."""
    first = [
        {"event_id": f"{scope}{n}", "middleware": "quiet", "action": "dropped" if n < 3 else "passed"} for n in range(8)
    ]
    did = ["transformed", "transformed", "raised", "passed", "passed"]
    second = [
        {"event_id": f"{scope}{n + 3}", "middleware": "redact", "step": 1, "action": action}
        for n, action in enumerate(did)
    ]
    return [{"scope": scope, "duration": 1000} | step for step in (*first, *second)]


def test_a_bar_is_as_long_as_the_entry_saw_events():
    """Its parts are what it did, each in a look of its own."""
    ax = plot_funnel(middleware(*steps()), ax=new_axes())
    assert rows(ax) == ["run", "quiet", "redact"]
    found = sorted((round((top + bottom) / 2), left, right) for left, right, top, bottom in rectangles(ax))
    assert found == [(1, 0, 5), (1, 5, 8), (2, 0, 2), (2, 2, 4), (2, 4, 5)]
    assert key_of(ax) == ["passed", "transformed", "dropped", "raised"]
    looks = [
        (tuple(one.get_facecolor()[0]), one.get_hatch()) for one in ax.collections if isinstance(one, PolyCollection)
    ]
    assert len(set(looks)) == 4 and len({hatch for _, hatch in looks}) == 3


def test_what_did_not_go_on_and_what_is_left_is_told():
    """The numbers of the table stand at the end of the row."""
    ax = plot_funnel(middleware(*steps()), ax=new_axes())
    assert words(ax) == ["3 dropped, 62 % left, 8 µs", "1 raised, 50 % left, 5 µs"]
    assert describe(ax) == ("Of 8 events that came to run, 50 % are left after 2 middleware entries; quiet dropped 3.")


def test_the_entries_of_each_bus_stand_together():
    """Scopes have middleware of their own; a bus without a name that is alone needs no head."""
    ax = plot_funnel(middleware(*steps("run"), *steps("run/a")), ax=new_axes())
    assert rows(ax) == ["run", "quiet", "redact", "run/a", "quiet", "redact"]
    assert [text.get_weight() for text in ax.get_yticklabels()] == ["bold", "normal", "normal"] * 2
    assert rows(plot_funnel(middleware(*steps("")), ax=new_axes())) == ["quiet", "redact"]


def test_every_step_of_a_run_is_drawn():
    """Over all rows, lengths add up to what entries saw."""
    frame = agents().middleware
    ax = plot_funnel(frame, ax=new_axes())
    assert sum(right - left for left, right, *_ in rectangles(ax)) == middleware_funnel(frame)["seen"].sum()


def test_entries_beyond_the_limit_are_counted():
    """The first ones are shown, and how many there are."""
    many = [{"middleware": f"m{step}", "step": step, "duration": 0} for step in range(9)]
    ax = plot_funnel(middleware(*many), limit=4, ax=new_axes())
    assert rows(ax) == ["m0", "m1", "m2", "m3"]
    assert words(ax)[-1] == "4 of 9 entries shown"
    with pytest.raises(ValueError, match="limit must be 1 or more, got 0"):
        plot_funnel(middleware(*many), limit=0)
