"""Arguments of an operation: read from JSON, checked against the table, and written again for a request. Pure.

Both ends use it, and so does the command line: what is refused does not depend on the way it came.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from strongroom.broker.admin.operations import Kind, Operation, Parameter
from strongroom.broker.admin.problems import BadArgument
from strongroom.secret import Secret


def checked(operation: Operation, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments that the operation takes, each within its bounds; None is left out. Raises BadArgument."""
    present = {name: value for name, value in values.items() if value is not None}
    unknown = sorted(set(present) - set(operation.by_name))
    if unknown:
        raise BadArgument(f"{operation.name} does not take {unknown[0][:64]!r}")
    for parameter in operation.parameters:
        if parameter.name in present:
            _check(parameter, present[parameter.name])
        elif parameter.required:
            raise BadArgument(f"{operation.name} needs {parameter.name}: {parameter.about}")
    return present


def from_json(operation: Operation, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the checked arguments of a JSON body: secrets stand there as base64. Raises BadArgument."""
    secrets = {each.name for each in operation.parameters if each.kind is Kind.SECRET}
    return checked(operation, {name: _secret(name, each) if name in secrets else each for name, each in values.items()})


def from_query(operation: Operation, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the checked arguments of a path and a query, where everything is text. Raises BadArgument."""
    known = operation.by_name
    numbers = {name for name in values if name in known and known[name].kind is Kind.NUMBER}
    return checked(operation, {name: _number(name, each) if name in numbers else each for name, each in values.items()})


def to_json(values: Mapping[str, object]) -> dict[str, object]:
    """Return arguments as a JSON body holds them."""
    return {name: _base64(value) if isinstance(value, Secret) else value for name, value in values.items()}


def _check(parameter: Parameter, value: object) -> None:
    if parameter.kind is Kind.NUMBER:
        if type(value) is not int or not parameter.least <= value <= parameter.most:
            raise BadArgument(f"{parameter.name} is not a whole number from {parameter.least} to {parameter.most}")
    elif parameter.kind is Kind.SECRET:
        if not isinstance(value, Secret) or not parameter.least <= len(value) <= parameter.most:
            raise BadArgument(f"{parameter.name} is not {parameter.least} to {parameter.most} bytes")
    else:
        _check_text(parameter, value)


def _check_text(parameter: Parameter, value: object) -> None:
    if not isinstance(value, str) or not parameter.least <= len(value) <= parameter.most:
        raise BadArgument(f"{parameter.name} is not a text of {parameter.least} to {parameter.most} characters")
    if not value.isprintable() and parameter.most <= 512:
        raise BadArgument(f"{parameter.name} holds a character that cannot be printed")
    if parameter.choices and value not in parameter.choices:
        raise BadArgument(f"{parameter.name} is none of {', '.join(parameter.choices)}")
    if parameter.pattern is not None and not _compiled(parameter.pattern).fullmatch(value):
        raise BadArgument(f"{value[:80]!r} is not what {parameter.name} can be: {parameter.form or parameter.about}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise BadArgument(f"{name} is not a whole number")
    return int(text)


def _secret(name: str, value: object) -> Secret:
    try:
        return Secret(base64.b64decode(value if isinstance(value, str) else "?", validate=True))
    except (binascii.Error, ValueError):
        raise BadArgument(f"{name} is not base64") from None


def _base64(secret: Secret) -> str:
    with secret.reveal() as raw:
        return base64.b64encode(raw).decode("ascii")
