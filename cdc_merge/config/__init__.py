"""cdc-merge.yaml to frozen settings, with every mistake reported at once, each at its place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from cdc_merge.config.checks import check
from cdc_merge.config.complaints import complaints
from cdc_merge.config.document import Node, read_document
from cdc_merge.config.editor import json_schema
from cdc_merge.config.marks import Finding
from cdc_merge.config.models import ConfigModel
from cdc_merge.config.places import find_config
from cdc_merge.config.settings import build
from cdc_merge.errors import ConfigError, Problem
from cdc_merge.model import Settings
from cdc_merge.warehouses.dialect import Dialect

__all__ = ["find_config", "json_schema", "load_config"]


def load_config(path: Path, *, environ: Mapping[str, str], dialect: Dialect | None = None) -> Settings:
    """The settings of a file; `environ` gives the values of `${NAME}`.

    `dialect`: of the engine that must take the names; None: the warehouse's own.

    Raises ConfigError with all mistakes, in the order of the file, each at `path:line:column`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), "the file is not UTF-8 text", "save it as UTF-8")]) from error
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from error
    document = read_document(text, environ)
    root = document.root
    findings = list(document.findings)
    if () in document.reported:
        raise _refusal(path, findings, root)
    config = None
    try:
        config = ConfigModel.model_validate(root.plain(without=set(document.reported)))
    except ValidationError as error:
        findings += complaints(error, root, reported=document.reported)
    findings += check(root, dialect)
    if findings or config is None:
        # No cause: pydantic's own text would show values, and one of them may be a password.
        raise _refusal(path, findings, root) from None
    return build(config, path.absolute().parent)


def _refusal(path: Path, findings: Iterable[Finding], root: Node) -> ConfigError:
    # Values of environment variables may be secrets: messages show the text of the file instead.
    inserted = {repr(n.value): repr(n.raw) for n in root.walk() if n.raw is not None and isinstance(n.value, str)}
    problems = []
    for finding in sorted(findings, key=lambda f: f.mark):
        message = finding.message
        for value, written in inserted.items():
            message = message.replace(value, written)
        problems.append(Problem(f"{path}:{finding.mark.line}:{finding.mark.column}", message, finding.hint))
    return ConfigError(problems)
