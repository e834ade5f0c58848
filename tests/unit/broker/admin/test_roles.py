"""The table of roles: complete, asked first, and nothing beyond it."""

import pytest

from strongroom.broker.admin import Actor, Administration, Role
from strongroom.broker.admin.operations import OPERATIONS
from strongroom.broker.admin.problems import NotAllowed
from strongroom.broker.admin.roles import PERMISSIONS, Reach, permit
from strongroom.broker.tenants import UnknownTenant

READS = {
    "whoami", "status", "list_tenants", "list_admins", "list_keys", "list_leases", "list_revocations", "list_floors",
    "show_policy", "policy_history", "diff_policy", "policy_ballot", "list_decisions", "ledger_head",
    "ledger_checkpoint", "ledger_lines", "prove_inclusion", "prove_consistency",
}  # fmt: skip


def actions():
    return {name for name in dir(Administration) if getattr(getattr(Administration, name), "is_action", False)}


def test_every_action_has_a_line_in_the_table_and_an_operation():
    assert actions() == set(PERMISSIONS) == set(OPERATIONS)


def test_every_public_method_is_an_action_or_finds_out_who_acts():
    public = {name for name in dir(Administration) if not name.startswith("_")}
    assert public - actions() == {"actor_of", "check_active", "redeem_login", "login_actor", "login_seal"}


def test_operations_that_read_are_gets_and_changes_are_posts():
    assert {name for name, operation in OPERATIONS.items() if operation.method == "GET"} == READS
    assert {operation.method for operation in OPERATIONS.values()} == {"GET", "POST"}


def test_an_auditor_reads_everything_and_changes_nothing():
    allowed = {name for name, permission in PERMISSIONS.items() if Role.AUDITOR in permission.roles}
    assert allowed == READS | {"create_login"}  # a login lends them their own role in a browser


def test_an_owner_may_do_everything():
    assert all(Role.OWNER in permission.roles for permission in PERMISSIONS.values())


def test_a_keeper_never_touches_leases_and_an_operator_never_touches_keys():
    keeper = {name for name, permission in PERMISSIONS.items() if Role.KEEPER in permission.roles}
    operator = {name for name, permission in PERMISSIONS.items() if Role.OPERATOR in permission.roles}
    everybody = {"whoami", "create_login", "status", "list_tenants", "ledger_head", "ledger_checkpoint",
                 "prove_consistency"}  # fmt: skip
    assert keeper - everybody == {"list_keys", "put_key", "create_key", "rotate_key", "retire_key"}
    assert operator - everybody - READS == {"end_lease", "add_revocation", "raise_floor"}
    assert not {name for name in operator if name.endswith(("_key", "_keys"))}


def test_an_action_without_a_line_is_refused_to_everybody():
    for role in Role:
        with pytest.raises(NotAllowed) as caught:
            permit(Actor(name="x", role=role), "read_all_secrets")
        assert caught.value.code == "SR-ADMIN-ROLE"


@pytest.mark.parametrize("role", list(Role))
def test_the_table_decides_about_each_role_and_action(office, role):
    actor = Actor(name="somebody", role=role)
    before = office.ledger.head()
    for name, permission in PERMISSIONS.items():
        tenant = "acme" if "tenant" in OPERATIONS[name].by_name else None
        if role in permission.roles:
            permit(actor, name, tenant)
            continue
        with pytest.raises(NotAllowed):
            permit(actor, name, tenant)
        with pytest.raises(NotAllowed):
            getattr(office.administration, name)(actor)  # refused before the arguments are looked at
    assert office.ledger.head() == before


@pytest.mark.parametrize("name", sorted(name for name, each in PERMISSIONS.items() if each.reach is Reach.BROKER))
def test_kd_17_what_touches_all_tenants_is_not_for_an_actor_of_one(name):
    with pytest.raises(NotAllowed):
        permit(Actor(name="x", role=Role.OWNER, tenant="acme"), name, "acme")


@pytest.mark.parametrize("name", sorted(name for name, each in PERMISSIONS.items() if each.reach is Reach.TENANT))
def test_kd_17_another_tenant_does_not_exist(name):
    with pytest.raises(UnknownTenant) as caught:
        permit(Actor(name="x", role=Role.OWNER, tenant="acme"), name, "bolt")
    assert caught.value.sentence == "there is no tenant bolt"


@pytest.mark.parametrize("name", sorted(name for name, each in PERMISSIONS.items() if each.reach is Reach.TENANT))
def test_an_action_on_a_tenant_names_it(name):
    assert "tenant" in OPERATIONS[name].by_name
