"""Prints what cdc-merge needs at the oldest releases that pyproject.toml allows, a requirement a line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def lowest() -> list[str]:
    """Of the package and its extras, `name==version`. Raises ValueError where no oldest release is named."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = (needed for of_extra in project["optional-dependencies"].values() for needed in of_extra)
    found = set()
    for requirement in (*project["dependencies"], *extras):
        if requirement.startswith(f"{project['name']}["):
            continue
        named = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if named is None:
            raise ValueError(f"{requirement}: no oldest release")
        found.add(f"{named[1]}=={named[2]}")
    return sorted(found)


if __name__ == "__main__":
    print(*lowest(), sep="\n")
