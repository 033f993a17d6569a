"""What the benchmarks have in common: their options, and where their results go."""

import argparse
from pathlib import Path

from benchmarks import machine, report
from benchmarks.storage import LATEST, UNQUIET, load, save


def parser_of(doc, quick):
    """Return a parser with the options that all benchmarks take.

    Parameters
    ----------
    doc : str
        Its first line says what is measured.
    quick : str
        What ``--quick`` leaves out.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each way is measured")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to put the values of all rounds")
    parser.add_argument(
        "--load-before", type=float, metavar="LOAD", help="the machine's load, if another benchmark ran just now"
    )
    return parser


def conclude(program, cells, watch, rounds, options):
    """Save and show what was measured, and return where it is saved.

    Without ``--json``, a full run on a quiet machine becomes the latest result; any other stays beside it.
    """
    known = {
        **machine.about(),
        **watch.seen(),
        "rounds": rounds,
        "run": "quick" if options.quick else "full",
        "program": program,
    }
    quiet = not machine.unquiet(known, report.noise(cells, program))
    path = options.json or (LATEST if quiet and not options.quick else UNQUIET)
    save(cells, known, path)
    print(report.text(*load(path), program))
    print(f"values of all rounds in {path}")
    return path
