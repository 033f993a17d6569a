"""The package as a whole: its names come when they are used, and each part needs its own libraries only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from atlas_lab import atlas


def run(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_are_lazy_and_complete():
    """What type checkers see is what there is, and `dir` lists it."""
    tree = ast.parse(Path(atlas.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, name.name) for node in block.body for name in node.names}
    assert seen == {(module, name) for module, names in atlas._LAZY.items() for name in names}
    assert dir(atlas) == sorted(atlas._MODULE_OF)
    for name in atlas._MODULE_OF:
        assert getattr(atlas, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        atlas.nonsense


@pytest.mark.parametrize("package", ["atlas", "patterns"])
def test_a_star_imports_what_there_is(package):
    """And `help` shows it, as both ask for ``__all__``."""
    program = f"""
from atlas_lab.{package} import *
import pydoc
from atlas_lab import {package}
print(set(dir({package})) - set(globals()), "class {{}}(".format(dir({package})[0]) in pydoc.plain(pydoc.render_doc({package})))
"""
    assert run(program) == "set() True\n"


def test_importing_it_loads_no_library():
    """Each part loads what it needs when it is used."""
    heavy = {"httpx", "bm25s", "psutil", "tenacity", "numpy", "pandas", "matplotlib", "asyncio"}
    assert run(f"import sys, atlas_lab.atlas; print({heavy} & set(sys.modules))") == "set()\n"


@pytest.mark.parametrize(
    "package, name",
    [
        ("tenacity", "ProviderManager"),
        ("httpx", "ChatCompletionsProvider"),
        ("bm25s", "KnowledgeBase"),
        ("psutil", "CoreServices"),
    ],
)
def test_a_library_that_is_missing_is_named(package, name):
    """With the line to install it; the other parts still work."""
    program = f"""
import sys
sys.modules[{package!r}] = None
import atlas_lab.atlas as atlas
try:
    atlas.{name}
except ImportError as error:
    print(type(error).__name__, error)
for other in {{"ProviderManager", "ChatCompletionsProvider", "KnowledgeBase", "CoreServices"}} - {{{name!r}}}:
    getattr(atlas, other)
"""
    expected = f"MissingExtraError {package} is not installed; run: pip install 'atlas_lab[atlas]'\n"
    assert run(program) == expected
