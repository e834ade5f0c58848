"""The API's description as OpenAPI 3.1, made from the table of operations and the types of what they answer. Pure."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints, is_typeddict

from strongroom import __version__
from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.operations import OPERATIONS, Kind, Operation, Parameter
from strongroom.broker.admin.roles import PERMISSIONS, Reach

PROBLEM_TYPE: Final = "application/problem+json"
_SIMPLE: Final = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
_REACH: Final = {
    Reach.TENANT: "for a tenant that the caller may see",
    Reach.BROKER: "for callers who are confined to no tenant",
    Reach.OWN: "over what the caller may see",
}
_ABOUT: Final = (
    "Administration of a Strongroom key broker. Callers present a client certificate that is registered with a role;"
    " there is no other way in. What belongs to a tenant that the caller may not see is answered as if it were not"
    " there. Values of secrets go in and never come out."
)
_PROBLEMS: Final = {
    "400": "the request cannot be used; `code` says why",
    "401": "the certificate identifies no active administrator",
    "403": "the caller's role or a rule forbids it",
    "404": "there is no such thing for this caller",
    "409": "what is there contradicts it",
    "412": "something changed since the caller looked: the version it expected is not the newest",
    "503": "the store cannot be reached; try later",
}


@cache
def document() -> dict[str, Any]:
    """Return the whole document."""
    schemas: dict[str, Any] = {"Problem": _problem_schema()}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS.values():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Strongroom broker administration", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "https://localhost:8443"}],
        "security": [{"person": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"person": {"type": "mutualTLS", "description": "an administrator's certificate"}},
            "responses": {
                f"Problem{status}": {
                    "description": about,
                    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, about in _PROBLEMS.items()
            },
        },
    }


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    permission = PERMISSIONS[operation.name]
    roles = ", ".join(sorted(role.value for role in permission.roles))
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Roles: {roles}; {_REACH[permission.reach]}.",
        "responses": {
            "200": {
                "description": "done",
                "content": {"application/json": {"schema": schema_of(_answer_type(operation), schemas)}},
            },
            **{status: {"$ref": f"#/components/responses/Problem{status}"} for status in _PROBLEMS},
        },
    }
    outside = [each for each in operation.parameters if operation.method == "GET" or operation.in_path(each)]
    if outside:
        found["parameters"] = [_parameter(operation, each) for each in outside]
    if operation.method == "POST":
        found["requestBody"] = _body([each for each in operation.parameters if not operation.in_path(each)])
    return found


def _parameter(operation: Operation, parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "path" if operation.in_path(parameter) else "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": _bounds(parameter),
    }


def _body(parameters: list[Parameter]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {each.name: {**_bounds(each), "description": each.about} for each in parameters},
        "additionalProperties": False,
    }
    required = [each.name for each in parameters if each.required]
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _bounds(parameter: Parameter) -> dict[str, Any]:
    """Return what `arguments.checked` holds a value to."""
    if parameter.kind is Kind.NUMBER:
        return {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    if parameter.kind is Kind.SECRET:
        longest = 4 * -(-parameter.most // 3)
        return {"type": "string", "contentEncoding": "base64", "minLength": 4, "maxLength": longest}
    found: dict[str, Any] = {"type": "string", "minLength": parameter.least, "maxLength": parameter.most}
    if parameter.choices:
        found["enum"] = list(parameter.choices)
    if parameter.pattern is not None:
        found["pattern"] = f"^(?:{parameter.pattern})$"
    return found


def _answer_type(operation: Operation) -> Any:  # noqa: ANN401  # a type
    method: Callable[..., Any] = inspect.unwrap(getattr(Administration, operation.name))
    return get_type_hints(method)["return"]


def schema_of(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  # a type
    """Return the schema of a type that an action answers; typed dictionaries go to `schemas` by their names."""
    if is_typeddict(kind):
        name = kind.__name__.removesuffix("View")
        if name not in schemas:
            schemas[name] = {}  # in case it is part of itself
            hints = get_type_hints(kind)
            schemas[name] = {
                "type": "object",
                "description": " ".join((inspect.getdoc(kind) or "").split()),
                "properties": {member: schema_of(each, schemas) for member, each in hints.items()},
                "required": list(hints),
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{name}"}
    if get_origin(kind) is list:
        return {"type": "array", "items": schema_of(get_args(kind)[0], schemas)}
    if get_origin(kind) is dict:
        return {"type": "object"}
    if get_origin(kind) in {Union, types.UnionType}:
        return {"type": [_SIMPLE[each] for each in get_args(kind)]}
    return {"type": _SIMPLE[kind]}


def _problem_schema() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("type", "title", "detail", "code", "fix")}
    return {
        "type": "object",
        "description": "An error (RFC 9457): `code` is stable, `detail` says what happened, `fix` what to do.",
        "properties": {**texts, "status": {"type": "integer"}},
        "required": ["type", "title", "status", "detail", "code"],
    }
