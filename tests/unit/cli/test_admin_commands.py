"""The administrative verbs on a workspace without a broker: tables for people, JSON for machines, errors with codes."""

import json
from datetime import UTC, datetime

import pytest

from strongroom.cli.admin_option import cell
from strongroom.cli.frame import main
from strongroom.workspace import Workspace

FINGERPRINT = "00" * 32


@pytest.fixture
def cli(tmp_path, capsys):
    """Run a verb on a workspace; return status, output and errors."""
    Workspace.create(tmp_path / "w", now=datetime.now(UTC))

    def run(*words):
        status = main([*words, "--workspace", str(tmp_path / "w")])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_tenants_are_made_listed_suspended_and_resumed(cli):
    assert cli("tenant", "create", "acme")[0] == 0
    assert cli("tenant", "suspend", "acme")[:2] == (0, "tenant acme is suspended: its replicas get nothing\n")
    status, output, _ = cli("tenant", "list", "--json")
    assert (status, [(each["name"], each["state"]) for each in json.loads(output)]) == (
        0,
        [("acme", "suspended"), ("default", "active")],
    )
    assert cli("tenant", "resume", "acme")[0] == 0
    assert "acme     active" in cli("tenant", "list")[1]


def test_a_tenant_that_is_there_or_has_no_name_is_an_error_with_a_code(cli):
    cli("tenant", "create", "acme")
    status, _, errors = cli("tenant", "create", "acme")
    assert (status, "SR-TENANT-TAKEN" in errors) == (2, True)
    assert "SR-ADMIN-ARGUMENT" in cli("tenant", "create", "UPPER")[2]


def test_a_persons_identity_is_written_and_registered_in_one_step(cli, tmp_path):
    status, output, _ = cli("broker", "admin", "add", "alice", "--role", "keeper", "--out", str(tmp_path / "alice"))
    assert (status, output.startswith("alice is keeper until 2")) == (0, True)
    assert sorted(path.name for path in (tmp_path / "alice").iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert (tmp_path / "alice/key.pem").stat().st_mode & 0o777 == 0o600
    status, _, errors = cli("broker", "admin", "add", "alice", "--role", "owner", "--out", str(tmp_path / "again"))
    assert (status, "SR-ADMIN-EXISTS" in errors) == (2, True)
    assert not (tmp_path / "again").exists()
    status, _, errors = cli(
        "broker", "admin", "add", "bob", "--role", "keeper", "--certificate", str(tmp_path / "alice/cert.pem")
    )
    assert (status, "SR-ADMIN-EXISTS" in errors) == (2, True)


def test_a_person_is_suspended_resumed_and_removed_by_name(cli, tmp_path):
    cli("broker", "admin", "add", "alice", "--role", "keeper", "--out", str(tmp_path / "alice"))
    for way, state in (("suspend", "suspended"), ("resume", "active"), ("remove", "removed")):
        assert cli("broker", "admin", way, "alice")[1].endswith(f"is {state}\n")
    assert "removed" in cli("broker", "admin", "list")[1]
    status, _, errors = cli("broker", "admin", "suspend", "alice")
    assert (status, "SR-MISUSE" in errors) == (1, True)
    assert "SR-ADMIN-NOT-FOUND" in cli("broker", "admin", "suspend", FINGERPRINT)[2]


def test_revoking_lifting_and_floors(cli):
    status, output, _ = cli("broker", "revoke", "fmspc", "00906ed50000", "--reason", "drill")
    assert (status, output.startswith("fmspc 00906ED50000 is revoked")) == (0, True)
    [found] = json.loads(cli("broker", "revocations", "--json")[1])
    assert cli("broker", "lift", found["id"], "--reason", "over")[0] == 0
    assert cli("broker", "revocations")[2] == "nothing is revoked\n"
    assert cli("broker", "floor", "resnet50", "3")[0] == 0
    assert cli("broker", "floor", "resnet50", "2")[0] == 3
    assert "resnet50" in cli("broker", "floor")[1]
    assert cli("broker", "floor", "resnet50")[0] == 1


def test_leases_are_listed_and_one_that_is_not_there_cannot_end(cli):
    assert cli("broker", "leases")[2] == "there are no leases\n"
    assert "SR-ADMIN-NOT-FOUND" in cli("broker", "leases", "--end", "nothing")[2]


def test_the_status_says_what_the_broker_stands_on(cli):
    status, output, _ = cli("broker", "status")
    assert status == 0
    assert "broker.db" in output
    assert "tenants       1, live leases 0, revocations 0" in output
    assert json.loads(cli("broker", "status", "--json")[1])["tenants"] == 1


def test_a_login_is_an_address_whose_code_no_server_sees(cli):
    status, output, errors = cli("broker", "login", "--console", "https://broker.example:8443/")
    address, _, code = output.strip().partition("#")
    assert (status, address) == (0, "https://broker.example:8443/console/login")
    assert len(code) >= 43
    assert "works once" in errors
    assert json.loads(cli("broker", "login", "--json")[1])["url"].startswith("https://localhost:8443/console/login#")


def test_a_tenants_policy_is_put_shown_compared_and_listed(cli, tmp_path):
    cli("tenant", "create", "acme")
    policy = tmp_path / "acme.toml"
    policy.write_text("version = 1\n")
    assert cli("tenant", "policy", "acme", "--put", str(policy))[1].startswith("version 1 is in force: 0 rules")
    shown = cli("tenant", "policy", "acme")[1]
    assert shown.startswith("# version 1, in force, by workspace:")
    assert shown.endswith("version = 1\n")
    assert "in force" in cli("tenant", "policy", "acme", "--history")[1]
    assert cli("tenant", "policy", "acme", "--diff", "1")[1] == "it admits the same as the one before\n"
    assert cli("tenant", "policy", "acme", "--approve", "1")[0] == 1
    assert "SR-VOTE-REFUSED" in cli("tenant", "policy", "acme", "--withdraw", "1")[2]


@pytest.mark.parametrize("words", [("--broker", "https://localhost:1"), ("--identity", "somewhere")])
def test_broker_and_identity_go_together(cli, words):
    status, _, errors = cli("tenant", "list", *words)
    assert (status, "SR-MISUSE" in errors) == (1, True)


def test_three_words_find_their_verb_and_two_of_them_list_it(capsys):
    assert main(["broker", "admin"]) == 1
    assert "broker admin add" in capsys.readouterr().err


def test_a_cell_is_one_line_without_control_characters():
    assert cell("name", "a\nb\x1b[31m") == "a?b?[31m"
    assert cell("created_ms", 0) == "-"
    assert cell("created_ms", 1000) == "1970-01-01T00:00:01Z"
    assert cell("text", "x" * 100) == "x" * 63 + "…"
    assert cell("text", None) == "-"


def test_sa_12_a_change_without_a_broker_is_remembered_outside_the_store(tmp_path, capsys):
    workspace = str(tmp_path / "ws")
    assert main(["init", workspace]) == 0
    assert main(["tenant", "create", "acme", "--workspace", workspace]) == 0
    old = {path.name: path.read_bytes() for path in (tmp_path / "ws").glob("broker.db*") if path.suffix != ".head"}
    words = ["broker", "revoke", "measurement", "e1" * 32, "--reason", "leaked", "--workspace", workspace]
    assert main(words) == 0, capsys.readouterr().err
    for path in (tmp_path / "ws").glob("broker.db*"):
        if path.suffix != ".head":
            path.unlink()
    for name, content in old.items():
        (tmp_path / "ws" / name).write_bytes(content)
        (tmp_path / "ws" / name).chmod(0o600)
    capsys.readouterr()
    assert main(["broker", "revocations", "--workspace", workspace]) == 3
    assert "remembers" in capsys.readouterr().err
