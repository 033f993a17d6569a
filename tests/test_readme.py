"""The README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_readme_run(capsys):
    """Its Python blocks run in order as one program; a text block right after one is what that one prints."""
    text = README.read_text(encoding="utf-8")
    blocks = [(match.start(), match.end(), *match.groups()) for match in FENCED.finditer(text)]
    assert [block for block in blocks if block[2] == "python"] != [], "README.md shows no Python"
    names = {"__name__": "readme"}
    for (_, end, language, source), following in zip(blocks, [*blocks[1:], None], strict=True):
        if language != "python":
            continue
        line = text.count("\n", 0, text.index(source)) + 1
        exec(compile("\n" * (line - 1) + source, str(README), "exec"), names)
        printed = capsys.readouterr().out
        if following and following[2] == "text" and not text[end : following[0]].strip():
            assert printed == following[3]
