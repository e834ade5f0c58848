"""The users file as text: a line a user, digests instead of passwords, names that cannot end a rule."""

import hashlib
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strongroom.clusterserving.access import BadAccess, Role, User, acl_file, acl_line, user_name
from strongroom.clusterserving.names import BadJobName, Job

DIGEST = hashlib.sha256(b"password").hexdigest()
JOB = Job("serving_stream")


def user(role=Role.CLIENT, **more):
    return User(role=role, password_sha256=DIGEST, **more)


def test_every_user_is_one_line_behind_a_default_user_that_is_off():
    lines = acl_file(JOB, [user(role) for role in Role]).splitlines()
    assert lines[0].startswith("user default off ")
    assert [line.split()[1] for line in lines[1:]] == [f"cs-{role}" for role in Role]
    assert all(f"#{DIGEST}" in line for line in lines[1:])
    assert ">" not in "".join(lines)


def test_dp_04_only_the_administrator_has_everything():
    for role in Role:
        line = acl_line(JOB, user(role))
        assert ("+@all" in line) == (role is Role.ADMIN)
        if role is not Role.ADMIN:
            dangerous = r"config|flush\w*|debug|monitor|shutdown|acl|keys|client\|kill|module|save|replicaof|xtrim"
            assert not re.search(rf"\+({dangerous})\b", line)


def test_every_key_of_a_rule_belongs_to_the_job():
    for role in set(Role) - {Role.ADMIN}:
        for pattern in re.findall(r"~(\S+)", acl_line(Job("my.job"), user(role))):
            assert "my.job" in pattern


def test_an_04_a_client_of_its_own_has_patterns_of_its_own():
    line = acl_line(JOB, user(client="ann"))
    assert line.startswith("user cs-client-ann ")
    for prefix in ("cluster-serving_serving_stream", "cs-reply_serving_stream", "cs-idem_serving_stream"):
        assert set(re.findall(rf"~({prefix}:\S*)", line)) == {f"{prefix}:ann/*"}


@pytest.mark.parametrize("client", ["", "Ann", "a/b", "a*", "a b", "-a", "a" * 33, "ann\nuser x on nopass"])
def test_a_client_of_another_shape_has_no_user(client):
    with pytest.raises(BadAccess) as caught:
        user(client=client)
    assert caught.value.code == "SR-QUEUE-ACCESS"


def test_only_clients_have_names_of_their_own():
    with pytest.raises(BadAccess):
        user(Role.WORKER, client="ann")
    assert user_name(Role.WORKER) == "cs-worker"


@pytest.mark.parametrize("digest", ["", "x" * 64, DIGEST.upper(), DIGEST + "0", "hunter2"])
def test_a_password_comes_as_its_digest(digest):
    with pytest.raises(BadAccess) as caught:
        User(role=Role.CLIENT, password_sha256=digest)
    assert digest not in str(caught.value) or not digest


def test_two_users_of_one_name_and_odd_names_are_refused():
    with pytest.raises(BadAccess):
        acl_file(JOB, [user(), user()])
    with pytest.raises(BadAccess):
        user(name="a b")


@pytest.mark.parametrize("name", ["a(b", "a)", "(a)"])
def test_a_job_that_would_end_a_rule_is_refused(name):
    with pytest.raises(BadJobName):
        acl_file(Job(name), [user()])


@pytest.mark.parametrize("name", ["a:b", "a:", ":", "cs-dead_a", "cs-bytes_a", "cs-workers_a"])
def test_an_04_d02_no_job_has_keys_that_are_another_jobs(name):
    """`cluster-serving_a:b:u` would be a result of job `a:b` and of job `a`, whose rules let its clients read it."""
    with pytest.raises(BadJobName) as caught:
        Job(name)
    assert caught.value.code == "SR-QUEUE-JOB-NAME"


JOBS = st.sampled_from(["a", "b", "a_", "a_b", "cs", "cs-reply_a", "cs-idem_a", "cluster-serving_a", "cs-worker_a"])


@given(JOBS, JOBS, st.text(":ab/_-", min_size=1), st.text(":ab/_-", min_size=1))
def test_an_04_two_jobs_have_no_key_in_common(first, second, one, other):
    def keys(job, uri):
        return {job.stream, job.dead, job.workers, job.bytes, job.result(uri), job.reply(uri), job.idempotency(uri),
                job.worker(uri)}  # fmt: skip

    assume(first != second)
    assert not keys(Job(first), one) & keys(Job(second), other)
