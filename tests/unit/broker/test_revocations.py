"""Revocations and floors: in force at once, for one tenant or all, in one spelling; what only rises stays up."""

from contextlib import closing

import pytest

from strongroom.attestation import claims_of
from strongroom.broker import floors, revocations
from strongroom.broker.floors import FloorLowered
from strongroom.broker.names import SecretName
from strongroom.broker.revocations import RevocationKind, RevocationMalformed, RevocationUnknown
from strongroom.broker.store.opening import open_store
from strongroom.workspace.secret_store import BadSecretName

SECRET = SecretName.parse("model/resnet50/3")
MARKS = (("measurement", "e1" * 32), ("fmspc", "F00000000001"), ("pck", "AB12"))


@pytest.fixture
def store(tmp_path):
    with closing(open_store(tmp_path / "broker.db")) as opened:
        yield opened


def revoke(store, kind, value, **options):
    return store.write(lambda tx: revocations.revoke(tx, kind=kind, value=value, author="alice", **options))


def found(store, tenant="default", secret=SECRET, marks=MARKS):
    return [str(each) for each in store.read(lambda tx: revocations.check(tx, tenant, secret, marks))]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("measurement", "E1" * 32, "measurement " + "e1" * 32),
        ("fmspc", "f00000000001", "fmspc F00000000001"),
        ("pck", "00ab12", "pck AB12"),
        ("secret", "model/resnet50/3", "secret model/resnet50/3"),
        ("model", "resnet50", "model resnet50"),
    ],
)
def test_kd_11_what_is_revoked_is_found_whatever_its_spelling(store, kind, value, shown):
    done = revoke(store, kind, value, reason="a drill")
    assert found(store) == [shown]
    assert revoke(store, kind, value).revocation == done.revocation  # once is enough
    store.write(lambda tx: revocations.lift(tx, done.revocation.id))
    assert found(store) == []
    with pytest.raises(RevocationUnknown) as unknown:
        store.write(lambda tx: revocations.lift(tx, done.revocation.id))
    assert unknown.value.code == "SR-REVOCATION-UNKNOWN"


@pytest.mark.parametrize(
    ("kind", "value"),
    [("signer", "e1" * 32), ("measurement", "0f" * 32), ("secret", "model/resnet50/2"), ("model", "resnet"),
     ("platform", "ab" * 12), ("pck", "B12")],
)  # fmt: skip
def test_a_revocation_of_something_else_touches_nothing(store, kind, value):
    revoke(store, kind, value)
    assert found(store) == []


def test_kd_17_a_tenants_revocation_is_its_own_and_one_of_all_is_everybodys(store):
    revoke(store, "model", "resnet50", tenant="b")
    assert found(store) == []
    assert found(store, tenant="b") == ["model resnet50"]
    assert [each.tenant for each in store.read(lambda tx: revocations.active(tx, "b"))] == ["b"]
    revoke(store, "fmspc", "F00000000001")
    assert found(store) == ["fmspc F00000000001"]
    assert len(store.read(lambda tx: revocations.active(tx, "b"))) == 2
    [theirs] = [each for each in store.read(revocations.active) if each.tenant == "*"]
    with pytest.raises(RevocationUnknown):
        store.write(lambda tx: revocations.lift(tx, theirs.id, tenant="b"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("colour", "red"), ("measurement", "e1"), ("measurement", "e1" * 40), ("signer", "zz" * 32), ("fmspc", "1"),
     ("pck", ""), ("pck", "x"), ("pck", "1" * 41), ("platform", "ab\n" * 8)],
)  # fmt: skip
def test_what_could_never_match_is_not_revoked(store, kind, value):
    with pytest.raises(RevocationMalformed) as refused:
        revoke(store, kind, value)
    assert refused.value.code == "SR-REVOCATION"
    assert store.read(revocations.active) == ()


def test_a_value_of_another_form_is_told_the_form():
    with pytest.raises(RevocationMalformed, match="'ZZ' is no fmspc: that is 12 hex digits"):
        revocations.parse("fmspc", "zz")


@pytest.mark.parametrize(("kind", "value"), [("secret", "resnet50"), ("model", "../x"), ("model", "a/b")])
def test_kd_18_names_are_canonical_here_too(store, kind, value):
    with pytest.raises(BadSecretName):
        revoke(store, kind, value)
    with pytest.raises(BadSecretName):
        revoke(store, "model", "m", tenant="Not A Tenant")


def test_evidence_is_marked_by_all_that_a_revocation_may_name(verdict_of):
    verdict = verdict_of()
    marks = dict(revocations.marks_of(claims_of(verdict), platform="ab" * 12))
    assert marks == {
        "measurement": "e1" * 32, "signer": "51" * 32, "platform": "ab" * 12, "fmspc": verdict.fmspc,
        "pck": f"{verdict.pck_serial:X}",
    }  # fmt: skip
    for kind, value in marks.items():
        assert revocations.parse(kind, value) == (RevocationKind(kind), value)


def test_kd_09_a_floor_only_rises(store):
    def raised(version):
        return store.write(lambda tx: floors.raise_floor(tx, "default", "resnet50", version, "alice"))

    assert store.read(lambda tx: floors.floor(tx, "default", "resnet50")) == 0
    assert raised(3).min_version == 3
    assert raised(3).min_version == 3
    with pytest.raises(FloorLowered) as refused:
        raised(2)
    assert refused.value.code == "SR-FLOOR-LOWERED"
    assert raised(7).author == "alice"
    assert [(each.model, each.min_version) for each in store.read(floors.floors)] == [("resnet50", 7)]
    assert store.read(lambda tx: floors.floors(tx, "b")) == ()
    assert store.read(lambda tx: floors.floor(tx, "b", "resnet50")) == 0
