"""What is shipped: metadata, weight on import, and the wheel."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import atlas_lab

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DATA = sorted(path.name for pattern in ("*.csv", "*.json") for path in (ROOT / "data").glob(pattern))

HEAVY = ["IPython", "asyncio", "ipywidgets", "matplotlib", "numpy", "pandas", "pyarrow"]


def specifiers(requirements):
    parsed = [Requirement(line) for line in requirements]
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement in parsed}


def run(*command, cwd=None):
    """Run a program that must succeed, and return what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_installed_version_is_the_one_of_the_code():
    """The version stands in one place; an environment that an older one left behind is noticed (`make clean`)."""
    assert "version" in PROJECT["dynamic"]
    assert version("atlas_lab") == atlas_lab.__version__


def test_the_core_depends_on_blinker_and_msgspec_alone():
    """Whoever wants only a bus installs two small packages."""
    assert set(specifiers(PROJECT["dependencies"])) == {"blinker", "msgspec"}


def test_environment_yml_mirrors_pyproject():
    """People on conda get the same packages and the same bounds as people on pip."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    listed = [entry for entry in [*environment["dependencies"], *pip] if isinstance(entry, str)]
    assert environment["name"] == PROJECT["name"]
    assert listed.pop(listed.index("pip")) == "pip"
    assert listed.pop() == "-e ."
    assert len(listed) == len(specifiers(listed)), "a package is listed twice"
    expected = specifiers([*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)])
    assert specifiers(listed) == expected | {"python": PROJECT["requires-python"]}


def test_constraints_pin_what_pyproject_asks_for():
    """`make test` gives the same versions today and next year, within the bounds that pyproject promises."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line)] == []
    pinned = specifiers(pins)
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        wanted = Requirement(line)
        pin = pinned[canonicalize_name(wanted.name)].removeprefix("==")
        assert wanted.specifier.contains(pin), f"{wanted} does not admit {pin}"


def test_importing_is_light():
    """A service that only publishes does not pay for pandas, plots, widgets or an event loop."""
    loaded = f"sorted(set({HEAVY}) & set(sys.modules))"
    assert run(sys.executable, "-c", f"import sys, atlas_lab; print({loaded})") == "[]\n"


def test_publishing_is_light():
    """Using the bus pulls in nothing that importing it left out."""
    program = f"""
import sys
from atlas_lab import EventBus, EventType
bus = EventBus()
seen = []
bus.add_middleware(lambda event: event)
bus.subscribe(EventType.SYSTEM_INIT, seen.append)
bus.publish(EventType.SYSTEM_INIT, {{"n": 1}})
print(len(seen), len(bus.history), sorted(set({HEAVY}) & set(sys.modules)))
"""
    assert run(sys.executable, "-c", program) == "1 1 []\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(built):
    """Users get the code, its types, its licence and its data: no tests, notebooks or scripts."""
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "atlas_lab").rglob("*") if path.suffix in {".py", ".js"}}
    info = f"atlas_lab-{atlas_lab.__version__}.dist-info"
    shipped = {name for name in names if not name.startswith(info)}
    assert DATA != []
    assert code | {"atlas_lab/py.typed"} | {f"atlas_lab/_data/{name}" for name in DATA} <= shipped
    assert {name.split("/")[0] for name in shipped} == {"atlas_lab"}
    assert f"{info}/licenses/LICENSE" in names


def test_the_sdist_can_be_tested(built):
    """Who packages atlas_lab for a distribution finds in the sdist what the tests need."""
    with tarfile.open(built[0]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {"Makefile", "constraints.txt", "environment.yml", "pyproject.toml", "tests/test_package.py"} <= names


def test_the_wheel_works_in_an_empty_environment(built, tmp_path, unavailable):
    """With its core dependencies alone, away from the clone, the bus publishes and the data sets load."""
    links = tmp_path / "links"
    names = PROJECT["dependencies"]
    download = ["download", "--only-binary=:all:", "--dest", links, "--constraint", ROOT / "constraints.txt", *names]
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, *download], capture_output=True, check=False).returncode:
        unavailable("no package index can be reached")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(*pip, "--python", python, "install", "--no-index", "--find-links", links, built[1])

    program = """
import atlas_lab, sys
from atlas_lab import EventBus, EventType
from atlas_lab.datasets import load_flights, load_quakes
bus = EventBus()
bus.publish(EventType.SYSTEM_INIT)
print(len(bus.history), len(load_flights()) > 100, len(load_quakes()) > 100, atlas_lab.__file__.startswith(sys.prefix))
"""
    assert run(python, "-I", "-c", program, cwd=tmp_path) == "1 True True True\n"


def test_no_loop_stands_directly_under_a_lock():
    """In Python 3.13 an interrupt at a conditional jump backwards skips the end of a ``with`` (CPython issue 130279)."""
    loops = ast.For | ast.While | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    found = []
    for path in sorted((ROOT / "atlas_lab").glob("*.py")):
        for block in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(block, ast.With) and re.search(r"lock|Turn", ast.unparse(block.items[0].context_expr)):
                found += [
                    f"{path.name}:{node.lineno}"
                    for statement in block.body
                    for node in ast.walk(statement)
                    if isinstance(node, loops)
                    and not (isinstance(node, ast.While) and isinstance(node.test, ast.Constant))
                ]
    assert found == []
