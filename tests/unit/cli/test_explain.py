"""`strongroom explain`: every code that a person may meet has a meaning and something to do."""

import json

import pytest

from strongroom.attestation import PolicyCode
from strongroom.attestation.codes import EvidenceCode
from strongroom.attestation.policy import meanings
from strongroom.broker import release
from strongroom.broker.policy import words as policy_words
from strongroom.cli import main


def test_every_code_of_policy_has_one_meaning_and_something_to_do():
    found = list(meanings.entries())
    assert [entry.code for entry in found] == [code.value for code in PolicyCode]
    assert len({entry.meaning for entry in found}) == len(found)
    assert all(text.endswith(".") for entry in found for text in (entry.meaning, entry.fix))


def test_words_that_a_meaning_names_are_words_of_a_policy():
    known = policy_words.ALL_RULE_WORDS | set(policy_words.FILE_WORDS)
    texts = " ".join(f"{entry.meaning} {entry.fix}" for entry in meanings.entries())
    words = {word.strip(".,;:()") for word in texts.split() if "_" in word}
    assert {word for word in words if word.islower()} <= known


@pytest.mark.parametrize(
    "code", ["POLICY_DEBUG", "policy_smt_enabled", "PLATFORM_NOT_ENROLLED", *EvidenceCode, release.NO_RULES,
             release.RULES_AMBIGUOUS, release.NOT_FRESH]
)  # fmt: skip
def test_a_code_is_explained_under_the_name_that_a_refusal_has(code, capsys):
    assert main(["explain", code]) == 0
    out = capsys.readouterr().out
    assert out.startswith(code.upper())
    assert "what to do: " in out


def test_without_a_code_all_are_listed(capsys):
    assert main(["explain", "--json"]) == 0
    listed = {entry["code"] for entry in json.loads(capsys.readouterr().out)}
    assert {*PolicyCode, *EvidenceCode, "SR-POLICY-FILE", release.NOT_FRESH} <= listed


def test_the_list_for_people_has_a_line_for_each_code(capsys):
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0].isupper() and line.endswith(".") for line in lines)
    assert len(lines) > len(PolicyCode) + len(EvidenceCode)


def test_a_code_that_is_not_there_brings_up_those_like_it(capsys):
    assert main(["explain", "smt"]) == 1
    assert "Did you mean POLICY_SMT_ENABLED?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "family"),
    [("CRL_EXPIRED", "refused"), ("SR-CRL-EXPIRED", "refused"), ("INVALID_QUOTE_SIGNATURE", "tampered")],
)
def test_what_is_only_outdated_is_not_called_tampered(code, family, capsys):
    assert main(["explain", code]) == 0
    assert capsys.readouterr().out.startswith(f"{code} ({family})")
