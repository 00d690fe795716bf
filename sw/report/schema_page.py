"""A page of a JSON schema: every key with its type and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tickgate.sw.report.reference_pages import HEAD, table

_NAMES = {"count": "count", "counts": "object of counts", "share": "0 to 1"}


def page(schema: dict[str, Any], file: str) -> str:
    """The page of the schema in `file`, which stands beside it."""
    parts = [
        f"# {schema['title']}",
        f"{schema['description']} Every key is always there. Schema: [{file}]({file}).",
        table(("key", "type", "meaning"), _rows(_expanded(schema, schema.get("$defs", {})), "")),
    ]
    return HEAD + "\n\n".join(parts) + "\n"


def _expanded(kind: Any, definitions: dict[str, Any]) -> Any:
    """With the definitions of objects in the places that refer to them, under the description of the place."""
    if isinstance(kind, list):
        return [_expanded(one, definitions) for one in kind]
    if not isinstance(kind, dict):
        return kind
    named = definitions.get(str(kind.get("$ref", "")).rsplit("/", 1)[-1], {})
    if "properties" in named:
        kind = {**named, **{key: value for key, value in kind.items() if key != "$ref"}}
    return {key: _expanded(value, definitions) for key, value in kind.items()}


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, kind in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield f"`{path}`", _type(kind), kind.get("description", "")
        for option in (kind, *kind.get("oneOf", ())):
            yield from _rows(option, f"{path}.")
            each = option.get("additionalProperties")
            if isinstance(each, dict) and "properties" in each:
                yield from _rows(each, f"{path}.*.")


def _type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return _NAMES[kind["$ref"].rsplit("/", 1)[1]]
    if "const" in kind:
        return f"`{kind['const']}`"
    if "oneOf" in kind:
        return " or ".join(_type(option) for option in kind["oneOf"])
    if kind.get("type") == "array":
        return f"list of {_type(kind['items'])}"
    if "enum" in kind:
        return " or ".join(f"`{value}`" for value in kind["enum"])
    types = kind.get("type", "anything")
    return " or ".join(types) if isinstance(types, list) else str(types)
