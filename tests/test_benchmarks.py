"""The benchmarks measure what they say, on a tiny setting: what is checked is their structure, never a time."""

from __future__ import annotations

import gc
import random
from collections import Counter
from contextlib import suppress
from itertools import repeat

import numpy as np
import pytest
from PIL import Image
from pyperf import BenchmarkSuite

from benchmarks import (
    bench_frames,
    bench_live,
    bench_publish,
    commands,
    figure,
    machine,
    peers,
    readme,
    report,
    storage,
    threads,
)
from benchmarks.estimates import interval, line, paired, ratio
from benchmarks.goals import goals
from benchmarks.harness import Cell, Way, measure, way
from benchmarks.peers import BASE, FEATURES, OURS, PEERS, make_handlers

TINY = bench_publish.Plan(
    rounds=2,
    block=2e-4,
    thread_rounds=2,
    thread_block=2e-3,
    churned=100,
    weighed=500,
    kept=2000,
    import_rounds=1,
    slow=False,
)
KNOWN = {
    **machine.about(),
    "program": "publish",
    "run": "quick",
    "rounds": TINY.rounds,
    "run_seconds": 1.0,
    "cpu_count": 2,
    "load_before": 0.1,
    "load_after": 1.0,
    "cores_busy_own": 1.0,
    "cores_busy_others": 0.1,
}


@pytest.fixture(scope="module")
def cells():
    """What a run measures."""
    return bench_publish.measure_all(TINY, random.Random(0))


@pytest.fixture(scope="module")
def saved(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "results.json"
    storage.save(cells, KNOWN, path)
    return path


def called(peer, handlers, **options):
    """Publish once on a bus of this peer, and put the bus away."""
    rig = peer.build(handlers, **options)
    try:
        with suppress(Exception):
            rig.publish.run((None,))
    finally:
        rig.close()


def noting(calls, number):
    def handler(event):
        calls.append(number)

    handler.__name__ = f"noting_{number}"
    return handler


def test_every_way_is_measured_in_every_round(cells):
    """What the table promises is in it: all libraries, and all settings where they mean the same."""
    expected = {("handlers", peer, count) for peer in PEERS for count in (0, 1, 10, 100)}
    expected -= {("handlers", *slow) for slow in bench_publish.SLOW}
    for section, settings in [("middleware", (0, 1, 5)), ("scopes", (0, 1, 2, 3, 4)), ("threads", (1, 2, 3, 4))]:
        expected |= {
            (section, name, n) for name, peer in PEERS.items() if section not in peer.why_not for n in settings
        }
    expected |= {("recording", word, count) for word in ("off", "on") for count in (1, 10)}
    expected |= {(section, BASE, 1) for section in ("handlers", "middleware", "scopes", "subscribe", "recording")}
    assert expected - set(cells) == set()
    for key, cell in cells.items():
        assert min(cell.readings) > 0, key
        if key[0] in {"handlers", "middleware", "scopes", "subscribe", "resubscribed", "collecting", "recording"}:
            assert len(cell.readings) == -(-TINY.rounds // cell.every), key


def test_no_event_is_lost_between_threads(cells):
    """What claims to be thread safe delivers each event once, to a handler that counts, while others come and go."""
    for (section, peer, _), cell in cells.items():
        if section in {"threads", "churn"}:
            assert cell.notes["published"] > 0
            assert (peer, cell.notes["lost"], cell.notes.get("raised", 0)) == (peer, 0, 0)


def test_lost_and_doubled_deliveries_are_counted():
    """A bus that loses or doubles events does not go unnoticed."""

    def losing(handlers, of_three):
        steps = iter(range(10**9))

        def publish(times):
            for _ in times:
                for handler in handlers[:1] * of_three[next(steps) % 3]:
                    handler(None)

        return peers.Rig(Way(publish), Way(lambda times: None))

    for of_three, share in [((1, 1, 0), 1 / 3), ((1, 1, 2), -1 / 3), ((1, 1, 1), 0)]:
        peer = peers.Peer("losing", lambda handlers, of_three=of_three: losing(handlers, of_three), frozenset())
        (cell,) = threads.churn([peer], 1, 300).values()
        assert cell.notes == {"published": 300, "lost": round(300 * share), "raised": 0}
        (cell,) = threads.throughput([peer], [1], 1, random.Random(0), 1e-4).values()
        assert cell.notes["lost"] == pytest.approx(cell.notes["published"] * share, abs=1)


@pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
def test_each_library_does_what_the_figure_says(peer):
    """A dot in the figure is a fact: order and isolation are tried out, the rest agrees with what is measured."""
    calls = []
    called(peer, [noting(calls, number) for number in range(50)])
    assert sorted(calls) == list(range(50))
    if "order" in peer.does:
        assert calls == list(range(50))
    calls.clear()

    def failing(number):
        def handler(event):
            calls.append(number)
            raise ValueError(number)

        handler.__name__ = f"failing_{number}"
        return handler

    called(peer, [failing(number) for number in range(5)])
    assert (len(calls) == 5) == ("isolation" in peer.does)
    assert peer.does <= set(FEATURES)
    for setting in ("middleware", "scopes", "threads"):
        assert (setting in peer.does) == (setting not in peer.why_not)


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS.values() if "middleware" in peer.does], ids=lambda peer: peer.name
)
def test_middleware_runs_once_for_all_handlers(peer, monkeypatch):
    """A library is compared in middleware only where that means the same: each runs once, before all handlers."""
    seen, calls = Counter(), []

    def middleware(number):
        def one(event):
            seen[number] += 1
            return event

        return one

    monkeypatch.setattr(peers, "make_middleware", lambda count: [middleware(number) for number in range(count)])
    called(peer, [noting(calls, number) for number in range(3)], middleware=5)
    assert sorted(calls) == [0, 1, 2]
    assert seen == dict.fromkeys(range(5), 1)


def test_an_event_in_a_scope_reaches_a_handler_on_each_bus():
    """The cost of a scope is that of a whole publish more, to a handler of its own."""
    calls = []
    called(PEERS[OURS], [noting(calls, 0)], scopes=4)
    assert len(calls) == 5


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS.values() if "subscribe" not in peer.why_not], ids=lambda peer: peer.name
)
def test_what_is_subscribed_for_the_clock_is_unsubscribed_again(peer, monkeypatch):
    """Subscribing is measured with as many handlers connected in the last round as in the first."""
    calls = []
    monkeypatch.setattr(peers, "make_handlers", lambda count: [noting(calls, "another")])
    rig = peer.build([noting(calls, number) for number in range(3)])
    rig.resubscribe.run(repeat(None, 20))
    rig.publish.run((None,))
    rig.close()
    assert sorted(calls) == [0, 1, 2]


def test_the_collector_is_off_in_a_block_unless_asked_for():
    """Blocks are not charged with each other's garbage, and nothing is left switched off afterwards."""
    states = []
    watching = {"only": Way(lambda times: states.append(gc.isenabled()))}
    for collecting in (False, True):
        measure(watching, 3, random.Random(0), 1e-9, collecting=collecting)
        assert states[-1] is collecting
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0


def test_a_way_runs_as_often_as_it_is_told():
    """What is divided by is the number of calls that were made."""
    calls = []
    way("note(1)\nnote(2)", note=calls.append).run(repeat(None, 3))
    assert calls == [1, 2] * 3


def test_slow_ways_sit_out_rounds_evenly_and_are_compared_within_those_they_share():
    """A way of a second does not stretch the run to hours, nor is it paired with another round's readings."""
    slow = Cell([40.0, 60.0], every=2)
    assert ratio(slow, Cell([1.0, 99.0, 2.0, 99.0])).median == pytest.approx(35)
    found = measure({"slow": way("sum(range(20_000))"), "fast": way("pass")}, 6, random.Random(0), 1e-6)
    assert found["slow"].every > 1
    assert len(found["slow"].readings) == -(-6 // found["slow"].every)
    assert len(found["fast"].readings) == 6


def test_intervals_and_lines_are_what_they_are_called():
    """The median lies in its interval, which narrows with more rounds; a line fits by relative errors."""
    chance = np.random.default_rng(1)
    few, many = (interval(chance.normal(100, 10, size)) for size in (10, 1000))
    for found in (few, many):
        assert found.low <= found.median <= found.high
    assert many.width < few.width
    assert many.low < 100 < many.high
    start, slope = line({count: Cell([500.0 + 30 * count] * 3) for count in (1, 10, 100)})
    assert start == pytest.approx((500, 500, 500))
    assert slope == pytest.approx((30, 30, 30))
    start, _ = line({1: Cell([530.0]), 10: Cell([800 * 1.2]), 100: Cell([3500.0])})
    assert start.median < 540, "relative errors count, not absolute ones"
    assert paired(lambda a, b: a - b, Cell([3.0, 5.0]), Cell([1.0, 1.0])).median == 3


def test_results_are_a_pyperf_suite_from_which_all_can_be_read_again(cells, saved):
    """Anyone can check the table, with pyperf or with ours: no reading is lost, and small enough to commit."""
    suite = BenchmarkSuite.load(str(saved))
    assert suite.get_metadata()["python_version"] == KNOWN["python_version"]
    assert suite.get_metadata()["version_blinker"] == KNOWN["version_blinker"]
    loaded, known = storage.load(saved)
    assert known["handlers"] == KNOWN
    assert list(loaded) == list(cells)
    for key, cell in cells.items():
        assert loaded[key].readings == pytest.approx(cell.readings, rel=1e-4)
        assert (loaded[key].every, loaded[key].unit, loaded[key].notes) == (cell.every, cell.unit, cell.notes)


def test_saving_one_benchmark_keeps_the_other(tmp_path):
    """Frames and publishing are measured by programs of their own, into one file."""
    path = tmp_path / "results.json"
    storage.save({("frames", "keep", 10): Cell([1.0])}, {**KNOWN, "program": "frames"}, path)
    storage.save({("handlers", "pyee", 1): Cell([1.0])}, KNOWN, path)
    storage.save({("handlers", "pyee", 1): Cell([2.0])}, KNOWN, path)
    cells, known = storage.load(path)
    assert {key: cell.readings for key, cell in cells.items()} == {
        ("frames", "keep", 10): [1.0],
        ("handlers", "pyee", 1): [2.0],
    }
    assert [known[section]["program"] for section in ("frames", "handlers")] == ["frames", "publish"]


def test_the_report_shows_each_library_each_goal_and_why_something_is_missing(saved):
    """Whoever reads the tables need not read the code."""
    cells, known = storage.load(saved)
    told = report.text(cells, known, "publish")
    for peer in PEERS.values():
        assert f"\n{peer.name} " in told
        for reason in peer.why_not.values():
            assert reason in told
    for goal in goals(cells):
        assert goal.measured is not None, goal.text
        assert f"{goal.verdict:14} {goal.text}" in told
    assert "recording on" in told


def test_a_goal_that_was_not_measured_says_so(saved):
    """A goal that a file tells nothing about is neither reached nor missed."""
    cells, known = storage.load(saved)
    without = {key: cell for key, cell in cells.items() if key[0] != "recording"}
    verdicts = {goal.text: goal.verdict for goal in goals(without)}
    assert [verdict for text, verdict in verdicts.items() if "recording" in text] == ["not measured"] * 2
    assert "not measured   recording" in report.text(without, known, "publish")


@pytest.mark.parametrize(
    "seen, width, reasons",
    [
        ({}, 0.05, 0),
        ({"load_before": 1.2}, 0.05, 1),
        ({"load_after": 2.2}, 0.05, 1),
        ({"load_after": 2.2, "cores_busy_others": 1.1}, 0.2, 3),
    ],
)
def test_a_noisy_run_is_not_called_quiet(seen, width, reasons):
    """A load over half the cores, before, after (less our own) or from others, or a wide interval, tells a noisy run."""
    assert len(machine.unquiet(KNOWN | seen, width)) == reasons


@pytest.mark.parametrize(
    "width, arguments, name",
    [(0.01, [], "latest.json"), (0.2, [], "unquiet.json"), (0.01, ["--quick"], "unquiet.json")],
)
def test_only_a_full_run_on_a_quiet_machine_becomes_the_latest(
    width, arguments, name, cells, tmp_path, monkeypatch, capsys
):
    """The committed numbers never come from a noisy or a quick run."""
    monkeypatch.setattr(commands, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(commands, "UNQUIET", tmp_path / "unquiet.json")
    monkeypatch.setattr(report, "noise", lambda cells, program: width)
    watch = machine.Watch(load_before=0.0)
    monkeypatch.setattr(
        watch,
        "seen",
        lambda: {key: KNOWN[key] for key in KNOWN if key.startswith(("load", "cores"))} | {"run_seconds": 1.0},
    )
    options = commands.parser_of("What.", "less").parse_args(arguments)
    assert commands.conclude("publish", cells, watch, 2, options) == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert ("NOT a quiet run" in capsys.readouterr().out) == (width > 0.15)


def test_the_table_of_the_readme_is_written_between_its_marks(saved, tmp_path):
    """Writing the measured table anew changes nothing else in the README, however often."""
    cells, known = storage.load(saved)
    path = tmp_path / "README.md"
    told = readme.README.read_text(encoding="utf-8")
    path.write_text(told, encoding="utf-8")
    readme.rewrite(cells, known, path)
    once = path.read_text(encoding="utf-8")
    readme.rewrite(cells, known, path)
    assert path.read_text(encoding="utf-8") == once
    assert once.partition(readme.BEGIN)[0] == told.partition(readme.BEGIN)[0]
    assert once.partition(readme.END)[2] == told.partition(readme.END)[2]
    table = [row for row in once.splitlines() if row.startswith("|")]
    for peer in PEERS:
        assert [row.count("|") for row in table if row.startswith(f"| {peer} |")] == [6]
    assert f"blinker {KNOWN['version_blinker']}" in once


def test_a_readme_without_marks_is_left_alone(saved, tmp_path):
    """Nothing is overwritten when it is not clear where the table belongs."""
    path = tmp_path / "README.md"
    path.write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the lines"):
        readme.rewrite(*storage.load(saved), path)
    assert path.read_text(encoding="utf-8") == "# Mine\n"


def test_the_figure_is_drawn_from_the_file(saved, tmp_path):
    """Table and figure come from the same numbers, at a size that a README shows well."""
    figure.draw(saved, tmp_path / "docs" / "cost.png")
    with Image.open(tmp_path / "docs" / "cost.png") as drawn:
        assert drawn.size[0] == 1440
        assert drawn.convert("L").getextrema()[0] < 60


def test_frames_are_measured_and_shown_in_the_same_style(tmp_path, capsys):
    """The making of frames is compared with the plain ways on as many events."""
    path = tmp_path / "results.json"
    try:
        bench_frames.main(["--events", "200", "--rounds", "2", "--json", str(path)])
    finally:
        gc.unfreeze()
    told = capsys.readouterr().out
    assert "load" in told
    cells, _ = storage.load(path)
    for fast, slow in report.PAIRS:
        assert len(cells["frames", fast, 200].readings) == 2
        assert len(cells["frames", fast, 20].readings) == len(cells["frames", slow, 20].readings) == 2
        assert f"{slow:36} / {fast}" in told


def test_handlers_have_names_of_their_own():
    """Blinker keeps one entry for one function, bubus warns of equal names: each handler is another."""
    made = make_handlers(3)
    assert len({handler.__name__ for handler in made}) == len(set(made)) == 3


def test_live_views_are_measured_and_shown_in_the_same_style(tmp_path, capsys):
    """What a feed costs is compared with no feed at the same pace, and told beside its goals."""
    path = tmp_path / "live.json"
    bench_live.main(["--rounds", "2", "--seconds", "0.25", "--json", str(path)])
    told = capsys.readouterr().out
    cells, known = storage.load(path)
    assert known["live"]["program"] == "live"
    for shown in bench_live.WAYS:
        for pace in range(3):
            assert len(cells["live", shown, pace].readings) == 2
            assert (("live lag", shown, pace) in cells) == ("no view" not in shown)
    assert min(cells["live messages", "views", 0].readings) > 0
    assert told.count("lag p95") == told.count("(goal: < 100 ms)") == 6


def test_a_lag_is_counted_from_the_publish():
    """Nobody sees an event before it was sent, or much later than the next tick."""
    spent, rate, lags, messages = bench_live.run(False, 2000, 0.5, random.Random(0))
    assert set(spent) == {True, False}
    assert 1000 < rate < 2500
    assert 0 < messages <= 20
    assert min(lags) >= 0
    assert max(lags) < 5
