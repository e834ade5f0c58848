"""`policy show`, `policy test` and `policy diff`, and what `policy trust` takes: files of every kind, judged again."""

import json
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from strongroom.attestation import Collateral, TcbStatus, Tee, parse_quote
from strongroom.attestation.recorded import RecordedEvidence
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import text as policy_text_of
from strongroom.cli import main
from strongroom.gramine import sigstruct
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.platforms.simulated.hardware import Rehearsal
from strongroom.platforms.simulated.identities import TdIdentity
from strongroom.workspace import Workspace

MODEL = "model/m/1"
NOW = datetime.now(UTC).replace(microsecond=0)
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
DOMAIN = TdIdentity(mr_td=b"\xda" * 48, rtmrs=tuple(bytes([number]) * 48 for number in range(4)))
BY_ENCLAVE = f'mrenclave = "{"e1" * 32}"\ntrust_domains = ["simulated"]'


def policy_text(identity=BY_ENCLAVE, extra="", *, name="one", release=MODEL):
    return f'version = 1\n[[rule]]\nname = "{name}"\nrelease = "{release}"\n{identity}\n{extra}\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW - timedelta(days=1))


@pytest.fixture
def root(world, tmp_path):
    path = tmp_path / "root.der"
    path.write_bytes(world.root_der)
    return str(path)


@pytest.fixture
def recorded(world, tmp_path):
    """Write a recorded file of an identity, under collateral of some rehearsal."""

    def write(identity=ENCLAVE, name="one", *, folder="evidence", **rehearsal):
        tee = Tee.TDX if isinstance(identity, TdIdentity) else Tee.SGX
        collateral = world.collateral(NOW, Rehearsal(**rehearsal), tee=tee)
        quote = world.quote(identity, bytes(64))
        path = tmp_path / folder / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(RecordedEvidence(quote=quote, collateral=collateral, at=NOW).to_json())
        return str(path)

    return write


@pytest.fixture
def policy(tmp_path):
    def write(text, name="policy.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def run(capsys):
    def call(*words, status=0):
        assert main([str(word) for word in words]) == status, capsys.readouterr()
        return capsys.readouterr().out

    return call


# policy test -----------------------------------------------------------------------------------------------------


def test_recorded_evidence_is_accepted_or_refused_with_reasons(run, recorded, policy, root):
    file = recorded()
    assert "releases model/m/1" in run("policy", "test", file, "--policy", policy(policy_text()), "--root", root)
    other = policy(policy_text(BY_ENCLAVE.replace("e1", "0f")))
    out = run("policy", "test", file, "--policy", other, "--root", root, status=3)
    assert "REFUSED" in out
    assert f"[POLICY_MRENCLAVE] mrenclave: {'e1' * 32}; expected {'0f' * 32}" in out


def test_a_trust_domain_is_judged_by_its_rule(run, recorded, policy, root):
    file = recorded(DOMAIN)
    registers = "\n".join(f'rtmr{number} = "{value.hex()}"' for number, value in enumerate(DOMAIN.rtmrs))
    identity = f'mrtd = "{"da" * 48}"\n{registers}\ntrust_domains = ["simulated"]'
    out = run("policy", "test", file, "--policy", policy(policy_text(identity)), "--root", root, "--checks")
    assert "releases model/m/1" in out
    assert "pass    require_sept_ve_disable: SEPT_VE_DISABLE set" in out
    out = run("policy", "test", file, "--policy", policy(policy_text()), "--root", root, status=3)
    assert "[POLICY_TEE]" in out


def test_json_lists_every_check_with_its_outcome(run, recorded, policy, root):
    out = run("policy", "test", recorded(), "--policy", policy(policy_text()), "--root", root, "--json")
    [found] = json.loads(out)["evidence"]
    assert found["released"] == MODEL
    [rule] = found["rules"]
    assert rule["accepted"]
    outcomes = {check["name"]: check["outcome"] for check in rule["checks"]}
    assert outcomes["mrenclave"] == "pass"
    assert outcomes["max_evidence_age_seconds"] == "unknown"


def test_one_refused_piece_refuses_and_unsound_evidence_is_told_apart(run, recorded, policy, root, tmp_path):
    good, out_of_date = recorded(), recorded(name="two", status=TcbStatus.OUT_OF_DATE)
    text = policy(policy_text())
    out = run("policy", "test", good, out_of_date, "--policy", text, "--root", root, status=3)
    assert "releases model/m/1" in out
    assert "[POLICY_TCB_STATUS]" in out
    out = run("policy", "test", good, "--policy", text, status=3)  # without the simulated root
    assert "the evidence does not hold" in out
    assert "[SR-SIMULATED-EVIDENCE]" in out
    [found] = json.loads(run("policy", "test", good, "--policy", text, "--json", status=3))["evidence"]
    assert (found["released"], found["error"]["code"]) == (None, "SR-SIMULATED-EVIDENCE")


def test_raw_quotes_come_with_their_collateral(run, world, policy, root, tmp_path):
    quote, collateral = tmp_path / "quote.bin", tmp_path / "collateral.json"
    quote.write_bytes(world.quote(ENCLAVE, bytes(64)))
    collateral.write_text(world.collateral(NOW).to_json())
    text = policy(policy_text())
    run("policy", "test", quote, "--policy", text, "--root", root, "--collateral", collateral)
    run("policy", "test", quote, "--policy", text, "--root", root, "--collateral", collateral,
        "--at", int((NOW + timedelta(days=8)).timestamp()), status=3)  # fmt: skip
    run("policy", "test", quote, "--policy", text, "--root", root, status=1)


def test_a_rule_may_be_asked_alone_and_freshness_assumed(run, recorded, policy, root):
    fresh = policy(policy_text(extra="require_fresh = true"))
    words = ("policy", "test", recorded(), "--policy", fresh, "--root", root)
    assert "[EVIDENCE_NOT_FRESH]" in run(*words, status=3)
    run(*words, "--fresh", "--rule", "one")
    run(*words, "--rule", "two", status=1)


def test_the_workspace_gives_policy_and_roots(run, recorded, world, tmp_path):
    owner = Workspace.create(tmp_path / "workspace", now=NOW)
    owner.anchors_folder.mkdir(parents=True, exist_ok=True)
    (owner.anchors_folder / "simulated.der").write_bytes(world.root_der)
    owner.policy_path.write_text(policy_text())
    run("policy", "test", recorded(), "--workspace", owner.folder)


# policy diff -----------------------------------------------------------------------------------------------------


def test_a_policy_that_admits_more_exits_with_a_status_of_its_own(run, policy):
    old, new = policy(policy_text(), "old"), policy(policy_text(extra="allow_debug = true"), "new")
    out = run("policy", "diff", old, new, status=5)
    assert "newly admitted:\n  rule 'one' admits more than before\n    allow_debug: was false, is true (wider)" in out
    assert "newly refused:\n  rule 'one' admits less than before" in run("policy", "diff", new, old)
    assert run("policy", "diff", old, old) == "both policies admit the same\n"


def test_evidence_is_judged_under_both(run, recorded, policy, root, tmp_path):
    recorded(), recorded(name="outdated", status=TcbStatus.OUT_OF_DATE)
    recorded(EnclaveIdentity(mr_enclave=b"\x0f" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3), name="other")
    old = policy(policy_text(), "old")
    new = policy(policy_text(extra='accepted_tcb_status = ["UpToDate", "OutOfDate"]'), "new")
    words = ("--evidence", tmp_path / "evidence", "--root", root)
    out = run("policy", "diff", old, new, *words, status=5)
    assert "outdated.json: newly released model/m/1 (before: nothing)" in out
    assert "3 pieces of evidence judged under both, 2 as before" in out
    assert "outdated.json: no longer released model/m/1" in run("policy", "diff", new, old, *words)
    found = json.loads(run("policy", "diff", old, new, *words, "--json", status=5))
    assert found["wider"]
    assert {each["file"]: each["change"] for each in found["evidence"]} == {
        "one.json": "released", "outdated.json": "admitted", "other.json": "refused"
    }  # fmt: skip
    assert found["admits"][0]["words"][0] == {
        "word": "accepted_tcb_status", "change": "wider", "before": '["UpToDate"]',
        "after": '["OutOfDate", "UpToDate"]',
    }  # fmt: skip


def test_a_broken_policy_is_bad_input(run, policy, capsys):
    good = policy(policy_text(), "good")
    run("policy", "diff", good, policy("version = 9", "bad"), status=2)


def test_a_folder_without_evidence_is_no_proof_of_anything(run, policy, tmp_path, capsys):
    good = policy(policy_text(), "good")
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "quote.bin").write_bytes(b"raw")
    run("policy", "diff", good, good, "--evidence", tmp_path / "evidence", status=1)
    run("policy", "diff", good, good, "--evidence", tmp_path / "gone", status=2)
    run("policy", "diff", good, good, "--evidence", good, status=2)


@pytest.mark.parametrize(
    "content",
    ["{}", "{", '{"quote": "", "collateral": {"tcb_info": "\\ud800"}, "at": 1}',
     '{"quote": "AA==", "collateral": {}, "at": 1e400}', '{"quote": "AA==", "collateral": {}, "at": true}',
     '{"quote": "AA==\\n", "collateral": {}, "at": 1}'],
)  # fmt: skip
def test_evidence_that_cannot_be_read_is_named(content, recorded, policy, tmp_path, capsys):
    recorded()
    (tmp_path / "evidence" / "torn.json").write_text(content)
    good = policy(policy_text(), "good")
    assert main(["policy", "diff", good, good, "--evidence", str(tmp_path / "evidence")]) == 2
    assert "torn.json: " in capsys.readouterr().err


def test_a_folder_in_the_place_of_evidence_is_named(recorded, policy, tmp_path, capsys):
    recorded()
    (tmp_path / "evidence" / "one.json").unlink()
    (tmp_path / "evidence" / "one.json").mkdir()
    good = policy(policy_text(), "good")
    assert main(["policy", "diff", good, good, "--evidence", str(tmp_path / "evidence")]) == 2
    assert "one.json is not a regular file" in capsys.readouterr().err


def test_evidence_that_holds_under_no_root_is_told_not_called_unchanged_silently(run, recorded, policy, tmp_path):
    recorded()
    good = policy(policy_text(), "good")
    words = ("policy", "diff", good, good, "--evidence", tmp_path / "evidence")
    assert "note: 1 of them do not hold at all [SR-SIMULATED-EVIDENCE]; --root" in run(*words)
    [found] = json.loads(run(*words, "--json"))["evidence"]
    assert found["error"] == "SR-SIMULATED-EVIDENCE"


def test_the_object_of_a_piece_has_one_shape(run, recorded, policy, root):
    words = ("policy", "test", recorded(), "--policy", policy(policy_text()), "--json")
    [sound] = json.loads(run(*words, "--root", root))["evidence"]
    [unsound] = json.loads(run(*words, status=3))["evidence"]
    assert sound.keys() == unsound.keys()
    assert (sound["trust_domain"], unsound["trust_domain"]) == ("simulated", None)


def test_pl_09_a_pass_on_the_simulated_platform_does_not_speak_of_hardware(run, recorded, policy, root):
    assert "opened the machine" not in run(
        "policy", "test", recorded(), "--policy", policy(policy_text()), "--root", root
    )


REAL = "real-tdx-v4-9069d475-2025-09-02"  # up to date, not debug; a server as clouds have them


@pytest.fixture
def real(shared_vectors, tmp_path):
    """A real quote as recorded evidence, and the strictest rule for what runs there."""
    folder = shared_vectors / "dcap"
    [case] = [each for each in json.loads((folder / "index.json").read_text())["vectors"] if each["id"] == REAL]
    at = datetime.fromtimestamp(case["verification_time"], UTC)
    quote = (folder / case["quote"]).read_bytes()
    collateral = Collateral.from_json((folder / case["collateral"]).read_text())
    path = tmp_path / "real.json"
    path.write_bytes(RecordedEvidence(quote=quote, collateral=collateral, at=at).to_json())
    body = parse_quote(quote).body
    named = {"mrtd": body.mr_td, **{f"rtmr{number}": getattr(body, f"rtmr{number}") for number in range(4)}}
    named |= {word: getattr(body, word) for word in ("mr_config_id", "mr_owner", "mr_owner_config")}

    def rule(*allow, **more):
        return rendered(release=MODEL, mrenclave=None, domain=named, allow=allow, **more)

    return str(path), rule


def rendered(**words):
    return "version = 1\n" + policy_text_of.render(policy_text_of.strict_rule("real", **words))


def test_the_first_real_machine_is_refused_with_a_reason_and_what_to_write(run, real, policy):
    evidence, rule = real
    out = run("policy", "test", evidence, "--policy", policy(rule(max_collateral_age_days=30)), status=3)
    for flag in ("dynamic_platform", "cached_keys", "smt_enabled"):
        assert f"[POLICY_{flag.upper()}] allow_{flag}: true: " in out
        assert f"write allow_{flag} = true in the rule if you accept that" in out
    assert out.count("[") == 3
    assert "opened the machine" not in out


def test_pl_09_a_pass_that_rests_on_hardware_says_what_it_does_not_prove(run, real, policy):
    evidence, rule = real
    text = rule("allow_dynamic_platform", "allow_cached_keys", "allow_smt_enabled", max_collateral_age_days=30)
    out = run("policy", "test", evidence, "--policy", policy(text))
    assert "Not proved: that nobody opened the machine." in out
    for word in (f'denied_roots = ["{"46" * 48}"]', 'denied_fmspc = ["000000000000"]'):
        run("policy", "test", evidence, "--policy", policy(text + word))  # another root, another family


# policy show -----------------------------------------------------------------------------------------------------


def test_show_spells_out_every_word_and_is_a_policy_again(run, policy):
    text = policy_text(extra=f'min_eval_num = 17\nplatforms = [{{id = "{"5a" * 16}", until = 2027-01-31}}]')
    out = run("policy", "show", policy(text))
    assert 'accepted_tcb_status = ["UpToDate"]  # default' in out
    assert "min_eval_num = 17\n" in out
    assert "# config_id: zero" in out
    assert policy_file.parse(out).rules == policy_file.parse(text).rules
    assert tomllib.loads(out)["rule"][0]["allow_debug"] is False


def test_show_puts_what_the_file_says_for_all_into_each_rule(run, policy):
    text = policy_text().replace("version = 1", 'version = 1\ndenied_fmspc = ["00906ED50000"]')
    found = json.loads(run("policy", "show", policy(text), "--json"))
    words = found["rules"][0]["words"]
    assert words["denied_fmspc"] == {"value": ["00906ED50000"], "default": False}
    assert words["max_collateral_age_days"] == {"value": 7, "default": True}
    assert words["mrsigner"] == {"value": None, "default": True}
    assert found["profile"] == "development"


# policy trust ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


@pytest.fixture
def owner(tmp_path):
    return Workspace.create(tmp_path / "workspace", now=NOW)


def signed(key, **changes):
    identity = {"mr_enclave": b"\xe1" * 32, "date": NOW.date(), "isv_prod_id": 7, "isv_svn": 3}
    return sigstruct.sign(sigstruct.Identity(**(identity | changes)), key)


def rules_of(owner):
    return policy_file.parse(owner.policy_path.read_text()).rules


def test_id_15_trust_takes_a_sig_whose_signature_holds(run, owner, key, tmp_path):
    path = tmp_path / "app.sig"
    path.write_bytes(signed(key))
    run("policy", "trust", path, "--release", MODEL, "--workspace", owner.folder)
    [rule] = rules_of(owner)
    assert rule.policy.mrenclave == b"\xe1" * 32
    run("policy", "trust", path, "--by-signer", "--release", MODEL, "--workspace", owner.folder)
    assert rules_of(owner)[1].policy.mrsigner == sigstruct.parse(signed(key)).mr_signer
    changed = bytearray(signed(key))
    changed[960] ^= 1  # a byte of the measurement
    path.write_bytes(changed)
    run("policy", "trust", path, "--release", MODEL, "--workspace", owner.folder, status=3)
    path.write_bytes(signed(key, attributes=sigstruct.ATTRIBUTE_MODE64 | sigstruct.ATTRIBUTE_DEBUG))
    run("policy", "trust", path, "--release", MODEL, "--workspace", owner.folder, status=2)
    assert len(rules_of(owner)) == 2


def test_id_09_ids_in_a_sig_that_no_measurement_covers_go_into_the_rule(run, owner, key, tmp_path):
    path = tmp_path / "app.sig"
    path.write_bytes(signed(key, isv_family_id=b"\x0f" * 16))
    run("policy", "trust", path, "--release", MODEL, "--workspace", owner.folder)
    assert rules_of(owner)[0].policy.kss.isv_family_id == b"\x0f" * 16


def test_trust_takes_the_one_build_of_a_folder(run, owner, key, tmp_path):
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "notes.json").write_text("{}")
    words = ("policy", "trust", folder, "--release", MODEL, "--workspace", owner.folder)
    run(*words, status=2)
    (folder / "app.sig").write_bytes(signed(key))
    run(*words)
    (folder / "other.sig").write_bytes(signed(key, isv_svn=4))
    run(*words, status=2)
    assert len(rules_of(owner)) == 1


def test_trust_takes_a_measurement_of_a_trust_domain(run, owner, tmp_path):
    path = tmp_path / "td.json"
    registers = {f"rtmr{number}": f"0{number}" * 48 for number in range(4)}
    measured = {"mr_td": "da" * 48, **registers, "mr_owner": "0f" * 48, "mr_config_id": "00" * 48, "debug": False}
    path.write_text(json.dumps(measured))
    words = ("policy", "trust", path, "--release", MODEL, "--trust-domain", "simulated", "--workspace", owner.folder)
    assert "mrtd dada" in run(*words)
    [rule] = rules_of(owner)
    assert (rule.policy.mrtd, rule.policy.rtmr3, rule.policy.mr_owner) == (b"\xda" * 48, b"\x03" * 48, b"\x0f" * 48)
    assert rule.policy.mr_config_id is None
    run(*words, "--by-signer", status=1)
    path.write_text(json.dumps({"mr_td": "da" * 48}))
    run(*words, status=2)
    for bad in ({"rtmr0": "xx"}, {"mr_enclave": "ab" * 32}, {"debug": True}, {"rtmr1": "00" * 48, "rtmr2": "00" * 48}):
        path.write_text(json.dumps(measured | bad))
        run(*words, status=2)
    assert len(rules_of(owner)) == 1
