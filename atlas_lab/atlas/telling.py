"""Publishing from where nobody could handle an error of the bus."""

from __future__ import annotations

import logging
from enum import Enum

from atlas_lab import BusClosedError, EventBus

logger = logging.getLogger("atlas_lab.atlas")


def tell(bus: EventBus, event_type: Enum, data: object, source: str) -> bool:
    """Publish from a thread of our own, or while another error is under way; return whether the bus is still open.

    What handlers raise, the bus has logged and published already. What a middleware raises is logged here.
    """
    try:
        bus.publish(event_type, data, source)
    except BusClosedError:
        return False
    except Exception:
        logger.warning("%s of %s was not told to everybody", event_type.name, source, exc_info=True)
    return True
