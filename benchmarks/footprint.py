"""What is not time per publish: bytes of an event, what the collector pays for a long history, and the import."""

import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from itertools import repeat

from benchmarks.harness import CLOCK, Cell

IMPORTED = ("blinker", "atlas_lab")


def memory(builders, events):
    """Return bytes per event in an unbounded history, without payload."""
    cells = {}
    for name, build in builders.items():
        publish, _, _ = build([], history_limit=None)
        publish.run(repeat(None, 3))
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        publish.run(repeat(None, events))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        cells[name] = Cell([(after - before) / events], unit="byte")
    return cells


def collections(builders, events, passes=7):
    """Return seconds of a full collection over `events` in a history. What else is in the process does not count."""
    cells = {}
    for name, build in builders.items():
        gc.collect()
        gc.freeze()
        publish, _, _ = build([], history_limit=None)
        publish.run(repeat(None, events))
        gc.collect()
        cells[name] = Cell([])
        for _ in range(passes):
            start = CLOCK()
            gc.collect()
            cells[name].readings.append(CLOCK() - start)
        del publish
        gc.unfreeze()
    return cells


def imports(rounds, chance):
    """Return seconds of processor time to import a package, beyond starting Python; bytecode is compiled already."""
    cells = {name: Cell([]) for name in IMPORTED}
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        _import_in_turns(cells, env, rounds, chance)
    return cells


def _import_in_turns(cells, env, rounds, chance):
    code = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    for number in range(rounds + 1):
        for name in chance.sample(IMPORTED, len(IMPORTED)):
            command = [sys.executable, "-c", code.format(name)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            if number:  # the first one compiles
                cells[name].readings.append(float(done.stdout))
