"""Whether a role's policies allow a call: IAM's evaluation, as far as identity policies go.

The embedded AWS has an evaluation of its own, but it asks for resource "*" almost everywhere and takes
a condition that does not hold for a refusal. This one follows the published logic: an explicit deny
wins, otherwise one statement must allow the action on the resource with all its conditions true.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Context = Mapping[str, str | Sequence[str]]
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One question to the judge: may this action be done on this resource, in this context?"""

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)


class UnknownOperatorError(Exception):
    """A policy uses a condition operator that this judge does not know."""


def allowed(policies: Sequence[Policy], check: Check) -> bool:
    """True when a statement allows the check and none denies it."""
    context = {key.lower(): value for key, value in check.context.items()}
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in _as_list(policy["Statement"])
        if _applies(statement, check, context)
    }
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: Mapping[str, Any], check: Check, context: Context) -> bool:
    return (
        _element(statement, "Action", check.action, ignore_case=True)
        and _resource(statement, check.resource, context)
        and all(
            _condition(operator, keys, context) for operator, keys in statement.get("Condition", {}).items()
        )
    )


def _element(statement: Mapping[str, Any], name: str, value: str, *, ignore_case: bool) -> bool:
    if f"Not{name}" in statement:
        return not any(
            _like(pattern, value, ignore_case=ignore_case) for pattern in _as_list(statement[f"Not{name}"])
        )
    return any(
        _like(pattern, value, ignore_case=ignore_case) for pattern in _as_list(statement.get(name, []))
    )


def _resource(statement: Mapping[str, Any], resource: str, context: Context) -> bool:
    filled = {
        name: [_fill(pattern, context) for pattern in _as_list(statement[name])]
        for name in ("Resource", "NotResource")
        if name in statement
    }
    return _element(filled, "Resource", resource, ignore_case=False)


def _condition(operator: str, keys: Mapping[str, Any], context: Context) -> bool:
    """All keys of one operator must hold; several values of a key are alternatives."""
    return all(
        _key_holds(operator, context.get(key.lower()), [_fill(str(v), context) for v in _as_list(expected)])
        for key, expected in keys.items()
    )


def _key_holds(operator: str, actual: str | Sequence[str] | None, expected: Sequence[str]) -> bool:
    quantifier, _, name = operator.rpartition(":")
    name, optional = (name[: -len("IfExists")], True) if name.endswith("IfExists") else (name, False)
    if name == "Null":
        return (actual is None) == (expected[0].lower() == "true")
    values = [] if actual is None else _as_list(actual)
    if quantifier == "ForAllValues":
        return all(_compare(name, value, expected) for value in values)
    if actual is None:
        # A negated comparison holds for a key that is not there, as IAM has it.
        return optional or name in _NEGATED
    if quantifier == "ForAnyValue":
        return any(_compare(name, value, expected) for value in values)
    return all(_compare(name, value, expected) for value in values)


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda actual, expected: actual == expected,
    "StringEqualsIgnoreCase": lambda actual, expected: actual.lower() == expected.lower(),
    "StringLike": lambda actual, expected: _like(expected, actual),
    "ArnEquals": lambda actual, expected: _like(expected, actual),
    "ArnLike": lambda actual, expected: _like(expected, actual),
    "Bool": lambda actual, expected: actual.lower() == expected.lower(),
    "NumericEquals": lambda actual, expected: float(actual) == float(expected),
    "NumericLessThan": lambda actual, expected: float(actual) < float(expected),
    "NumericLessThanEquals": lambda actual, expected: float(actual) <= float(expected),
    "NumericGreaterThan": lambda actual, expected: float(actual) > float(expected),
    "NumericGreaterThanEquals": lambda actual, expected: float(actual) >= float(expected),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def _compare(name: str, actual: str, expected: Sequence[str]) -> bool:
    if name in _NEGATED:
        return not _compare(_NEGATED[name], actual, expected)
    if name not in _TESTS:
        raise UnknownOperatorError(name)
    return any(_TESTS[name](actual, value) for value in expected)


def _like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    # fnmatch would read a "[" as a set of characters; IAM knows "*" and "?" only.
    expression = fnmatch.translate(pattern.replace("[", "[[]"))
    return re.match(expression, value, re.IGNORECASE if ignore_case else 0) is not None


def _fill(text: str, context: Context) -> str:
    """Policy variables such as ${ec2:SourceInstanceARN}; one without a value matches nothing."""

    def value(match: re.Match[str]) -> str:
        found = context.get(match[1].lower())
        return found if isinstance(found, str) else match[0]

    return re.sub(r"\$\{([\w:/-]+)\}", value, text)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
