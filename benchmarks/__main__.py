"""Run every benchmark, one process each: ``python -m benchmarks [--quick] [--rounds N] [--json PATH]``."""

import subprocess
import sys

import psutil

# The load that the first one makes says nothing about the machine: all are told what it was before.
load = psutil.getloadavg()[0]
for name in ("bench_publish", "bench_frames", "bench_live"):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--load-before", str(load), *sys.argv[1:]]
    print(f"== {name}\n", flush=True)
    subprocess.run(command, check=True)
