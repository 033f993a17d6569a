"""``%%record`` and ``%events``."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from atlas_lab.arguments import came
from atlas_lab.bus import EventBus
from atlas_lab.cards import events_card, events_text
from atlas_lab.errors import AtlasLabError
from atlas_lab.events import Event
from atlas_lab.naming import counted, describe
from atlas_lab.recording import Recording

from .cells import Cells

LATEST = 10
"""Events that ``%events`` shows unless told."""


class Events(list[Event[Any]]):
    """Events as ``%events`` shows them: a list, oldest first, that a notebook shows as a table, newest first."""

    def __init__(self, events: list[Event[Any]], title: str) -> None:
        super().__init__(events)
        self.title = title

    def _repr_html_(self) -> str:
        return events_card(self, self.title)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(events_text(self, self.title))


@magics_class
class BenchMagics(Magics):
    """The magics of atlas_lab."""

    NAMES = (("line", "events"), ("line", "record"), ("cell", "record"))

    shell: Any

    def __init__(self, shell: Any, cells: Cells) -> None:
        super().__init__(shell)
        self._cells = cells

    @magic_arguments()
    @argument("name", nargs="?", default="run", help="variable that the Recording is left in; 'run' if left out")
    @argument("--bus", help="the bus to record; may be left out where there is but one, or one that is called bus")
    @line_cell_magic
    def record(self, line: str, cell: str | None = None) -> None:
        """Record what happens on a bus while the cell runs, and show its overview below."""
        given = parse_argstring(BenchMagics.record, line)
        if not given.name.isidentifier():
            raise UsageError(f"%%record leaves the Recording in a variable, and {given.name!r} is no name for one")
        bus = self._only_bus() if given.bus is None else self._bus(given.bus)
        try:
            run = bus.record(given.name).start()
        except AtlasLabError as error:
            raise UsageError(f"%%record cannot record: {describe(error)}") from None
        if cell is None:
            self._cells.at_end(lambda: self._show(run))
            return
        try:
            self.shell.run_cell(cell)
        finally:
            self._show(run)

    @magic_arguments()
    @argument("what", nargs="*", help="how many (10 if left out), and the name of an event type, in any order")
    @argument("--bus", help="the bus to look at; the notebook's own, with its cells, if left out")
    @line_magic
    def events(self, line: str) -> Events:
        """Show the latest events of a bus."""
        given = parse_argstring(BenchMagics.events, line)
        number, kinds = LATEST, []
        for word in given.what:
            if word.isdecimal():
                number = int(word)
            else:
                kinds.append(word.removeprefix("EventType."))
        if len(kinds) > 1:
            raise UsageError(f"%events takes one event type, got {', '.join(kinds)}")
        bus = self._cells.bus if given.bus is None else self._bus(given.bus)
        name = given.bus or "this notebook"
        try:
            found = bus.history[kinds[0]] if kinds else list(bus.history)
        except KeyError as error:
            raise UsageError(str(error.args[0])) from None
        shown = found[-number:] if number else []
        kind = f" {kinds[0]}" if kinds else ""
        return Events(shown, f"the latest {len(shown)} of {counted(len(found), f'{kind} event'.strip())} on {name}")

    def _show(self, run: Recording) -> None:
        run.stop()
        self.shell.user_ns[run.name] = run
        try:
            from atlas_lab.plots import overview  # noqa: PLC0415 - pandas and matplotlib are heavy

            shown: object = overview(run)
        except ImportError:
            shown = run
        display(shown)

    def _bus(self, name: str) -> EventBus:
        try:
            bus = self.shell.ev(name)
        except Exception as error:  # noqa: BLE001 - what the user wrote may do anything
            raise UsageError(f"--bus {name}: {describe(error)}") from None
        if not isinstance(bus, EventBus):
            raise UsageError(f"--bus must name an EventBus, got {came(bus)}")
        return bus

    def _only_bus(self) -> EventBus:
        names = self.shell.user_ns
        if isinstance(names.get("bus"), EventBus):
            only: EventBus = names["bus"]
            return only
        found = {
            id(value): (name, value)
            for name, value in list(names.items())
            if not name.startswith("_")
            and isinstance(value, EventBus)
            and value.parent_bus is None
            and value is not self._cells.bus
            and not value.closed
        }
        if len(found) == 1:
            ((_, bus),) = found.values()
            return bus
        if not found:
            raise UsageError("%%record found no bus; make one in an earlier cell, or name one: %%record --bus NAME")
        several = ", ".join(sorted(name for name, _ in found.values()))
        raise UsageError(f"%%record found several buses ({several}); say which: %%record --bus NAME")


def recorded_lines(lines: list[str]) -> list[str]:
    """Return the lines of a cell in which a ``%%record`` at the top has become ``%record``.

    So the cell is run as any other: it may await, its tracebacks name its own lines, and its last expression is shown.
    """
    for number, line in enumerate(lines):
        if line.strip():
            words = line.split()
            if words[0] == "%%record" and not line.rstrip().endswith("?"):
                return [*lines[:number], line.replace("%%record", "%record", 1), *lines[number + 1 :]]
            break
    return lines
