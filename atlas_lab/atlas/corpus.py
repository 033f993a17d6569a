"""Documents that every Python has: the docstrings of its standard library.

They are read from the source, so that no module is imported for it. Only what is written in C is asked for its
docstrings.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from atlas_lab import DataError

from .documents import Document

_SIGNATURE = re.compile(r"[A-Za-z_][\w.]*\(.*(\)|-+>.*)", re.DOTALL)  # S.count(sub[, start[, end]]) -> int

_LEFT_OUT = frozenset({
    "__pycache__", "antigravity", "dist-packages", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "ntpath",
    "nturl2path", "pip", "pydoc_data", "site-packages", "test", "tests", "this", "tkinter", "turtledemo",
})  # fmt: skip
"""What is no library, or is not there in every Python that we support."""

_RENAMED = {
    "posixpath": "os.path", "genericpath": "os.path", "_collections_abc": "collections.abc", "_pydecimal": "decimal",
    "_pydatetime": "datetime", "_pyio": "io",
}  # fmt: skip
_IN_C = {
    "array": "", "atexit": "", "binascii": "", "builtins": "", "cmath": "", "collections": "_collections", "csv": "_csv",
    "functools": "_functools", "gc": "", "hmac": "_hashlib _operator", "itertools": "", "marshal": "", "math": "", "os": "posix nt",
    "pickle": "_pickle", "random": "_random random", "re": "_sre", "select": "", "socket": "_socket", "struct": "_struct",
    "sys": "", "time": "", "unicodedata": "", "zlib": "",
}  # fmt: skip
"""Modules whose members are written in C, with the names under which those say that they were made."""


def stdlib_docstrings(modules: Iterable[str] | None = None) -> list[Document]:
    """Return the docstrings of the modules, classes and functions of Python's standard library as documents.

    Parameters
    ----------
    modules : iterable of str, optional
        Names of top-level modules such as ``"json"``; by default all of them, some thousands of docstrings. What
        is private is left out.

    Returns
    -------
    list of Document, by id
        The id is the name that a user writes, such as ``json.dumps`` or ``str.split``; the title is that name too, and
        the text is the docstring, of which a signature at its beginning comes last.

    Raises
    ------
    DataError
        If this Python comes without the source of its library, or `modules` names one that is not there.
    TypeError
        If `modules` is one name.

    Examples
    --------
    >>> from atlas_lab.atlas import stdlib_docstrings
    >>> documents = {document.id: document for document in stdlib_docstrings(["textwrap"])}
    >>> print(documents["textwrap.dedent"].text.splitlines()[0])
    Remove any common leading whitespace from every line in `text`.
    """
    if isinstance(modules, str):
        raise TypeError("modules must be several names; put a single one in a list")
    wanted = None if modules is None else set(modules)
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[str, Document] = {}
    seen: set[str] = set()
    shown: dict[str, str] = {}  # "asyncio.tasks.gather" is written "asyncio.gather"
    for path in _sources(root):
        parts = path.relative_to(root).with_suffix("").parts
        name = _module_name(parts)
        if name and (wanted is None or name.split(".")[0] in wanted):
            seen.add(name.split(".")[0])
            tree = _parsed(path)
            if parts[-1] == "__init__":
                shown |= _exports(tree, name)
            for document in _walk(tree, name, f"{name}.", path.name):
                shown_as = _shown_as(document, name, shown)
                found.setdefault(shown_as.id, shown_as)
    for name in _IN_C:
        if wanted is None or name in wanted:
            seen.add(name)
            for document in _ask(name):
                found.setdefault(document.id, document)
    if wanted is not None and wanted - seen:
        raise DataError(f"this Python has no documented module {', '.join(sorted(map(str, wanted - seen)))}")
    if not found and wanted is None:
        raise DataError(f"this Python comes without the source of its library: no docstrings in {root}")
    return [found[name] for name in sorted(found)]


def _sources(root: Path) -> list[Path]:
    """Return the files of the library, a package before its modules."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        kept = (name for name in files if name.endswith(".py") and name.removesuffix(".py") not in _LEFT_OUT)
        found += [Path(folder, name) for name in kept]
    return sorted(found, key=lambda path: (len(path.parts), path))


def _module_name(parts: tuple[str, ...]) -> str:
    """Return the name by which a module is imported; "" for what is private."""
    first = _RENAMED.get(parts[0], parts[0])
    public = [first, *(part for part in parts[1:] if not part.startswith("_"))]
    return "" if first.startswith("_") else ".".join(public)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # templates, and files written to be wrong
        return ast.Module([], [])


def _exports(tree: ast.Module, package: str) -> dict[str, str]:
    """Return the names that a package shows of its modules; ``*`` for all of one."""
    shown: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 1:
            for name in node.names:
                shown[f"{package}.{node.module}.{name.name}"] = f"{package}.{name.asname or name.name}"
    return shown


def _shown_as(document: Document, module: str, shown: dict[str, str]) -> Document:
    """Return a document under the name that users write."""
    first, dot, rest = document.id.removeprefix(f"{module}.").partition(".")
    if document.id == module:
        return document
    if f"{module}.*" in shown:
        name = f"{shown[f'{module}.*'].removesuffix('*')}{first}"
    else:
        name = shown.get(f"{module}.{first}", f"{module}.{first}")
    return Document(f"{name}{dot}{rest}", document.text, f"{name}{dot}{rest}", document.source)


def _walk(node: ast.Module | ast.ClassDef, name: str, prefix: str, source: str) -> Iterator[Document]:
    text = ast.get_docstring(node)
    if text:
        yield Document(name, text, name, source)
    for child in _statements(node.body):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from _walk(child, prefix + child.name, f"{prefix}{child.name}.", source)
            elif docstring := ast.get_docstring(child):
                yield Document(prefix + child.name, docstring, prefix + child.name, source)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give statements, also those that are there on some systems only."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _ask(name: str) -> Iterator[Document]:
    """Give the docstrings of what a module has that is written in C, and of its methods."""
    try:
        module: ModuleType = importlib.import_module(name)
    except ImportError:
        return
    prefix = "" if name == "builtins" else f"{name}."
    source = f"{name} (C)"
    if not hasattr(module, "__file__") and module.__doc__:
        yield Document(name, module.__doc__, name, source)
    for key, value in vars(module).items():
        if key.startswith("_") or not callable(value) or not _is_of(value, name):
            continue
        if text := _docstring(value):
            yield Document(prefix + key, text, prefix + key, source)
        if isinstance(value, type):
            for part, method in vars(value).items():
                if not part.startswith("_") and (text := _docstring(method)):
                    yield Document(f"{prefix}{key}.{part}", text, f"{prefix}{key}.{part}", source)


def _is_of(value: Any, module: str) -> bool:
    """Return whether something in C belongs to a module."""
    home = getattr(value, "__module__", None) or type(getattr(value, "__self__", None)).__module__
    return not inspect.isfunction(value) and home in {module, *_IN_C[module].split()}


def _docstring(value: Any) -> str:
    text = getattr(value, "__doc__", None)
    return _sentences_first(inspect.cleandoc(text)) if isinstance(text, str) else ""


def _sentences_first(text: str) -> str:
    """Put the signatures that docstrings of C begin with behind what they say, as that is what readers look for."""
    lines = text.split("\n")
    rest = itertools.dropwhile(lambda line: not line.strip() or _SIGNATURE.fullmatch(line), lines)
    said = "\n".join(rest)
    return f"{said}\n\n{text[: -len(said)].strip()}" if 0 < len(said) < len(text) else text
