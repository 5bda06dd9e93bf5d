"""What pydantic found, said in the words of the file, with its place and what to write instead."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cdc_merge.config.document import Loc, Node
from cdc_merge.config.marks import Finding, Mark
from cdc_merge.config.models import TAGS, ConfigModel
from cdc_merge.config.values import Mistake, shown


def complaints(error: ValidationError, root: Node, *, reported: Iterable[Loc]) -> Iterator[Finding]:
    """One finding for each error, except at and below places that were reported already."""
    known = tuple(reported)
    for detail in error.errors(include_url=False):
        loc = tuple(step for step in detail["loc"] if step not in TAGS)
        if not any(loc[: len(k)] == k for k in known):
            yield _finding(detail, loc, root)


def _finding(detail: ErrorDetails, loc: Loc, root: Node) -> Finding:
    is_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if is_key else loc
    key = next((step for step in reversed(loc) if isinstance(step, str)), "")
    model, field = _at(loc)
    example = _example(key, field)
    context: dict[str, Any] = detail.get("ctx", {})
    key_mark, mark = _marks(root, loc)
    match detail["type"]:
        case "extra_forbidden":
            return Finding(key_mark, f"unknown key `{key}`", _suggestion(key, model))
        case "dict_type" | "model_type" if _lacks_space(detail["input"]):
            return Finding(mark, f"`{key}` must be a mapping (`key: value` lines)", "write a space after each colon")
        case "string_type" if isinstance(detail["input"], list) and len(detail["input"]) == 1:
            return Finding(mark, f"`{key}` must be text", "write it without [ ]")
        case "missing":
            return Finding(mark, f"`{key}` is missing", example)
        case "value_error" if isinstance(context.get("error"), Mistake):
            mistake: Mistake = context["error"]
            return Finding(key_mark if is_key else mark, f"`{key}`: {mistake.message}", mistake.hint)
        case "string_type" if isinstance(detail["input"], int | float):
            written = str(detail["input"]).lower() if isinstance(detail["input"], bool) else detail["input"]
            return Finding(mark, f"`{key}` must be text", f'put it in quotes: "{written}"')
        case "string_type":
            return Finding(mark, f"`{key}` must be text", example)
        case "list_type":
            return Finding(mark, f"`{key}` must be a list", example)
        case "dict_type" | "model_type":
            return Finding(mark, f"`{key}` must be a mapping (`key: value` lines)", example)
        case "literal_error":
            expected = str(context["expected"]).replace("'", "")
            return Finding(mark, f"`{key}` cannot be {shown(detail['input'])}", f"write {expected}")
        case "string_too_short" | "too_short":
            return Finding(key_mark if is_key else mark, f"`{key}` must not be empty", None if is_key else example)
        case "too_long":
            return Finding(
                mark,
                f"`{key}` takes at most {context['max_length']}, not {context['actual_length']}",
                example,
            )
        case _:
            return Finding(mark, f"`{key}`: {detail['msg']}", example)


def _marks(root: Node, loc: Loc) -> tuple[Mark, Mark]:
    """The marks of the key and of the value; of what holds it, where it is missing."""
    key_mark, node = root.mark, root
    for step in loc:
        below = node.child(step)
        if below is None:
            return node.mark, node.mark
        key_mark = node.fields[step].mark if isinstance(step, str) else below.mark
        node = below
    return key_mark, node.mark


def _at(loc: Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that holds the last key of `loc`, and the key's field if it has one."""
    model: type[BaseModel] = ConfigModel
    field = None
    for i, step in enumerate(loc):
        field = _fields(model).get(step) if isinstance(step, str) else field
        below = _model_in(field.annotation) if field and i < len(loc) - 1 else None
        model = below or model
    return model, field


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for inner in typing.get_args(annotation) if (m := _model_in(inner))), None)


def _example(key: str, field: FieldInfo | None) -> str | None:
    return f"write {key}: {field.examples[0]}" if field and field.examples else None


# What people write who know other tools.
_MEANT = {
    "begins_with": "prefix",
    "starts_with": "prefix",
    "name": "table",
    "filter": "where",
    "fields": "columns",
    "attribute": "from",
    "path": "from",
    "url": "changes",
    "source": "changes",
    "keys": "key",
    "schema": "metadata_schema",
}


def _suggestion(key: str, model: type[BaseModel]) -> str:
    known = list(_fields(model))
    if ":" in key:
        name, _, value = key.partition(":")
        return f"write a space after the colon: `{name}: {value}…`"
    close = get_close_matches(key.lower(), known, n=1) or [m for m in [_MEANT.get(key.lower())] if m in known]
    return f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}"


def _lacks_space(value: object) -> bool:
    """Whether it is `title:Title`, which YAML takes for one text."""
    return isinstance(value, str) and re.fullmatch(r"[^:]+:[^:/ ][^:]*", value) is not None
