"""The description of the API: on disk as the code says it, and bounds as the checks have them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.broker.admin.arguments import checked, from_json, from_query, to_json
from strongroom.broker.admin.openapi import document
from strongroom.broker.admin.operations import (
    MAX_POLICY_CHARS,
    MAX_SECRET_BYTES,
    MAX_VOTE_CHARS,
    OPERATIONS,
    REVOCATION_KINDS,
    Kind,
)
from strongroom.broker.admin.problems import BadArgument
from strongroom.broker.policy.file import MAX_POLICY_BYTES
from strongroom.broker.policy.votes import MAX_VOTE_BYTES
from strongroom.broker.revocations import RevocationKind
from strongroom.secret import Secret
from strongroom.workspace import secret_store

REPOSITORY = Path(__file__).resolve().parents[4]


def test_the_description_on_disk_is_current():
    subprocess.run([sys.executable, str(REPOSITORY / "tools" / "write_openapi.py"), "--check"], check=True)


def test_every_operation_says_who_may_use_it_and_how_it_fails():
    for methods in document()["paths"].values():
        for operation in methods.values():
            assert operation["description"].startswith("Roles: ")
            assert {"401", "403", "404"} <= set(operation["responses"])


def test_patterns_are_read_alike_by_python_and_javascript():
    patterns = {each.pattern for operation in OPERATIONS.values() for each in operation.parameters if each.pattern}
    for pattern in patterns:
        assert not re.search(r"\(\?[<P!=]|\\[AZz]|[+*}]\+", pattern)


def test_secrets_travel_in_bodies_alone():
    for operation in OPERATIONS.values():
        secrets = [each for each in operation.parameters if each.kind is Kind.SECRET]
        assert not secrets or operation.method == "POST"
        assert not any(operation.in_path(each) for each in secrets)


def test_what_a_client_writes_the_broker_reads():
    operation = OPERATIONS["put_key"]
    values = checked(operation, {"tenant": "acme", "name": "secret/db", "value": Secret(b"\0\xff"), "expected": 0})
    assert from_json(operation, to_json(values)) == values


BAD = {
    "no secret": {"value": b"raw"}, "empty": {"value": Secret(b"")},
    "too long": {"value": Secret(bytes(64 * 1024 + 1))},
    "a truth": {"expected": True}, "below": {"expected": -1}, "above": {"expected": 2**63},
    "a float": {"expected": 1.0},
    "a text": {"expected": "1"}, "a long name": {"name": "x" * 257}, "a new line": {"name": "secret/a\nb"},
    "an unknown one": {"more": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
def test_arguments_are_held_to_their_bounds(name):
    good = {"tenant": "acme", "name": "secret/db", "value": Secret(b"x"), "expected": 0}
    with pytest.raises(BadArgument):
        checked(OPERATIONS["put_key"], {**good, **BAD[name]})


@pytest.mark.parametrize("text", ["", "-1", "1e3", "٣", "9" * 20, "0x1"])
def test_a_number_in_a_query_is_plain_digits(text):
    with pytest.raises(BadArgument):
        from_query(OPERATIONS["list_decisions"], {"before": text})


def test_the_tables_own_words_are_those_of_the_rooms_below():
    assert set(REVOCATION_KINDS) == {kind.value for kind in RevocationKind}
    assert MAX_SECRET_BYTES == secret_store.MAX_SECRET_BYTES
    assert MAX_POLICY_CHARS == MAX_POLICY_BYTES
    assert MAX_VOTE_CHARS == MAX_VOTE_BYTES
