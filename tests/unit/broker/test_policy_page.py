"""docs/policy.md names every word of policy.toml as the table of words does: what it takes, its default, an example."""

import re
import tomllib
from pathlib import Path

import pytest

from strongroom.attestation import PolicyCode
from strongroom.attestation.policy.contradictions import DENY_LISTS
from strongroom.broker import release
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import words as policy_words
from strongroom.broker.policy.words import BY_NAME, FILE_WORDS, IDENTITY_KINDS, LIMIT_WORDS, RULE_ONLY, WORDS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
HEX, SIGNER, TD = "ab" * 32, "cd" * 32, "da" * 48
IDENTITIES = {
    "enclave": f'mrenclave = "{HEX}"',
    "domain": f'mrtd = "{TD}"\nrtmr1 = "{TD}"',
}
NEEDS = {
    "accepted_tcb_status": "", "platform_grace_period_seconds": 'accepted_tcb_status = ["UpToDate", "OutOfDate"]',
    "required": "allow_smt_enabled = false",
}  # fmt: skip


def shown_default(word):
    if word.default is None:
        return word.unnamed
    default = f"`{word.kind.write(word.default)}`"
    return default if word.lenient is None else f"{default}; without a profile `{word.kind.write(word.lenient)}`"


def row(word):
    """The row of the page for a word."""
    example = word.example if len(word.example) <= 60 else f"{word.example[:24]}…{word.example[-9:]}"
    return f"| `{word.name}` | {word.kind.takes} | {shown_default(word)} | {word.about} | `{example}` |"


@pytest.mark.parametrize("word", [*WORDS, *LIMIT_WORDS], ids=lambda word: word.name)
def test_the_page_has_the_row_of_every_word(word):
    assert row(word) in PAGE


@pytest.mark.parametrize("word", [*IDENTITY_KINDS, *RULE_ONLY, *FILE_WORDS])
def test_the_page_names_every_other_word(word):
    assert f"`{word}`" in PAGE


def test_the_page_names_no_word_that_there_is_not():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    known = {*BY_NAME, *(word.name for word in LIMIT_WORDS), *IDENTITY_KINDS, *RULE_ONLY, *FILE_WORDS}
    assert set(rows) - {code.value for code in PolicyCode} <= known
    assert len(rows) == len(set(rows)) + len({"platforms", *DENY_LISTS})


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.name)
def test_every_example_is_understood(word):
    domain = word in policy_words.DOMAIN_WORDS
    identity = IDENTITIES["domain" if domain else "enclave"]
    identity = "\n".join(line for line in identity.splitlines() if not line.startswith(f"{word.name} "))
    value = word.name.removesuffix("_mask")
    beside = f"{value} = {masked(word)}" if word.name.endswith("_mask") else NEEDS.get(word.name, "")
    lines = ["version = 1", "[[rule]]", 'name = "x"', 'release = "model/m/1"', identity, beside]
    text = "\n".join([*lines, f"{word.name} = {word.example}", ""])
    [rule] = policy_file.parse(text if word.name != "rtmr1" else text + f'rtmr2 = "{TD}"\n').rules
    assert policy_words.value_of(word, rule.policy) is not None


@pytest.mark.parametrize("word", LIMIT_WORDS, ids=lambda word: word.name)
def test_every_limits_example_is_understood(word):
    lines = ["version = 1", "[[rule]]", 'name = "x"', 'release = "model/m/1-"', IDENTITIES["enclave"]]
    [rule] = policy_file.parse("\n".join([*lines, f"{word.name} = {word.example}", ""])).rules
    assert policy_words.value_of(word, rule.limits) == word.kind.read(tomllib.loads(f"x = {word.example}")["x"])


def masked(word):
    """Bits that lie within the example of a mask."""
    mask = bytes.fromhex(tomllib.loads(f"x = {word.example}")["x"])
    example = bytes.fromhex(tomllib.loads(f"x = {BY_NAME[word.name.removesuffix('_mask')].example}")["x"])
    return f'"{bytes(bit & kept for bit, kept in zip(example, mask, strict=True)).hex()}"'


BLOCKS = [each for each in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "[[rule]]" in each]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_policy_on_the_page_is_one(block):
    assert policy_file.parse(block).rules


def test_the_page_names_every_code_of_a_refusal():
    assert [code for code in PolicyCode if code.value not in PAGE] == []
    assert [entry.code for entry in release.entries() if entry.code not in PAGE] == []


SHIPPED = [
    (path.name, number, text)
    for path in sorted((Path(__file__).resolve().parents[3]).glob("docs/*.md"))
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S))
    if "[[rule]]" in text
]


@pytest.mark.parametrize(("page", "number", "text"), SHIPPED)
def test_id_14_every_policy_that_is_shipped_speaks_of_what_there_is(page, number, text):
    assert policy_file.parse(text).rules, (page, number)


@pytest.mark.parametrize("word", sorted(policy_words.ALL_RULE_WORDS))
def test_id_14_a_word_with_a_typo_is_refused(word):
    base = f'version = 1\n[[rule]]\nname = "x"\nrelease = "model/m/1"\n{IDENTITIES["enclave"]}\n'
    for typo in (word + "s", word[:-1], word.upper(), word.replace("_", "-")):
        if typo in policy_words.ALL_RULE_WORDS:
            continue
        with pytest.raises(policy_file.PolicyFileMalformed, match="unknown word"):
            policy_file.parse(f"{base}{typo} = 1\n")


@pytest.mark.parametrize("typo", ["accepted_tcb_statuses", "reserve", "attribute", "config", "tcb_status"])
def test_id_14_a_rule_that_is_named_in_a_list_has_to_exist(typo):
    base = f'version = 1\n[[rule]]\nname = "x"\nrelease = "model/m/1"\n{IDENTITIES["enclave"]}\n'
    for word in ("accept_unknown", "required"):
        with pytest.raises(policy_file.PolicyFileMalformed):
            policy_file.parse(f'{base}allow_smt_enabled = false\n{word} = ["{typo}"]\n')
