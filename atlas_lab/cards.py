"""How buses, events and what belongs to them look as the last line of a notebook cell.

Colours and fonts are those of the page around them, so that they read well in light and in dark themes and in an
exported page. Nothing here runs code of an event but its ``repr``, and that may fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .markup import Child, Html, element, style
from .naming import counted, on_one_line, short_repr

LATEST = 10
"""Events that a card shows of a history."""

WRAPPED = {"data", "value", "last error", "metadata", "handler"}
"""Columns whose text may be long."""

EVENT_COLUMNS = ("seq", "time (UTC)", "type", "source", "scope", "data")

VERBATIM = "tex2jax_ignore mathjax_ignore"
"""Classes that keep a notebook from taking the text between two dollar signs for a formula."""

# The class stands there twice to outweigh what JupyterLab has for every table, which is to align it right.
SHEET = """
.atlas-card{font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);max-width:1000px}
.atlas-card.atlas-card table{border-collapse:collapse;margin:2px 0 8px;font-size:12px}
.atlas-card.atlas-card th,.atlas-card.atlas-card td{text-align:left;vertical-align:top;padding:2px 12px 2px 0;background:none;
border:0;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}
.atlas-card.atlas-card tr{background:none}
.atlas-card.atlas-card th{font-weight:600;opacity:.7}
.atlas-card.atlas-card td{font-family:var(--jp-code-font-family,ui-monospace,monospace);white-space:nowrap}
.atlas-card.atlas-card td.w{white-space:pre-wrap;overflow-wrap:anywhere;min-width:10em}
.atlas-card.atlas-card .n{text-align:right;font-variant-numeric:tabular-nums}
.atlas-card.atlas-card summary{cursor:pointer;padding:2px 0}
.atlas-card.atlas-card details>:not(summary){margin-left:15px}
.atlas-card.atlas-card .dim{opacity:.7}
.atlas-card.atlas-card .bad{color:var(--jp-error-color1,#D55E00);font-weight:600}
.atlas-card.atlas-card .bar{display:inline-block;height:8px;background:currentColor;opacity:.45;border-radius:2px}
"""


def event_card(event: Any) -> str:
    """Return an event: what it is, then its payload and the rest."""
    place = f"#{event.seq} " if event.seq else ""
    head = (
        place,
        element("b", event.type_name),
        element("span", f" from {event.source}" if event.source else " without a source", class_="dim"),
        element("span", f" at {moment(event.timestamp)}", class_="dim"),
    )
    fields = {
        "id": event.id,
        "parent": event.parent_id or "none: published at top level",
        "scope": event.scope or "none",
    }
    return _card(
        element("details", element("summary", head), _payload("data", event.data), _pairs(fields), open=True),
        element("details", element("summary", "metadata"), _payload("", event.metadata)) if event.metadata else None,
    )


def history_card(history: Any) -> str:
    """Return a history: how much of it there is, of which types, and its latest events."""
    return _card(*_history(list(history), history.dropped))


def events_card(events: Sequence[Any], title: str) -> str:
    """Return some events as a table, newest first, under a title."""
    head = element("span", title, class_="dim")
    return _card(head, _events(events) if events else None)


def events_text(events: Sequence[Any], title: str) -> str:
    """Return the same as lines of text, for a terminal; what would move its cursor is shown as it is written."""
    if not events:
        return title
    rows = [EVENT_COLUMNS, *(tuple(map(on_one_line, _event_row(event))) for event in reversed(events))]
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = ("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows)
    return "\n".join([title, *lines])


def subscription_card(subscription: Any) -> str:
    """Return a subscription: what it listens to, and how it did."""
    return _card(_subscriptions([subscription]))


def recording_card(name: str, state: str, counts: str, handlers: Mapping[str, tuple[int, int, int]]) -> str:
    """Return a recording: how much it holds, and the handlers that took the most time.

    Parameters
    ----------
    name, state, counts : str
    handlers : mapping of str to (int, int, int)
        Calls, failures and nanoseconds of each handler.
    """
    slowest = sorted(handlers.items(), key=lambda one: -one[1][2])[:LATEST]
    rows = [
        (handler, f"{calls:,}", _failures(failed), f"{spent / 1e6:,.3f} ms")
        for handler, (calls, failed, spent) in slowest
    ]
    title = (
        f"the {LATEST} slowest of {len(handlers):,} handlers" if len(handlers) > LATEST else "handlers, slowest first"
    )
    titles = ("handler", "calls", "failed", "time in all")
    return _card(
        element("b", name),
        element("span", f" {state}: {counts}", class_="dim"),
        _folded(title, _table(titles, rows, {1, 2, 3}), opened=True) if rows else None,
        element("div", "as frames: .events, .deliveries, .middleware; drawn: overview(..)", class_="dim"),
    )


def bus_card(bus: Any) -> str:
    """Return a bus as a small dashboard: counts, middleware, subscriptions, history and scopes."""
    return _card(_bus(bus, opened=True))


def moment(timestamp: float) -> str:
    """Return a time in seconds since the epoch as UTC."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    except (OverflowError, ValueError, OSError, TypeError):
        return f"{short_repr(timestamp)} s"


def _bus(bus: Any, *, opened: bool = False) -> Html:
    stats = bus.stats()
    dead = sum(stats.dead_letters.values())
    head = (
        element("b", bus.path or type(bus).__name__),
        element("span", " closed" if bus.closed else " open", class_="bad" if bus.closed else "dim"),
        f" · {counted(stats.accepted, 'event')}",
        f" · {counted(stats.subscriptions, 'subscription')}",
        f" · {counted(stats.calls, 'call')}",
        _alarm(stats.errors, "handler error"),
        _alarm(stats.rejected, "event dropped or refused by middleware", "events dropped or refused by middleware"),
        _alarm(dead, "dead letter"),
    )
    entries = [
        (
            entry.name,
            "on" if entry.enabled else "off",
            *(f"{count:,}" for count in entry.stats[:5]),
            f"{entry.stats.total_time * 1e3:,.2f} ms",
        )
        for entry in bus.middleware
    ]
    subscriptions = bus.subscriptions()
    titles = ("middleware", "", "seen", "passed", "transformed", "dropped", "raised", "time")
    parts = (
        _folded(
            f"{counted(len(entries), 'middleware entry', 'middleware entries')}",
            _table(titles, entries, {2, 3, 4, 5, 6, 7}),
        )
        if entries
        else None,
        _folded(counted(len(subscriptions), "subscription"), _subscriptions(subscriptions)) if subscriptions else None,
        _folded("history", *_history(list(bus.history), bus.history.dropped)) if stats.accepted else None,
        _folded("dead letters: nobody listened to", _counts(stats.dead_letters)) if dead else None,
        _folded(counted(len(bus.scopes), "scope"), [_bus(scope) for scope in bus.scopes]) if bus.scopes else None,
    )
    return element("details", element("summary", head), parts, open=opened) if any(parts) else element("div", head)


def _history(events: list[Any], dropped: int) -> list[Child]:
    lost = f", {dropped:,} pushed out" if dropped else ""
    shown = events[-LATEST:]
    latest = f"latest {len(shown)} of {len(events):,}" if len(events) > len(shown) else "newest first"
    return [
        element("span", f"{counted(len(events), 'event')} kept{lost}", class_="dim"),
        _folded("by type", _counts(Counter(event.type_name for event in events))) if events else None,
        _folded(latest, _events(shown), opened=True) if events else None,
    ]


def _events(events: Iterable[Any]) -> Html:
    """Return events as a table, newest first."""
    return _table(EVENT_COLUMNS, map(_event_row, reversed(list(events))), {0})


def _event_row(event: Any) -> tuple[str, ...]:
    time = moment(event.timestamp)[11:-4]
    data = failure_of(event) or short_repr(event.data, 120)
    return str(event.seq), time, event.type_name, event.source or "", event.scope or "", data


def failure_of(event: Any) -> str:
    """Return what a HANDLER_ERROR says in a line: the error and the handler; "" for any other event."""
    data = event.data
    if event.type_name != "HANDLER_ERROR" or type(data) is not dict or type(data.get("summary")) is not str:
        return ""
    handler = data.get("handler")
    return on_one_line(f"{data['summary']} in {handler}" if type(handler) is str else data["summary"])[:200]


def _subscriptions(subscriptions: Iterable[Any]) -> Html:
    rows = [
        (
            one.handler_name,
            ", ".join(_type_name(kind) for kind in one.event_types) or "every type",
            "paused" if one.paused else "active" if one.active else "ended",
            f"{one.calls:,}",
            _failures(one.errors),
            one.last_error or "",
            one.defined_at,
        )
        for one in subscriptions
    ]
    return _table(("handler", "listens to", "", "calls", "failed", "last error", "defined at"), rows, {3, 4})


def _type_name(kind: Any) -> str:
    name = f"{type(kind).__name__}.{kind.name}"
    return name.removeprefix("EventType.")


def _payload(title: str, value: Any) -> Html:
    """Return a payload: a mapping as rows of key and value, anything else as its ``repr``."""
    try:
        if not issubclass(type(value), Mapping):  # a data frame has items too, and reads better whole
            return _pairs({title or "value": short_repr(value, 4000)})
        rows = [(short_repr(key, 80).strip("'"), _value(item)) for key, item in value.items()]
    except Exception:  # noqa: BLE001 - a mapping of others may fail
        return _pairs({title or "value": short_repr(value, 4000)})
    if len(rows) > 50:
        rows = [*rows[:50], ("…", f"{len(rows) - 50} more")]
    return _pairs({title: "an empty mapping"}) if not rows else _table(("key", title or "value"), rows)


def _value(value: object) -> str:
    """Return a value as its ``repr``; text of several lines, such as a traceback, as it is."""
    return value[:4000] if type(value) is str and "\n" in value else short_repr(value, 1000)


def _pairs(fields: Mapping[str, Child]) -> Html:
    return element(
        "table",
        (element("tr", element("th", name), element("td", value, class_="w")) for name, value in fields.items()),
    )


def _counts(counts: Mapping[str, int]) -> Html:
    most = max(counts.values(), default=1)
    rows = (
        (name, f"{count:,}", element("span", class_="bar", style=f"width:{count / most * 160:.0f}px"))
        for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    )
    return _table(("type", "events", ""), rows, {1})


def _table(titles: Iterable[str], rows: Iterable[Iterable[Child]], numbers: Iterable[int] = ()) -> Html:
    names, right = list(titles), set(numbers)
    classes = ["n" if n in right else "w" if name in WRAPPED else False for n, name in enumerate(names)]

    def line(kind: str, cells: Iterable[Child]) -> Html:
        return element("tr", (element(kind, cell, class_=look) for cell, look in zip(cells, classes, strict=True)))

    return element("table", element("thead", line("th", names)), element("tbody", (line("td", row) for row in rows)))


def _folded(title: str, *children: Child, opened: bool = False) -> Html:
    return element("details", element("summary", title), children, open=opened)


def _failures(number: int) -> Child:
    return element("span", f"{number:,}", class_="bad") if number else 0


def _alarm(number: int, one: str, many: str = "") -> Child:
    return (" · ", element("span", counted(number, one, many), class_="bad")) if number else None


def _card(*children: Child) -> str:
    return str(element("div", style(SHEET), children, class_=f"atlas-card {VERBATIM}"))
