"""What a publish form holds and does, without a widget: the truth behind `PublishPanel`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from atlas_lab.arguments import check_text, is_kind, text_or_none
from atlas_lab.bus import EventBus
from atlas_lab.events import EventId, EventType, check_event_type
from atlas_lab.naming import counted

from .drafts import Draft, DraftReader
from .forms import FormField, new_payload
from .json_text import laid_out, parse_json
from .outcomes import Outcome, became, misfit_of, outcome_of
from .repeating import Repeating

KEPT = 8
"""How many payloads are kept to be sent again."""

FIELDS = ("event_type", "data", "source", "metadata")


class PublishModel:
    """A form that publishes: a draft as text, what is wrong with it by field, and what came of the latest publish.

    It may be used from any thread. Nothing runs under its lock but its own code.

    Attributes
    ----------
    draft : Draft
    problems : dict of str to str
        What is wrong, by field: "event_type", "data", "source", "metadata", "repeat", or "data.<name>" for one of
        the fields of the form.
    outcome : Outcome or None
    recent : tuple of Draft
        What was published from here, latest first, each once.
    repeating : Repeating or None
        The latest run of "repeat".

    Parameters
    ----------
    bus : EventBus
    event_type : Enum or str, default EventType.STREAM_CHUNK

    Examples
    --------
    >>> from atlas_lab import EventBus
    >>> from atlas_lab.widgets.publish_model import PublishModel
    >>> bus = EventBus()
    >>> form = PublishModel(bus)
    >>> form.edit(data='{"text": "hello"}', source="notebook")
    >>> event_id = form.publish()
    >>> bus.history[-1].data, form.outcome.text
    ({'text': 'hello'}, 'published as #1; nobody listens to STREAM_CHUNK')
    """

    def __init__(self, bus: EventBus, event_type: Enum | str = EventType.STREAM_CHUNK) -> None:
        self.bus = bus
        self.problems: dict[str, str] = {}
        self.outcome: Outcome | None = None
        self.repeating: Repeating | None = None
        self.changed: Callable[[], object] = _nothing
        self._recent: tuple[Draft, ...] = ()
        self._lock = threading.RLock()
        self._reader = DraftReader(bus)
        self._template = ""
        self._ended = False
        self.draft = Draft("")
        self.edit(event_type=event_type)

    @property
    def recent(self) -> tuple[Draft, ...]:
        """What was published from here, latest first, each once."""
        return self._recent

    def types(self, search: str = "") -> list[str]:
        """Return the names of event types that hold a text, those first that somebody listens to."""
        return self._reader.types(search)

    def payload_types(self) -> list[tuple[str, Any]]:
        """Return who asks for a payload of which type, for the event type of the draft: handler and type."""
        return self._reader.payload_types(self.draft.event_type)

    @property
    def type_name(self) -> str:
        """Name of the type that the payload is to be of; "" if no handler says."""
        return self._reader.type_name(self.draft.event_type)

    def fields(self) -> tuple[FormField, ...]:
        """Return the fields of the payload's type; none where no typed handler says what it is."""
        return self._reader.fields(self.draft.event_type)

    def edit(
        self,
        *,
        event_type: Enum | str | None = None,
        data: str | None = None,
        source: str | None = None,
        metadata: str | None = None,
    ) -> None:
        """Change fields of the draft and look what is wrong with it.

        A payload that nobody has touched makes room for an empty one of the new type, where a typed handler says
        what that is.

        Raises
        ------
        TypeError
            If a field is no text, or the event type is no member of an Enum either.
        """
        if event_type is not None and not is_kind(event_type, str):
            event_type = self._reader.learn(check_event_type(event_type))
        fields = {"event_type": event_type, "data": data, "source": source, "metadata": metadata}
        given = {name: text_or_none(name, value) for name, value in fields.items()}
        for name, value in given.items():
            if value is not None:
                check_text(name, value, "a str")
        with self._lock:
            known = {name: getattr(self.draft, name) for name in FIELDS}
            self.draft = Draft(**known | {name: value for name, value in given.items() if value is not None})
        if event_type is not None and data is None:
            self._offer_template()
        self.check()

    def _offer_template(self) -> None:
        payload = next((new for _, kind in self.payload_types() if (new := new_payload(kind)) is not None), None)
        text = "" if payload is None else laid_out(payload)
        with self._lock:
            if not self.draft.data.strip() or self.draft.data == self._template:
                self.draft = Draft(self.draft.event_type, text, self.draft.source, self.draft.metadata)
                self._template = text

    def values(self) -> dict[str, str]:
        """Return the text of each field of the form, as it stands in the payload."""
        try:
            payload = parse_json(self.draft.data)
        except ValueError:
            payload = None
        return {field.name: field.show(field.within(payload)) for field in self.fields()}

    def set_field(self, name: str, text: str) -> None:
        """Write one field of the form into the payload; what cannot be read is a problem of "data.<name>".

        Raises
        ------
        KeyError
            If the form has no such field.
        """
        field = {one.name: one for one in self.fields()}[name]
        try:
            value = field.read(text)
        except ValueError as error:
            with self._lock:
                self.problems[f"data.{name}"] = str(error)
            self.changed()
            return
        try:
            payload = parse_json(self.draft.data)
        except ValueError:
            payload = None
        entries = dict(payload) if isinstance(payload, dict) else {}
        field.put(entries, value)
        with self._lock:
            self.problems.pop(f"data.{name}", None)
        self.edit(data=laid_out(entries))

    def check(self) -> bool:
        """Look what is wrong with the draft; True if nothing is. See `problems`."""
        problems = self._reader.read(self.draft).problems
        with self._lock:
            kept = {name: text for name, text in self.problems.items() if name == "repeat"}
            self.problems = kept | problems
        self.changed()
        return not problems

    def can_publish(self, *, anyway: bool = False) -> bool:
        """Whether the draft can be published; with `anyway` also with a payload that does not fit its handlers."""
        return not self._reader.read(self.draft).obstacles(anyway=anyway)

    def publish(self, *, anyway: bool = False) -> EventId | None:
        """Publish the draft, unless something is wrong with it.

        Parameters
        ----------
        anyway : bool, default False
            Publish also a payload that does not fit what handlers ask for, to see what they do.

        Returns
        -------
        str or None
            The event's id; None if nothing was published. `outcome` and `problems` say why.
        """
        return self._publish(self.draft, anyway)

    def publish_again(self, place: int = 0) -> EventId | None:
        """Put a recent draft into the form and publish it; 0 is the latest.

        Raises
        ------
        IndexError
            If there is none at that place.
        """
        draft = self.recent[place]
        with self._lock:
            self.draft = draft
        self.check()
        return self._publish(draft, anyway=True)

    def _publish(self, draft: Draft, anyway: bool) -> EventId | None:
        read = self._reader.read(draft)
        with self._lock:
            self.problems = dict(read.problems)
        if obstacles := read.obstacles(anyway=anyway):
            only_misfits = not read.obstacles(anyway=True)
            text = "not published: " + ("the payload does not fit" if only_misfits else _list(obstacles))
            self._end_with(
                Outcome(text, ok=False, remedy="publish anyway to see what handlers do" if only_misfits else "")
            )
            return None
        event_id: EventId | None = None
        before = self.bus.history.accepted
        with self._telling(), self._keeping(draft):
            event_id = self.bus.publish(*read.arguments)
        if event_id is not None:
            self._end_with(became(self.bus, event_id, draft.event_type, before))
        return event_id

    @contextmanager
    def _keeping(self, draft: Draft) -> Iterator[None]:
        """Keep a draft to be sent again, whatever comes of it."""
        with self._lock:
            self._recent = (draft, *(other for other in self._recent if other != draft))[:KEPT]
        yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what a publish raises into an outcome."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - shown to the person who pressed the button
            self._end_with(outcome_of(error))
            field = misfit_of(error)
            if field:
                with self._lock:
                    self.problems.setdefault("data", field)
                self.changed()

    def start_repeat(self, times: int, rate: float) -> bool:
        """Publish the draft as it is now, again and again, on a thread of its own.

        Parameters
        ----------
        times : int
            1 to 1,000,000.
        rate : float
            Events a second, above 0 to 100,000.

        Returns
        -------
        bool
            Whether it began; `problems` says why not.
        """
        draft = self.draft
        self.stop()
        obstacles = self._reader.read(draft).obstacles(anyway=True)
        if obstacles or self._ended:
            self.check()
            self._end_with(Outcome(f"not published: {_list(obstacles) or 'this panel is closed'}", ok=False))
            return False

        def once() -> None:
            self.bus.publish(*self._reader.read(draft).arguments)  # each event gets a payload of its own

        with self._lock:
            self.problems.pop("repeat", None)
            self.outcome = None  # what came of the publish before says nothing about this
        try:
            run = Repeating(once, times=times, rate=rate, ended=lambda: self._repeated(run))
            self.repeating = run
            with self._keeping(draft):
                run.start()
        except (TypeError, ValueError, RuntimeError) as error:
            with self._lock:
                self.problems["repeat"] = str(error)
            self.changed()
            return False
        self.changed()
        return True

    def _repeated(self, run: Repeating) -> None:
        """Tell how a run of "repeat" ended."""
        done = f"{run.done:,} of {counted(run.times, 'event')}"
        if run.problem is not None:
            wrong = outcome_of(run.problem)
            self._end_with(Outcome(f"stopped after {done}: {wrong.text}", ok=False, remedy=wrong.remedy))
        else:
            self._end_with(Outcome(f"stopped after {done}" if run.done < run.times else f"published {done}"))

    def stop(self) -> None:
        """End "repeat", and wait for the event that is under way, for a second at most."""
        run = self.repeating
        if run is not None and run.running:
            run.stop()
            run.join(1)

    def close(self) -> None:
        """End whatever goes on."""
        self._ended = True
        self.changed = _nothing
        self.stop()

    def _end_with(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcome = outcome
        self.changed()


def _list(problems: dict[str, str]) -> str:
    titles = {"event_type": "type", "data": "payload"}
    return ", ".join(titles.get(name, name) for name in problems if "." not in name)


def _nothing() -> None:
    """Stand in for whoever wants to hear of changes."""
