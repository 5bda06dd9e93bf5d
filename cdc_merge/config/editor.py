"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

from cdc_merge.config.models import ConfigModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT = {"type": "string", "pattern": r"\$\{"}
_NARROW = ("enum", "const", "pattern")


def json_schema() -> dict[str, Any]:
    """Accepts every file written as docs/configuration.md says; rules between keys are load_config's."""
    schema = _for_editors(ConfigModel.model_json_schema(by_alias=True))
    return {"$schema": _DIALECT, **schema}


def _for_editors(schema: Any) -> Any:
    """Leave out null (an empty value is a mistake) and let `${NAME}` stand where not all text may."""
    if isinstance(schema, list):
        return [_for_editors(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: v for k, v in schema.items() if not (k == "default" and v is None)}
    options = [o for o in kept.get("anyOf", []) if o != {"type": "null"}]
    if len(options) == 1:
        kept = {**options[0], **{k: v for k, v in kept.items() if k != "anyOf"}}
    kept = {
        k: {name: _for_editors(part) for name, part in v.items()} if k in ("properties", "$defs") else _for_editors(v)
        for k, v in kept.items()
        # YAML examples are for messages; examples in JSON Schema would have to be JSON.
        if k not in ("examples", "title")
    }
    narrow = kept.get("type") in ("integer", "boolean") or any(k in kept for k in _NARROW)
    if not narrow or kept == _FROM_ENVIRONMENT:
        return kept
    about = {k: kept.pop(k) for k in ("description", "default") if k in kept}
    return {"anyOf": [kept, _FROM_ENVIRONMENT], **about}
