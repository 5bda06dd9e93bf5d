"""Says of a file that is no valid YAML what most likely slipped: a tab, a space, an indentation, a `#`, a bracket."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml.error import MarkedYAMLError

from cdc_merge.config.marks import Finding, Mark

# `title:Title`, where a list item may begin; no URL, and nothing with a colon of its own.
_NO_SPACE = re.compile(r"""^(?P<before>\s*(?:-\s+)?)(?P<key>[A-Za-z_][^:'"{}\[\]#]*):(?P<value>[^\s:/#][^:#]*?)\s*$""")
_COLON = re.compile(r":(?:\s|$)")
_DEFAULT_HINT = "put text with special characters in quotes"


def what_slipped(text: str, error: MarkedYAMLError) -> Finding:
    """The mistake at the place where it was made, as far as that can be told; else what the parser says."""
    lines = text.splitlines()
    return next(_guesses(lines, error), None) or _as_said(error)


def _guesses(lines: list[str], error: MarkedYAMLError) -> Iterator[Finding]:
    problem, context = str(error.problem or ""), str(error.context or "")
    at = error.problem_mark or error.context_mark
    if at is None:
        return
    line = _line(lines, at.line)
    if "\t" in line[: len(line) - len(line.lstrip())]:
        yield Finding(Mark(at.line + 1, line.index("\t") + 1), "a tab cannot indent", "indent with spaces")
    if "flow" in context and error.context_mark is not None:
        yield _open_bracket(lines, error)
    if "mapping values" in problem or "simple key" in context or "<block end>" in problem:
        yield from _without_space(lines, at.line)
    if "mapping values" in problem and len(_COLON.findall(line[: at.column + 1])) > 1:
        yield Finding(Mark(at.line + 1, at.column + 1), "a second `: ` in one line", 'put the value in quotes: "a: b"')
    if "mapping values" in problem or "<block end>" in problem:
        column = len(line) - len(line.lstrip()) + 1
        message = "the line is indented, but belongs to nothing above it that could hold it"
        yield Finding(Mark(at.line + 1, column), message, "line up with the line above")


def _open_bracket(lines: list[str], error: MarkedYAMLError) -> Finding:
    """What began with `{` or `[` and has no end; a `#` after a space makes the rest of its line a comment."""
    begins = error.context_mark
    for number in range(begins.line, min(error.problem_mark.line + 1, len(lines))):
        comment = re.search(r"\s#", lines[number][begins.column if number == begins.line else 0 :])
        if comment:
            column = (begins.column if number == begins.line else 0) + comment.end()
            hint = 'put text with # in quotes: {prefix: "#META"}'
            return Finding(Mark(number + 1, column), "what follows # is a comment, so the bracket has no end", hint)
    if error.problem_mark.line == begins.line:
        message = f"not valid YAML: {error.problem}"
        hint = "between { } and [ ] put text with , : { } [ ] # in quotes"
        return Finding(Mark(begins.line + 1, error.problem_mark.column + 1), message, hint)
    bracket = _line(lines, begins.line)[begins.column : begins.column + 1] or "{"
    message = f"the {bracket} that begins here has no end"
    return Finding(Mark(begins.line + 1, begins.column + 1), message, f"close it with {'}' if bracket == '{' else ']'}")


def _without_space(lines: list[str], last: int) -> Iterator[Finding]:
    """`title:Title` in the line, or in the one before: there it is text without a key."""
    above = next((n for n in range(last - 1, -1, -1) if _line(lines, n).strip()), last)
    for number in (last, above):
        if found := _NO_SPACE.match(_line(lines, number)):
            yield lacks_space(Mark(number + 1, found.end("key") + 1), found["key"], found["value"])


def lacks_space(mark: Mark, key: str, value: str) -> Finding:
    """The finding for a colon with nothing between it and the value."""
    return Finding(mark, f"`{key}:{value}` lacks a space", f"write a space after the colon: `{key}: {value}`")


def _as_said(error: MarkedYAMLError) -> Finding:
    at = error.problem_mark or error.context_mark
    place = Mark(at.line + 1, at.column + 1) if at else Mark(1, 1)
    what = ", ".join(part for part in (error.context, error.problem) if part)
    return Finding(place, f"not valid YAML: {what}", _DEFAULT_HINT)


def _line(lines: list[str], number: int) -> str:
    return lines[number] if number < len(lines) else ""


__all__ = ["lacks_space", "what_slipped"]
