"""What a hostile event holds, and every place where atlas_lab shows an event. Runs in the kernel of a notebook.

A payload that runs pushes its number into the page's ``atlasFired``, opens a dialog with it, or asks a host for
``/pwned-<number>``. The number tells the payload and the place: 1000 * place + payload.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from enum import Enum
from pathlib import Path
from typing import Any

HOST = "http://evil.invalid"

# FIRE stands for a statement that tells that it ran, N for the number. Each begins with what keeps its number readable
# where the text is cut. Those under CONTROL fire by themselves as HTML, and leave the page as it is.
CONTROL = {
    "script": "N<script>FIRE</script>",
    "script in capitals": "N<ScRiPt >FIRE</sCrIpT>",
    "script with an odd end": "N<script>FIRE</script foo='bar'>",
    "script type module": "N<script type=module>FIRE</script>",
    "script after an unclosed tag": "N<b <script>FIRE</script>",
    "image error": "N<img src=x:x onerror=FIRE>",
    "image error, quoted": 'N<img src="x:x" onerror="FIRE">',
    "image error, slashes": "N<img/src=x:x/onerror=FIRE>",
    "image error, entities": "N<img src=x:x onerror='&#116;op.atlasFired.push(N)'>",
    "image error, line ends": "N<img\nsrc=x:x\nonerror\n=\nFIRE>",
    "image that is asked for": "N<img src=HOST/pwned-N>",
    "svg load": "N<svg onload=FIRE>",
    "svg load, in capitals": "N<sVg/OnLoAd=FIRE//",
    "svg script": "N<svg><script>FIRE</script></svg>",
    "svg animation": "N<svg><animate onbegin=FIRE attributeName=x dur=1s></svg>",
    "svg image": "N<svg><image href=x:x onerror=FIRE></svg>",
    "svg entity script": "N<svg><script>&#116;op.atlasFired.push(N)</script></svg>",
    "mathml": "N<math><mtext><img src=x:x onerror=FIRE></mtext></math>",
    "mathml style": "N<math><mtext><table><mglyph><style><img title='</style><img src=x:x onerror=FIRE>'>",
    "details": "N<details open ontoggle=FIRE>",
    "video source": "N<video><source onerror=FIRE></video>",
    "audio": "N<audio src=x:x onerror=FIRE>",
    "object": "N<object data=x:x onerror=FIRE></object>",
    "frame with a document": "N<iframe srcdoc='<script>FIRE</script>'></iframe>",
    "frame with a javascript address": "N<iframe src=javascript:FIRE></iframe>",
    "input focus": "N<input autofocus onfocus=FIRE>",
    "style import": "N<style>@import 'HOST/pwned-N';</style>",
    "style animation": "N<style>@keyframes p{}</style><i style='animation:p 1s' onanimationstart=FIRE>x</i>",
    "background": "N<i style='background:url(HOST/pwned-N)'>x</i>",
    "link to a sheet": "N<link rel=stylesheet href=HOST/pwned-N>",
    "dialog": "N<img src=x:x onerror=alert(N)>",
    "out of a cell and a card": "N</td></tr></table></details></div><img src=x:x onerror=FIRE>",
    "out of a style": "N</style><script>FIRE</script>",
    "out of a title": "N</title></textarea></noscript></template></select><script>FIRE</script>",
    "out of preformatted text": "N</pre></code></samp><img src=x:x onerror=FIRE>",
    "out of a comment": "N--><script>FIRE</script><!--",
    "out of CDATA": "N]]><script>FIRE</script>",
    "out of a double-quoted attribute": 'N"><script>FIRE</script>',
    "out of a single-quoted attribute": "N'><script>FIRE</script>",
    "out of JSON in a script": 'N"}]}</script><script>FIRE</script>',
}  # fmt: skip
QUIET = {
    "into a double-quoted attribute": 'N" onmouseover="FIRE" autofocus onfocus="FIRE" x="',
    "into a single-quoted attribute": "N' onmouseover='FIRE' autofocus onfocus='FIRE' x='",
    "into an unquoted attribute": "N onerror=FIRE src=x:x",
    "out of a string in a script": "N';FIRE;//",
    "out of a string in a script, doubled": 'N";FIRE;//',
    "out of a template string": "N`${FIRE}`",
    "javascript address": "N javascript:FIRE",
    "link with a javascript address": "N<a href=javascript:FIRE>click</a>",
    "link with a hidden javascript address": "N<a href='java&#10;script:FIRE'>click</a>",
    "link with a data address": "N<a href='data:text/html,<script>FIRE</script>'>click</a>",
    "form": "N<form action=javascript:FIRE><button>click</button></form>",
    "base": "N<base href=HOST/pwned-N>",
    "refresh": "N<meta http-equiv=refresh content='0;url=HOST/pwned-N'>",
    "comment that swallows the page": "N<!-- <!-",
    "plaintext that swallows the page": "N<plaintext>",
    "escaped twice": "N&lt;script&gt;FIRE&lt;/script&gt;",
    "entities without semicolons": "N&#60img src=x:x onerror=FIRE&#62",
    "escapes of a language": r"N\u003cscript\u003eFIRE\u003c/script\u003e",
    "Jinja": "N{{ self.__init__.__globals__ }}{% raw %}<script>FIRE</script>",
    "Jinja end": "N{% endraw %}{{ '<script>FIRE</script>' | safe }}",
    "Mustache": "N{{{ constructor.constructor('FIRE')() }}}",
    "Markdown link": "N [click](javascript:FIRE) <javascript:FIRE>",
    "Markdown image": "N ![x](HOST/pwned-N)",
    "Markdown code that ends": "N```\n<script>FIRE</script>\n```",
    "LaTeX link": r"N $\href{javascript:FIRE}{click}$ \(\href{javascript:FIRE}{click}\)",
    "LaTeX style": r"N $$\style{background:url(HOST/pwned-N)}{x}\unicode{<img src=x:x onerror=FIRE>}$$",
    "LaTeX HTML": r"N $\require{html}\class{x}{\cssId{y}{z}}\text{<img src=x:x onerror=FIRE>}$",
    "ANSI": "N\x1b[31m<script>FIRE</script>\x1b[0m",
    "ANSI link": "N\x1b]8;;javascript:FIRE\x1b\\click\x1b]8;;\x1b\\",
    "ANSI in an attribute": 'N\x1b[38;5;1;"><script>FIRE</script>m',
    "carriage return and backspace": "Nsafe\r<script>FIRE</script>\b\b",
    "null bytes": "N<\x00script>FIRE</\x00script>",
    "null in a name": "N<img src=x:x on\x00error=FIRE>",
    "a lone surrogate": "N\ud83d<script>FIRE</script>",
    "wide brackets": "N\uff1cscript\uff1eFIRE\uff1c/script\uff1e",
    "UTF-7": "N+ADw-script+AD4-FIRE+ADw-/script+AD4-",
    "reversed text": "N\u202e<script>FIRE</script>\u202c\u2066\u2069",
    "invisible text": "N<scr\u200bipt>FIRE</scr\u00adipt>\ufeff",
    "line separators": "N\u2028<script>FIRE</script>\u2029",
    "huge": "N" + "<script>FIRE</script>" * 1_000,
    "deep": "N" + "<div>" * 2_000,
    "prototype": 'N{"__proto__": {"innerHTML": "<img src=x:x onerror=FIRE>"}}',
    "CSS expression": "N};*{background:url(HOST/pwned-N)}",
    "formula": 'N=HYPERLINK("HOST/pwned-N")',
}  # fmt: skip
PAYLOADS = [*CONTROL.values(), *QUIET.values()]


class Text(str):
    """A str whose repr, which cells show, is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return printable(str.__str__(self))


def payload(template: str, number: int) -> str:
    """Return a payload that tells this number when it runs."""
    text = template.replace("FIRE", f"top.atlasFired.push({number})").replace("HOST", HOST)
    return f"{number} " + text.replace("N", str(number)) if "N" in text else text


def printable(text: str) -> str:
    """Return text without what no output can hold: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def kind(text: str) -> Enum:
    """Return an event type whose class and member are called like this, as far as Python lets it."""
    clean = text.replace("\x00", "").encode("utf-8", "ignore").decode()[:2_000]
    make: Any = Enum
    try:
        return next(iter(make(clean, {clean: 1})))
    except ValueError:  # a name that Enum keeps for itself
        return next(iter(make("Odd", {"ODD": 1})))


class Bench:
    """A bus on which one text stands wherever a user's text can stand, recorded."""

    def __init__(self, text: str) -> None:
        from atlas_lab import EventBus, ScopedEventBus

        self.kind = kind(text)
        name = text.replace("/", "\u2215")
        self.bus = EventBus(name=name)
        self.scope = ScopedEventBus(self.bus, name)
        self.bus.add_middleware(lambda event: event.replace(metadata={text: text}), name=text)

        def fail(event: object) -> None:
            raise ValueError(text)

        self.subscription = self.bus.subscribe(self.kind, fail, name=text, source=text)
        self.run = self.bus.record(text).start()
        data = {text: [text], "text": Text(text), Text(text): {text: Text(text)}}
        self.scope.publish(self.kind, data, source=text, metadata={text: text})
        self.bus.publish(self.kind, Text(text), source=text)
        self.run.stop()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log out of the page, where another place shows it."""
    import logging

    logger = logging.getLogger("atlas_lab")
    before = logger.level
    logger.setLevel(100)
    try:
        yield
    finally:
        logger.setLevel(before)


def each(show: Callable[[Bench], object]) -> Callable[[list[str]], None]:
    """Return a place that shows something of a bench for each text, all in one output: a browser takes that sooner."""

    def place(texts: list[str]) -> None:
        with quiet():
            show_together([show(Bench(text)) for text in texts])

    return place


def show_together(things: list[Any]) -> None:
    """Show what things are as HTML and as text."""
    from IPython import get_ipython
    from IPython.display import display

    shown = [get_ipython().display_formatter.format(thing)[0] for thing in things]
    for kind in ("text/html", "text/plain"):
        if texts := [data[kind] for data in shown if kind in data]:
            display({kind: "\n".join(texts)}, raw=True)


def show_errors(errors: list[BaseException]) -> None:
    """Show errors as cells show them, all in one output."""
    from IPython import get_ipython

    lines = [printable(line) for error in errors for line in traceback.format_exception(error)]
    get_ipython()._showtraceback(ValueError, ValueError("\n".join(map(printable, map(str, errors)))), lines)


def tracebacks(texts: list[str]) -> None:
    from atlas_lab import EventBus, EventType

    errors: list[BaseException] = []
    for text in texts:
        bus = EventBus(name=text, on_error="raise")
        bus.add_middleware(lambda event, text=text: (_ for _ in ()).throw(ValueError(text)), name=text)
        other = EventBus(name=text, on_error="raise")
        other.subscribe(None, lambda event, text=text: (_ for _ in ()).throw(ValueError(text)), name=text)
        for each_bus in (bus, other):
            try:
                with quiet():
                    each_bus.publish(EventType.STREAM_CHUNK, text)
            except Exception as error:
                errors.append(error)
    show_errors(errors)


def refusals(texts: list[str]) -> None:
    from atlas_lab import EventBus

    errors: list[BaseException] = []
    for text in texts:
        try:
            EventBus().publish(Text(text))
        except TypeError as error:
            errors.append(error)
    show_errors(errors)


def log(texts: list[str]) -> None:
    from atlas_lab import EventBus

    written = io.StringIO()
    with redirect_stderr(written):
        for text in texts:
            bus = EventBus(name=text)
            bus.subscribe(None, lambda event, text=text: (_ for _ in ()).throw(ValueError(text[:500])), name=text[:500])
            bus.publish(kind(text[:500]), text)
    sys.stderr.write(printable(written.getvalue()))


def alternative_texts(texts: list[str]) -> None:
    from IPython.display import display

    from atlas_lab.plots.drawing import DescribedFigure

    for text in texts:
        figure = DescribedFigure(figsize=(0.2, 0.2))
        figure.headline = printable(text)  # as the plots pass it
        display(figure)


def overviews(texts: list[str]) -> None:
    from IPython.display import display

    from atlas_lab import EventBus, overview

    for some in (texts[:8],):
        bus = EventBus()
        run = bus.record("".join(text[:300] for text in some).replace("\x00", "")).start()
        for text in some:
            bus.add_middleware(lambda event: event, name=text)
            bus.subscribe(kind(text), lambda event, text=text: (_ for _ in ()).throw(ValueError(text)), name=text)
            with quiet():
                bus.publish(kind(text), text, source=text)
        run.stop()
        display(overview(run))


def frames(texts: list[str]) -> None:
    import pandas as pd
    from IPython.display import display

    from atlas_lab import causality, concat_frames, errors_by_handler, handler_latency, middleware_funnel, to_frame

    options = ("display.max_colwidth", None, "display.max_rows", None, "display.max_columns", None)
    with quiet():
        benches = [Bench(printable(text[:400])) for text in texts]  # pandas takes its time to lay long ones out
    with pd.option_context(*options):
        for name in ("events", "deliveries", "middleware"):
            display(concat_frames([getattr(bench.run, name) for bench in benches]))
        for bench in benches[::10]:
            display(to_frame(bench.bus.history, data="expand"))
        run = benches[0].run
        display(causality(run.events), errors_by_handler(run.deliveries), handler_latency(run.deliveries))
        display(middleware_funnel(run.middleware))


def events_magic(texts: list[str]) -> None:
    from IPython import get_ipython

    shell = get_ipython()
    if "events" not in shell.magics_manager.magics["line"]:
        shell.run_line_magic("load_ext", "atlas_lab")
    shown = []
    for text in texts:
        with quiet():
            shell.user_ns["hostile_bus"] = Bench(text).bus
        shown.append(shell.run_line_magic("events", "--bus hostile_bus"))
    show_together(shown)


def cell_events(texts: list[str]) -> None:
    from IPython import get_ipython

    from atlas_lab import notebook

    shell = get_ipython()
    for text in texts:
        shell.run_cell(f"text = {text[:500]!r}; None if {len(text)} % 10 else 1 / 0 # {text[:50]!r}")
    show_together(notebook.bus().history.latest(2 * len(texts)))


def captured_output(texts: list[str]) -> None:
    from atlas_lab import EventBus, EventType, captured

    bus = EventBus()
    for text in texts:

        def show(event: object, text: str = text) -> None:
            print(text[:5_000])
            print(text[:200], file=sys.stderr)
            raise ValueError(text[:5_000])

        show.__qualname__ = text.replace("\x00", "")
        bus.subscribe(EventType.STREAM_CHUNK, captured(show))
    with quiet():
        bus.publish(EventType.STREAM_CHUNK)


def printed(texts: list[str]) -> None:
    from atlas_lab import causality_tree, subscription_doctor

    shown = []
    for text in texts:
        with quiet():
            bench = Bench(text)
        told = (bench.bus.stats(), causality_tree(bench.run.events), subscription_doctor(bench.bus))
        shown += [printable(str(thing)[:2_000]) for thing in told]
    print("\n".join(shown))


def panel(name: str) -> Callable[[list[str]], None]:
    """Return a place that is one panel over one bus with everything on it."""

    def place(texts: list[str]) -> None:
        from IPython.display import display

        import atlas_lab

        bus = atlas_lab.EventBus(name=texts[0], history_limit=None)
        kept.append(getattr(atlas_lab, name)(bus))
        display(kept[-1])
        for text in texts:
            bus.add_middleware(lambda event: event, name=text)
            bus.subscribe(kind(text), lambda event, text=text: (_ for _ in ()).throw(ValueError(text)), name=text)
            with quiet():
                bus.publish(kind(text), {text: text}, source=text, metadata={text: text})
        form = getattr(kept[-1], "publish", None)
        form = form if hasattr(form, "data") else kept[-1]
        if hasattr(form, "data"):
            with quiet():
                fill(form, texts)

    return place


def fill(form: Any, texts: list[str]) -> None:
    """Put each text into the fields of a form: once where it is refused and told of, once where it is published."""
    for text in map(printable, texts):
        form.data.value = form.metadata.value = f"{{{text}"
        form.event_type.value = text
        form.publish.click()
        form.event_type.value, form.metadata.value, form.source.value = "STREAM_CHUNK", "", text
        form.data.value = json.dumps({text: text})
        form.publish.click()


kept: list[object] = []

# Every place where what an event holds is shown. A new one is one line.
PLACES: dict[str, Callable[[list[str]], None]] = {
    "Event": each(lambda bench: bench.scope.history[0]),
    "HANDLER_ERROR": each(lambda bench: bench.bus.history[-1]),
    "History": each(lambda bench: bench.bus.history),
    "EventBus": each(lambda bench: bench.bus),
    "ScopedEventBus": each(lambda bench: bench.scope),
    "Subscription": each(lambda bench: bench.subscription),
    "Recording": each(lambda bench: bench.run),
    "explain": each(lambda bench: bench.bus.explain(bench.kind)),
    "text of stats, trees and the doctor": printed,
    "tracebacks in cells": tracebacks,
    "refused arguments": refusals,
    "log": log,
    "alternative text of plots": alternative_texts,
    "overview": overviews,
    "frames and tables": frames,
    "%events": events_magic,
    "cell events": cell_events,
    "captured": captured_output,
}
PANELS = ("Lab", "EventFeed", "RateView", "PublishPanel", "MiddlewarePanel", "SubscriptionsPanel")
"""Shown as soon as atlas_lab has them."""

PICTURES = {"alternative text of plots", "overview"}
"""Places that show pictures and what is said of them."""

WHOLE = set(PLACES) - {"overview"}
"""Places that show every payload, if only in part; the others show a selection."""


def places() -> dict[str, Callable[[list[str]], None]]:
    """Return every place that atlas_lab has."""
    import atlas_lab

    return PLACES | {name: panel(name) for name in PANELS if name in dir(atlas_lab)}


def texts_of(place: int) -> list[str]:
    """Return the payloads with the numbers of a place, counted from 1."""
    return [payload(template, 1000 * place + number) for number, template in enumerate(PAYLOADS)]


def show(name: str) -> None:
    """Show every payload in a place."""
    number = list(places()).index(name) + 1
    places()[name](texts_of(number))


def control() -> None:
    """Show as HTML what fires there."""
    from IPython.display import HTML, display

    for number, template in enumerate(CONTROL.values()):
        display(HTML(payload(template, 900_000 + number)))


def save_widgets(path: str) -> None:
    """Write the state of all widgets, as a notebook that is saved with them has it."""
    from ipywidgets import Widget

    Path(path).write_text(json.dumps(Widget.get_manager_state()), encoding="utf-8", errors="replace")
