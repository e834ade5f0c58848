"""The owner's desk on the workspace itself: no broker, no certificate, a policy file that keeps saying what counts."""

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.admin import Role
from strongroom.broker.admin.identities import BadLifetime, ensure_owner_identity, issue
from strongroom.broker.admin.opening import open_desk
from strongroom.pki import keys
from strongroom.pki.disk import AlreadyThere
from strongroom.workspace import Workspace

NO_RULES = "version = 1\n"


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "w", now=datetime.now(UTC))


def test_the_owner_acts_without_a_broker_and_is_named_as_this_machine(workspace):
    with open_desk(workspace) as desk:
        found = desk.whoami()
        assert found["role"] == "owner"
        assert found["name"].startswith("workspace:")
        desk.create_tenant(tenant="acme")
    with open_desk(workspace) as desk:
        assert [each["name"] for each in desk.list_tenants()] == ["acme", "default"]


def test_a_new_store_takes_the_policy_file(workspace):
    with open_desk(workspace) as desk:
        assert desk.show_policy(tenant="default")["text"] == workspace.policy_path.read_text()


def test_the_file_follows_a_policy_that_was_put_in_force_here(workspace):
    with open_desk(workspace) as desk:
        desk.put_policy(tenant="default", text=NO_RULES)
        desk.put_policy(tenant="default", text=NO_RULES + "# two\n")
    assert workspace.policy_path.read_text() == NO_RULES + "# two\n"


def test_an_edit_of_the_file_is_not_overwritten(workspace, caplog):
    with open_desk(workspace):
        pass
    workspace.policy_path.write_text("version = 1\n# my edit\n")
    with open_desk(workspace) as desk:
        desk.put_policy(tenant="default", text=NO_RULES)
    assert workspace.policy_path.read_text() == "version = 1\n# my edit\n"
    assert "holds an edit" in caplog.text


def test_looking_does_not_put_an_edit_in_force(workspace):
    with open_desk(workspace):
        pass
    workspace.policy_path.write_text("version = 1\n# my edit\n")
    with open_desk(workspace) as desk:
        assert [each["version"] for each in desk.policy_history(tenant="default")] == [1]


def test_a_broken_policy_file_keeps_nobody_from_looking(workspace):
    workspace.policy_path.write_text("nonsense")
    with open_desk(workspace) as desk:
        assert desk.list_tenants()


def test_dp_12_there_is_no_administrator_before_the_owner_made_one(workspace):
    with open_desk(workspace) as desk:
        assert desk.list_admins() == []


def owner_identity(workspace, now):
    with open_desk(workspace) as desk:
        parts = desk.administration._parts
        folder = ensure_owner_identity(workspace, parts.store, parts.ledger, now=now)
        return folder, desk.list_admins()


def test_the_owners_identity_is_made_once_and_is_private(workspace):
    now = datetime.now(UTC)
    folder, [admin] = owner_identity(workspace, now)
    assert (admin["name"], admin["role"], admin["tenant"]) == ("owner", Role.OWNER.value, "*")
    assert folder == workspace.folder / "admin/owner"
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    again, admins = owner_identity(workspace, now)
    assert (again, admins) == (folder, [admin])


def test_the_owners_identity_is_renewed_before_it_ends_and_the_old_one_is_kept(workspace):
    folder, [first] = owner_identity(workspace, datetime.now(UTC) - timedelta(days=70))
    _, admins = owner_identity(workspace, datetime.now(UTC))
    assert len(admins) == 2
    assert first in admins
    assert len(list(folder.parent.iterdir())) == 2


def test_a_removed_owners_certificate_does_not_come_back_at_a_start(workspace):
    _, [admin] = owner_identity(workspace, datetime.now(UTC))
    other = issue(workspace, "alice", now=datetime.now(UTC))
    with open_desk(workspace) as desk:
        desk.add_admin(name="alice", role="owner", tenant="*", certificate=other.certificate_pem.decode())
        desk.remove_admin(fingerprint=admin["fingerprint"])
    _, admins = owner_identity(workspace, datetime.now(UTC))
    assert {each["name"]: each["state"] for each in admins} == {"owner": "removed", "alice": "active"}


def test_sv_15_a_persons_certificate_is_for_clients_alone_names_them_and_dies_before_the_ca(workspace):
    leaf = keys.load_certificates(issue(workspace, "alice", now=datetime.now(UTC)).certificate_pem)[0]
    usage = next(each for each in leaf.extensions if each.oid.dotted_string == "2.5.29.37").value
    assert [each.dotted_string for each in usage] == ["1.3.6.1.5.5.7.3.2"]
    ca = keys.load_certificates(workspace.ca_certificate_pem)[0]
    assert leaf.not_valid_after_utc < ca.not_valid_after_utc
    assert leaf.not_valid_after_utc - datetime.now(UTC) < timedelta(days=91)


@pytest.mark.parametrize("days", [0, 367])
def test_a_persons_certificate_does_not_live_for_ever(workspace, days):
    with pytest.raises(BadLifetime) as caught:
        issue(workspace, "alice", now=datetime.now(UTC), days=days)
    assert caught.value.code == "SR-ADMIN-DAYS"


def test_nothing_is_overwritten_by_an_identity(workspace, tmp_path):
    from strongroom.broker.admin.identities import new_identity

    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("x")
    leaf = issue(workspace, "alice", now=datetime.now(UTC))
    with pytest.raises(AlreadyThere), new_identity(tmp_path / "there", leaf, ca_pem=b""):
        pass
