"""One secret, one spelling: names, patterns, tenants and KBS paths."""

import pytest

from strongroom.broker.names import Pattern, SecretKind, SecretName, check_tenant, parse_kbs
from strongroom.workspace import BadSecretName

NAMES = ["model/resnet50/3", "model/a.b/1", "model/a-1/9223372036854775807", "secret/wrap_key", "tls/front.example",
         "password/db", "secret/A", f"secret/{'a' * 128}"]  # fmt: skip
PATHS = [
    ("kbs:///default/model/resnet50.3", "default", "model/resnet50/3"),
    ("acme-1/model/a.b.3", "acme-1", "model/a.b/3"),
    ("default/secret/a.3", "default", "secret/a.3"),
    ("default/tls/front.example", "default", "tls/front.example"),
]
TWISTED = [  # every one of these is somebody's second spelling of default/model/m.1
    "", "/", "//", "default/model", "default/model/", "default//m.1", "/default/model/m.1", "default/model/m.1/",
    "default/model/m.1/x", "default/model/m/1", "default/model//m.1", "./default/model/m.1", "../default/model/m.1",
    "default/./model/m.1", "default/x/../model/m.1", "default/model/..", "default/model/.m.1", "default/model/%6d.1",
    "default/model/%2e%2e", "default%2Fmodel%2Fm.1", "default/model%2fm.1", "default/model/m%2e1",
    "default/model/m%00.1", "default/model/m.1\n", "default/model/m.1 ", " default/model/m.1", "default/model/m.1\0",
    "default/model/m.01",
    "default/model/m.+1", "default/model/m.1_0", "default/model/m.0", "default/model/m.-1", "default/model/m.\u0661",
    "default/model/m.9223372036854775808", "default/model/m\u200b.1", "default/model/\uff4d.1", "default/MODEL/m.1",
    "Default/model/m.1", "DEFAULT/model/m.1", "defau\u200blt/model/m.1", "default/mode\u0131/m.1",
    "default\\model\\m.1",
    "default/model/m.1?x", "default/model/m.1#x", "default/model/m.1;x", "kbs:///kbs:///default/model/m.1",
    "kbs://default/model/m.1", "KBS:///default/model/m.1", "http://default/model/m.1", "default/nothing/m.1",
    f"default/model/{'m' * 129}.1", f"{'d' * 64}/model/m.1", "-d/model/m.1", "default/model/" + "m" * 100_000,
    "_broker/model/m.1", "default/model/é.1", "default/model/e\u0301.1",
]  # fmt: skip


@pytest.mark.parametrize("text", NAMES)
def test_a_name_reads_as_it_is_written(text):
    name = SecretName.parse(text)
    assert str(name) == text
    path = name.to_kbs("acme")
    assert parse_kbs(path) == ("acme", name)
    assert path.startswith("kbs:///acme/")


@pytest.mark.parametrize(("path", "tenant", "name"), PATHS)
def test_a_path_names_a_tenant_and_a_secret(path, tenant, name):
    assert parse_kbs(path) == (tenant, SecretName.parse(name))


@pytest.mark.parametrize("path", TWISTED)
def test_kd_18_no_path_is_decoded_folded_or_tidied(path):
    with pytest.raises(BadSecretName) as caught:
        parse_kbs(path)
    assert len(caught.value.sentence) < 400


@pytest.mark.parametrize("path", ["default/model/M.1", "default/model/m.2", "default/secret/m.1", "e/model/m.1"])
def test_kd_18_what_is_not_refused_is_another_secret(path):
    assert parse_kbs(path) != parse_kbs("default/model/m.1")


@pytest.mark.parametrize("text", ["model/m", "model/m/1/2", "model//1", "secret/a/1", "secret/", "tls", "key/a",
                                  "model/m/0", "model/m/01", "model/m/1-2", "secret/..", "secret/.a", "secret/a%",
                                  "secret/a\n", "Secret/a", "model/m/9223372036854775808", "a" * 1000])  # fmt: skip
def test_kd_18_what_is_no_name_is_refused(text):
    with pytest.raises(BadSecretName):
        SecretName.parse(text)


@pytest.mark.parametrize("make", [
    lambda: SecretName(SecretKind.MODEL, "m"), lambda: SecretName(SecretKind.SECRET, "m", 1),
    lambda: SecretName(SecretKind.MODEL, "../m", 1), lambda: SecretName(SecretKind.MODEL, "m", 0),
    lambda: Pattern(SecretKind.MODEL, "m", 3, 2),
])  # fmt: skip
def test_kd_18_a_name_that_is_put_together_follows_the_grammar_too(make):
    with pytest.raises(BadSecretName):
        make()


@pytest.mark.parametrize("text", ["", "A", "-a", "a_b", "a.b", "a" * 64, "a/b", "ä", "a\n", "_broker", "*"])
def test_a_tenant_has_a_plain_name(text):
    with pytest.raises(BadSecretName) as caught:
        check_tenant(text)
    assert "dashes" in caught.value.fix


@pytest.mark.parametrize("text", ["a", "default", "a-1", "0", "a" * 63])
def test_a_plain_name_is_a_tenants(text):
    assert check_tenant(text) == text


@pytest.mark.parametrize(("text", "low", "high"), [("model/m/2-5", 2, 5), ("model/m/2-", 2, None), ("model/m/2", 2, 2),
                                                   ("model/m-1/2-5", 2, 5)])  # fmt: skip
def test_a_pattern_spans_versions(text, low, high):
    pattern = Pattern.parse(text)
    assert (pattern.low, pattern.high, str(pattern)) == (low, high, text)
    for version in (1, 2, 3, 5, 6, 2**63 - 1):
        within = low <= version <= (high or 2**63)
        assert pattern.matches(SecretName(SecretKind.MODEL, pattern.name, version)) is within
        assert pattern.speaks_of_model(pattern.name, version) is within
    assert pattern.speaks_of_model(pattern.name, None)
    assert not pattern.speaks_of_model("other", None)
    assert not pattern.matches(SecretName.parse("model/other/3"))
    assert not pattern.matches(SecretName.parse("secret/m"))


def test_a_pattern_of_one_secret_names_it():
    assert Pattern.parse("model/m/3").single == SecretName.parse("model/m/3")
    assert Pattern.parse("model/m/3-3") == Pattern.parse("model/m/3")
    assert Pattern.parse("secret/s").single == SecretName.parse("secret/s")
    assert Pattern.parse("model/m/3-4").single is None
    assert Pattern.parse("model/m/3-").single is None


@pytest.mark.parametrize("text", ["model/m/-5", "model/m/5-2", "model/m/0-3", "model/m/1-2-3", "model/m/1--", "model/*",
                                  "model/m/*", "secret/a-*", "*", "model/m/1 - 2", "model/m/1-02"])  # fmt: skip
def test_a_pattern_is_no_wildcard(text):
    with pytest.raises(BadSecretName):
        Pattern.parse(text)


@pytest.mark.parametrize(("wide", "narrow", "covered"), [
    ("model/m/2-5", "model/m/3", True), ("model/m/2-5", "model/m/2-5", True), ("model/m/2-", "model/m/7-", True),
    ("model/m/2-5", "model/m/5-6", False), ("model/m/2-5", "model/m/3-", False), ("model/m/2-", "model/m/1-3", False),
    ("model/m/2-", "model/n/3", False), ("secret/m", "secret/m", True), ("secret/m", "tls/m", False),
])  # fmt: skip
def test_a_pattern_covers_what_lies_within_it(wide, narrow, covered):
    assert Pattern.parse(wide).covers(Pattern.parse(narrow)) is covered
