"""`policy propose`, `approve` and `history`; and what `trust`, `lint`, `show` and `test` say of several secrets."""

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.policy import file as policy_file
from strongroom.cli import main
from strongroom.pki import disk
from strongroom.pki.signing import public_pem, signer_pem
from strongroom.workspace import Workspace

ENCLAVE = "ab" * 32
STRICT = f'version = 1\n[[rule]]\nname = "one"\nrelease = "model/m/1"\nmrenclave = "{ENCLAVE}"\n'
LOOSE = STRICT + "allow_debug = true\n"
SEVERAL = f'version = 1\n[[rule]]\nname = "all"\nrelease = ["model/m/2-", "secret/s"]\nmrenclave = "{ENCLAVE}"\n'


@pytest.fixture
def owner(tmp_path):
    return Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))


@pytest.fixture
def run(owner, capsys):
    def call(*words, status=0):
        assert main([*map(str, words), "--workspace", str(owner.folder)]) == status
        return capsys.readouterr()

    return call


@pytest.fixture
def guarded(owner, tmp_path, run):
    """Two owners have to agree; the strict policy is in force. Returns the files of their private keys."""
    files = []
    for name in "ab":
        key = Ed25519PrivateKey.generate()
        disk.write_secret(tmp_path / f"{name}.key", signer_pem(key))
        (owner.folder / f"{name}.pem").write_bytes(public_pem(key.public_key()))
        files.append(tmp_path / f"{name}.key")
    settings = owner.folder / "strongroom.toml"
    text = settings.read_text().replace(
        "[broker]\n", '[broker]\nowners = ["a.pem", "b.pem"]\nweakening_votes = 2\n', 1
    )  # fmt: skip
    settings.write_text(text)
    owner.policy_path.write_text(STRICT)
    run("policy", "history")
    return files


@pytest.fixture
def loose(tmp_path):
    path = tmp_path / "loose.toml"
    path.write_text(LOOSE)
    return path


def states(run, *words):
    return [each["state"] for each in json.loads(run("policy", "history", "--json", *words).out)]


def test_sa_08_a_policy_that_admits_more_takes_two_owners(run, guarded, loose, owner):
    out = run("policy", "propose", loose, "--key", guarded[0]).out
    assert "version 2 is proposed" in out
    assert "1 of 2 owners' signatures" in out
    assert states(run) == ["proposed", "in force"]
    shown = run("policy", "approve", 2)
    assert "allow_debug: was false, is true (wider)" in shown.out
    assert "nothing was signed" in shown.err
    done = run("policy", "approve", 2, "--key", guarded[1])
    assert "you agree to: rule 'one' admits more" in done.err
    assert "version 2 is in force" in done.out
    assert states(run) == ["in force", "replaced"]
    assert owner.policy_path.read_text() == LOOSE


def test_sa_09_the_same_owner_twice_is_one(run, guarded, loose):
    run("policy", "propose", loose, "--key", guarded[0])
    assert json.loads(run("policy", "approve", 2, "--key", guarded[0], "--json").out)["proposed"] == 2


def test_a_policy_that_admits_less_is_in_force_at_once(run, guarded, tmp_path):
    strict = tmp_path / "strict.toml"
    strict.write_text(STRICT + "require_fresh = true\n")
    out = run("policy", "propose", strict).out
    assert "version 2 is in force" in out
    assert "it newly refuses: rule 'one' admits less" in out


def test_a_vote_goes_by_file_from_an_owner_elsewhere(run, guarded, loose, owner, tmp_path):
    run("policy", "propose", loose)
    strict = tmp_path / "strict.toml"
    strict.write_text(STRICT)
    for number, key in enumerate(guarded):
        vote = tmp_path / f"vote-{number}.json"
        if number:
            run("policy", "approve", 2, "--key", key, "--out", vote)
        else:
            run("policy", "approve", 2, "--new", loose, "--old", strict, "--key", key, "--out", vote)
        out = run("policy", "approve", 2, "--vote", vote).out
    assert "version 2 is in force" in out
    assert run("policy", "history", 2, "--text").out == LOOSE
    assert "newly admitted:" in run("policy", "history", 2).out
    assert "newly admitted:" in run("policy", "history", 1).out


def test_sa_09_a_vote_for_something_else_is_refused(run, guarded, loose, tmp_path):
    run("policy", "propose", loose)
    vote = tmp_path / "vote.json"
    run("policy", "approve", 2, "--new", loose, "--old", loose, "--key", guarded[0], "--out", vote)
    assert "SR-VOTE-REFUSED" in run("policy", "approve", 2, "--vote", vote, status=3).err


def test_sa_09_a_key_that_others_can_read_signs_nothing(run, guarded, loose):
    run("policy", "propose", loose)
    guarded[0].chmod(0o644)
    run("policy", "approve", 2, "--key", guarded[0], status=3)


@pytest.mark.parametrize("words", [
    [], ["x"], ["0"], ["2", "--key", "k", "--vote", "v"], ["2", "--new", "n"],
    ["2", "--new", "n", "--old", "o", "--key", "k", "--out", "v", "--vote", "w"],
])  # fmt: skip
def test_words_that_do_not_go_together_are_misuse(run, words):
    assert "SR-MISUSE" in run("policy", "approve", *words, status=1).err


def test_an_unknown_version_is_said_to_be_none(run):
    assert "SR-POLICY-VERSION" in run("policy", "history", 9, status=2).err


def test_a_broken_file_is_not_proposed(run, tmp_path):
    (tmp_path / "broken.toml").write_text("version = 2")
    assert "SR-POLICY-FILE" in run("policy", "propose", tmp_path / "broken.toml", status=2).err


# Several secrets and limits ---------------------------------------------------------------------------------------


def test_trust_writes_several_secrets_and_limits(run, owner):
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", "model/m/2-5", "--release", "secret/s", "--max-leases",
        "8", "--lease-seconds", "60", "--until", "2027-01-31", "--min-model-version", "3", "--secret-format",
        "hex32z")  # fmt: skip
    [rule] = policy_file.parse(owner.policy_path.read_text()).rules
    assert rule.release == "model/m/2-5, secret/s"
    limits = rule.limits
    assert (limits.max_leases, limits.lease_seconds, limits.min_model_version) == (8, 60, 3)
    assert limits.secret_format == "hex32z"
    assert limits.until == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(("option", "value"), [("--max-leases", "0"), ("--lease-seconds", "9"), ("--until", "soon"),
                                               ("--lease-seconds", "86401"), ("--min-model-version", "x = 1"),
                                               ("--secret-format", "hex"), ("--secret-format", 'raw16"\nx = "'),
                                               ("--max-leases", "1\nallow_debug = true")])  # fmt: skip
def test_trust_takes_limits_as_the_file_does(run, owner, option, value):
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", "model/m/1-", option, value, status=1)
    assert policy_file.parse(owner.policy_path.read_text()).rules == ()


@pytest.mark.parametrize("name", ["model/m", "model/m/0", "model/m/5-2", "secret/../x", "key/x", "model/m/*"])
def test_kd_18_trust_takes_no_other_spelling(run, name):
    assert f"--release is {name!r}" in run("policy", "trust", "--mrenclave", ENCLAVE, "--release", name, status=1).err


def test_lint_says_which_clients_can_use_which_rule(run, owner):
    single = f'[[rule]]\nname = "one"\nrelease = "model/m/2"\nmrenclave = "{ENCLAVE}"\n'
    owner.policy_path.write_text(SEVERAL + single)
    lines = run("policy", "lint").out.splitlines()
    assert "clients of Gramine's protocol can use 'one'" in lines
    assert "only KBS clients can use 'all'" in lines
    assert "  careful: a program that fulfils 'all' too gets nothing over Gramine's protocol" in lines
    assert "  careful: there is no secret secret/s in the workspace" in lines
    owner.policy_path.write_text("version = 1\n" + single)
    assert "clients of Gramine's protocol and of KBS can use every rule" in run("policy", "lint").out
    owner.policy_path.write_text("version = 1\n" + single + "require_fresh = true\n")
    assert "  only clients that answer a nonce (KBS) can use it" in run("policy", "lint").out.splitlines()
    assert json.loads(run("policy", "lint", "--json").out)["clients"][0].endswith("can use none of the rules")


def test_show_spells_out_every_limit(run, owner):
    owner.policy_path.write_text(SEVERAL + "max_leases = 3\n")
    out = run("policy", "show").out
    assert 'release = ["model/m/2-", "secret/s"]' in out
    assert "max_leases = 3\n" in out
    assert "lease_seconds = 600  # default" in out
    assert "# until: no end" in out
    assert policy_file.parse(out).rules == policy_file.parse(owner.policy_path.read_text()).rules
