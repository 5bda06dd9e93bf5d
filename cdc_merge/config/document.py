"""A YAML file as a tree of values that know their place, with environment variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from cdc_merge.config.marks import Finding, Mark
from cdc_merge.config.slips import lacks_space, what_slipped

Loc = tuple[str | int, ...]
"""The way from the top of the file to a value: keys (str) and list indexes (int)."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One `key: value` of a mapping."""

    mark: Mark  # of the key
    node: Node


@dataclass(frozen=True)
class Node:
    """A value, a mapping (`fields`) or a list (`items`); what is not there reads as empty."""

    mark: Mark
    value: Any = None
    fields: Mapping[str, Entry] = field(default_factory=dict)
    items: tuple[Node, ...] = ()
    is_mapping: bool = False
    is_list: bool = False
    is_broken: bool = False  # already reported: look no further
    raw: str | None = None  # the text as written, of numbers and where environment variables were put in

    @property
    def text(self) -> str | None:
        """The value if it is text that can be relied on."""
        return self.value if isinstance(self.value, str) and not self.is_broken else None

    def get(self, key: str) -> Node:
        """The value under a key, or NOTHING."""
        entry = self.fields.get(key)
        return entry.node if entry else NOTHING

    def child(self, step: str | int) -> Node | None:
        """One step down, if it can be taken."""
        if isinstance(step, int):
            return self.items[step] if step < len(self.items) else None
        entry = self.fields.get(step)
        return entry.node if entry else None

    def plain(self, *, without: set[Loc], at: Loc = ()) -> Any:
        """As dicts, lists and scalars; mapping entries that `without` names are left out."""
        if self.is_mapping:
            return {
                key: entry.node.plain(without=without, at=(*at, key))
                for key, entry in self.fields.items()
                if (*at, key) not in without
            }
        if self.is_list:
            return [item.plain(without=without, at=(*at, i)) for i, item in enumerate(self.items)]
        return self.value

    def walk(self) -> Iterator[Node]:
        """This and every value below it."""
        yield self
        for below in (*self.items, *(entry.node for entry in self.fields.values())):
            yield from below.walk()


NOTHING = Node(Mark(1, 1))


@dataclass(frozen=True)
class Document:
    """A file that was read: its tree, what was wrong with it, and the places that need no second report."""

    root: Node
    findings: tuple[Finding, ...]
    reported: frozenset[Loc]


def read_document(text: str, environ: Mapping[str, str]) -> Document:
    """Parse one YAML document. Never raises for what the text holds: see `findings`."""
    try:
        tree = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        return Document(NOTHING, (what_slipped(text, error),), frozenset({()}))
    except YAMLError:
        finding = Finding(Mark(1, 1), "not valid YAML: it holds a character that YAML does not allow")
        return Document(NOTHING, (finding,), frozenset({()}))
    reader = _Reader(environ)
    if tree is None or not isinstance(tree, MappingNode):
        message = "the file is empty" if tree is None else "the file must be a mapping (`key: value` lines)"
        finding = Finding(Mark(1, 1), message, "begin with `warehouse: duckdb:///warehouse.duckdb` and `sources:`")
        return Document(NOTHING, (finding,), frozenset({()}))
    root = reader.read(tree, ())
    return Document(root, tuple(reader.findings), frozenset(reader.reported))


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.findings: list[Finding] = []
        self.reported: set[Loc] = set()
        self._open: list[Any] = []  # the mappings and lists being read, to notice one inside itself

    def read(self, node: Any, loc: Loc) -> Node:
        mark = _mark(node)
        if any(node is outer for outer in self._open):
            return self._broken(mark, loc, "an alias must not stand inside what it names", "write it out")
        if isinstance(node, ScalarNode):
            return self._scalar(node, mark, loc)
        self._open.append(node)
        try:
            if isinstance(node, SequenceNode):
                items = tuple(self.read(item, (*loc, i)) for i, item in enumerate(node.value))
                return Node(mark, items=items, is_list=True)
            return Node(mark, fields=self._fields(node, loc), is_mapping=True)
        finally:
            self._open.pop()

    def _fields(self, node: Any, loc: Loc) -> dict[str, Entry]:
        fields: dict[str, Entry] = {}
        for key, value in node.value:
            mark = _mark(key)
            if not isinstance(key, ScalarNode):
                self.findings.append(Finding(mark, "a key must be text", "put it in quotes"))
                continue
            name: str = key.value
            if name == "<<" and str(key.tag).endswith(":merge"):
                hint = "write the keys out; `defaults:` holds what sources have in common"
                self.findings.append(Finding(mark, "merge keys (`<<`) are not supported", hint))
                continue
            if name in fields:
                first = fields[name].mark.line
                message = f"`{name}` is given twice; the first is on line {first}"
                self.findings.append(Finding(mark, message, "keep one of the two"))
                continue
            below = (*loc, name)
            child = self.read(value, below)
            if child.value is None and _is_leaf(child) and (slip := self._slipped(name, mark, fields, loc)):
                self.findings.append(slip)
                continue
            if child.value is None and _is_leaf(child) and loc[-1:] != ("where",):
                child = self._broken(mark, below, f"`{name}` has no value", "give it a value, or remove the line")
            fields[name] = Entry(mark, child)
        return fields

    def _slipped(self, name: str, mark: Mark, fields: dict[str, Entry], loc: Loc) -> Finding | None:
        """What a key without a value was meant to be: the rest of a value, or key and value."""
        last, entry = next(reversed(fields.items()), (None, None))
        if last and entry and re.fullmatch(r"[0-9]+ *\)", name) and re.fullmatch(r"\w+\([0-9]+", entry.node.text or ""):
            self.reported.add((*loc, last))
            hint = f'put it in quotes: "{entry.node.text},{name}"'
            return Finding(entry.node.mark, f"`{last}`: the comma ends {entry.node.text!r} here", hint)
        slip = re.fullmatch(r"([^:]+):([^:/]+)", name)
        return lacks_space(mark, slip[1], slip[2]) if slip else None

    def _scalar(self, node: Any, mark: Mark, loc: Loc) -> Node:
        text: str = node.value
        match str(node.tag).removeprefix("tag:yaml.org,2002:"):
            case "null":
                return Node(mark)
            case "bool":
                return Node(mark, text.lower() == "true")
            case "int" if re.fullmatch(r"[-+]?0[0-9]+", text):
                hint = f'write "{text}" in quotes for text, or drop the leading zeros'
                return self._broken(mark, loc, f"{text} could be a number or text", hint)
            case "int" | "float" as kind:
                digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
                try:
                    return Node(mark, int(digits, 0) if kind == "int" else float(digits), raw=digits)
                except ValueError:  # an explicit tag on text, or thousands of digits
                    return self._broken(mark, loc, "this is not a number", "write digits, or put text in quotes")
            case "str" | "timestamp":
                return self._substituted(text, mark, loc)
            case tag:
                return self._broken(mark, loc, f"the YAML tag {tag} is not supported", "write plain text")

    def _substituted(self, text: str, mark: Mark, loc: Loc) -> Node:
        mistakes: list[tuple[str, str]] = []

        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            inside = _VARIABLE.fullmatch(match[1])
            if not match[2] or not inside:
                mistakes.append(
                    (
                        f"{match[0]!r} names no environment variable",
                        "write ${NAME}, ${NAME:-default}, or $${ for a plain ${",
                    )
                )
                return match[0]
            name, default = inside.groups()
            value = self.environ.get(name)
            if default is not None:
                return value or str(default)
            if value is None:
                mistakes.append(
                    (f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
                )
                return match[0]
            return value

        value = _REFERENCE.sub(value_of, text)
        for message, hint in mistakes:
            self.findings.append(Finding(mark, message, hint))
        if mistakes:
            self.reported.add(loc)
        return Node(mark, value, is_broken=bool(mistakes), raw=text if value != text else None)

    def _broken(self, mark: Mark, loc: Loc, message: str, hint: str | None) -> Node:
        self.findings.append(Finding(mark, message, hint))
        self.reported.add(loc)
        return Node(mark, is_broken=True)


def _is_leaf(node: Node) -> bool:
    return not (node.is_mapping or node.is_list or node.is_broken)


def _mark(node: Any) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)
