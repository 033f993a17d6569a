"""What a live feed costs the publisher, and how far behind the bus it is.

    python -m benchmarks.bench_live [--quick] [--rounds N] [--seconds S] [--json PATH]

A feed and a rate view make their messages as often as the ticker asks, and send them as a kernel would, through a
session and a socket. Every round goes, in shuffled order, through all paces, as fast as it goes, 200,000 events a second
(or 70 % of what the machine manages without a view, if that is less) and a tenth of that, each without and with a
recording. Within each, quarters of a second with the views and without them, as if they had never been, come in pairs
of random order, so that what slows the machine for a second slows both. What is compared is the time on the clock that
publishing took: a ticker takes time by running where the publisher would, which the publisher's processor time would not
show. As fast as it goes, the processor time of the whole process tells the same where other programs disturb the clock.

A feed's lag is the time from a publish to when the message with that event was handed to the socket, of events picked
every millisecond. An event may come at any moment between two ticks.
"""

import gc
import random
import threading
import time
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import zmq
from jupyter_client.session import Session

from atlas_lab import EventBus, EventType
from atlas_lab.widgets.feed import EventFeed
from atlas_lab.widgets.rate import RateView
from atlas_lab.widgets.record_switch import RecordSwitch
from atlas_lab.widgets.ticker import ticker
from benchmarks.commands import conclude, parser_of
from benchmarks.harness import Cell
from benchmarks.machine import Watch

CHUNK = EventType.STREAM_CHUNK
WAYS = ("no view", "views", "recording, no view", "recording, views")
PACED = 200_000  # events a second
SLICE = 0.001  # seconds
BLOCK = 0.25


class Wire:
    """Sends what views say as a kernel does, and notes when the feed told of which event."""

    def __init__(self):
        context = zmq.Context.instance()
        self.out = context.socket(zmq.PUB)
        port = self.out.bind_to_random_port("tcp://127.0.0.1")
        self.into = context.socket(zmq.SUB)
        self.into.connect(f"tcp://127.0.0.1:{port}")
        self.into.subscribe(b"")
        self.session = Session(key=b"benchmark")
        self.told = []
        self.lock = threading.Lock()
        self.closed = False

    def connect(self, view):
        def send(content, buffers=None):
            message = {"comm_id": "x", "data": {"method": "custom", "content": content}}
            with self.lock:
                if not self.closed:  # by the end of a run, in the middle of a tick
                    self.session.send(self.out, "comm_msg", message, buffers=buffers)
            accepted = content.get("state", {}).get("accepted")  # which only a feed tells
            if accepted is not None:
                self.told.append((time.perf_counter(), accepted))

        view.send = send

    def close(self):
        with self.lock:
            self.closed = True
            self.out.close(0)
            self.into.close(0)


class Rig:
    """A bus with views that can be shown and taken away."""

    def __init__(self, recording, stack):
        self.bus = EventBus(100_000, name="run")
        stack.callback(self.bus.close)
        self.bus.subscribe(CHUNK, lambda event: None, name="handler")
        switch = RecordSwitch(self.bus, recording)
        stack.callback(switch.close)
        self.wire = Wire()
        stack.callback(self.wire.close)
        self.views = [EventFeed(self.bus, record=switch), RateView(self.bus, record=switch)]
        for view in self.views:
            stack.callback(view.close)
            self.wire.connect(view)
            view.shown("browser")
            ticker.remove(view)

    def show(self):
        for view in self.views:
            ticker.add(view)

    def take_away(self):
        """Wait until the views have shown the last event, and tick them no more."""
        deadline = time.perf_counter() + 10
        while time.perf_counter() < deadline and not (
            self.wire.told and self.wire.told[-1][1] == self.bus.history.accepted
        ):
            time.sleep(0.005)
        for view in self.views:
            ticker.remove(view)


def run(recording, rate, seconds, chance):
    """Publish for so long with views, and as long without.

    Returns
    -------
    spent : dict of bool to (float, float)
        Without and with views: seconds per event that publishing took, and processor time of the process per event.
    reached : float, events a second
    lags : list of float, seconds
    messages : float, a second for each view
    """
    spent, cpu, published, took = ({True: 0.0, False: 0.0} for _ in range(4))
    marks, sent, shown_for = [], 0, 0.0
    with ExitStack() as stack:
        rig = Rig(recording, stack)
        _publish(rig.bus, rate, BLOCK)  # fills the history
        for _ in range(max(1, round(seconds / BLOCK))):
            for shown in chance.sample([True, False], 2):
                before, start = len(rig.wire.told), time.perf_counter()
                if shown:
                    rig.show()
                block = _publish(rig.bus, rate, BLOCK)
                spent[shown] += block.spent
                cpu[shown] += block.cpu
                published[shown] += block.published
                took[shown] += block.took
                if shown:
                    marks += block.marks
                    rig.take_away()
                    sent += len(rig.wire.told) - before  # with the last one, which tells the end of the block
                    shown_for += time.perf_counter() - start
        told = rig.wire.told
    times, seqs = map(np.array, zip(*told, strict=True))
    when, numbers = map(np.array, zip(*marks, strict=True))
    place = np.searchsorted(seqs, numbers)
    kept = place < len(times)
    lags = (times[place[kept]] - when[kept]).tolist()
    per_event = {shown: (spent[shown] / published[shown], cpu[shown] / published[shown]) for shown in spent}
    return per_event, published[True] / took[True], lags, sent / shown_for


class Block(NamedTuple):
    """What happened in one: `spent` is time on the clock while publishing, `cpu` all processor time of the process."""

    spent: float
    cpu: float
    published: int
    took: float
    marks: list


def _publish(bus, rate, seconds):
    """Publish for so long, in slices of a millisecond."""
    publish, clock = bus.publish, time.perf_counter
    payload = {"text": "of the", "index": 12}
    size = 200 if rate is None else max(1, round(rate * SLICE))
    spent, published, marks = 0.0, 0, []
    cpu = time.process_time()
    start = due = clock()
    end = start + seconds
    while due < end:
        now = clock()
        if rate is not None and now < due:
            time.sleep(max(0.0, due - now - 5e-5))
            while clock() < due:
                pass
        before = clock()
        for _ in range(size):
            publish(CHUNK, payload, "model")
        after = clock()
        spent += after - before
        published += size
        marks.append((after, bus.history.accepted))
        due = after if rate is None else due + size / rate
    return Block(spent, time.process_time() - cpu, published, clock() - start, marks)


def measure(rounds, seconds, chance):
    """Return cells by section, way and pace."""
    with ExitStack() as stack:
        block = _publish(Rig(True, stack).bus, None, 1.0)
    fast = min(PACED, round(0.7 * block.published / block.took, -3))
    rates = {"saturated": None, "paced": fast, "gentle": fast / 10}
    cells = {}
    for number, (pace, rate) in enumerate(rates.items()):
        for way in WAYS:
            notes = {"pace": pace, "asked": int(rate or 0)}
            cells["live", way, number] = Cell([], notes=notes)
            cells["live cpu", way, number] = Cell([], notes=notes)
            if "no view" not in way:
                cells["live rate", way, number] = Cell([], unit="byte", notes={"is": "events a second"})
                cells["live lag", way, number] = Cell([], notes={"quantile": "p95"})
                cells["live messages", way, number] = Cell([], unit="byte", notes={"is": "messages a second"})
    settings = [(recording, pace) for recording in (False, True) for pace in rates]
    for _ in range(rounds):
        for recording, pace in chance.sample(settings, len(settings)):
            gc.collect()
            number = list(rates).index(pace)
            without, way = WAYS[2:] if recording else WAYS[:2]
            spent, reached, lags, messages = run(recording, rates[pace], seconds, chance)
            for name, (clock, cpu) in ((without, spent[False]), (way, spent[True])):
                cells["live", name, number].readings.append(clock)
                cells["live cpu", name, number].readings.append(cpu)
            cells["live rate", way, number].readings.append(reached)
            cells["live lag", way, number].readings.append(float(np.quantile(lags, 0.95)))
            cells["live messages", way, number].readings.append(messages)
    return cells


def main(argv=None):
    parser = parser_of(__doc__, "3 rounds")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long views are shown at each pace in a round")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 15)
    watch = Watch(options.load_before)
    cells = measure(rounds, options.seconds or (0.5 if options.quick else 2.0), random.Random(0))
    conclude("live", cells, watch, rounds, options)


if __name__ == "__main__":
    main()
