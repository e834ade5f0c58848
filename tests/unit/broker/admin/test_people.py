"""People: one certificate each, logins that work once, and always an owner left."""

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.admin.people import MAX_LOGINS, MAX_OWN_LOGINS
from strongroom.broker.admin.problems import AlreadySo, BadArgument, LastOwner, NotAClientCertificate, NotAuthenticated
from strongroom.pki import keys


def der(pem):
    return next(keys.blocks(pem.encode()))[1]


def add(office, pem, name="bob", role="operator", tenant="acme"):
    return office.add_admin(name=name, role=role, tenant=tenant, certificate=pem)


def test_a_registered_certificate_identifies_its_person(office, certificate):
    pem = certificate()
    view = add(office, pem)
    actor = office.administration.actor_of(der(pem))
    assert (actor.name, actor.role.value, actor.tenant) == ("bob", "operator", "acme")
    assert actor.fingerprint == view["fingerprint"]


@pytest.mark.parametrize("bytes_", [None, b"", b"\x30\x00", b"x" * 5000])
def test_what_is_no_certificate_identifies_nobody(office, bytes_):
    with pytest.raises(NotAuthenticated) as caught:
        office.administration.actor_of(bytes_)
    assert caught.value.code == "SR-ADMIN-UNKNOWN"


def test_a_ca_identifies_nobody_and_cannot_be_registered(office, authority):
    with pytest.raises(NotAClientCertificate) as caught:
        add(office, authority.certificate_pem.decode())
    assert caught.value.code == "SR-ADMIN-CERTIFICATE"
    with pytest.raises(NotAuthenticated):
        office.administration.actor_of(der(authority.certificate_pem.decode()))


def test_a_chain_or_a_key_is_not_one_certificate(office, authority, certificate):
    with pytest.raises(NotAClientCertificate):
        add(office, certificate() + certificate())
    leaf = authority.issue_client("bob@people.test", now=datetime.now(UTC))
    with leaf.key_pem.reveal() as raw, pytest.raises(NotAClientCertificate):
        add(office, raw.decode())


def test_an_ended_certificate_cannot_be_registered(office, authority):
    old = authority.issue_client("bob@people.test", now=datetime.now(UTC) - timedelta(days=30), days=2)
    with pytest.raises(NotAClientCertificate):
        add(office, old.certificate_pem.decode())


def test_a_person_has_one_role(office, certificate):
    add(office, certificate())
    add(office, certificate())  # a renewal
    with pytest.raises(AlreadySo) as caught:
        add(office, certificate(), role="owner", tenant="*")
    assert caught.value.code == "SR-ADMIN-EXISTS"


def test_a_confined_owner_adds_people_to_their_own_tenant_alone(office, certificate):
    actor = office.actor("owner", "acme")
    office.administration.add_admin(actor, name="bob", role="keeper", tenant="acme", certificate=certificate())
    for tenant in ("bolt", "*"):
        with pytest.raises(Exception, match="no tenant"):
            office.administration.add_admin(actor, name="eve", role="keeper", tenant=tenant, certificate=certificate())


def test_the_last_owner_of_everything_stays(office, certificate):
    first = add(office, certificate(), "alice", "owner", "*")
    add(office, certificate(), "of-acme", "owner", "acme")
    for way in (office.suspend_admin, office.remove_admin):
        with pytest.raises(LastOwner) as caught:
            way(fingerprint=first["fingerprint"])
        assert caught.value.code == "SR-ADMIN-LAST-OWNER"
    add(office, certificate(), "carol", "owner", "*")
    assert office.suspend_admin(fingerprint=first["fingerprint"])["state"] == "suspended"


def test_a_login_works_once_and_has_the_role_of_who_asked(office):
    actor = office.actor("auditor", "acme", "bob")
    token = office.administration.create_login(actor)["token"]
    found = office.administration.redeem_login(token)
    assert (found.name, found.role, found.tenant) == ("bob", actor.role, "acme")
    with pytest.raises(NotAuthenticated):
        office.administration.redeem_login(token)


def test_a_login_is_kept_as_a_hash_and_in_no_line(office, tmp_path):
    token = office.create_login()["token"]
    rows = office.store.read(lambda tx: tx.execute("SELECT * FROM logins"))
    assert token not in str(rows) + office.text()
    assert office.entries()[-1]["action"] == "create_login"


def test_a_login_ends_after_five_minutes(office):
    token = office.create_login()["token"]
    office.store.write(lambda tx: tx.execute("UPDATE logins SET expires_ms = ?", (tx.now_ms,)))
    with pytest.raises(NotAuthenticated):
        office.administration.redeem_login(token)


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "\udcff"])
def test_a_guess_is_no_login_and_writes_nothing(office, token):
    before = office.ledger.head()
    with pytest.raises(NotAuthenticated):
        office.administration.redeem_login(token)
    assert office.ledger.head() == before


def test_open_logins_are_bounded(office):
    def fill(tx):
        for number in range(MAX_LOGINS):
            tx.execute(
                "INSERT INTO logins (token_hash, kind, name, role, tenant, expires_ms, used_ms)"
                " VALUES (?, 'login', 'x', 'auditor', '*', ?, NULL)",
                (f"{number:064x}", tx.now_ms + 1000_000),
            )

    office.store.write(fill)
    with pytest.raises(BadArgument) as caught:
        office.create_login()
    assert caught.value.code == "SR-ADMIN-ARGUMENT"


def test_one_person_cannot_keep_the_others_from_logging_in(office):
    bob = office.actor("auditor", "acme", "bob")
    for _ in range(MAX_OWN_LOGINS):
        office.administration.create_login(bob)
    with pytest.raises(BadArgument):
        office.administration.create_login(bob)
    assert office.create_login()["token"]


@pytest.mark.parametrize(
    "column", ["name = 'workspace:root'", "role = 'owner'", "tenant = '*'", "expires_ms = expires_ms + 1", "seal = ''",
               "role = 'king'", "kind = 'session'", "seal = x'ff'"]
)  # fmt: skip
def test_sa_09_a_login_that_somebody_wrote_into_the_store_is_none(office, column):
    token = office.administration.create_login(office.actor("auditor", "acme", "bob"))["token"]
    office.store.write(lambda tx: tx.execute(f"UPDATE logins SET {column}"))  # noqa: S608  # our own words
    with pytest.raises(NotAuthenticated):
        office.administration.redeem_login(token)


def test_sa_09_a_suspended_persons_login_and_sessions_end(office, certificate):
    bob = add(office, certificate(), role="auditor")
    actor = office.actor("auditor", "acme", "bob")
    token = office.administration.create_login(actor)["token"]
    office.administration.check_active(actor)
    office.suspend_admin(fingerprint=bob["fingerprint"])
    with pytest.raises(NotAuthenticated):
        office.administration.redeem_login(token)
    with pytest.raises(NotAuthenticated):
        office.administration.check_active(actor)


def test_the_owner_of_this_machine_needs_no_certificate_for_a_session(office):
    office.administration.check_active(office.owner)


def test_no_person_can_be_named_like_this_machine(office, certificate):
    with pytest.raises(BadArgument):
        add(office, certificate(), name="workspace:root")


def test_an_unknown_role_is_refused(office, certificate):
    with pytest.raises(BadArgument):
        add(office, certificate(), role="root")
