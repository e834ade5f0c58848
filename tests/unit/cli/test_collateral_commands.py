"""`strongroom collateral fetch|show|doctor`: what they print, write and keep, and how they end."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import Anchor, Collateral, parse_quote, verify
from strongroom.cli.frame import main
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW - timedelta(days=100))


@pytest.fixture
def place(tmp_path, world, monkeypatch):
    """An empty folder to work in, with the world's root, a quote, and a mirror of its collateral."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.der").write_bytes(world.root_der)
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    (tmp_path / "quote.bin").write_bytes(world.quote(identity, bytes(64)))
    publish(tmp_path, world)
    return tmp_path


def publish(place, world, number=17, at=NOW):
    (place / "mirror").mkdir(exist_ok=True)
    rehearsal = Rehearsal(evaluation_number=number, qe_evaluation_number=number, age=timedelta(0))
    (place / "mirror" / "one.json").write_text(world.collateral(at, rehearsal).to_json())


def collateral(verb, *words, at=NOW):
    return main(["collateral", verb, *words, "--root", "root.der", "--at", str(int(at.timestamp()))])


def test_fetch_writes_a_file_that_verifies_the_quote(place, world, capsys):
    assert collateral("fetch", "--quote", "quote.bin", "--source", "./mirror", "--out", "out.json") == 0
    said = capsys.readouterr()
    assert said.out == "out.json\n"
    assert f"TCB info SGX {world.fmspc} standard: number 17" in said.err
    found = Collateral.from_json((place / "out.json").read_bytes())
    anchors = [Anchor.from_certificate(world.root_der)]
    assert verify((place / "quote.bin").read_bytes(), found, anchors=anchors, at=NOW).fmspc == world.fmspc


def test_fetch_by_family_prints_to_stdout_and_fills_a_cache(place, world, capsys):
    words = ["--fmspc", world.fmspc.lower(), "--ca", world.hardware.ca]
    assert collateral("fetch", *words, "--source", "mirror") == 0
    assert json.loads(capsys.readouterr().out)["tcb_info"].startswith("{")
    assert collateral("fetch", *words, "--source", "mirror", "--cache", "cache") == 0
    assert capsys.readouterr().out == ""
    assert len(list((place / "cache" / "entries").iterdir())) == 4
    assert collateral("fetch", *words, "--source", "./absent", "--cache", "cache", "--out", "again.json") == 0


def test_fetch_reads_a_qcnl_conf(place, world, caplog):
    (place / "qcnl.conf").write_text('{ // ours\n "pccs_url": "https://127.0.0.1:1/sgx/certification/v4/",'
                                     ' "retry_times": 0, "use_secure_cert": false }')  # fmt: skip
    assert collateral("fetch", "--quote", "quote.bin", "--qcnl", "qcnl.conf", "--source", "./mirror") == 0
    assert "https://127.0.0.1:1: /sgx/certification/v4/rootcacrl" in caplog.text
    assert "any TLS certificate is accepted" in caplog.text


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--source", "./absent"], 4, "SR-COLLATERAL-UNAVAILABLE"),
        (["--source", "intel-psc"], 2, "SR-COLLATERAL-SOURCE-NAME"),
        (["--source", "./mirror", "--min-eval-num", "18"], 3, "SR-COLLATERAL-TOO-OLD"),
        (["--source", "./mirror", "--tcb-eval", "18"], 4, "SR-COLLATERAL-UNAVAILABLE"),
        (["--source", "./mirror", "--max-age", "soon"], 1, "SR-MISUSE"),
        (["--source", "./mirror", "--max-age", "5m"], 2, "SR-COLLATERAL-RULES"),
    ],
)
def test_fetch_fails_with_a_code_and_writes_nothing(place, capsys, words, status, code):
    assert collateral("fetch", "--quote", "quote.bin", "--out", "out.json", *words) == status
    assert code in capsys.readouterr().err
    assert not (place / "out.json").exists()


def test_tcb_08_fetch_into_a_cache_refuses_a_rollback(place, world, capsys):
    publish(place, world, number=19)
    words = ["--quote", "quote.bin", "--source", "./mirror", "--cache", "cache"]
    assert collateral("fetch", *words) == 0
    later = NOW + timedelta(days=8)
    publish(place, world, number=17, at=later)
    assert collateral("fetch", *words, at=later) == 3
    assert "SR-COLLATERAL-ROLLBACK" in capsys.readouterr().err


def test_sa_15_fetch_into_a_cache_notices_a_clock_behind(place, capsys):
    words = ["--quote", "quote.bin", "--source", "./mirror", "--cache", "cache"]
    assert collateral("fetch", *words) == 0
    assert collateral("fetch", *words, at=NOW - timedelta(hours=1)) == 3
    assert "SR-CLOCK-BEHIND" in capsys.readouterr().err


def test_show_says_of_a_file_and_of_a_cache_what_they_hold(place, world, capsys):
    assert collateral("show", "mirror/one.json") == 0
    text = capsys.readouterr().out
    assert f"TCB info SGX {world.fmspc} standard  number 17" in text
    assert "7.0 days left" in text
    collateral("fetch", "--quote", "quote.bin", "--source", "./mirror", "--cache", "cache")
    capsys.readouterr()
    assert collateral("show", "--cache", "cache", "--json", at=NOW + timedelta(days=4)) == 0
    parts = {part["what"].split()[0]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    assert (parts["TCB"]["number"], parts["TCB"]["standing"], parts["TCB"]["days_left"]) == (17, "due", 3.0)
    assert parts["TCB"]["source"].endswith("mirror")
    assert parts["root"]["standing"] == "current"
    assert set(parts["TCB"]) >= {"issued", "next_update", "ends", "refresh_at", "problem", "fix"}


def test_show_without_the_root_of_a_simulated_platform_says_which_option_names_it(place, capsys):
    assert main(["collateral", "show", "mirror/one.json"]) == 0
    out = capsys.readouterr().out
    assert "SR-SIMULATED-EVIDENCE" in out
    assert "Name its root with --root" in out


def test_show_says_since_when_a_part_has_run_out(place, capsys):
    assert collateral("show", "mirror/one.json", "--max-age", "2d", at=NOW + timedelta(days=3)) == 0
    assert "run out: 1.0 days ago by --max-age" in capsys.readouterr().out


def test_show_says_what_does_not_hold(place, capsys):
    held = json.loads((place / "mirror" / "one.json").read_text())
    held["tcb_info"] = held["tcb_info"].replace("UpToDate", "upToDate")
    (place / "bad.json").write_text(json.dumps(held))
    assert collateral("show", "bad.json") == 0
    assert "SR-TCB-INFO-INVALID-SIGNATURE" in capsys.readouterr().out
    assert collateral("show", "--cache", "absent") == 0
    assert "absent holds no collateral" in capsys.readouterr().out


def test_doctor_passes_a_source_that_works(place, world, capsys):
    words = ["--source", "./mirror", "--fmspc", world.fmspc, "--ca", world.hardware.ca]
    assert collateral("doctor", *words) == 0
    assert capsys.readouterr().out.startswith("ok   ")
    assert collateral("doctor", *words, "--source", "./absent", "--json") == 0
    found = json.loads(capsys.readouterr().out)["sources"]
    assert [source["works"] for source in found] == [True, False]
    assert found[1]["parts"][0]["fix"]


def test_doctor_does_not_blame_a_source_of_pck_certificates(place, world, capsys):
    (place / "qcnl.conf").write_text('{"local_pck_url": "http://127.0.0.1:1", "retry_times": 0}')
    words = ["--qcnl", "qcnl.conf", "--source", "./mirror", "--ca", world.hardware.ca]
    assert collateral("doctor", *words) == 0
    assert "PCK certificates only" in capsys.readouterr().out


def test_doctor_ends_with_4_when_nothing_works(place, capsys):
    assert collateral("doctor", "--source", "./absent", "--source", "http://127.0.0.1:1") == 4
    said = capsys.readouterr()
    assert "SR-COLLATERAL-NO-SOURCE" in said.err
    assert said.out.count("FAIL") == 2
    assert "connection refused" in said.out


def test_tcb_14_doctor_ends_with_4_when_the_cache_is_about_to_run_out(place, world, capsys):
    collateral("fetch", "--quote", "quote.bin", "--source", "./mirror", "--cache", "cache", "--max-age", "30d")
    words = ["--source", "./fresh", "--cache", "cache", "--ca", world.hardware.ca, "--max-age", "30d"]
    for share, status in ((0.6, 0), (0.91, 4)):
        at = NOW + timedelta(days=30 * share)
        (place / "fresh").mkdir(exist_ok=True)
        (place / "fresh" / "one.json").write_text(world.collateral(at).to_json())
        assert collateral("doctor", *words, at=at) == status
    assert "SR-COLLATERAL-RUNS-OUT" in capsys.readouterr().err


def test_a_workspace_says_where_to_ask(place, world, capsys):
    assert main(["init", "ws"]) == 0
    settings = place / "ws" / "strongroom.toml"
    settings.write_text(settings.read_text() + '\n[collateral]\nsources = ["../mirror"]\nmax_age = "30d"\n')
    at = NOW + timedelta(days=10)
    assert collateral("fetch", "--quote", "quote.bin", "--workspace", "ws", at=at) == 0
    settings.write_text(settings.read_text() + 'color = "red"\n')
    assert collateral("fetch", "--quote", "quote.bin", "--workspace", "ws", at=at) == 2
    assert "SR-COLLATERAL-SETTINGS" in capsys.readouterr().err


def test_a_broker_of_such_a_workspace_uses_live_collateral(place, world):
    from strongroom.broker.setup import BrokerFiles, assemble
    from strongroom.collateral import LiveSource

    main(["init", "ws"])
    (place / "ws" / "trust" / "anchors" / "simulated.der").write_bytes(world.root_der)
    (place / "mirror" / "one.json").write_text(world.collateral(datetime.now(UTC)).to_json())
    settings = place / "ws" / "strongroom.toml"
    settings.write_text(settings.read_text() + '\n[collateral]\nsources = ["../mirror"]\n')
    source = assemble(BrokerFiles(), workspace=place / "ws", now=datetime.now(UTC)).source
    assert isinstance(source, LiveSource)
    assert world.fmspc in source.collateral_for(parse_quote((place / "quote.bin").read_bytes())).tcb_info
