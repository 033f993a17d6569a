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
from importlib.metadata import distribution, version
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

HEAVY = ["IPython", "asyncio", "ipywidgets", "matplotlib", "numpy", "pandas", "pyarrow", "pytest"]


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
    code = {
        str(path.relative_to(ROOT)) for path in (ROOT / "atlas_lab").rglob("*") if path.suffix in {".py", ".js", ".css"}
    }
    code = {name.removeprefix("atlas_lab/testing/plugin/") for name in code}
    info = f"atlas_lab-{atlas_lab.__version__}.dist-info"
    shipped = {name for name in names if not name.startswith(info)}
    assert DATA != []
    assert code | {"atlas_lab/py.typed"} | {f"atlas_lab/_data/{name}" for name in DATA} <= shipped
    assert {name.split("/")[0] for name in shipped} == {"atlas_lab", "_atlas_lab_pytest.py"}
    assert f"{info}/licenses/LICENSE" in names


def test_the_sdist_can_be_tested(built):
    """Who packages atlas_lab for a distribution finds in the sdist what the tests need."""
    with tarfile.open(built[0]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {"Makefile", "constraints.txt", "environment.yml", "pyproject.toml", "tests/test_package.py"} <= names


@pytest.fixture(scope="module")
def new_environment(built, tmp_path_factory, unavailable):
    """Return a function that makes an environment with the wheel and some packages more, and returns its Python."""

    def make(*packages):
        folder = tmp_path_factory.mktemp("environment")
        links, pip = folder / "links", [sys.executable, "-m", "pip"]
        names = [*PROJECT["dependencies"], *packages]
        download = [
            "download",
            "--only-binary=:all:",
            "--dest",
            links,
            "--constraint",
            ROOT / "constraints.txt",
            *names,
        ]
        if subprocess.run([*pip, *download], capture_output=True, check=False).returncode:
            unavailable("no package index can be reached")
        venv.create(folder / "venv", with_pip=False)
        python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        run(*pip, "--python", python, "install", "--no-index", "--find-links", links, built[1], *packages)
        return python

    return make


def test_the_wheel_works_in_an_empty_environment(new_environment, tmp_path):
    """With its core dependencies alone, away from the clone, the bus publishes, can be recorded, and data sets load."""
    program = """
import atlas_lab, sys
from atlas_lab import EventBus, EventType
from atlas_lab.datasets import load_flights, load_quakes
from atlas_lab.testing import assert_published, record
bus = EventBus()
with record(bus) as published:
    bus.publish(EventType.SYSTEM_INIT)
assert_published(published, EventType.SYSTEM_INIT, times=1)
print(len(bus.history), len(load_flights()) > 100, len(load_quakes()) > 100, atlas_lab.__file__.startswith(sys.prefix))
"""
    assert run(new_environment(), "-I", "-c", program, cwd=tmp_path) == "1 True True True\n"


def test_the_wheel_serves_the_tests_of_an_empty_project(new_environment, tmp_path):
    """With pytest alone beside it: fixtures, the contract with its assertions explained, and no warning.

    pytest is started where atlas_lab was imported before, as from a notebook, which must not disturb it.
    """
    (tmp_path / "test_mine.py").write_text("""
from atlas_lab import EventBus, EventType
from atlas_lab.testing import BusContract, assert_published

def test_fixtures(recorded_bus, event_clock):
    bus, published = recorded_bus
    event_clock.advance(60)
    bus.publish(EventType.SYSTEM_INIT)
    (event,) = assert_published(published, EventType.SYSTEM_INIT)
    assert event.timestamp == 61.0

class TestMine(BusContract):
    def make_bus(self, **options):
        return EventBus(**options)

class TestBroken(BusContract):
    def make_bus(self, history_limit=1000, **options):
        return EventBus(history_limit and history_limit + 1, **options)
""")
    program = """
import atlas_lab, atlas_lab.events, sys, pytest
sys.exit(pytest.main(["-q", "-W", "error", "-k", "test_fixtures or test_23 or test_25", *sys.argv[1:]]))
"""
    python = new_environment("pytest")
    assert " passed" in run(python, "-I", "-c", program, "--deselect", "test_mine.py::TestBroken", cwd=tmp_path)
    broken = [python, "-I", "-c", program, "test_mine.py::TestBroken::test_23_the_default_is_a_thousand"]
    done = subprocess.run(broken, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "E       assert (1001, 1001, 0) == (1000, 1000, 1)" in done.stdout


def test_the_plugin_is_registered():
    """Pytest finds the fixtures by itself; an environment that was made before they were is noticed (`make clean`)."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert {entry.name: entry.value for entry in distribution("atlas_lab").entry_points} == declared["pytest11"]


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
