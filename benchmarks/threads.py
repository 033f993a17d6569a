"""Several threads on one bus: how much they publish together, and whether every event arrives."""

import sys
import threading
import time
from itertools import count, repeat

from benchmarks.harness import Cell, measure
from benchmarks.peers import make_handlers

SWITCHING = 1e-5  # seconds between switches of threads where races are looked for; Python's default is 5e-3


def counting_handler():
    """Return a handler and what tells how often it was called since it was last asked."""
    ticks = count(1)
    last = 0

    def handler(event, tick=ticks.__next__):
        tick()

    def calls():
        nonlocal last
        before, last = last, next(ticks)
        return last - before - 1

    return handler, calls


def throughput(peers, numbers, rounds, chance, block):
    """Return seconds per event, of all threads together, for each peer and number of threads.

    Each event goes to one handler that counts. The cells note how many events were published and how many of
    them never reached it.
    """
    rigs, counters = {}, {}
    for peer in peers:
        handler, counters[peer.name] = counting_handler()
        rigs[peer.name] = peer.build([handler])
    alone = measure({name: rig.publish for name, rig in rigs.items()}, 1, chance, block)
    events = {name: max(len(numbers), round(block / cell.readings[0])) for name, cell in alone.items()}
    ways = [(name, number) for name in rigs for number in numbers]
    cells = {key: Cell([], notes={"published": 0, "lost": 0}) for key in ways}
    for _ in range(rounds):
        for name, number in chance.sample(ways, len(ways)):
            counters[name]()
            share = events[name] // number
            spent = _together(rigs[name].publish.run, number, share)
            cell = cells[name, number]
            cell.readings.append(spent / (share * number))
            cell.notes["published"] += share * number
            cell.notes["lost"] += share * number - counters[name]()
    for rig in rigs.values():
        rig.close()
    return cells


def churn(peers, number, events):
    """Return one cell for each peer: what happens to events while another thread keeps subscribing other handlers.

    `number` threads publish `events` each to one handler that counts, and threads switch as often as they can.
    The cells note how many events never reached it, and how many calls raised.
    """
    cells = {}
    interval = sys.getswitchinterval()
    for peer in peers:
        handler, calls = counting_handler()
        rig = peer.build([handler, *make_handlers(3)])
        raised = []
        done = threading.Event()

        def subscribing(rig=rig, raised=raised, done=done):
            while not done.is_set():
                _each(rig.resubscribe.run, (None,), raised)

        other = threading.Thread(target=subscribing)
        sys.setswitchinterval(SWITCHING)
        try:
            other.start()
            spent = _together(
                lambda times, run=rig.publish.run, raised=raised: _each(run, times, raised), number, events
            )
        finally:
            done.set()
            other.join()
            sys.setswitchinterval(interval)
        lost = number * events - calls()
        cells[peer.name] = Cell(
            [spent / (number * events)], notes={"published": number * events, "lost": lost, "raised": len(raised)}
        )
        rig.close()
    return cells


def _each(run, times, raised):
    """Do one after the other, so that one that raises ends itself alone."""
    for _ in times:
        try:
            run((None,))
        except Exception as error:  # noqa: BLE001 - what a library raises here is what is counted
            raised.append(error)


def _together(run, number, share):
    """Return the seconds from the first thread's start to the last one's end."""
    barrier = threading.Barrier(number)
    spans = []

    def work():
        barrier.wait()
        start = time.perf_counter()
        run(repeat(None, share))
        spans.append((start, time.perf_counter()))

    workers = [threading.Thread(target=work) for _ in range(number)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(end for _, end in spans) - min(start for start, _ in spans)
