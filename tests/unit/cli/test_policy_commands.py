"""`policy trust`, `policy import` and `policy lint`: what they write, what they say, and that errors write nothing."""

import json
from datetime import UTC, datetime

import pytest

from strongroom.broker.policy import file as policy_file
from strongroom.cli import main
from strongroom.secret import Secret
from strongroom.workspace import Workspace

MODEL = "model/m/1"
ENCLAVE, SIGNER = "ab" * 32, "cd" * 32
MEASURED = {"mr_enclave": ENCLAVE, "mr_signer": SIGNER, "isv_prod_id": 7, "isv_svn": 3, "debug": False}
SAMPLE_KEY = bytes.fromhex("dda09c7c52359c9b" + "c4e51982b97dd7fe")  # published in the CCZoo repository


@pytest.fixture
def owner(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    workspace.secrets.put(MODEL, Secret(bytes(range(16))))
    return workspace


@pytest.fixture
def run(owner, capsys):
    def call(*words, status=0):
        assert main([*words, "--workspace", str(owner.folder)]) == status
        return capsys.readouterr()

    return call


@pytest.fixture
def json_file(tmp_path):
    def write(content):
        path = tmp_path / "input.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def rules_of(owner):
    return policy_file.parse(owner.policy_path.read_text()).rules


def ra_config(**changes):
    entry = {"mr_enclave": ENCLAVE, "mr_signer": SIGNER, "isv_prod_id": "7", "isv_svn": "3"}
    switches = {f"verify_{field}": "on" for field in entry}
    return {**switches, "mrs": [entry], **changes}


# policy trust ----------------------------------------------------------------------------------------------------


def test_trust_writes_one_strict_rule(run, owner):
    out, err = run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL)
    [rule] = rules_of(owner)
    assert (rule.policy.mrenclave.hex(), rule.release) == (ENCLAVE, MODEL)
    assert rule.policy.trust_domains == {"intel"}
    assert "releases model/m/1 to code with mrenclave abab" in out
    assert err == ""


def test_trust_takes_what_sim_measure_prints(run, owner, json_file):
    out, _ = run("policy", "trust", "--measurement", json_file(MEASURED), "--release", MODEL, "--trust-domain",
                 "simulated", "--json")  # fmt: skip
    result = json.loads(out)
    assert result["added"]
    assert result["secret_present"]
    assert rules_of(owner)[0].policy.trust_domains == {"simulated"}
    assert rules_of(owner)[0].name == result["rule"]


def test_trust_takes_what_gramines_sigstruct_view_prints(run, owner, json_file):
    view = {**MEASURED, "debug_enclave": False, "date": "2023-04-14"}
    run("policy", "trust", "--measurement", json_file(view), "--by-signer", "--release", MODEL)
    [rule] = rules_of(owner)
    assert (rule.policy.mrsigner.hex(), rule.policy.isvprodid, rule.policy.min_isvsvn) == (SIGNER, 7, 3)


def test_trust_takes_a_signer_with_product_and_svn(run, owner):
    run("policy", "trust", "--mrsigner", SIGNER, "--isvprodid", "0", "--min-isvsvn", "0", "--release", MODEL)
    assert rules_of(owner)[0].policy.isvprodid == 0


def test_trust_twice_is_one_rule(run, owner):
    for said in ("written to", "such a rule is there"):
        assert said in run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL).out
    assert len(rules_of(owner)) == 1


def test_trust_keeps_what_the_owner_wrote(run, owner):
    owner.policy_path.write_text(owner.policy_path.read_text() + "# my own words")
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, "--name", "one")
    run("policy", "trust", "--mrenclave", SIGNER, "--release", MODEL, "--name", "one")
    assert "# my own words\n" in owner.policy_path.read_text()
    assert [rule.name for rule in rules_of(owner)] == ["one", "one (2)"]


def test_trust_says_when_the_secret_is_not_there_yet(run):
    assert (
        "there is no secret model/m/2" in run("policy", "trust", "--mrenclave", ENCLAVE, "--release", "model/m/2").err
    )


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--mrenclave", "any"], 1, "SR-MISUSE"),
        (["--mrenclave", "00" * 32], 1, "SR-MISUSE"),
        (["--mrenclave", ENCLAVE[2:]], 1, "SR-MISUSE"),
        (["--mrsigner", SIGNER], 1, "SR-MISUSE"),
        (["--mrsigner", SIGNER, "--isvprodid", "1"], 1, "SR-MISUSE"),
        (["--mrsigner", SIGNER, "--isvprodid", "1", "--min-isvsvn", "65536"], 1, "SR-MISUSE"),
        (["--mrenclave", ENCLAVE, "--mrsigner", SIGNER], 1, "SR-MISUSE"),
        ([], 1, "SR-MISUSE"),
        (["--mrenclave", ENCLAVE, "--name", 'a"b'], 2, "SR-POLICY-FILE"),
        (["--measurement", "/nonexistent"], 2, "SR-FILE"),
    ],
)
def test_trust_refuses_what_is_no_build(run, owner, words, status, code):
    before = owner.policy_path.read_bytes()
    assert f"[{code}]" in run("policy", "trust", *words, "--release", MODEL, status=status).err
    assert owner.policy_path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"mr_enclave": 1}',
        {**MEASURED, "debug": True}, {**MEASURED, "debug": "no"}, {**MEASURED, "debug_enclave": True},
        {**MEASURED, "mr_enclave": "any"}, {**MEASURED, "mr_signer": "00" * 32},
        {**MEASURED, "isv_svn": "3"}, {**MEASURED, "isv_prod_id": 65536}, {**MEASURED, "isv_svn": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_measurement_file_is_read_strictly(run, owner, json_file, content):
    err = run("policy", "trust", "--measurement", json_file(content), "--release", MODEL, status=2).err
    assert "[SR-MEASUREMENT]" in err
    assert rules_of(owner) == ()


def test_trust_refuses_a_second_secret_for_one_build(run, owner):
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL)
    err = run("policy", "trust", "--mrenclave", ENCLAVE, "--release", "model/m/2", status=2).err
    assert "different secrets" in err
    assert len(rules_of(owner)) == 1


def test_trust_does_not_touch_a_broken_policy(run, owner):
    owner.policy_path.write_text("broken")
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, status=2)
    assert owner.policy_path.read_text() == "broken"


# policy import ---------------------------------------------------------------------------------------------------


def test_import_writes_a_rule_per_entry_and_says_what_changed(run, owner, json_file):
    out, err = run("policy", "import", json_file(ra_config()), "--release", MODEL)
    [rule] = rules_of(owner)
    assert (rule.name, rule.release) == ("import-1", MODEL)
    assert rule.policy.mrenclave.hex() == ENCLAVE
    assert (rule.signature.mrsigner.hex(), rule.signature.min_isvsvn) == (SIGNER, 3)
    assert "1 rules written" in out
    assert "isv_svn is a minimum" in err


def test_import_keeps_unenforced_values_as_comments(run, owner, json_file):
    _, err = run("policy", "import", json_file(ra_config(verify_mr_signer="off")), "--release", MODEL, "--svn-exact")
    assert f"# not enforced: mr_signer = '{SIGNER}'" in owner.policy_path.read_text()
    assert "present but not enforced" in err
    assert rules_of(owner)[0].signature.max_isvsvn == 3


def test_a_dry_run_shows_the_table_and_writes_nothing(run, owner, json_file):
    before = owner.policy_path.read_bytes()
    out, _ = run("policy", "import", json_file(ra_config()), "--dry-run")
    assert f"import-1  mrenclave {ENCLAVE}, mrsigner {SIGNER}, isvprodid 7, min_isvsvn 3  ->  secret/wrap_key" in out
    assert "nothing was written" in out
    assert owner.policy_path.read_bytes() == before


def test_a_dry_run_needs_no_workspace(json_file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["policy", "import", json_file(ra_config()), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] is False


def test_import_without_a_workspace_writes_a_policy_file(json_file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["policy", "import", json_file(ra_config()), "--out", "policy.toml", "--trust-domain", "simulated"]) == 0
    )
    [rule] = policy_file.parse((tmp_path / "policy.toml").read_text()).rules
    assert rule.release == "secret/wrap_key"
    assert rule.policy.trust_domains == {"simulated"}


def test_import_takes_the_wrap_key_over(run, owner, json_file, tmp_path):
    (tmp_path / "wrap_key").write_bytes(bytes(range(100, 116)))
    run("policy", "import", json_file(ra_config()), "--wrap-key", str(tmp_path / "wrap_key"))
    with owner.secrets.get("secret/wrap_key").reveal() as raw:
        assert raw == bytes(range(100, 116))
    assert rules_of(owner)[0].release == "secret/wrap_key"


@pytest.mark.parametrize("weak", [SAMPLE_KEY, bytes(16)], ids=["published sample", "all zero"])
def test_kd_02_a_weak_key_is_not_imported(run, owner, json_file, tmp_path, weak):
    (tmp_path / "wrap_key").write_bytes(weak)
    for words in (["--dry-run"], []):
        words += ["--wrap-key", str(tmp_path / "wrap_key")]
        assert "[SR-WEAK-KEY]" in run("policy", "import", json_file(ra_config()), *words, status=3).err
    assert rules_of(owner) == ()
    assert owner.secrets.names() == (MODEL,)


def test_kd_02_a_weak_key_in_the_workspace_gets_no_rules(run, owner, json_file):
    (owner.folder / "keys" / "model" / "m" / "1").write_bytes(SAMPLE_KEY)
    assert "[SR-WEAK-KEY]" in run("policy", "import", json_file(ra_config()), "--release", MODEL, status=3).err
    assert rules_of(owner) == ()


@pytest.mark.parametrize(
    "content",
    ["", "{", ra_config(verify_mr_enclave="ON"), ra_config(mrs=[]), ra_config(mrs=[{}]), ra_config(extra=1)],
    ids=["empty", "torn", "ON", "no entries", "empty entry", "unknown key"],
)
def test_id_04_an_import_that_fails_writes_nothing(run, owner, json_file, content):
    before = owner.policy_path.read_bytes()
    captured = run("policy", "import", json_file(content), status=2)
    assert captured.out == ""
    assert "[SR-RA-CONFIG]" in captured.err
    assert owner.policy_path.read_bytes() == before


def test_an_import_that_contradicts_the_policy_writes_nothing(run, owner, json_file, tmp_path):
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL)
    (tmp_path / "wrap_key").write_bytes(bytes(range(100, 116)))
    run("policy", "import", json_file(ra_config()), "--wrap-key", str(tmp_path / "wrap_key"), status=2)
    assert len(rules_of(owner)) == 1
    assert owner.secrets.names() == (MODEL,)


def test_more_than_100_entries_need_max(run, owner, json_file):
    entries = [{**ra_config()["mrs"][0], "mr_enclave": f"{number:064x}"} for number in range(1, 102)]
    run("policy", "import", json_file(ra_config(mrs=entries)), "--release", MODEL, status=2)
    run("policy", "import", json_file(ra_config(mrs=entries)), "--release", MODEL, "--max", "101")
    assert len(rules_of(owner)) == 101


def test_a_key_goes_into_a_workspace_only(run, json_file, tmp_path):
    err = run("policy", "import", json_file(ra_config()), "--out", "x.toml", "--wrap-key", "k", status=1).err
    assert "[SR-MISUSE]" in err


# policy lint -----------------------------------------------------------------------------------------------------


def test_lint_says_that_a_fresh_policy_releases_nothing(run):
    assert "no rules, so nothing is released" in run("policy", "lint").out


def test_lint_says_what_rules_admit_and_what_weakens_them(run, owner):
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", "model/m/2", "--trust-domain", "simulated")
    out = run("policy", "lint").out
    assert "careful: the simulated platform" in out
    assert "careful: there is no secret model/m/2" in out
    listed = json.loads(run("policy", "lint", "--json").out)
    assert listed["rules"][0]["release"] == "model/m/2"


def test_lint_refuses_a_broken_file_with_its_place(run, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(f'version = 1\n[[rule]]\nname = "a"\nrelease = "{MODEL}"\nmrenclave = "any"\n')
    assert "rule 1 ('a'): 'mrenclave' is 'any'" in run("policy", "lint", str(path), status=2).err


def test_trust_says_that_usual_servers_are_refused_and_admits_them_when_told(owner, run):
    out, _ = run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, "--name", "strict")
    assert "refuses platforms" in out
    assert "most servers in clouds are so; allow_dynamic_platform = true and" in out
    words = ("--allow", "smt-enabled", "--allow", "dynamic-platform")
    out, _ = run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, "--name", "cloud", *words)
    _, cloud = policy_file.parse(owner.policy_path.read_text()).rules
    policy = cloud.policy
    flags = (policy.allow_smt_enabled, policy.allow_dynamic_platform, policy.allow_cached_keys)
    assert flags == (True, True, False)
    run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, "--allow", "debug", status=1)


def test_the_simulated_platform_has_none_of_these_flags_and_no_note_is_made(run):
    out, _ = run("policy", "trust", "--mrenclave", ENCLAVE, "--release", MODEL, "--trust-domain", "simulated")
    assert "refuses platforms" not in out
