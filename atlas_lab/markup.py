"""HTML, escaped in one place: whatever atlas_lab shows as HTML is made by `element`.

A child or an attribute that is text is escaped, whatever it holds; only what `element` made is HTML. Names of
elements and attributes are constants of this package, and there are no links, so nothing that an event holds can
become one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Child: TypeAlias = "Html | str | int | Iterable[Child] | None"

REVERSING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that override the direction in which the text after them is shown."""


class Html:
    """Finished HTML. Only `element` makes it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.text


def element(name: str, *children: Child, **attributes: str | bool) -> Html:
    """Return an element with everything inside it escaped.

    Parameters
    ----------
    name : str
        A constant, such as "td".
    *children : Html, str, int, None, or an iterable of them
        What stands inside; text is escaped, None is nothing.
    **attributes : str or bool
        Text is escaped and quoted; True stands for the name alone, False for nothing. A trailing underscore is cut
        off: ``class_``.

    Examples
    --------
    >>> from atlas_lab.markup import element
    >>> str(element("td", "<script>", element("b", 3), class_='"x"'))
    '<td class="&quot;x&quot;">&lt;script&gt;<b>3</b></td>'
    """
    written = "".join(
        f" {key.rstrip('_')}" if value is True else f' {key.rstrip("_")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not False
    )
    return Html(f"<{name}{written}>{''.join(_inside(children))}</{name}>")


def style(sheet: str) -> Html:
    """Return a style element with a constant of this package."""
    return Html(f"<style>{sheet}</style>")


def escape(text: object) -> str:
    """Return text that is safe inside an element and inside a quoted attribute.

    Characters that no document may hold are shown as U+FFFD, as browsers do; so are those that reverse the text
    around them, with which a source could pass for another one.
    """
    import html  # noqa: PLC0415 - its table of entities is a tenth of the import of atlas_lab

    clean = "".join(
        char if char.isprintable() or char in "\t\n" or (ord(char) > 159 and char not in REVERSING) else "\ufffd"
        for char in str(text)
    )
    return html.escape(clean.encode("utf-8", "replace").decode(), quote=True)


def _inside(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child.text
        elif isinstance(child, str | int):
            yield escape(child)
        else:
            yield from _inside(child)
