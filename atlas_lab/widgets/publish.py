"""The form that publishes: ipywidgets over a `PublishModel`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from atlas_lab.arguments import is_kind
from atlas_lab.errors import MissingExtraError
from atlas_lab.markup import Html, element

from .chooser import Chooser
from .drafts import Draft
from .forms import FormField
from .outcomes import CLOSED
from .publish_model import PublishModel
from .pulse import Pulse
from .view import LiveView, asset, check_bus, close_all_of, is_text

try:
    import ipywidgets
    from ipywidgets import HTML, Button, Text
except ImportError as error:
    raise MissingExtraError("ipywidgets", "lab") from error

AGAIN = 4
"""Recent payloads that have a button."""

_LONGEST = 1_000_000


class ControlsPulse(Pulse):
    """A sign of life that brings the looks of the controls with it."""

    _css = asset("panel.css", "controls.css")


class PublishPanel(LiveView, ipywidgets.VBox):
    """A form that publishes events, one or many at a steady rate.

    What stands in it is checked as it is typed: JSON by line and column, the payload against what typed handlers ask
    for. Where a handler says what the payload is, there is a form for it as well. Everything can be done from Python:
    set the ``value`` of a field, ``click()`` a button, and look at ``model``.

    Attributes
    ----------
    model : PublishModel
        The truth: the draft, what is wrong with it, what came of it, recent payloads.
    event_type, data, source, metadata : widgets with a ``value`` of text
    form : dict of str to widget
        The fields of the payload by name, where a typed handler says what they are.
    as_form : ToggleButton
        Whether the payload is shown as a form, where there is one, or as JSON.
    publish, anyway, repeat, stop : Button
    times, rate : widgets with a ``value``
        How often "Repeat" publishes, and how many events a second.
    again : tuple of Button
        Publish a recent payload again; the first is the latest.

    Parameters
    ----------
    bus : EventBus
    event_type : Enum or str, default EventType.STREAM_CHUNK

    Raises
    ------
    TypeError
        If `bus` is no EventBus.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, PublishPanel
    >>> bus = EventBus()
    >>> panel = PublishPanel(bus)
    >>> panel.event_type.value = "AGENT_STARTED"
    >>> panel.data.value = '{"agent": "planner"}'
    >>> panel.publish.click()
    >>> bus.history[-1].type_name, bus.history[-1].data
    ('AGENT_STARTED', {'agent': 'planner'})
    >>> panel.data.value = '{"agent": true'
    >>> panel.model.problems["data"]
    'line 1, column 15: a comma or the end is missing, the text ends here'
    >>> panel.close()
    """

    def __init__(self, bus: Any, event_type: Any = "STREAM_CHUNK") -> None:
        check_bus(bus)
        self._showing = threading.RLock()
        self._shown_fields: tuple[FormField, ...] = ()
        self._filling = False
        self.model = PublishModel(bus, event_type)
        self._build()
        self.pulse = ControlsPulse(self)
        title = ipywidgets.HBox([_html(element("h3", "Publish")), self.pulse])
        title.add_class("atlas-title")
        super().__init__([title, *self._parts])
        self.add_class("atlas-panel").add_class("atlas-publish")
        self.model.changed = self.show
        self._listen()
        self.watch(bus)
        self.pulse.watch(bus)
        self.show()

    def _build(self) -> None:
        """Make the widgets."""
        self.event_type = Chooser(description="Type", options=self.model.types())
        self.as_form = ipywidgets.ToggleButton(False, description="Form", tooltip="Fill in the payload field by field")
        self.data = ipywidgets.Textarea(description="Payload", rows=4, placeholder='{"text": "hello"}')
        self.source = Text(description="Source", placeholder="none")
        self.metadata = Text(description="Metadata", placeholder="{}")
        self.publish = _button("Publish", "Publish this event", "atlas-primary")
        self.anyway = _button("Publish anyway", "Publish it although the payload does not fit what handlers ask for")
        self.repeat = _button("Repeat", "Publish it again and again at a steady rate")
        self.stop = _button("Stop", "Stop repeating")
        self.times = ipywidgets.BoundedIntText(100, min=1, max=1_000_000, description="times")
        self.rate = ipywidgets.BoundedFloatText(20.0, min=0.01, max=100_000.0, description="a second")
        self.progress = ipywidgets.IntProgress(0, min=0, max=1)
        self.form: dict[str, Any] = {}
        self._form_box = ipywidgets.VBox()
        self._form_box.add_class("atlas-form")
        self._form_messages: dict[str, HTML] = {}
        self._messages = {name: _html() for name in ("event_type", "data", "metadata", "repeat")}
        self._outcome = _html()
        self._progress_text = _html()
        self._again_title = _html(element("h3", "Send again"))
        self.again = tuple(_button("", "Publish it again", "atlas-again") for _ in range(AGAIN))
        self._form_title = _html()
        rows = {
            "mode": [self._form_title, self.as_form],
            "fields": [self.source, self.metadata],
            "buttons": [self.publish, self.anyway],
            "repeat": [self.times, self.rate, self.repeat, self.stop],
            "progress": [self.progress, self._progress_text],
        }
        boxes = {name: ipywidgets.HBox(children) for name, children in rows.items()}
        for name, box in boxes.items():
            box.add_class("atlas-row").add_class(f"atlas-row-{name}")
        self._progress_box = boxes["progress"]
        self._parts = [
            self.event_type,
            self._messages["event_type"],
            boxes["mode"],
            self.data,
            self._form_box,
            self._messages["data"],
            boxes["fields"],
            self._messages["metadata"],
            boxes["buttons"],
            self._outcome,
            boxes["repeat"],
            self._messages["repeat"],
            self._progress_box,
            self._again_title,
            *self.again,
        ]

    def _listen(self) -> None:
        for name in ("event_type", "data", "source", "metadata"):
            getattr(self, name).observe(self._edited(name), "value")
        self.as_form.observe(lambda _: self.show(), "value")
        self.publish.on_click(lambda _: self.model.publish())
        self.anyway.on_click(lambda _: self.model.publish(anyway=True))
        self.repeat.on_click(lambda _: self.model.start_repeat(self.times.value, self.rate.value))
        self.stop.on_click(lambda _: self.model.stop())
        for place, button in enumerate(self.again):
            button.on_click(self._sender(place))

    def _edited(self, name: str) -> Callable[[Any], None]:
        def take(change: Any) -> None:
            if self._filling or not is_text(change["new"], _LONGEST):
                return
            self.model.edit(**{name: change["new"]})

        return take

    def _sender(self, place: int) -> Callable[[Any], None]:
        def send(_: Any) -> None:
            if place < len(self.model.recent):
                self.model.publish_again(place)

        return send

    def show(self) -> None:
        """Show what the model says; only what changed is sent to the browser."""
        if self.closed:
            return
        with self._showing:
            self._filling = True
            try:
                self._show_draft(self.model.draft)
                self._show_form()
                self._show_messages()
                self._show_progress()
            finally:
                self._filling = False

    def _show_draft(self, draft: Draft) -> None:
        for name in ("event_type", "data", "source", "metadata"):
            _set(getattr(self, name), "value", getattr(draft, name))
        kind = self.model.type_name
        _set(self.data, "description", f"Payload ({kind})" if kind else "Payload")
        recent = self.model.recent
        for place, button in enumerate(self.again):
            known = recent[place] if place < len(recent) else None
            _set(button, "description", "" if known is None else f"↻ {known.event_type} {_line(known.data)}")
            _visible(button, known is not None)
        _visible(self._again_title, bool(recent))

    def _show_form(self) -> None:
        fields = self.model.fields()
        if fields != self._shown_fields:
            self._shown_fields = fields
            self._make_form(fields)
        as_form = bool(fields) and self.as_form.value
        _visible(self.as_form, bool(fields))
        _visible(self.data, not as_form)
        _visible(self._form_box, as_form)
        _set(self._form_title, "value", str(element("span", self.data.description)) if as_form else "")
        values = self.model.values()
        for field in fields:
            problem = self.model.problems.get(f"data.{field.name}", "")
            _say(self._form_messages[field.name], problem)
            if not problem:  # or what a person is typing would be taken away
                widget = self.form[field.name]
                _set(widget, "value", values[field.name] == "true" if field.kind == "bool" else values[field.name])

    def _make_form(self, fields: tuple[FormField, ...]) -> None:
        old = self._form_box.children
        self.form = {field.name: _field_widget(field) for field in fields}
        self._form_messages = {field.name: _html() for field in fields}
        for name, widget in self.form.items():
            widget.observe(self._filled(name), "value")
        self._form_box.children = [part for name in self.form for part in (self.form[name], self._form_messages[name])]
        for widget in old:
            close_all_of(widget)

    def _filled(self, name: str) -> Callable[[Any], None]:
        def take(change: Any) -> None:
            value = change["new"]
            text = str(value).lower() if is_kind(value, bool) else value
            if not self._filling and is_text(text, _LONGEST) and name in self.model.values():
                self.model.set_field(name, text)

        return take

    def _show_messages(self) -> None:
        problems = self.model.problems
        # What is told at a field of the form is not told again below it.
        at_field = self.as_form.value and any(f"data.{name}" in problems for name in self.form)
        for name, message in self._messages.items():
            _say(message, "" if name == "data" and at_field else problems.get(name, ""))
        _set(self.event_type, "bad", "event_type" in problems)
        for name in ("data", "metadata"):
            _mark(getattr(self, name), name in problems)
        only_misfits = bool(problems) and self.model.can_publish(anyway=True)
        _visible(self.anyway, only_misfits)
        closed = self.bus_closed
        outcome = self.model.outcome
        if closed and (outcome is None or CLOSED.text not in outcome.text):
            outcome = CLOSED
        if outcome is None:
            _set(self._outcome, "value", "")
        else:
            sign, look = ("✓", "ok") if outcome.ok else ("!", "bad")
            remedy = element("div", outcome.remedy, class_="atlas-remedy") if outcome.remedy else None
            told = element(
                "div", element("b", sign), f" {outcome.text}", remedy, class_=f"atlas-outcome {look}", role="status"
            )
            _set(self._outcome, "value", str(told))
        for widget in (self.publish, self.anyway, self.repeat, self.data, self.source, self.metadata, *self.again):
            _set(widget, "disabled", closed)

    @property
    def bus_closed(self) -> bool:
        """Whether the bus takes nothing more."""
        return bool(self.model.bus.closed)

    def _show_progress(self) -> None:
        run = self.model.repeating
        running = run is not None and run.running
        _visible(self._progress_box, running)
        _visible(self.stop, running)
        _visible(self.repeat, not running)
        if run is not None and running:
            _set(self.progress, "max", run.times)
            _set(self.progress, "value", run.done)
            late = f", {run.late:,.1f} s late" if run.late > 1 else ""
            said = element("span", f"{run.done:,} of {run.times:,}{late}", class_="atlas-dim")
            _set(self._progress_text, "value", str(said))

    def refresh(self) -> None:
        """Show how far "Repeat" is, event types that are new, and whether the bus was closed."""
        with self._showing:
            _set(self.event_type, "options", self.model.types())
            if self.publish.disabled != self.bus_closed:
                self._show_messages()
            self._show_progress()
        if self.model.fields() != self._shown_fields:
            self.show()

    def snapshot(self) -> Html:
        """Return the form as it stands, for an exported page."""
        draft = self.model.draft
        rows = {
            "type": draft.event_type,
            "payload": draft.data,
            "source": draft.source or "none",
            "metadata": draft.metadata or "none",
            "latest": "" if self.model.outcome is None else self.model.outcome.text,
        }
        lines = (element("tr", element("th", name), element("td", value)) for name, value in rows.items() if value)
        return element("section", element("h3", "Publish"), element("table", lines))

    def let_go(self) -> None:
        """Stop what is being repeated."""
        model = getattr(self, "model", None)  # none yet, if the constructor refused the bus
        if model is not None:
            model.close()


def _button(text: str, tooltip: str, *classes: str) -> Button:
    button = Button(description=text, tooltip=tooltip)
    for name in classes:
        button.add_class(name)
    return button


def _field_widget(field: FormField) -> Any:
    title = field.name if field.required else f"{field.name} (optional)"
    if field.kind == "bool" and not field.nullable:
        return ipywidgets.Checkbox(description=title, indent=False)
    if field.kind in {"choice", "bool"}:
        choices = [field.show(choice) for choice in field.choices or (True, False)]
        options = [*choices] if field.required and not field.nullable else ["", *choices]
        return ipywidgets.Dropdown(description=title, options=list(dict.fromkeys(["", *options])), value="")
    return Text(description=title, placeholder=field.hint)


def _html(content: Html | None = None) -> HTML:
    return HTML("" if content is None else str(content))


def _say(message: HTML, text: str) -> None:
    _set(message, "value", str(element("div", text, class_="atlas-msg", role="alert")) if text else "")


def _set(widget: Any, name: str, value: object) -> None:
    if getattr(widget, name) != value:
        setattr(widget, name, value)


def _visible(widget: Any, on: bool) -> None:
    _set(widget.layout, "display", None if on else "none")


def _mark(widget: Any, bad: bool) -> None:
    if bad:
        widget.add_class("atlas-bad")
    else:
        widget.remove_class("atlas-bad")


def _line(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= 80 else f"{joined[:79]}…"
