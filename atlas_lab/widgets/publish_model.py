"""What a publish form holds and does, without a widget: the truth behind `PublishPanel`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import islice
from typing import Any

from atlas_lab.arguments import check_text, is_kind
from atlas_lab.bus import EventBus
from atlas_lab.errors import BusClosedError, HandlerErrors, MiddlewareError, PayloadTypeError, PublishDepthError
from atlas_lab.events import Event, EventId, EventType, check_event_type, event_type_name
from atlas_lab.naming import attribute_of, counted, describe
from atlas_lab.payloads import PayloadType

from .forms import LEFT_OUT, FormField, fields_of, new_payload
from .json_text import laid_out, misfit, parse_json
from .repeating import Repeating

KEPT = 8
"""How many payloads are kept to be sent again."""

FIELDS = ("event_type", "data", "source", "metadata")


@dataclass(frozen=True)
class Draft:
    """What stands in the form, as text."""

    event_type: str
    data: str = ""
    source: str = ""
    metadata: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of the latest publish.

    Attributes
    ----------
    text : str
        In one line.
    ok : bool
        Whether nothing went wrong.
    remedy : str
        What to do about it.
    """

    text: str
    ok: bool = True
    remedy: str = ""


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
        self._types: dict[str, Enum] = {member.name: member for member in EventType}
        self._template = ""
        self._ended = False
        self.draft = Draft("")
        self.edit(event_type=event_type)

    @property
    def recent(self) -> tuple[Draft, ...]:
        """What was published from here, latest first, each once."""
        return self._recent

    def types(self, search: str = "") -> list[str]:
        """Return the names of event types that hold a text: those of `EventType`, and all that the bus has met.

        Those that somebody listens to come first.
        """
        listened = dict.fromkeys(event_type_name(kind) for one in self.bus.subscriptions() for kind in one.event_types)
        self._meet()
        names = [*listened, *(name for name in self._types if name not in listened)]
        return [name for name in names if search.lower() in name.lower()]

    def _meet(self) -> None:
        """Learn the event types that subscriptions name, and those of events that are new by name."""
        met = {event_type_name(kind): kind for one in self.bus.subscriptions() for kind in one.event_types}
        if any(name not in self._types and name not in met for name in self.bus.stats().by_type):
            met = {event.type_name: event.type for event in self.bus.history} | met
        with self._lock:
            self._types |= met

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
            kind = check_event_type(event_type)
            event_type = event_type_name(kind)
            with self._lock:
                self._types[event_type] = kind
        given = {"event_type": event_type, "data": data, "source": source, "metadata": metadata}
        for name, value in given.items():
            if value is not None:
                check_text(name, value, "a str")
        with self._lock:
            known = {name: getattr(self.draft, name) for name in FIELDS}
            self.draft = Draft(**known | {name: str(value) for name, value in given.items() if value is not None})
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

    def payload_types(self) -> list[tuple[str, Any]]:
        """Return who asks for a payload of which type, for the event type of the draft: handler and type."""
        name = self.draft.event_type
        return [
            (one.handler_name, one.data_type)
            for one in self.bus.subscriptions()
            if one.data_type is not None and (not one.event_types or name in map(event_type_name, one.event_types))
        ]

    @property
    def type_name(self) -> str:
        """Name of the type that the payload is to be of; "" if no handler says."""
        return next((PayloadType(kind, "data_type").name for _, kind in self.payload_types()), "")

    def fields(self) -> tuple[FormField, ...]:
        """Return the fields of the payload's type; none where no typed handler says what it is."""
        return next((fields for _, kind in self.payload_types() if (fields := fields_of(kind))), ())

    def values(self) -> dict[str, str]:
        """Return the text of each field of the form, as it stands in the payload."""
        try:
            payload = parse_json(self.draft.data)
        except ValueError:
            payload = None
        known = payload if isinstance(payload, dict) else {}
        return {field.name: field.show(known.get(field.name, LEFT_OUT)) for field in self.fields()}

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
        if value is LEFT_OUT:
            entries.pop(name, None)
        else:
            entries[name] = value
        with self._lock:
            self.problems.pop(f"data.{name}", None)
        self.edit(data=laid_out(entries))

    def check(self) -> bool:
        """Look what is wrong with the draft; True if nothing is. See `problems`."""
        problems, _ = self._read(self.draft)
        with self._lock:
            kept = {name: text for name, text in self.problems.items() if name == "repeat"}
            self.problems = kept | problems
        self.changed()
        return not problems

    def _read(self, draft: Draft) -> tuple[dict[str, str], tuple[Any, Any, str | None, Any]]:
        """Return what is wrong with a draft, and what it says: type, payload, source, metadata."""
        problems: dict[str, str] = {}
        kind = self._types.get(draft.event_type)
        if kind is None:
            self._meet()
            kind = self._types.get(draft.event_type)
        if kind is None:
            near = get_close_matches(draft.event_type.upper(), self._types, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems["event_type"] = (
                f"no event type has this name{hint}" if draft.event_type else "choose an event type"
            )
        payload = metadata = None
        try:
            payload = parse_json(draft.data)
        except ValueError as error:
            problems["data"] = str(error)
        try:
            metadata = parse_json(draft.metadata)
            if metadata is not None and not isinstance(metadata, dict):
                problems["metadata"] = 'expected an object, such as {"run": 1}'
        except ValueError as error:
            problems["metadata"] = str(error)
        if "data" not in problems and "event_type" not in problems:
            payload = self._fitted(payload, problems)
        return problems, (kind, payload, draft.source or None, metadata)

    def _fitted(self, payload: Any, problems: dict[str, str]) -> Any:
        """Return a payload as the one type that handlers ask for, or as it is; note where it does not fit."""
        asked = self.payload_types()
        several = len({id(kind) for _, kind in asked}) > 1
        fitted = payload
        for handler, kind in asked:
            try:
                fitted = PayloadType(kind, "data_type").fit(payload)
            except PayloadTypeError as error:
                name, reason = misfit(error)
                place = f"{name}: " if name else ""
                whose = f" ({handler})" if several else ""
                problems.setdefault("data", f"{place}{reason}{whose}")
                if name in {field.name for field in fields_of(kind)}:
                    problems.setdefault(f"data.{name}", reason)
        return payload if several else fitted

    def can_publish(self, *, anyway: bool = False) -> bool:
        """Whether the draft can be published; with `anyway` also with a payload that does not fit its handlers."""
        problems, _ = self._read(self.draft)
        return not self._blocking(problems, self.draft, anyway)

    def _blocking(self, problems: Mapping[str, str], draft: Draft, anyway: bool) -> dict[str, str]:
        if not anyway:
            return dict(problems)
        try:
            parse_json(draft.data)
        except ValueError:
            return dict(problems)
        return {name: text for name, text in problems.items() if name.partition(".")[0] != "data"}

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
        problems, (kind, payload, source, metadata) = self._read(draft)
        with self._lock:
            self.problems = dict(problems)
        if blocking := self._blocking(problems, draft, anyway):
            only_misfits = not self._blocking(problems, draft, anyway=True)
            text = "not published: " + ("the payload does not fit" if only_misfits else _list(blocking))
            self._end_with(
                Outcome(text, ok=False, remedy="publish anyway to see what handlers do" if only_misfits else "")
            )
            return None
        event_id: EventId | None = None
        before = self.bus.history.accepted
        with self._telling(), self._keeping(draft):
            event_id = self.bus.publish(kind, payload, source, metadata)
        if event_id is not None:
            self._end_with(self._became(event_id, draft.event_type, before))
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

    def _became(self, event_id: EventId, name: str, before: int) -> Outcome:
        """Return what the history says about an event that was published when the bus had accepted so many."""
        history = self.bus.history
        since = history.accepted - before
        latest = list(islice(reversed(history), since))
        own = next((event for event in latest if event.id == event_id), None)
        if own is None:
            if len(latest) < since:  # it may have been pushed out by now
                return Outcome("published")
            return Outcome(
                "dropped by middleware: not stored, not delivered",
                ok=False,
                remedy="the entry that drops it counts it: see the middleware",
            )
        failed = [event for event in latest if event.type is EventType.HANDLER_ERROR and _reports(event, event_id)]
        listening = sum(
            not one.paused and (not one.event_types or name in map(event_type_name, one.event_types))
            for one in self.bus.subscriptions()
        )
        if failed:
            first = failed[-1].data
            text = f"published as #{own.seq}; {counted(len(failed), 'handler')} failed: {first.get('summary', '')}"
            return Outcome(text, ok=False, remedy=f"see the HANDLER_ERROR after it; {first.get('handler', '')} raised")
        heard = counted(listening, "handler") if listening else f"nobody listens to {name}"
        return Outcome(f"published as #{own.seq}; {heard}")

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
        problems, _ = self._read(draft)
        if self._blocking(problems, draft, anyway=True) or self._ended:
            self.check()
            self._end_with(Outcome(f"not published: {_list(problems) or 'this panel is closed'}", ok=False))
            return False

        def once() -> None:
            _, (kind, payload, source, metadata) = self._read(draft)  # each event gets a payload of its own
            self.bus.publish(kind, payload, source, metadata)

        with self._lock:
            self.problems.pop("repeat", None)
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


def outcome_of(error: BaseException) -> Outcome:
    """Return what an error of publishing means to the person who published, and what to do.

    Examples
    --------
    >>> from atlas_lab import BusClosedError
    >>> from atlas_lab.widgets.publish_model import outcome_of
    >>> outcome_of(BusClosedError("closed")).remedy
    'make a new bus and run this cell again'
    """
    if isinstance(error, BusClosedError):
        return Outcome("not published: the bus is closed", ok=False, remedy="make a new bus and run this cell again")
    if isinstance(error, MiddlewareError):
        return Outcome(
            f"not published: middleware {error.middleware!r} {error.problem}",
            ok=False,
            remedy=f"mend the payload, or switch {error.middleware!r} off",
        )
    if isinstance(error, HandlerErrors):
        failed = counted(len(error.exceptions), "handler")
        return Outcome(
            f"published, but {failed} failed: {describe(error.exceptions[0])}",
            ok=False,
            remedy='the bus has on_error="raise"; see the HANDLER_ERROR events',
        )
    if isinstance(error, PublishDepthError):
        return Outcome(
            f"handlers publish in a circle, {error.max_depth} deep: {' > '.join(error.chain[-3:])}",
            ok=False,
            remedy="break the circle, or pause one of the handlers",
        )
    return Outcome(f"not published: {describe(error)}", ok=False)


def misfit_of(error: BaseException) -> str:
    """Return what a middleware that validates payloads says of a field; "" if it is about something else."""
    cause = error.__cause__
    if not isinstance(cause, PayloadTypeError):
        return ""
    name, reason = misfit(cause)
    return f"{name}: {reason}" if name else reason


def _reports(event: Event[Any], event_id: EventId) -> bool:
    get = attribute_of(event.data, "get")
    return bool(callable(get) and get("event_id") == event_id)


def _list(problems: Mapping[str, str]) -> str:
    titles = {"event_type": "type", "data": "payload"}
    return ", ".join(titles.get(name, name) for name in problems if "." not in name)


def _nothing() -> None:
    """Stand in for whoever wants to hear of changes."""
