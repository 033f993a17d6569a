"""atlas_lab: a bench for event-driven systems (being laid; lazy exports follow)."""

from .errors import *  # noqa: F403
from .events import *  # noqa: F403
