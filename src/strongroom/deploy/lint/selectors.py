"""Label selectors, as Kubernetes reads them. Pure. Source: Kubernetes API, LabelSelector and Service.spec.selector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.deploy.lint.objects import items, table


def matches(selector: object, labels: Mapping[str, Any]) -> bool:
    """Return whether a LabelSelector selects these labels; an empty one selects everything, None nothing."""
    if selector is None:
        return False
    wanted = table(selector)
    return selects(table(wanted.get("matchLabels")), labels) and all(
        _holds(table(each), labels) for each in items(wanted.get("matchExpressions"))
    )


def selects(wanted: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Return whether every label is there with its value, as a Service selects."""
    return all(labels.get(name) == value for name, value in wanted.items())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = str(expression.get("key")), items(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False  # an operator that nobody knows selects nothing
