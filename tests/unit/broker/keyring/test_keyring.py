"""Secrets of tenants: kept, versioned, given out, moved under new keys; one answer for all that is not there."""

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker.keyring import rows
from strongroom.broker.keyring.envelope import EnvelopeTampered
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, RootMissing, RootUnusable, new_root_key
from strongroom.broker.names import SecretName
from strongroom.errors import Refused
from strongroom.pki.disk import AlreadyThere
from strongroom.secret import Secret
from strongroom.workspace import BadSecretName, UnknownSecret

SAMPLE_KEY = bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")
KEY = Secret(bytes(range(16)))
OTHER = Secret(bytes(range(16, 32)))
DAY = 24 * 3600


def code_of(problem):
    return problem.value.code


def test_a_secret_is_given_back_by_every_keyring_of_the_store_and_root(keyring, again):
    info = keyring.put("default", "model/m/1", KEY, "owner")
    assert (info.version, info.kind, info.state, info.bytes, info.author) == (1, "model", "active", 16, "owner")
    assert keyring.get("default", "model/m/1") == KEY
    assert again.get("default", "model/m/1") == KEY


def test_a_model_key_is_kept_once(keyring):
    keyring.put("default", "model/m/1", KEY, "owner")
    with pytest.raises(AlreadyThere):
        keyring.put("default", "model/m/1", OTHER, "owner")
    with pytest.raises(AlreadyThere):
        keyring.put("default", "model/m/1", KEY, "owner")
    keyring.destroy("default", "model/m/1")
    with pytest.raises(AlreadyThere):
        keyring.put("default", "model/m/1", OTHER, "owner")


def test_a_model_key_is_not_rotated(keyring):
    keyring.put("default", "model/m/1", KEY, "owner")
    with pytest.raises(Refused) as caught:
        keyring.rotate("default", "model/m/1", "owner")
    assert code_of(caught) == "SR-MODEL-KEY-FIXED"
    assert keyring.get("default", "model/m/1") == KEY


def test_kd_14_an_old_version_is_carried_for_its_time_and_then_retired(keyring, clock):
    keyring.put("default", "secret/s", KEY, "owner")
    keyring.rotate("default", "secret/s", "owner", secret=OTHER, carry_s=DAY)
    assert keyring.get("default", "secret/s") == OTHER
    assert keyring.get("default", "secret/s", 1) == KEY
    old, new = keyring.infos("default")
    now = round(clock.now.timestamp() * 1000)
    assert (old.state_at(now), new.state_at(now)) == ("carried", "active")
    clock.forward(DAY + 1)
    assert old.state_at(now + (DAY + 1) * 1000) == "retired"
    with pytest.raises(UnknownSecret):
        keyring.get("default", "secret/s", 1)
    assert keyring.get("default", "secret/s", 2) == OTHER
    keyring.rotate("default", "secret/s", "owner", carry_s=0)
    with pytest.raises(UnknownSecret):
        keyring.get("default", "secret/s", 2)


def test_a_later_rotation_does_not_lengthen_what_ends(keyring, clock):
    keyring.create("default", "secret/s", "owner")
    keyring.rotate("default", "secret/s", "owner", carry_s=10)
    keyring.rotate("default", "secret/s", "owner", carry_s=DAY)
    clock.forward(11)
    with pytest.raises(UnknownSecret):
        keyring.get("default", "secret/s", 1)
    assert keyring.get("default", "secret/s", 2)


@pytest.mark.parametrize("carry_s", [-1, 367 * DAY])
def test_a_carry_time_has_bounds(keyring, carry_s):
    with pytest.raises(Exception, match="seconds") as caught:
        keyring.put("default", "secret/s", KEY, "owner", carry_s=carry_s)
    assert code_of(caught) == "SR-CARRY-TIME"


def test_what_is_made_here_is_random_and_of_the_right_size(keyring):
    sizes = {"model/m/1": 16, "secret/s": 32, "password/p": 32}
    for name, size in sizes.items():
        keyring.create("default", name, "owner")
        assert len(keyring.get("default", name)) == size
    with keyring.get("default", "password/p").reveal() as raw:
        assert raw.isascii()
        assert raw.decode().isprintable()
    with pytest.raises(Exception, match="certificate") as caught:
        keyring.create("default", "tls/t", "owner")
    assert code_of(caught) == "SR-KEY-NOT-MADE-HERE"


@pytest.mark.parametrize(
    ("name", "weak"),
    [
        ("model/m/1", SAMPLE_KEY),
        ("model/m/1", bytes(16)),
        ("secret/s", SAMPLE_KEY),
        ("secret/s", b"\xff" * 16),
        ("password/p", b"a" * 16),
        ("secret/s", bytes(32)),
        ("tls/t", b"\x01" * 2000),
        ("password/p", b"x"),
    ],
)
def test_kd_02_known_and_constant_keys_are_refused(keyring, name, weak):
    with pytest.raises(Refused) as caught:
        keyring.put("default", name, Secret(weak), "owner")
    assert code_of(caught) == "SR-WEAK-KEY"
    assert keyring.infos("default") == ()


def test_kd_02_a_secret_is_not_rotated_to_a_weak_key(keyring):
    keyring.put("default", "secret/s", KEY, "owner")
    with pytest.raises(Refused) as caught:
        keyring.rotate("default", "secret/s", "owner", secret=Secret(SAMPLE_KEY))
    assert code_of(caught) == "SR-WEAK-KEY"
    assert keyring.get("default", "secret/s") == KEY


@pytest.mark.parametrize("size", [0, 15, 17, 65537])
def test_kd_02_a_model_key_has_16_bytes(keyring, size):
    with pytest.raises(Exception, match="bytes") as caught:
        keyring.put("default", "model/m/1", Secret(blob(size)), "owner")
    assert code_of(caught) == "SR-UNFIT-SECRET"


def blob(size):
    return (bytes(range(256)) * 257)[:size]


def test_kd_12_every_secret_has_its_own_bytes_and_its_own_wrapping(keyring, store):
    for tenant in ("default", "acme"):
        for name in ("model/m/1", "model/m/2", "model/n/1"):
            keyring.create(tenant, name, "owner")
    everything = [
        row for tenant in ("default", "acme") for row in store.read(lambda tx, t=tenant: rows.of_tenant(tx, t))
    ]
    opened = []
    for row in everything:
        with keyring.get(row.info.tenant, row.info.name).reveal() as raw:
            opened.append(raw)
    assert len(set(opened)) == len(opened) == 6
    assert not any(raw in row.wrapped for raw in opened for row in everything)


MOVES = {
    "another tenant": "UPDATE secrets SET tenant = 'acme' WHERE tenant = 'default' AND name = 'secret/a'",
    "another name": "UPDATE secrets SET name = 'secret/c' WHERE tenant = 'default' AND name = 'secret/a'",
    "another version": "UPDATE secrets SET version = 7 WHERE tenant = 'default' AND name = 'secret/a'",
    "another generation": "UPDATE secrets SET generation = 1 WHERE tenant = 'default' AND name = 'secret/a'",
    "another wrapping": "UPDATE secrets SET wrapped = (SELECT wrapped FROM secrets WHERE tenant = 'default' "
    "AND name = 'secret/b') WHERE tenant = 'default' AND name = 'secret/a'",
    "another tenant's key": "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE tenant = 'acme' "
    "AND state = 'active') WHERE tenant = 'default' AND state = 'active'",
    "a key that is gone": "UPDATE tenant_keys SET state = 'replaced' WHERE tenant = 'default'",
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_kd_06_a_row_that_was_moved_is_refused(keyring, again, store, move):
    for tenant in ("default", "acme"):
        keyring.create(tenant, "secret/a", "owner")
        keyring.create(tenant, "secret/b", "owner")
    keyring.rotate_tenant("default")
    store.write(lambda tx: tx.execute("DELETE FROM secrets WHERE tenant = 'acme' AND name = 'secret/a'"))
    store.write(lambda tx: tx.execute(move))
    places = [(tenant, name) for tenant in ("default", "acme") for name in ("secret/a", "secret/b", "secret/c")]
    found = []
    for place in places:
        try:
            again.get(*place)
        except (UnknownSecret, EnvelopeTampered) as problem:
            found.append(type(problem))
    assert EnvelopeTampered in found


def test_kd_17_what_is_another_tenants_looks_like_what_is_not_there(keyring):
    keyring.create("a", "secret/s", "owner of a")
    keyring.create("b", "secret/t", "owner of b")
    answers = []
    for tenant, name in (("b", "secret/s"), ("b", "secret/absent"), ("nobody", "secret/s"), ("_broker", "secret/s"),
                         ("../a", "secret/s"), ("A", "secret/s")):  # fmt: skip
        for ask in (keyring.get, keyring.retire, keyring.destroy):
            with pytest.raises(UnknownSecret) as caught:
                ask(tenant, name)
            answers.append(caught.value.to_json_object())
    assert all(each == {**answers[0], "sentence": each["sentence"]} for each in answers)
    assert {each["sentence"] for each in answers} == {"there is no secret secret/s", "there is no secret secret/absent"}
    assert [info.name for info in keyring.infos("b")] == ["secret/t"]
    assert keyring.infos("nobody") == keyring.infos("_broker") == keyring.infos("../a") == ()
    keyring.put("b", "secret/s", KEY, "owner of b")
    keyring.destroy("b", "secret/s")
    assert keyring.get("a", "secret/s")


def test_kd_17_the_brokers_own_keys_are_nobodys(keyring, store):
    keyring.signing_key()
    with pytest.raises(UnknownSecret):
        keyring.get("_broker", "secret/ledger-signing-key")
    with pytest.raises(BadSecretName):
        keyring.put("_broker", "secret/ledger-signing-key", KEY, "me")
    assert not store.read(lambda tx: keyring.exists(tx, "_broker", "secret/ledger-signing-key"))
    assert keyring.tenants() == ()
    with pytest.raises(UnknownSecret):
        keyring.rotate_tenant("_broker")


@pytest.mark.parametrize("end", ["retire", "destroy"])
def test_what_was_ended_looks_like_what_never_was(keyring, store, end):
    keyring.create("default", "secret/s", "owner")
    getattr(keyring, end)("default", "secret/s")
    with pytest.raises(UnknownSecret, match="there is no secret secret/s"):
        keyring.get("default", "secret/s")
    assert not store.read(lambda tx: keyring.exists(tx, "default", "secret/s"))
    with pytest.raises(UnknownSecret):
        getattr(keyring, end)("default", "secret/s")
    [info] = keyring.infos("default")
    assert info.state == {"retire": "retired", "destroy": "destroyed"}[end]


def test_a_destroyed_value_is_not_in_the_row_any_more(keyring, store):
    keyring.create("default", "secret/s", "owner")
    keyring.destroy("default", "secret/s")
    [row] = store.read(lambda tx: rows.of_tenant(tx, "default"))
    assert row.wrapped == b""
    keyring.rotate_tenant("default")
    keyring.put("default", "secret/s", KEY, "owner")
    assert keyring.get("default", "secret/s") == KEY


def test_one_version_can_be_ended_alone(keyring):
    keyring.put("default", "secret/s", KEY, "owner")
    keyring.rotate("default", "secret/s", "owner", secret=OTHER)
    keyring.retire("default", "secret/s", 1)
    with pytest.raises(UnknownSecret):
        keyring.get("default", "secret/s", 1)
    assert keyring.get("default", "secret/s") == OTHER


def test_a_tenants_new_key_takes_all_its_secrets(keyring, again, store):
    names = [f"secret/s{number}" for number in range(20)]
    for name in names:
        keyring.create("acme", name, "owner")
    keyring.create("default", "secret/s", "owner")
    before = {name: again.get("acme", name) for name in names}
    assert keyring.rotate_tenant("acme") == 2
    for each in (keyring, again, Keyring(store, keyring.root)):  # `again` holds the old key in memory
        assert {name: each.get("acme", name) for name in names} == before
        assert each.get("default", "secret/s")
    old, new = store.read(lambda tx: tx.execute(
        "SELECT state, wrapped FROM tenant_keys WHERE tenant = 'acme' ORDER BY generation"))  # fmt: skip
    assert (old[0], bytes(old[1]), new[0]) == ("replaced", b"", "active")
    again.put("acme", "secret/late", KEY, "another broker")
    assert keyring.get("acme", "secret/late") == KEY


def test_a_row_that_does_not_open_stops_a_rotation_before_it_changes_anything(keyring, store):
    keyring.create("default", "secret/a", "owner")
    keyring.create("default", "secret/b", "owner")
    store.write(lambda tx: tx.execute("UPDATE secrets SET wrapped = ? WHERE name = 'secret/b'", (bytes(61),)))
    before = store.read(lambda tx: tx.execute("SELECT * FROM tenant_keys"))
    with pytest.raises(EnvelopeTampered):
        keyring.rotate_tenant("default")
    assert store.read(lambda tx: tx.execute("SELECT * FROM tenant_keys")) == before
    assert keyring.get("default", "secret/a")


def test_rewrap_brings_thousands_of_keys_under_another_root(keyring, store):
    tenants = [f"tenant-{number}" for number in range(1000)]
    key = store.read(lambda tx: rows.active_key(tx, "_broker"))
    keyring.create("default", "secret/s", "owner")
    for tenant in tenants:
        generation, _ = keyring._keys.active(tenant)
        assert generation == 1
    other, seen = LocalRoot(new_root_key(), "another"), []
    count = keyring.rewrap(other, progress=lambda done, total: seen.append((done, total)))
    assert count == 1002
    assert seen == [(number, 1002) for number in range(1, 1003)]
    assert store.read(rows.root_ids) == [other.id]
    assert store.read(lambda tx: rows.active_key(tx, "_broker")) != key
    fresh = Keyring(store, other)
    assert fresh.get("default", "secret/s") == keyring.get("default", "secret/s")
    with pytest.raises(RootMissing):
        Keyring(store, LocalRoot(new_root_key(), "a third")).get("default", "secret/s")


def test_a_tenant_that_comes_during_a_rewrap_is_rewrapped_too(keyring, store, root):
    keyring.create("default", "secret/s", "owner")
    late, other = Keyring(store, root), LocalRoot(new_root_key(), "another")

    def progress(done, _):
        if done == 1:
            late.put("late", "secret/t", KEY, "another broker")

    assert keyring.rewrap(other, progress=progress) == 3
    assert Keyring(store, other).get("late", "secret/t") == KEY


def test_a_keyring_with_another_root_cannot_add_to_a_store(keyring, store):
    stranger = Keyring(store, LocalRoot(new_root_key(), "a stranger"))
    for attempt in (stranger.begin, lambda: stranger.create("new", "secret/s", "stranger"),
                    lambda: stranger.rewrap(LocalRoot(new_root_key(), "x"))):  # fmt: skip
        with pytest.raises(RootMissing) as caught:
            attempt()
        assert code_of(caught) == "SR-ROOT-MISSING"
    assert store.read(rows.root_ids) == [keyring.root.id]


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(32), b"\x01\x02" * 16, bytes(range(33))])
def test_kd_02_a_root_key_is_32_random_bytes(bad):
    with pytest.raises(RootUnusable) as caught:
        LocalRoot(Secret(bad), "a file")
    assert code_of(caught) == "SR-ROOT-KEY"


def test_the_brokers_signing_keys_are_made_once_and_kept(keyring, again, store):
    signing, token = keyring.signing_key(), keyring.token_key()
    assert again.signing_key().private_bytes_raw() == signing.private_bytes_raw()
    assert again.token_key().private_numbers() == token.private_numbers()
    assert isinstance(token.curve, ec.SECP256R1)
    keyring.rewrap(LocalRoot(new_root_key(), "another"))
    assert keyring.signing_key().private_bytes_raw() == signing.private_bytes_raw()


def test_brokers_that_begin_together_agree_on_keys(store, root):
    keyrings = [Keyring(store, root) for _ in range(4)]
    found, start = [], threading.Barrier(4)

    def begin(keyring):
        start.wait()
        keyring.begin()
        keyring.create("default", "password/p", "owner")
        found.append(keyring.signing_key().private_bytes_raw())

    threads = [threading.Thread(target=begin, args=(keyring,)) for keyring in keyrings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert [info.version for info in keyrings[0].infos("default")] == [1, 2, 3, 4]


def test_a_release_asks_the_root_key_once_for_each_tenant(keyring, store):
    keyring.create("default", "secret/s", "owner")
    asked = []

    class Counting(LocalRoot):
        def unwrap(self, wrapped, context):
            asked.append(context)
            return super().unwrap(wrapped, context)

    counting = Keyring(store, Counting(keyring.root.key, "counted"))
    for _ in range(5):
        counting.get("default", "secret/s")
    assert len(asked) == 1


def test_closing_wipes_what_was_unwrapped(keyring):
    keyring.create("default", "secret/s", "owner")
    held = list(keyring._keys._unwrapped.values())
    keyring.close()
    assert held
    assert all(len(key) == 0 for key in (*held, keyring.root.key))


def test_what_goes_with_a_change_is_in_its_transaction_and_may_object(keyring, store):
    class Objection(Refused):
        code = ""

    def note(tx, info):
        tx.execute("INSERT INTO rates (bucket, window_ms, spent) VALUES (?, 0, 0)", (f"{info.name} {info.version}",))

    def object_(tx, info):
        raise Objection("no")

    keyring.put("default", "secret/s", KEY, "owner", also=note)
    keyring.rotate("default", "secret/s", "owner", also=note)
    for attempt in (keyring.retire, keyring.destroy):
        with pytest.raises(Objection):
            attempt("default", "secret/s", also=object_)
    with pytest.raises(Objection):
        keyring.rotate("default", "secret/s", "owner", also=object_)
    noted = store.read(lambda tx: tx.execute("SELECT bucket FROM rates ORDER BY bucket"))
    assert noted == [("secret/s 1",), ("secret/s 2",)]
    assert [(info.version, info.state) for info in keyring.infos("default")] == [(1, "active"), (2, "active")]


def test_every_name_of_the_grammar_can_be_kept(keyring):
    for name in ("secret/A.b-c_d", "tls/x", "password/y", "model/M.1/9223372036854775807"):
        keyring.put("default", name, KEY, "owner")
        assert keyring.get("default", str(SecretName.parse(name))) == KEY
