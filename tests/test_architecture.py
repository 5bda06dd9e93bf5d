"""The rooms of the code: arrows between them go one way, and the documentation has each of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cdc_merge"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path


def room_of(module: str) -> str:
    """The folder of a module, or the module itself where it lies beside the folders."""
    return module.split("/")[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports anywhere in it, as `room.module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cdc_merge":
            below = (node.module or "").removeprefix("cdc_merge").lstrip(".")
            yield from [below] if below else [alias.name for alias in node.names]


def test_no_two_rooms_import_each_other() -> None:
    arrows: dict[str, set[str]] = {}
    for module, path in modules():
        mine = room_of(module)
        arrows.setdefault(mine, set()).update({name.split(".")[0] for name in imports_of(path)} - {mine})

    order = list(TopologicalSorter(arrows).static_order())  # raises CycleError, and names the rooms

    assert order.index("feed") < order.index("merger") < order.index("worker") < order.index("cli")


def test_the_feed_and_the_exports_know_only_the_facts_of_a_warehouse() -> None:
    known = {
        name
        for module, path in modules()
        if room_of(module) in ("feed", "exports")
        for name in imports_of(path)
        if name.split(".")[0] == "warehouses"
    }

    assert known == {"warehouses.dialect"}


def test_a_warehouse_knows_nothing_of_dynamodb() -> None:
    known = {
        name.split(".")[0] for module, path in modules() if room_of(module) == "warehouses" for name in imports_of(path)
    }

    assert known <= {"aws", "errors", "logs", "model", "scratch", "shortage", "tmpdir", "warehouses"}


def documented() -> set[str]:
    """What the table of rooms names: modules, and folders with a slash at the end."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Rooms")[2].partition("\n\nTwo rules")[0]
    named = set()
    for line in table.splitlines():
        folder = ""
        for name in re.findall(r"`([^`]+)`", line.split("|")[1] if line.startswith("|") else ""):
            if name.endswith("/"):
                named.add(name)
                continue
            folder = f"{Path(name).parent.as_posix()}/" if "/" in name else folder
            named.add(folder + Path(name).name)
    return named


def test_the_table_of_rooms_names_every_module_and_none_that_is_not_there() -> None:
    named = documented()
    there = {module for module, _ in modules() if not module.endswith(("__init__.py", "__main__.py"))}

    missing = {m for m in there if m not in named and f"{m.rpartition('/')[0]}/" not in named}
    gone = {n for n in named if not (PACKAGE / n).exists() and not (ROOT / n).exists()}

    assert (missing, gone) == (set(), set())
