"""The policy in force: read for every decision; a broken edit never replaces the last good one."""

import os

import pytest

from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.watched import PolicyStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.toml"


@pytest.fixture
def text(texts):
    return texts[1]()


@pytest.fixture
def store(path, text):
    path.write_text(text)
    return PolicyStore(path)


def test_an_unchanged_file_is_no_news(store):
    policy, change = store.current()
    assert len(policy.rules) == 1
    assert change is None


def test_an_edit_is_in_force_at_once_and_said_once(store, path):
    path.write_text("version = 1\n")
    policy, change = store.current()
    assert policy.rules == ()
    assert (change.rules, change.problem) == (0, None)
    assert store.current() == (policy, None)


def test_an_edit_that_keeps_size_and_date_is_seen(store, path, text):
    before = path.stat()
    path.write_text(text.replace("replica", "REPLICA"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.current()[0].rules[0].name == "REPLICA"


@pytest.mark.parametrize("broken", [b"version = 1\nrule = [", b"", b"\xff\xfe", b"#" * (1024 * 1024 + 1)])
def test_id_04_a_broken_edit_keeps_the_last_good_policy_and_is_said_once(store, path, text, broken):
    good, _ = store.current()
    path.write_bytes(broken)
    policy, change = store.current()
    assert policy is good
    assert change.problem
    assert store.current() == (good, None)
    path.write_bytes(b"another mistake")  # another broken edit is another alarm
    assert store.current()[1].problem
    path.write_text(text)
    policy, change = store.current()
    assert policy == good
    assert change.problem is None


def test_id_04_a_removed_file_keeps_the_last_good_policy(store, path, text):
    good, _ = store.current()
    path.unlink()
    policy, change = store.current()
    assert policy is good
    assert "cannot be read" in change.problem
    assert store.current() == (good, None)
    path.write_text(text)
    assert store.current()[1].problem is None


def test_the_digest_is_that_of_the_policy_in_force(store, path):
    digest = store.in_force().digest
    path.write_text("broken")
    assert store.current()[1].digest == digest


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff"])
def test_there_is_no_start_without_a_good_policy(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyFileMalformed):
        PolicyStore(path)
