"""What the schema of a config refused, in one line."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from mlet_bench.errors import listing, nearest


def describe_error(error: ValidationError, schema: type[BaseModel], where: str) -> str:
    """The first thing that `schema` refused: its key (under `where`), the value, what is allowed, a near spelling."""
    first = error.errors(include_url=False)[0]
    location, node = _located(schema, [str(part) for part in first["loc"]])
    key = ".".join([where] * bool(where) + location)
    given = first["input"]
    scalar = given is None or isinstance(given, str | int | float)
    shown = f"{key}={json.dumps(given) if not isinstance(given, str) else given}" if scalar else key
    if first["type"] == "extra_forbidden":
        allowed = list(schema.model_fields)
        return f"{key}: no such key; allowed: {listing(allowed)}.{nearest(str(first['loc'][-1]), allowed)}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "value_error":
        said = str(first.get("ctx", {}).get("error", first["msg"]))
        return f"{shown}: {said}" if location and scalar else said
    kinds = node.get("anyOf", [node])
    choices = [str(value) for kind in kinds for value in kind.get("items", kind).get("enum", [])]
    allowed_words = " or ".join(_in_words(kind) for kind in kinds)
    return f"{shown}: not allowed; allowed: {allowed_words}.{nearest(str(given), choices)}"


def _located(schema: type[BaseModel], location: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The part of an error's location that is a key of ours, and that key's JSON schema."""
    whole = schema.model_json_schema()
    node: dict[str, Any] = whole
    path = []
    for part in location:
        if "$ref" in node:
            node = whole["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif node.get("additionalProperties") is not False or "properties" not in node:
            continue  # which kind of a union was tried, or the position in a list
        path.append(part)
    return path, node


def _in_words(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return listing(str(value) for value in kind["enum"])
    if "const" in kind:
        return str(kind["const"])
    if kind.get("type") == "array":
        some = " of one or more" if kind.get("minItems") or kind.get("minLength") else ""
        return f"a list{some}, each {_in_words(kind.get('items', {}))}"
    words = {"integer": "a whole number", "number": "a number", "boolean": "true, false", "null": "null"}
    word = words.get(str(kind.get("type")), "text")
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {kind[name]}" for name, sign in limits.items() if name in kind]
    if "pattern" in kind:
        bounds.append("of letters, digits, '_', '-' and '.'")
    return " ".join([word, " and ".join(bounds)]).strip()
