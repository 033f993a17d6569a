"""A field for one of many names, with a list that is searched as one types."""

from __future__ import annotations

from typing import Any

from atlas_lab.errors import MissingExtraError

from .view import asset

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtraError("anywidget", "lab") from error


class Chooser(anywidget.AnyWidget):
    """A text field with a list of what may stand in it; other text is for its owner to refuse.

    Attributes
    ----------
    value : str
    options : list of str
    description : str
        The label.
    bad : bool
        Whether the value is shown as wrong.
    """

    _esm = asset("panel.js", "chooser.js")
    _css = asset("panel.css", "controls.css")

    value: Any = traitlets.Unicode().tag(sync=True)
    options: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    description: Any = traitlets.Unicode().tag(sync=True)
    bad: Any = traitlets.Bool(False).tag(sync=True)
