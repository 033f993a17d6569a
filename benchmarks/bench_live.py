"""What a live feed costs the publisher, and how far behind the bus it is.

    python -m benchmarks.bench_live [--quick] [--rounds N] [--seconds S] [--json PATH]

In every round each way runs once, in shuffled order: no view, or a feed and a rate view that ten times a second make
their messages and send them as a kernel would, through a session and a socket; each without and with a recording; and
each at three paces, as fast as it goes, 200,000 events a second (or 70 % of what the machine manages without a view, if
that is less) and a tenth of that. What is compared is the time on the clock that publishing took, within a round: a
ticker takes time by running where the publisher would, which processor time alone would not show.

A feed's lag is the time from a publish to when the message with that event was handed to the socket, of events picked
every millisecond. An event may come at any moment between two ticks.
"""

import gc
import random
import time
from contextlib import ExitStack

import numpy as np
import zmq
from jupyter_client.session import Session

from atlas_lab import EventBus, EventType
from atlas_lab.widgets.feed import EventFeed
from atlas_lab.widgets.rate import RateView
from atlas_lab.widgets.record_switch import RecordSwitch
from benchmarks.commands import conclude, parser_of
from benchmarks.harness import Cell
from benchmarks.machine import Watch

CHUNK = EventType.STREAM_CHUNK
WAYS = ("no view", "views", "recording, no view", "recording, views")
PACES = ("saturated", "paced", "gentle")
PACED = 200_000  # events a second
SLICE = 0.001  # seconds


class Wire:
    """Sends what a view says as a kernel does, and notes when and how much."""

    def __init__(self):
        context = zmq.Context.instance()
        self.out = context.socket(zmq.PUB)
        port = self.out.bind_to_random_port("tcp://127.0.0.1")
        self.into = context.socket(zmq.SUB)
        self.into.connect(f"tcp://127.0.0.1:{port}")
        self.into.subscribe(b"")
        self.session = Session(key=b"benchmark")
        self.sent = []

    def connect(self, view):
        def send(content, buffers=None):
            self.session.send(
                self.out,
                "comm_msg",
                {"comm_id": "x", "data": {"method": "custom", "content": content}},
                buffers=buffers,
            )
            accepted = content.get("state", {}).get("accepted")
            self.sent.append((time.perf_counter(), view, accepted))

        view.send = send

    def close(self):
        self.out.close(0)
        self.into.close(0)


def run(way, rate, seconds):
    """Publish for so long; return seconds per event spent publishing, events a second, lags, messages a second."""
    with ExitStack() as stack:
        bus = EventBus(100_000, name="run")
        stack.callback(bus.close)
        bus.subscribe(CHUNK, lambda event: None, name="handler")
        switch = RecordSwitch(bus, "recording" in way)
        stack.callback(switch.close)
        wire = Wire()
        stack.callback(wire.close)
        views = []
        if way.endswith("views") and "no view" not in way:
            views = [EventFeed(bus, record=switch), RateView(bus, record=switch)]
            for view in views:
                stack.callback(view.close)
                wire.connect(view)
                view.shown("browser")
        spent, marks, start, end = _publish(bus, rate, seconds)
        if views:
            time.sleep(0.25)
        accepted = bus.history.accepted
    messages = [at for at, view, _ in wire.sent if views and view is views[0] and start <= at <= end]
    told = [(at, seq) for at, view, seq in wire.sent if seq is not None]
    lags = []
    if told:
        times, seqs = map(np.array, zip(*told, strict=True))
        when, published = map(np.array, zip(*marks, strict=True))
        place = np.searchsorted(seqs, published)
        kept = place < len(times)
        lags = (times[place[kept]] - when[kept]).tolist()
    return spent / accepted, accepted / (end - start), lags, len(messages) / (end - start)


def _publish(bus, rate, seconds):
    """Publish in slices of a millisecond; return seconds spent publishing, marks, and when it began and ended."""
    publish, clock = bus.publish, time.perf_counter
    payload = {"text": "of the", "index": 12}
    size = 500 if rate is None else max(1, round(rate * SLICE))
    spent, marks = 0.0, []
    start = due = clock()
    end = start + seconds
    published = 0
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
        marks.append((after, published))
        due = after if rate is None else due + size / rate
    return spent, marks, start, clock()


def measure(rounds, seconds, chance):
    """Return cells by section, way and pace."""
    fastest = run("recording, no view", None, seconds)[1]
    fast = min(PACED, round(0.7 * fastest, -3))
    rates = {"saturated": None, "paced": fast, "gentle": fast / 10}
    keys = [(way, pace) for way in WAYS for pace in PACES]
    cells = {}
    for way, pace in keys:
        number = PACES.index(pace)
        notes = {"pace": pace, "asked": int(rates[pace] or 0)}
        cells["live", way, number] = Cell([], notes=notes)
        cells["live rate", way, number] = Cell([], unit="byte", notes={"events_a_second": "yes"})
        if "no view" not in way:
            cells["live lag", way, number] = Cell([], notes={"quantile": "p95"})
            cells["live messages", way, number] = Cell([], unit="byte", notes={"messages_a_second": "yes"})
    for _ in range(rounds):
        for way, pace in chance.sample(keys, len(keys)):
            gc.collect()
            number = PACES.index(pace)
            spent, rate, lags, messages = run(way, rates[pace], seconds)
            cells["live", way, number].readings.append(spent)
            cells["live rate", way, number].readings.append(rate)
            if lags:
                cells["live lag", way, number].readings.append(float(np.quantile(lags, 0.95)))
                cells["live messages", way, number].readings.append(messages)
    return cells


def main(argv=None):
    parser = parser_of(__doc__, "3 rounds of half a second")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each way runs in a round")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 15)
    watch = Watch(options.load_before)
    cells = measure(rounds, options.seconds or (0.5 if options.quick else 1.5), random.Random(0))
    conclude("live", cells, watch, rounds, options)


if __name__ == "__main__":
    main()
