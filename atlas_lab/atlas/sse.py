"""Server-sent events: the data of each event in a stream of bytes.

By the format of https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in CR LF, LF or CR and in
nothing else (U+2028 inside of JSON is no end), and an empty line ends an event.
"""

from __future__ import annotations

import re

from .provider_errors import BadResponseError

LONGEST = 4_000_000
"""Bytes of one event; a server that sends more without an end would fill the memory."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerSentEvents:
    r"""Collects bytes as they come, and gives the data of the events that are complete.

    Attributes
    ----------
    seen : bool
        Whether there was one.

    Examples
    --------
    >>> from atlas_lab.atlas.sse import ServerSentEvents
    >>> events = ServerSentEvents()
    >>> events.feed(b"data: one\n\ndata: t"), events.feed(b"wo\ndata: lines\n\n")
    (['one'], ['two\nlines'])
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._size = 0
        self._first = True
        self.seen = False

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of the events that end in `piece`.

        Raises
        ------
        BadResponseError
            If an event is longer than `LONGEST`, or no UTF-8.
        """
        whole = self._rest + piece
        held = b""
        if whole.endswith(b"\r"):  # the line feed that belongs to it may be on its way
            whole, held = whole[:-1], b"\r"
        *lines, rest = _LINE_END.split(whole)
        self._rest = rest + held
        if len(self._rest) + self._size > LONGEST:
            raise BadResponseError(f"the server sent an event of more than {LONGEST:,} bytes")
        return [data for line in lines if (data := self._line(line)) is not None]

    def _line(self, line: bytes) -> str | None:
        if self._first:
            self._first, line = False, line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            data, self._data, self._size = self._data, [], 0
            self.seen = self.seen or bool(data)
            return "\n".join(data) if data else None
        field, _, value = line.partition(b":")
        if field == b"data":
            self._size += len(line)
            try:
                self._data.append(value.removeprefix(b" ").decode())
            except UnicodeDecodeError:
                raise BadResponseError("the server sent an event that is no UTF-8") from None
        return None
