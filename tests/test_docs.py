"""What the documentation says must be so: commands, options, links, tables, metrics, reasons, terms."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cdc_merge.cli import cli
from cdc_merge.cures import CURES
from cdc_merge.metrics import Metrics
from cdc_merge.migrate import Migrator
from cdc_merge.warehouses import Session, open_warehouse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if page.exists()]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(page: Path) -> Iterator[str]:
    """The lines of fenced blocks, and inline code."""
    text = text_of(page)
    fenced = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", fenced.sub("", text))


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *before, name)
        else:
            yield (*before, name), command


COMMANDS = dict(commands_of(cli))


def invocations() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words after `cdc-merge`, for each command line in the pages."""
    for page in PAGES:
        for code in code_of(page):
            for found in re.finditer(r"(?:^|[\s/(])cdc-merge((?: +[^\s|;#`)]+)+)", code):
                words = found[1].split()
                if re.fullmatch(r"[a-z]+|--[a-z-]+", words[0]):
                    yield f"{page.relative_to(ROOT)}: cdc-merge {' '.join(words)}", words


def named_command(words: list[str]) -> tuple[str, ...] | None:
    return next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in COMMANDS), None)


def test_every_command_is_in_the_documentation() -> None:
    assert COMMANDS.keys() - {named_command(words) for _, words in invocations()} == set()


def test_every_command_in_the_documentation_is_there() -> None:
    unknown = [
        place
        for place, words in invocations()
        if named_command(words) is None and words[0] not in ("--help", "--version", *cli.commands)
    ]
    assert unknown == []


def test_every_option_in_the_documentation_is_there() -> None:
    unknown = []
    for place, words in invocations():
        command = COMMANDS.get(named_command(words) or ())
        if command is not None:
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            unknown += [f"{place} ({word})" for word in words if word.startswith("-") and word not in known]
    assert unknown == []


def test_every_event_of_the_log_is_in_the_documentation() -> None:
    said = re.compile(r"""log\.(?:info|warning|error)\(\s*"([a-z_]+)\"""")
    events = {event for module in (ROOT / "cdc_merge").rglob("*.py") for event in said.findall(text_of(module))}
    assert len(events) > 20
    assert (
        events - set(re.findall(r"^\| `([a-z_]+)` \|", sections_of(DOCS / "operations.md")["Logs"], re.MULTILINE))
        == set()
    )


def without_spaces_and_seconds(text: str) -> list[str]:
    return [re.sub(r"in [0-9.]+ s", "in … s", " ".join(line.split())) for line in text.splitlines() if line.strip()]


def test_the_sample_gives_what_the_readme_shows(tmp_path: Path) -> None:
    shown = re.search(r"^```\n(\d+ objects,.*?)^```", text_of(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    assert shown
    shutil.copytree(ROOT / "example", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.duckdb*"))
    command = [sys.executable, "-m", "cdc_merge.cli", "run", "--once", "--config", str(tmp_path / "cdc-merge.yaml")]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8")
    hint = "see what could not be used: cdc-merge quarantine list"
    assert without_spaces_and_seconds(ran.stdout) == [*without_spaces_and_seconds(shown[1]), hint]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_of(page: Path) -> set[str]:
    return {slug(h.strip()) for h in re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)}


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        without_code = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", without_code):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            has_anchor = not anchor or (target.is_file() and anchor in anchors_of(target))
            if not target.exists() or not has_anchor:
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A warehouse with fresh metadata tables."""
    warehouse = open_warehouse(f"duckdb:///{tmp_path_factory.mktemp('docs') / 'warehouse.duckdb'}")
    with warehouse.session() as opened:
        Migrator(warehouse, "cdc_merge").apply(opened)
        yield opened


def sections_of(page: Path) -> dict[str, str]:
    """The text below each second-level heading."""
    parts = re.split(r"^## (.+)$", text_of(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text: str) -> list[str]:
    """The code in the first cell of each row of the tables in a text."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_the_page_of_metadata_tables_names_every_table_and_column_and_no_other(session: Session) -> None:
    found: dict[str, list[str]] = {}
    for table, column in session.query(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'cdc_merge' ORDER BY table_name, ordinal_position"
    ):
        found.setdefault(table, []).append(column)
    sections = sections_of(DOCS / "metadata-tables.md")
    documented = {table: first_cells(text) for table, text in sections.items() if table != "Useful queries"}
    assert documented == found


QUERIES = re.findall(r"^```sql\n(.*?)^```", text_of(DOCS / "metadata-tables.md"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("query", QUERIES)
def test_the_useful_queries_run(session: Session, query: str) -> None:
    assert session.query(query) == []


def test_the_operations_page_names_every_metric_and_no_other() -> None:
    metrics = Metrics()
    metrics.declare("shop", ["orders"])
    rendered = re.findall(r"^# TYPE (cdc_merge_\w+) ", metrics.render().decode(), re.MULTILINE)
    documented = [c for c in first_cells(text_of(DOCS / "operations.md")) if c.startswith("cdc_merge_")]
    assert set(documented) == {name for name in rendered if not name.endswith("_created")}


def test_every_event_on_the_operations_page_is_logged_somewhere() -> None:
    events = first_cells(sections_of(DOCS / "operations.md")["Logs"])
    source = "".join(text_of(module) for module in (ROOT / "cdc_merge").rglob("*.py"))
    assert events
    assert [event for event in events if not re.search(rf'\(\s*"{event}"', source)] == []


def reasons_in_the_code() -> set[str]:
    """Codes in their four forms: an argument of Diagnosis, `reason=`, a key of DAMAGE, a text in SQL."""
    source = "".join(text_of(module) for module in sorted((ROOT / "cdc_merge" / "feed").glob("*.py")))
    reasons = set(re.findall(r'Diagnosis\(\s*"(\w+)"', source))
    for pair in re.findall(r'\breason ?= ?"(\w+)"(?: if .+ else "(\w+)")?', source):
        reasons |= set(pair)
    damage = re.search(r"^DAMAGE\b.*?^\}", source, re.MULTILINE | re.DOTALL)
    reasons |= set(re.findall(r'^    "(\w+)":', damage[0], re.MULTILINE)) if damage else set()
    reasons |= set(
        re.findall(r"""["'](key_(?:too_long|has_nul|ends_in_blank|too_precise)|no_image|unknown_event)["']""", source)
    )
    formats = re.findall(r'"(Parquet|ORC)"', source)  # their reason is their name in small letters
    return (reasons | {name.lower() for name in formats}) - {""}


def test_the_page_of_the_quarantine_names_every_reason_and_no_other() -> None:
    assert set(first_cells(sections_of(DOCS / "quarantine.md")["Reasons"])) == reasons_in_the_code()


def test_the_cure_of_each_reason_is_the_one_that_the_command_shows() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \|$", (DOCS / "quarantine.md").read_text(), re.MULTILINE)
    assert dict(rows) == CURES


def test_the_glossary_owns_each_term_once_and_in_order() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", text_of(DOCS / "glossary.md"), re.MULTILINE)
    assert terms == sorted(set(terms))
