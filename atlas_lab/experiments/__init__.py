"""Experiments: what a publish costs, and how long it takes when events come at times of their own.

`throughput` publishes as fast as it can, for every combination of handlers, middleware, threads, scopes and
payload size. `latency` publishes at intended times, and counts from those. Both measure an `EventBus` and
whatever else you set up, side by side in the same rounds, and return tidy frames of what was measured.
`summarize` and `fit` make small tables of them.

A system is set up by a function that takes a `Configuration` and returns what publishes once:

>>> from functools import partial
>>> import blinker
>>> from atlas_lab.experiments import summarize, throughput
>>> def blinker_send(configuration):
...     signal = blinker.Signal()
...     for _ in range(configuration.handlers):
...         signal.connect(lambda event: None, weak=False)
...     return partial(signal.send, "event")
>>> frame = throughput(against={"blinker": blinker_send}, handlers=(1, 10), rounds=3, block=0.001)
>>> table = summarize(frame, base="blinker")
>>> table[["system", "handlers", "rounds"]]
      system  handlers  rounds
0  atlas_lab         1       3
1  atlas_lab        10       3
2    blinker         1       3
3    blinker        10       3

One that has to be taken down again is a context manager, as ``@contextmanager`` makes them. Returning
``NotImplemented`` leaves a configuration out that a system has no notion of.
"""

from atlas_lab.machine import stamp

from .configurations import Configuration, publisher
from .running import latency, throughput
from .summaries import fit, summarize

__all__ = ["Configuration", "fit", "latency", "publisher", "stamp", "summarize", "throughput"]
