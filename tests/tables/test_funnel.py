"""middleware_funnel: what is left after each entry."""

from atlas_lab.tables import middleware_funnel
from tests.frame_builders import middleware


def test_funnel_by_scope_and_step():
    """Each entry tells what it let through, and how much of what came in is left after it, bus by bus."""
    frame = middleware(
        *({"event_id": f"{n}", "scope": "run/a", "middleware": "quiet", "duration": 2} for n in range(3)),
        {"event_id": "3", "scope": "run/a", "middleware": "quiet", "action": "dropped"},
        {"event_id": "0", "scope": "run/a", "middleware": "check", "step": 1, "action": "raised"},
        {"event_id": "1", "scope": "run/a", "middleware": "check", "step": 1},
        {"event_id": "2", "scope": "run/a", "middleware": "check", "step": 1, "action": "transformed"},
        {"event_id": "1", "scope": "run", "middleware": "check"},
    )
    table = middleware_funnel(frame)
    assert table.drop(columns="total").to_numpy().tolist() == [
        ["run/a", "quiet", 4, 3, 0, 1, 0, 0.75],
        ["run/a", "check", 3, 1, 1, 0, 1, 0.5],
        ["run", "check", 1, 1, 0, 0, 0, 1.0],
    ]
    assert table["total"].astype("int64").tolist() == [7, 3, 1]


def test_two_entries_of_one_name_are_two_rows():
    """Entries of one name, each of which sees the event, are not added up, also when the event comes again."""
    once = [{"middleware": "drop"}, {"middleware": "enrich", "step": 1}, {"middleware": "drop", "step": 2}]
    table = middleware_funnel(middleware(*once, *once))
    assert table["middleware"].tolist() == ["drop", "enrich", "drop"]
    assert table["seen"].tolist() == [2, 2, 2] and table["left"].tolist() == [1.0, 1.0, 1.0]


def test_an_entry_switched_off_moves_the_others_up():
    """An entry whose step changed is still one entry, in its place, and no share exceeds 1."""
    frame = middleware(
        {"event_id": "a", "middleware": "first"},
        {"event_id": "a", "middleware": "second", "step": 1},
        {"event_id": "b", "middleware": "second"},
    )
    table = middleware_funnel(frame)
    assert table["middleware"].tolist() == ["first", "second"]
    assert table["seen"].tolist() == [1, 2] and table["left"].tolist() == [0.5, 1.0]
