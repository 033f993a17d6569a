"""A secret that is kept where it is, and taken out of texts that might repeat it."""

from __future__ import annotations

import os

from .provider_errors import NotConnectedError

HIDDEN = "[redacted]"
_SHORTEST = 8  # what is shorter ("none", "EMPTY") is a formality of local servers, and may stand in any text


class EnvironmentSecret:
    """A secret in an environment variable: read at each use, and kept nowhere else.

    Examples
    --------
    >>> import os
    >>> from atlas_lab.atlas.secrets import EnvironmentSecret
    >>> os.environ["DOCTEST_KEY"] = "k-12345678"
    >>> secret = EnvironmentSecret("DOCTEST_KEY")
    >>> secret, secret.hide("wrong key k-12345678")
    (<secret in $DOCTEST_KEY>, 'wrong key [redacted]')
    >>> del os.environ["DOCTEST_KEY"]
    """

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def read(self) -> str:
        """Return the secret.

        Raises
        ------
        NotConnectedError
            If the variable is not set, or holds what no HTTP header can hold. The message does not say what.
        """
        value = os.environ.get(self.variable, "").strip()
        if value.isascii() and value.isprintable() and value and " " not in value:
            return value
        is_set = bool(value)
        del value  # a traceback can show the local variables of each frame
        if is_set:
            raise NotConnectedError(
                f"the environment variable {self.variable} holds no API key: it has spaces or signs"
            )
        raise NotConnectedError(f"the environment variable {self.variable} is not set; set it to the API key")

    def hide(self, text: str) -> str:
        """Return a text without the secret."""
        value = os.environ.get(self.variable, "").strip()
        return text.replace(value, HIDDEN) if len(value) >= _SHORTEST else text

    def __repr__(self) -> str:
        return f"<secret in ${self.variable}>"


class HidingPieces:
    """Takes a secret out of a text that comes in pieces, also where a piece ends inside of it.

    The end of a piece that could be the beginning of the secret is held back until the next piece tells.
    """

    def __init__(self, secret: EnvironmentSecret | None) -> None:
        self._secret = secret
        self._held = ""

    def hide(self, piece: str, *, last: bool = False) -> str:
        """Return what can be said of the text so far that was not said before."""
        if self._secret is None:
            return piece
        value = os.environ.get(self._secret.variable, "").strip()
        text = self._secret.hide(self._held + piece)
        kept = 0
        if not last and len(value) >= _SHORTEST:
            kept = next((size for size in range(len(value) - 1, 0, -1) if text.endswith(value[:size])), 0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]
