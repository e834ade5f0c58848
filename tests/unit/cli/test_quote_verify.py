"""`strongroom quote verify`: the object it prints, the card a person reads, exit statuses."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from strongroom.cli.frame import main

VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors")
).joinpath("dcap")
LITTLE_WORLD = Path(__file__).resolve().parents[1] / "attestation" / "little_world.py"


def little_world():
    """Load the attestation tests' helper: in importlib mode it cannot be imported by name."""
    name = "strongroom_tests_little_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, LITTLE_WORLD)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def world():
    return little_world().LittleWorld(prefix="Simulated SGX")


@pytest.fixture
def command(world, tmp_path):
    """Return a function that writes the world's files and makes the command line for them."""

    def made(*more, root=True):
        quote, collateral, anchor = tmp_path / "quote.bin", tmp_path / "collateral.json", tmp_path / "root.der"
        quote.write_bytes(world.quote())
        collateral.write_text(json.dumps(world.collateral()), encoding="utf-8")
        anchor.write_bytes(world.root_der())
        words = ["quote", "verify", "--quote", str(quote), "--collateral", str(collateral)]
        words += ["--at", str(int(world.now.timestamp()))]
        return [*words, *(["--root", str(anchor)] if root else []), *more]

    return made


def entries():
    index = VECTORS / "index.json"
    vectors = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    return [entry for entry in vectors if entry["collateral"]]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["id"])
def test_the_object_has_the_fields_of_the_vectors(entry, capsys):
    words = ["--quote", entry["quote"], "--collateral", entry["collateral"], "--root", entry["root"]]
    words = [str(VECTORS / word) if "/" in word else word for word in words]
    status = main(["quote", "verify", *words, "--at", str(entry["verification_time"]), "--json"])
    out, err = capsys.readouterr()
    seen, expected = json.loads(out), entry["expected"]
    assert {name: seen[name] for name in expected} == expected
    assert status == (0 if expected["verdict"] == "ok" else 3)
    assert err == ""
    assert seen["explanation"]
    assert seen["fix"]
    if expected["verdict"] == "ok":
        real = entry["kind"] == "real"
        assert seen["trust_domain"] == ("intel" if real else "simulated")
        assert len(seen["root_key_id"]) == 96


def test_a_verdict_is_printed_and_is_success(command, capsys):
    assert main(command("--json")) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["verdict"], seen["status"], seen["trust_domain"]) == ("ok", "UpToDate", "simulated")
    assert seen["body"]["debug"] is False


def test_refused_evidence_is_printed_on_standard_output_and_is_status_3(command, world, capsys):
    world.crls["pck"]["revoked"] = [1003]
    assert main(command("--json")) == 3
    out, err = capsys.readouterr()
    seen = json.loads(out)
    assert err == ""
    assert (seen["verdict"], seen["error"], seen["code"]) == ("err", "PCK_REVOKED", "SR-PCK-REVOKED")
    assert seen["trust_domain"] is None
    assert seen["root_key_id"] is None
    assert seen["body"]["mr_enclave"] == "e1" * 32
    assert "3EB" in seen["observed"]


def test_a_refusal_lists_what_passed_what_failed_and_what_nobody_looked_at(command, world, capsys):
    world.crls["root"].update(since=world.now - 2 * little_world().DAY, until=world.now - little_world().DAY)
    assert main(command("--json")) == 3
    seen = json.loads(capsys.readouterr().out)
    assert (seen["error"], seen["step"]) == ("CRL_EXPIRED", 3)
    assert [check["outcome"] for check in seen["checks"]] == ["pass", "pass", "fail", *["unknown"] * 19]
    assert seen["checks"][2]["name"] == "root CRL"


def test_a_grace_excuses_expiry_and_says_so(command, world, capsys):
    world.crls["pck"].update(since=world.now - 9 * little_world().DAY, until=world.now - little_world().DAY)
    assert main(command("--collateral-grace", "86399")) == 3
    assert main(command("--collateral-grace", "86400")) == 0
    assert "GRACE: the PCK CRL has expired" in capsys.readouterr().out
    assert main(command("--collateral-grace", "86400", "--json")) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["in_grace"] == ["PCK CRL"]
    assert [check for check in seen["checks"] if check["detail"].startswith("passed in")] == [seen["checks"][10]]


@pytest.mark.parametrize("text", ["soon", "", "-1", "1e3", "9999999999", "\u0663"])
def test_a_grace_that_is_none_is_misuse(command, text, capsys):
    assert main([*command(), f"--collateral-grace={text}"]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


def test_the_card_of_a_trust_domain_shows_its_measurements(command, world, capsys):
    world.become(5, 3, mr_td=b"\xcd" * 48, td_attributes=b"\x01" + bytes(7))
    assert main(command()) == 0
    card = capsys.readouterr().out
    for part in ("TDX quote of version 5", "cd" * 48, "72" * 48, "TDX module  UpToDate", "trust domain's memory"):
        assert part in card


def test_refused_evidence_that_cannot_be_read_has_no_body(command, world, capsys):
    world.header = bytes(48)
    assert main(command("--json")) == 3
    seen = json.loads(capsys.readouterr().out)
    assert seen["error"] == "UNSUPPORTED_QUOTE_VERSION"
    assert "body" not in seen


def test_a_refusal_is_a_tree_of_steps_and_one_sentence(command, world, capsys):
    world.crls["pck"]["revoked"] = [1003]
    assert main(command()) == 3
    out, err = capsys.readouterr()
    for line in ("11 PCK CRL: passed", "12 revocation in the PCK chain: FAILED", "10 more steps  (not looked at)"):
        assert line in out
    assert "[SR-PCK-REVOKED]" in err
    assert "what to do" in err


def test_a_quote_that_cannot_be_read_is_a_tree_too(command, world, capsys):
    world.header = bytes(48)
    assert main(command()) == 3
    assert "no quote that can be read" in capsys.readouterr().out


def test_evidence_is_recorded_for_policies_to_judge(command, tmp_path, capsys):
    kept = tmp_path / "kept.json"
    assert main(command("--record", str(kept))) == 0
    assert kept.stat().st_mode & 0o777 == 0o600
    policy = tmp_path / "policy.toml"
    policy.write_text("version = 1\n", encoding="utf-8")
    root = ["--root", str(tmp_path / "root.der")]
    assert main(["policy", "test", str(kept), "--policy", str(policy), *root]) == 3
    assert "a policy file without rules" in "".join(capsys.readouterr())


def test_collateral_is_fetched_where_none_is_given(command, world, tmp_path, capsys):
    words = command("--json")
    place = words.index("--collateral")
    folder = tmp_path / "kept"
    folder.mkdir()
    (tmp_path / "collateral.json").rename(folder / "F0A1B2C3D4E5.json")
    del words[place : place + 2]
    assert main([*words, "--source", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "UpToDate"
    assert main([*words, "--source", str(tmp_path / "nothing")]) == 4


def test_the_card_says_what_a_person_needs(command, world, capsys):
    world.body = little_world().report(
        attributes=b"\x07" + bytes(15), mr_enclave=b"\xab" * 32, isv_prod_id=5, isv_svn=9
    )
    assert main(command()) == 0
    card = capsys.readouterr().out
    for part in ("SIMULATED", "DEBUG", "simulated", "UpToDate", "ab" * 32, "5, 9", "29 days left", "not a decision"):
        assert part in card


def test_the_card_of_a_production_enclave_does_not_warn_of_debug(command, capsys):
    assert main(command()) == 0
    assert "DEBUG" not in capsys.readouterr().out


def test_pl_09_the_card_of_real_hardware_says_what_no_verifier_can_tell(shared_vectors, command, capsys):
    assert main(command()) == 0
    assert "opened the machine" not in capsys.readouterr().out  # simulated: nothing rests on hardware
    folder = shared_vectors / "dcap"
    cases = json.loads((folder / "index.json").read_text())["vectors"]
    [case] = [each for each in cases if each["id"] == "real-tdx-v4-9069d475-2025-09-02"]
    words = [
        "quote",
        "verify",
        "--quote",
        str(folder / case["quote"]),
        "--collateral",
        str(folder / case["collateral"]),
    ]
    assert main([*words, "--at", str(case["verification_time"])]) == 0
    out = capsys.readouterr().out
    assert "Not proved: that nobody opened the machine." in out
    assert "platform flags  dynamic yes, cached keys yes, hyper-threading yes" in out


def test_without_a_root_intels_key_is_pinned(command, capsys):
    assert main(command("--json", root=False)) == 3
    assert json.loads(capsys.readouterr().out)["error"] == "ROOT_UNTRUSTED"


def test_id_13_a_marked_root_under_intels_key_is_simulated_evidence(command, world, capsys):
    world.recipes["root"].extensions = [("1.3.6.1.4.1.32473.20.1", b"\x0c\x09simulated", False)]
    assert main(command("--json", root=False)) == 3
    assert json.loads(capsys.readouterr().out)["error"] == "SIMULATED_EVIDENCE"


def test_without_a_time_the_clock_is_read(command, world, capsys):
    words = command("--json")
    at = words.index("--at")
    assert main(words[:at] + words[at + 2 :]) == 3
    assert json.loads(capsys.readouterr().out)["error"].endswith("EXPIRED")


@pytest.mark.parametrize("text", ["soon", "", "1e9", "99999999999999999999", "-99999999999999"])
def test_a_time_that_is_none_is_misuse(command, text, capsys):
    assert main([*command(), f"--at={text}"]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("quote.bin", b"", 3, "SR-QUOTE-TRUNCATED"),
        ("quote.bin", bytes(70000), 3, "SR-EVIDENCE-TOO-LARGE"),
        ("collateral.json", b"", 2, "SR-COLLATERAL"),
        ("collateral.json", b"\xff\xfe", 2, "SR-COLLATERAL"),
        ("root.der", b"", 2, "SR-ANCHOR"),
        ("root.der", b"-----BEGIN NOTHING-----", 2, "SR-ANCHOR"),
    ],
)
def test_hostile_files_end_in_one_catalogued_error(*, command, tmp_path, capsys, name, content, status, code):
    words = command()
    (tmp_path / name).write_bytes(content)
    assert main(words) == status
    assert f"[{code}]" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_bad_input(command, tmp_path, capsys):
    words = command()
    (tmp_path / "quote.bin").unlink()
    assert main(words) == 2
    assert "[SR-FILE]" in capsys.readouterr().err
