"""A workspace's keyring: its first root key, key files that are taken over, a root key that changes or is lost."""

import json
import logging
import stat
from dataclasses import replace

import pytest

from strongroom.broker.keyring import changing, opening, passphrase_root
from strongroom.broker.keyring.passphrase_root import (
    PassphraseFile,
    PassphraseNeeded,
    ScryptCost,
    WeakPassphrase,
    WrongPassphrase,
    passphrase_of,
)
from strongroom.broker.keyring.root_folder import RootFolder
from strongroom.broker.keyring.root_key import RootDoesNotFit, RootMissing, RootUnusable, new_root_key
from strongroom.broker.store.opening import open_store
from strongroom.pki.disk import AlreadyThere, LoosePermissions
from strongroom.secret import Secret
from strongroom.workspace.settings import Settings
from strongroom.workspace.workspace import Workspace

KEY = Secret(bytes(range(16)))
OTHER = Secret(bytes(range(16, 32)))
SAMPLE_KEY = Secret(bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"))
PASSPHRASE = Secret(b"correct horse battery staple")
CHEAP = ScryptCost(n=2**14)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """scrypt at its least cost, for tests that do not test the cost."""
    monkeypatch.setattr(passphrase_root, "ScryptCost", lambda *values: ScryptCost(*values) if values else CHEAP)


def with_root(owner, root):
    broker = replace(owner.settings.broker, root=root)
    return Workspace(owner.folder, replace(owner.settings, broker=broker))


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_kd_03_a_first_opening_makes_a_root_key_in_a_folder_of_its_own(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "model/m/1", KEY, "owner")
    assert modes(owner.folder / "root") == {"root.key": 0o600}
    assert stat.S_IMODE((owner.folder / "root").stat().st_mode) == 0o700
    raw = (owner.folder / "root/root.key").read_bytes()
    with KEY.reveal() as key:
        for path in owner.folder.glob("broker.db*"):
            assert raw not in path.read_bytes()
            assert key not in path.read_bytes()
    with opened(owner) as keyring:
        assert keyring.get("default", "model/m/1") == KEY


@pytest.mark.parametrize("loose", ["root", "root/root.key"])
def test_kd_21_a_root_key_that_others_can_read_is_refused(owner, opened, loose):
    with opened(owner):
        pass
    (owner.folder / loose).chmod(0o755)
    with pytest.raises(LoosePermissions):
        opening.open_keyring(owner)


def test_key_files_are_taken_over_at_the_opening(owner, opened):
    owner.secrets.put("model/m/1", KEY)
    owner.secrets.put("secret/s", OTHER)
    with opened(owner) as keyring:
        assert keyring.get("default", "model/m/1") == KEY
        assert keyring.get("default", "secret/s") == OTHER
        assert {info.author for info in keyring.infos("default")} == {"workspace"}
    assert owner.secrets.names() == ()
    assert opening.secret_names(owner) == {"model/m/1", "secret/s"}


def test_a_key_file_is_taken_over_when_it_is_asked_for(owner, opened):
    with opened(owner) as keyring:
        owner.secrets.put("model/m/1", KEY)
        assert keyring.store.read(lambda tx: keyring.exists(tx, "default", "model/m/1"))
        assert not keyring.store.read(lambda tx: keyring.exists(tx, "acme", "model/m/1"))
        with pytest.raises(Exception, match="there is no secret"):
            keyring.get("acme", "model/m/1")
        assert keyring.get("default", "model/m/1") == KEY
        assert owner.secrets.names() == ()


def test_a_key_file_that_was_taken_before_only_goes(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        owner.secrets.put("secret/s", KEY)
        assert keyring.take_over("secret/s")
        assert not keyring.take_over("secret/s")
        assert [info.version for info in keyring.infos("default")] == [1]


def test_what_cannot_be_taken_stays_with_the_reason(owner, opened, caplog):
    with opened(owner) as keyring:
        keyring.put("default", "model/other/1", KEY, "owner")
    owner.secrets.put("model/other/1", OTHER)
    owner.secrets.put("model/good/1", KEY)
    for name in ("loose", "weak", "short"):
        owner.secrets.put(f"model/{name}/1", KEY)
    (owner.folder / "keys/model/loose/1").chmod(0o644)
    with SAMPLE_KEY.reveal() as raw:
        (owner.folder / "keys/model/weak/1").write_bytes(raw)
    (owner.folder / "keys/model/short/1").write_bytes(b"short")
    with caplog.at_level(logging.WARNING, logger="strongroom.broker"), opened(owner) as keyring:
        assert keyring.get("default", "model/other/1") == KEY
        assert keyring.get("default", "model/good/1") == KEY
        with pytest.raises(LoosePermissions):
            keyring.get("default", "model/loose/1")
    assert owner.secrets.names() == ("model/loose/1", "model/other/1", "model/short/1", "model/weak/1")
    for code in ("SR-LOOSE-PERMISSIONS", "SR-ALREADY-THERE", "SR-UNFIT-SECRET", "SR-WEAK-KEY"):
        assert f"[{code}]" in caplog.text
    assert "keys/model/good/1" not in caplog.text


def test_a_file_that_differs_becomes_the_next_version_of_a_free_secret(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
    owner.secrets.put("secret/s", OTHER)
    with opened(owner) as keyring:
        assert keyring.get("default", "secret/s") == OTHER
        assert keyring.get("default", "secret/s", 1) == KEY


def test_names_are_known_without_a_root_key_and_without_making_a_store(owner, opened):
    assert opening.secret_names(owner) == frozenset()
    assert not (owner.folder / "broker.db").exists()
    owner.secrets.put("secret/waiting", KEY)
    with opened(with_root(owner, "file")) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        keyring.put("acme", "secret/hers", KEY, "owner")
    (owner.folder / "root/root.key").unlink()
    assert opening.secret_names(owner) == {"secret/s", "secret/waiting"}


def test_a_store_whose_root_key_is_gone_gets_no_new_one(owner, opened):
    with opened(owner):
        pass
    (owner.folder / "root/root.key").unlink()
    with pytest.raises(RootMissing) as caught:
        opening.open_keyring(owner)
    assert caught.value.code == "SR-ROOT-MISSING"
    assert list((owner.folder / "root").iterdir()) == []


def test_a_new_store_takes_the_root_key_that_was_copied_here(owner, opened):
    with opened(owner) as keyring:
        wanted = keyring.root.id
    for path in owner.folder.glob("broker.db*"):
        path.unlink()
    with opened(owner) as keyring:
        assert keyring.root.id == wanted


# Under a passphrase


def test_a_new_store_under_a_passphrase(owner, opened):
    owner = with_root(owner, "passphrase")
    with pytest.raises(PassphraseNeeded) as caught:
        opening.open_keyring(owner)
    assert (caught.value.code, caught.value.new) == ("SR-PASSPHRASE-NEW", True)
    with opened(owner, passphrase=PASSPHRASE) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
    with pytest.raises(PassphraseNeeded) as caught:
        opening.open_keyring(owner)
    assert (caught.value.code, caught.value.new) == ("SR-PASSPHRASE-NEEDED", False)
    with opened(owner, passphrase=PASSPHRASE) as keyring:
        assert keyring.get("default", "secret/s") == KEY
    assert modes(owner.folder / "root") == {"root.passphrase": 0o600}
    with PASSPHRASE.reveal() as raw:
        assert raw not in (owner.folder / "root/root.passphrase").read_bytes()


def test_a_wrong_passphrase_says_no_more_than_that(owner, opened):
    owner = with_root(owner, "passphrase")
    with opened(owner, passphrase=PASSPHRASE):
        pass
    path = owner.folder / "root/root.passphrase"
    words = json.loads(path.read_bytes())
    answers = []
    for change in ({}, {"wrapped": "01" + "00" * 60}, {"salt": "00" * 16}, {"id": "local-" + "0" * 16}):
        stored = PassphraseFile.parse(json.dumps({**words, **change}).encode())
        with pytest.raises(WrongPassphrase) as caught:
            stored.open(PASSPHRASE if change else Secret(b"another one of mine"))
        answers.append(caught.value.to_json_object())
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "SR-PASSPHRASE"
    with pytest.raises(WrongPassphrase):
        PassphraseFile.parse(json.dumps(words).encode()).open(Secret(b"x" * 5000))


@pytest.mark.parametrize(
    "change",
    [{"n": 2**13}, {"n": 2**14 + 1}, {"n": 2**30}, {"n": 2**22, "r": 32}, {"r": 0}, {"p": 9}, {"n": True}, {"n": "x"},
     {"salt": ""}, {"salt": "zz"}, {"wrapped": 1}, {"id": "other"}, {"more": 1}, {"format": "x"}],
    ids=str,
)  # fmt: skip
def test_parameters_are_bounded_before_memory_is_taken(change):
    made = passphrase_root.protect(new_root_key(), PASSPHRASE, cost=CHEAP)
    words = {**json.loads(made.render()), **change}
    with pytest.raises(RootUnusable) as caught:
        PassphraseFile.parse(json.dumps(words).encode())
    assert caught.value.code == "SR-ROOT-KEY"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"1" * 5000, b'{"format": 1, "format": 1}'])
def test_any_other_file_is_refused(content):
    with pytest.raises(RootUnusable):
        PassphraseFile.parse(content)


def test_the_usual_cost_takes_128_mib():
    cost = ScryptCost()
    cost.check()
    assert 128 * cost.n * cost.r == 128 * 1024 * 1024


@pytest.mark.parametrize("weak", [b"short", b"aaaaaaaaaaaaaaaaa", b"x" * 1025])
def test_kd_27_a_weak_passphrase_makes_no_root_key(weak):
    with pytest.raises(WeakPassphrase) as caught:
        passphrase_root.protect(new_root_key(), Secret(weak), cost=CHEAP)
    assert caught.value.code == "SR-PASSPHRASE-WEAK"


@pytest.mark.parametrize(
    ("content", "line"), [(b"one line\n", b"one line"), (b"one line", b"one line"), (b"a\r\n", b"a")]
)
def test_a_passphrase_is_the_one_line_of_its_file(content, line):
    assert passphrase_of(Secret(content)) == Secret(line)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"nul\0"])
def test_a_file_without_exactly_one_line_holds_no_passphrase(content):
    with pytest.raises(WeakPassphrase):
        passphrase_of(Secret(content))


# Changing it


def test_rewrap_replaces_the_root_key_and_removes_the_old_one(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        old = (owner.folder / "root/root.key").read_bytes()
        done = changing.change_root(owner, keyring, "file")
        assert (done.keys, keyring.root.id) == (2, done.new)
        assert done.old != done.new
        assert keyring.get("default", "secret/s") == KEY
    assert modes(owner.folder / "root") == {"root.key": 0o600}
    assert (owner.folder / "root/root.key").read_bytes() != old
    with opened(owner) as keyring:
        assert keyring.get("default", "secret/s") == KEY


def test_the_root_key_goes_under_a_passphrase_and_back(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        changing.change_root(owner, keyring, "passphrase", passphrase=PASSPHRASE)
        assert keyring.get("default", "secret/s") == KEY
    assert modes(owner.folder / "root") == {"root.passphrase": 0o600}
    changed = Secret(b"another passphrase of ours")
    with opened(owner, passphrase=PASSPHRASE) as keyring:
        changing.change_root(owner, keyring, "passphrase", passphrase=changed)
    with pytest.raises(WrongPassphrase):
        opening.open_keyring(owner, passphrase=PASSPHRASE)
    with opened(owner, passphrase=changed) as keyring:
        changing.change_root(owner, keyring, "file")
    assert modes(owner.folder / "root") == {"root.key": 0o600}
    with opened(owner) as keyring:
        assert keyring.get("default", "secret/s") == KEY


@pytest.mark.parametrize("passphrase", [None, Secret(b"short")])
def test_a_change_that_cannot_be_changes_nothing(owner, opened, passphrase):
    with opened(owner) as keyring:
        before = modes(owner.folder / "root"), keyring.root.id
        with pytest.raises((PassphraseNeeded, WeakPassphrase)):
            changing.change_root(owner, keyring, "passphrase", passphrase=passphrase)
        with pytest.raises(RootUnusable):
            changing.change_root(owner, keyring, "pkcs11")
        assert (modes(owner.folder / "root"), keyring.root.id) == before


def test_settings_that_want_another_kind_are_not_passed_over(owner, opened):
    with opened(owner):
        pass
    wants = with_root(owner, "passphrase")
    with pytest.raises(Exception, match="the store is under") as caught:
        opening.open_keyring(wants, passphrase=PASSPHRASE)
    assert caught.value.code == "SR-ROOT-SETTING"
    with opened(wants, any_root=True) as keyring:
        changing.change_root(wants, keyring, "passphrase", passphrase=PASSPHRASE)
    with opened(wants, passphrase=PASSPHRASE):
        pass


def test_a_note_of_another_store_is_left_alone(owner, opened):
    with opened(owner):
        pass
    folder = RootFolder.of(owner.folder)
    folder.begin_change("local-1111111111111111", "local-2222222222222222")
    with opened(owner):
        assert (owner.folder / "root/root.key").exists()
        assert (owner.folder / "root/changing").exists()


# Losing it


def test_sa_17_shares_bring_a_lost_root_key_back(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        made = changing.split_root(keyring.root, threshold=3, count=5)
        with pytest.raises(Exception, match="threshold"):
            changing.split_root(keyring.root, threshold=10**9, count=10**9)
    (owner.folder / "root/root.key").unlink()
    root = changing.recover_root(owner, [made[4], made[0], made[2]])
    assert root.id == made[0].root_id
    assert modes(owner.folder / "root") == {"root.key": 0o600}
    with opened(owner) as keyring:
        assert keyring.get("default", "secret/s") == KEY
    with pytest.raises(AlreadyThere):
        changing.recover_root(owner, made)


def test_sa_17_shares_bring_back_what_a_lost_passphrase_locks(owner, opened):
    owner = with_root(owner, "passphrase")
    with opened(owner, passphrase=PASSPHRASE) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
        made = changing.split_root(keyring.root, threshold=2, count=2)
    changed = Secret(b"another passphrase of ours")
    changing.recover_root(owner, made, passphrase=changed)
    with opened(owner, passphrase=changed) as keyring:
        assert keyring.get("default", "secret/s") == KEY
    changing.recover_root(owner, made)
    assert modes(owner.folder / "root") == {"root.key": 0o600}


def test_shares_of_another_workspace_are_refused(owner, opened, tmp_path):
    with opened(owner) as keyring:
        made = changing.split_root(keyring.root, threshold=2, count=3)
        changing.change_root(owner, keyring, "file")
    (owner.folder / "root/root.key").unlink()
    with pytest.raises(RootDoesNotFit, match="the store is under") as caught:
        changing.recover_root(owner, made)
    assert caught.value.code == "SR-ROOT-OTHER"
    forged = replace(made[1], value=Secret(bytes(range(32))))
    with pytest.raises(RootDoesNotFit, match="give local-"):
        changing.recover_root(owner, [made[0], forged])


def test_a_store_under_two_root_keys_is_refused(owner, opened):
    with opened(owner) as keyring:
        keyring.put("default", "secret/s", KEY, "owner")
    store = open_store(owner.folder / "broker.db")
    store.write(lambda tx: tx.execute("UPDATE tenant_keys SET root_id = 'local-ff' WHERE tenant = 'default'"))
    store.close()
    with pytest.raises(RootDoesNotFit, match="under 2 root keys"):
        opening.open_keyring(owner)


def test_settings_name_every_kind_of_root_key():
    for text in ('root = "file"', 'root = "passphrase"', 'root = "kms:vault-transit"',
                 'root = "pkcs11"\n[broker.pkcs11]\nmodule = "m"\ntoken = "t"'):  # fmt: skip
        assert Settings.parse(f"version = 1\n[broker]\n{text}\n".encode()).broker.root in text
