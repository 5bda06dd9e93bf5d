"""Writes the proposal as a configuration: YAML, with the evidence in comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from cdc_merge.infer.entities import Entity
from cdc_merge.infer.facts import Extent, Form, Values
from cdc_merge.infer.proposal import (
    FEW_ITEMS,
    Proposal,
    ProposedColumn,
    ProposedTable,
    condition_value,
    type_text,
)
from cdc_merge.infer.templates import KeyPiece
from cdc_merge.infer.types import looks_personal
from cdc_merge.names import spelled
from cdc_merge.words import count

_PLAIN = re.compile(r"\^?[A-Za-z_]([A-Za-z0-9_./-]| (?! ))*(?<! )")
# What YAML 1.1 or 1.2 reads as something else than text.
_NOT_TEXT = re.compile(r"(?:y|n|yes|no|on|off|true|false|null|nan|inf)", re.IGNORECASE)
_BARE_STEP = re.compile(r'[^.^"\[\]][^."\[\]]*')
_NOWHERE = "changes/"
_COMMENT_COLUMN = 64


def write_yaml(proposal: Proposal) -> str:
    """The text of a configuration that `run` takes as it is."""
    return "\n".join(_lines(proposal)) + "\n"


def _lines(proposal: Proposal) -> Iterator[str]:
    yield f"# Proposed by cdc-merge infer from {shown(proposal.label)}"
    for line in reading_of(proposal.extent, proposal.form):
        yield f"# {line}"
    yield "# Look it over; types and entities are those of what was read. Attributes that are not named here go to"
    yield "# _cdc_rescued; with `evolve: add` in a target they become columns as they appear."
    for variable in proposal.warehouse.variables:
        yield f"# ${variable} is a secret that this file does not have: set it as it stands in the URL."
    yield f"warehouse: {_referring(proposal.warehouse.url)}"
    yield ""
    yield "sources:"
    yield f"  - name: {scalar(proposal.source)}"
    if proposal.changes is None:
        yield f"    changes: {scalar(_NOWHERE)} # not known from an export: write where Firehose puts the changes"
    else:
        yield f"    changes: {scalar(proposal.changes)}"
    if proposal.exports is not None:
        yield f"    exports: {scalar(proposal.exports)}"
    if len(proposal.tables_seen) > 1:
        names = ", ".join(map(shown, proposal.tables_seen))
        yield f"    # The records are of several tables, which need a prefix and a source each: {names}"
    tags = ", ".join(f"{shown(a)} ({t})" for a, t in zip(proposal.key.attributes, proposal.key.tags, strict=True))
    yield f"    key: [{', '.join(map(scalar, proposal.key.attributes))}] # {tags}: {proposal.key.why}"
    yield f"    # Entities: {shown(proposal.entities.why)}."
    yield "    targets:"
    whole = proposal.extent.images
    for table in proposal.tables:
        yield from _target(table, whole)
    for entity in proposal.entities.left_out:
        yield from _left_out(entity, whole)
    if proposal.entities.untold:
        counted = count(proposal.entities.untold, "item")
        share = _share(proposal.entities.untold, whole)
        yield f"      # Left out: {counted}, {share} of all, that nothing tells from the others."


def reading_of(extent: Extent, form: Form) -> Iterator[str]:
    """How much was read, exactly, in sentences."""
    what = {Form.CHANGES: "change", Form.ITEMS: "exported item", Form.EXPORTED_CHANGES: "exported change"}[form]
    if extent.is_everything:
        where = f"all of {count(extent.objects, 'object')}"
    else:
        where = f"{extent.objects:,} of {count(extent.objects_there, 'object')}"
        if extent.whole < extent.objects:
            where += f", {extent.objects - extent.whole:,} of them only their beginning"
        where += "; --all reads everything"
    yield f"Read: {count(extent.records, what)} ({where})."
    images = count(extent.images, "item")
    if form is not Form.ITEMS:
        images += ", each counted once by its newest image among them"
    if extent.keys_only:
        images += f"; {count(extent.keys_only, 'key')} without any image"
    yield f"Counted: {images}."
    if extent.unusable:
        yield f"Not usable: {count(extent.unusable, 'record')} without a key, a position or an image."
    for reason, objects in sorted(extent.unreadable.items()):
        yield f"Not readable: {count(objects, 'object')} ({reason})."


def _target(table: ProposedTable, whole: int) -> Iterator[str]:
    entity = table.entity
    yield f"      # {count(entity.items, 'item')}, {_share(entity.items, whole)} of all"
    yield f"      - table: {scalar(table.table)}"
    if entity.where:
        yield f"        where: {_where(entity)}"
    columns = [*_pieces(table.pieces), *_columns(table.columns, entity.items)]
    if columns:
        yield "        columns:"
        yield from (f"          {line}" for line in columns)
    if table.is_whole:
        yield f"        # Of at least {FEW_ITEMS} items the pieces of keys would be proposed too (`match`):"
        yield "        # what fewer keys have in common may be somebody's name."
    for trouble in table.uncut:
        yield f"        # Not taken apart with `match`, since no template would fit every key: {shown(trouble)}."
    if table.omitted:
        yield f"        # {table.omitted:,} more attributes, of fewer items, have no column."
    if table.has_nameless:
        yield "        # An attribute whose name is the empty text has no column: a configuration cannot name it."
    for rows in table.rows:
        counted = count(rows.elements.count, "element")
        yield f"      # a row for each of {counted} of the list {shown('.'.join(rows.path))}"
        yield f"      - table: {scalar(rows.table)}"
        if entity.where:
            yield f"        where: {_where(entity)}"
        yield f"        each: {scalar(spelled(rows.path))}"
        yield "        columns:"
        of_item = [*_pieces(rows.pieces, of_parent=True), *_columns(rows.of_item, entity.items, of_parent=True)]
        columns = [*of_item, *_columns(rows.columns, rows.elements.maps)]
        yield from (f"          {line}" for line in columns)


def _pieces(pieces: Sequence[KeyPiece], *, of_parent: bool = False) -> Iterator[str]:
    for piece in pieces:
        path = _path(piece.attribute, of_parent=of_parent)
        line = f"{scalar(piece.name)}: {{from: {path}, match: {_quoted(piece.template)}, type: {piece.kind.value}}}"
        yield f"{line:<{_COMMENT_COLUMN}} # a piece of the key that no attribute repeats"


def _left_out(entity: Entity, whole: int) -> Iterator[str]:
    counted = f"{count(entity.items, 'item')}, {_share(entity.items, whole)} of all"
    yield f"      # Left out: {counted}, that have key"
    yield "      # attributes only, as items do that keep a value unique. A run counts them as ignored. They are those"
    yield f"      # with {_where(entity)}."


def _columns(columns: Sequence[ProposedColumn], items: int, *, of_parent: bool = False) -> Iterator[str]:
    for column in columns:
        kind = type_text(column.type)
        parts = [f"from: {_path(column.attribute, of_parent=of_parent)}"]
        if kind is not None:
            parts.append(f"type: {_quoted(kind) if '(' in kind else kind}")
        if column.type is not None and column.type.unit is not None:
            parts.append(f"unit: {column.type.unit.value}")
        line = f"{scalar(column.name)}: {{{', '.join(parts)}}}"
        yield f"{line:<{_COMMENT_COLUMN}} # {_evidence(column, items)}"


def _evidence(column: ProposedColumn, items: int) -> str:
    values = column.values
    if len(values.tags) == 1:
        parts = [f"{next(iter(values.tags))} in {_share(values.present, items)}"]
    else:
        shares = sorted(values.tags.items(), key=lambda entry: (-entry[1], entry[0]))
        parts = [", ".join(f"{tag} in {_share(count, items)}" for tag, count in shares)]
    parts += _ranges(column.attribute, values)
    if column.note:
        parts.append(column.note)
    return "; ".join(parts)


def _ranges(attribute: str, values: Values) -> Iterator[str]:
    numbers, texts = values.numbers, values.texts
    if numbers and not numbers.odd:
        if not looks_personal(attribute):
            yield f"{numbers.least} to {numbers.greatest}"
        if numbers.decimals:
            yield f"at most {count(numbers.decimals, 'decimal')}"
    if texts:
        yield f"longest {texts.longest:,}"
        if texts.distinct <= 20 and texts.count >= 5 * texts.distinct:
            yield f"{texts.distinct} different"
    if values.longest_list:
        yield f"at most {count(values.longest_list, 'element')}"


def _where(entity: Entity) -> str:
    pairs = (f"{_path(str(c.path[0]))}: {_flow(condition_value(c))}" for c in entity.where)
    return "{" + ", ".join(pairs) + "}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return scalar(str(value))


def _path(attribute: str, *, of_parent: bool = False) -> str:
    """An attribute's name as a path: in quotes of its own where it has a dot, a bracket or a quote.

    `of_parent`: of the item around the element.
    """
    bare = attribute if _BARE_STEP.fullmatch(attribute) else '"' + attribute.replace('"', '""') + '"'
    return scalar(f"^{bare}" if of_parent else bare)


def scalar(text: str) -> str:
    """A text in YAML, in quotes unless it surely needs none."""
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    """In double quotes; `${` is doubled, since that would begin an environment variable."""
    return _referring(text.replace("${", "$${"))


def _referring(text: str) -> str:
    """In double quotes; `${NAME}` is an environment variable."""
    return '"' + "".join(_escaped(c) for c in text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def shown(text: str) -> str:
    """A text for a comment: on one line, whatever it holds."""
    return "".join(_escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def _share(part: int, whole: int) -> str:
    """A share that says 100 % and 0 % only where it is so."""
    if part == whole:
        return "100 %"
    percent = 100 * part / whole if whole else 0.0
    return f"{min(max(percent, 0.1), 99.9):.1f} %" if part else "0 %"
