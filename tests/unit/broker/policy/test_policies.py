"""The policies in force of all tenants: edits act at once or wait for owners, and nothing broken is ever taken."""

import os

import pytest

from strongroom.broker import tenants
from strongroom.broker.policy import history, watched
from strongroom.broker.policy.approvals import submit
from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.store.errors import StoreUnavailable

DEBUG = "allow_debug = true"


class DownAtTimes:
    """A store that cannot be reached while `down` is set."""

    def __init__(self, store):
        self.store, self.down, self.shared = store, False, False

    def write(self, operation):
        return self._reached().write(operation)

    def read(self, operation):
        return self._reached().read(operation)

    def _reached(self):
        if self.down:
            raise StoreUnavailable("the database cannot be reached")
        return self.store


@pytest.fixture
def path(tmp_path, write):
    rule, policy = write
    place = tmp_path / "policy.toml"
    place.write_bytes(policy(rule()))
    return place


@pytest.fixture
def policies(store, path, clock):
    return Policies(store, WatchedPolicy(path), clock=clock)


@pytest.fixture
def guarded(store, path, clock, two_of_two):
    """The same where two owners have to agree to whatever admits more."""
    return Policies(store, WatchedPolicy(path), two_of_two, clock=clock)


def number_of(store, tenant="default"):
    return store.read(lambda tx: history.number_in_force(tx, tenant))


def test_the_file_becomes_the_first_version_and_an_edit_the_next(policies, store, path, write):
    rule, policy = write
    assert number_of(store) == 1
    assert policies.current()[1] is None
    path.write_bytes(policy(rule(DEBUG)))
    found, change = policies.current()
    assert found.rules[0].policy.allow_debug
    assert (change.version, change.author, change.problem) == (2, "policy.toml", None)
    assert "admits more" in change.wider[0]
    assert policies.current() == (found, None)
    assert number_of(store) == 2
    assert store.read(lambda tx: [each.state.value for each in history.versions(tx, "default")]) == [
        "in force", "replaced",
    ]  # fmt: skip


def test_the_same_file_at_the_next_start_is_no_new_version(policies, store, path):
    again = Policies(store, WatchedPolicy(path))
    assert again.current()[1] is None
    assert number_of(store) == 1
    assert again.in_force().version == 1


def test_an_edit_that_keeps_size_and_date_is_seen(policies, path):
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"one"', b'"ONE"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert policies.current()[0].rules[0].name == "ONE"


def test_id_04_a_second_mistake_is_another_alarm_and_the_good_file_ends_it(policies, path):
    good, _ = policies.current()
    text = path.read_bytes()
    for mistake in (b"one mistake", b"another mistake"):
        path.write_bytes(mistake)
        found, change = policies.current()
        assert found is good
        assert change.problem
        assert change.notices()[0].startswith("POLICY NOT TAKEN, the last good one stays in force: ")
    path.write_bytes(text)
    found, change = policies.current()
    assert found == good
    assert change.problem is None
    assert change.notices() == ["policy changed: 1 rules are in force"]


@pytest.mark.parametrize("broken", [b"version = 1\nrule = [", b"", b"\xff\xfe", b"#" * (1024 * 1024 + 1)])
def test_id_04_a_broken_edit_keeps_the_last_good_policy_and_is_said_once(policies, path, store, broken):
    good, _ = policies.current()
    path.write_bytes(broken)
    found, change = policies.current()
    assert found is good
    assert change.problem
    assert policies.current() == (good, None)
    assert number_of(store) == 1


def test_id_04_a_removed_file_keeps_the_last_good_policy(policies, path):
    good, _ = policies.current()
    text = path.read_bytes()
    path.unlink()
    found, change = policies.current()
    assert found is good
    assert "cannot be read" in change.problem
    path.write_bytes(text)
    assert policies.current()[1].problem is None


def test_sa_08_an_edit_that_admits_more_waits_for_two_owners(guarded, path, write, agree, clock):
    rule, policy = write
    good, _ = guarded.current()
    path.write_bytes(policy(rule(DEBUG)))
    found, change = guarded.current()
    assert found is good
    assert change.proposed == 2
    assert change.version == 1
    assert "0 of 2 owners' signatures" in change.problem
    assert "strongroom policy approve 2 --key KEYFILE" in change.problem
    assert any("allow_debug" in sentence for sentence in change.wider)
    notices = change.notices()
    assert notices[0].startswith("POLICY NOT TAKEN")
    assert notices[1] == f"it would admit: {change.wider[0]}"
    record = change.record()
    assert (record["proposed"], record["wider"]) == (2, list(change.wider))
    assert agree(2, 0).proposed == 2
    clock.pass_a_second()
    assert guarded.current() == (good, None)
    assert agree(2, 1).proposed is None
    assert guarded.current()[0] is good  # not looked at yet
    clock.pass_a_second()
    found, change = guarded.current()
    assert found.rules[0].policy.allow_debug
    assert (change.version, change.problem) == (2, None)


def test_sa_08_an_edit_that_admits_less_acts_at_once(guarded, store, path, write):
    rule, policy = write
    path.write_bytes(policy(rule("require_fresh = true")))
    found, change = guarded.current()
    assert found.rules[0].require_fresh
    assert (change.version, change.wider) == (2, ())
    assert "admits less" in change.narrower[0]


def test_sa_08_a_start_is_no_way_around_the_owners(guarded, store, path, write, two_of_two):
    rule, policy = write
    path.write_bytes(policy(rule(DEBUG)))
    again = Policies(store, WatchedPolicy(path), two_of_two)
    found, change = again.current()
    assert not found.rules[0].policy.allow_debug
    assert change.proposed == 2


def test_pl_03_enrolling_a_platform_needs_two_owners_and_removing_one_acts_at_once(guarded, path, write, agree, clock):
    rule, policy = write
    one, two = (f'{{id = "{each * 16}", until = 2099-01-01}}' for each in ("5a", "5b"))
    path.write_bytes(policy(rule(), top=f"platforms = [{one}]\n"))
    assert len(guarded.current()[0].rules[0].policy.platforms) == 1
    path.write_bytes(policy(rule(), top=f"platforms = [{one}, {two}]\n"))
    found, change = guarded.current()
    assert len(found.rules[0].policy.platforms) == 1
    agree(change.proposed, 0)  # one vote of two: not enrolled
    clock.pass_a_second()
    assert len(guarded.current()[0].rules[0].policy.platforms) == 1
    agree(change.proposed, 1)
    clock.pass_a_second()
    assert len(guarded.current()[0].rules[0].policy.platforms) == 2
    path.write_bytes(policy(rule(), top=f"platforms = [{two}]\n"))
    found, change = guarded.current()
    assert [each.id for each in found.rules[0].policy.platforms] == [b"\x5b" * 16]
    assert change.proposed is None


def test_what_another_hand_put_in_force_is_taken_and_written_to_the_file(policies, store, path, write, clock):
    rule, policy = write
    text = policy(rule(), rule(name="two", release='"secret/s"', identity=f'mrenclave = "{"cd" * 32}"'))
    store.write(lambda tx: submit(tx, "default", text, "ann"))
    assert len(policies.current()[0].rules) == 1
    policies.look_again()
    found, change = policies.current()
    assert len(found.rules) == 2
    assert (change.version, change.author) == (2, "ann")
    assert path.read_bytes() == text
    assert policies.current() == (found, None)
    assert number_of(store) == 2


def test_a_file_that_somebody_edits_meanwhile_is_not_written_over(guarded, store, path, write, clock):
    rule, policy = write
    pending = policy(rule(DEBUG))
    path.write_bytes(pending)
    assert guarded.current()[1].proposed == 2
    store.write(lambda tx: submit(tx, "default", policy(), "ann"))
    clock.pass_a_second()
    found, change = guarded.current()
    assert found.rules == ()
    assert "holds an edit that is not in force" in change.problem
    assert path.read_bytes() == pending


def test_kd_17_every_tenant_has_its_own_policy_and_an_unknown_one_has_none(policies, store, write, clock):
    rule, policy = write
    store.write(lambda tx: tenants.create(tx, "b"))
    store.write(lambda tx: submit(tx, "b", policy(rule(name="of b", release='"secret/b"')), "bob"))
    assert policies.current("b")[0].rules == ()
    clock.pass_a_second()
    assert policies.tenants() == {"default", "b"}
    assert [each.name for each in policies.current("b")[0].rules] == ["of b"]
    assert [each.name for each in policies.current()[0].rules] == ["one"]
    assert policies.current("nobody") == policies.current("../default")
    store.write(lambda tx: tenants.suspend(tx, "b"))
    clock.pass_a_second()
    assert policies.current("b") == policies.current("nobody")
    assert policies.tenants() == {"default"}


def test_a_shared_store_is_given_the_file_once(store, path, write, clock):
    rule, policy = write
    shared = DownAtTimes(store)
    shared.shared = True
    Policies(shared, WatchedPolicy(path))
    assert number_of(store) == 1
    path.write_bytes(policy())
    again = Policies(shared, WatchedPolicy(path), clock=clock)
    assert len(again.current()[0].rules) == 1
    path.write_bytes(policy(rule(DEBUG)))
    assert again.current()[1] is None
    assert number_of(store) == 1


def test_a_store_that_is_away_stops_no_edit_that_admits_less(store, path, write, clock, two_of_two):
    rule, policy = write
    away = DownAtTimes(store)
    guarded = Policies(away, WatchedPolicy(path), two_of_two, clock=clock)
    away.down = True
    path.write_bytes(policy(rule("require_fresh = true")))
    found, change = guarded.current()
    assert found.rules[0].require_fresh
    assert change.problem is None
    clock.pass_a_second()
    assert guarded.current() == (found, None)
    away.down = False
    clock.pass_a_second()
    assert guarded.current()[1].version == 2
    assert number_of(store) == 2


def test_a_store_that_is_away_lets_nothing_admit_more(store, path, write, clock, two_of_two):
    rule, policy = write
    away = DownAtTimes(store)
    guarded = Policies(away, WatchedPolicy(path), two_of_two, clock=clock)
    away.down = True
    path.write_bytes(policy(rule(DEBUG)))
    found, change = guarded.current()
    assert not found.rules[0].policy.allow_debug
    assert "cannot be reached" in change.problem
    away.down = False
    clock.pass_a_second()
    assert guarded.current()[1].proposed == 2


def test_without_a_store_the_file_alone_counts(path, write, two_of_two):
    rule, policy = write
    loose, strict = Policies(None, WatchedPolicy(path)), Policies(None, WatchedPolicy(path), two_of_two)
    assert loose.in_force().version is None
    path.write_bytes(policy(rule(DEBUG)))
    assert loose.current()[0].rules[0].policy.allow_debug
    found, change = strict.current()
    assert not found.rules[0].policy.allow_debug
    assert "without a store" in change.problem


def test_a_version_that_this_strongroom_cannot_read_leaves_the_last_good_one(policies, store, clock):
    good, _ = policies.current()
    store.write(lambda tx: history.put(tx, "default", b"version = 2\n", "newer"))
    clock.pass_a_second()
    found, change = policies.current()
    assert found is good
    assert change.problem.startswith("version 2: ")
    clock.pass_a_second()
    assert policies.current() == (good, None)


def test_a_policy_that_is_gone_from_the_store_releases_nothing(policies, store, clock, write):
    store.write(lambda tx: tx.execute("DELETE FROM policies WHERE tenant = ?", ("default",)))
    clock.pass_a_second()
    assert policies.current()[0].rules == ()


def test_a_file_that_is_left_alone_is_not_read_again_and_every_other_is(path, monkeypatch):
    readings = []
    read = watched.read_policy_bytes
    monkeypatch.setattr(watched, "read_policy_bytes", lambda place: readings.append(place) or read(place))
    file = WatchedPolicy(path, clock=lambda: path.stat().st_ctime + 10)
    assert [file.edited() for _ in range(5)] == [None] * 5
    assert len(readings) == 2  # at the start, and once its state was known
    other = path.with_name("other.toml")
    other.write_bytes(b"version = 1\n")
    other.replace(path)
    assert file.edited() == b"version = 1\n"
    path.rename(other)
    assert isinstance(file.edited(), PolicyFileMalformed)
    other.rename(path)
    assert file.edited() == b"version = 1\n"
    fresh = WatchedPolicy(path, clock=lambda: path.stat().st_ctime + 1)
    del readings[:]
    assert [fresh.edited() for _ in range(3)] == [None] * 3
    assert len(readings) == 3  # a further write could share its time


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff"])
def test_there_is_no_start_without_a_good_policy(tmp_path, content):
    place = tmp_path / "other.toml"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(PolicyFileMalformed):
        WatchedPolicy(place)
