"""Threads and forks for tests, from where the contract has them, and threads that may take their time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from atlas_lab.testing.contract.forking import in_child
from atlas_lab.testing.contract.workers import PATIENCE, Witness, many_switches, no_finalizers

__all__ = ["PATIENCE", "Witness", "all_at_once", "in_child", "many_switches", "no_finalizers"]


def all_at_once(work: list[Callable[[], object]], patience: float = 200) -> None:
    """Call all functions at once, each in a thread of its own; raise what one raised, or that one hangs."""
    start = threading.Barrier(len(work))
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            start.wait()
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), f"a thread did not come back in {patience:g} seconds"
