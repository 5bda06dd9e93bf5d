"""Gives each peer a virtual environment of its own, as their dependencies conflict: made once, below .make/peers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
ENVIRONMENTS = Path(__file__).parents[2] / ".make" / "peers"
_PATIENCE = 1200  # seconds for an installation


class PeerMissing(Exception):
    """A peer cannot be installed here; says why."""


def environment_of(name: str, *, below: Path = ENVIRONMENTS, requirements: Path = REQUIREMENTS) -> Path:
    """The virtual environment of a peer, installed if it is not there as its requirements say. Raises PeerMissing."""
    wanted = requirements / f"{name}.txt"
    place, made = below / name, below / name / ".made"
    if made.exists() and made.read_text() == wanted.read_text():
        return place
    shutil.rmtree(place, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(wanted)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise PeerMissing(f"its installation took more than {_PATIENCE} s") from None
        if done.returncode:
            raise PeerMissing(f"cannot be installed: {last_words(done.stderr or done.stdout)}")
    made.write_text(wanted.read_text())
    return place


def version_of(name: str, *, requirements: Path = REQUIREMENTS) -> str:
    """The release that is asked for: that of the first requirement."""
    lines = (requirements / f"{name}.txt").read_text().splitlines()
    return next(line for line in lines if not line.startswith("#")).partition("==")[2]


def last_words(output: str, *, most: int = 200) -> str:
    """What a program said of its failure: the last line that speaks of an error, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in ("error", "fatal", "no matching"))]
    return (telling or lines or ["nothing was said"])[-1][:most]
