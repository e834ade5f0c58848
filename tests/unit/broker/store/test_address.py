"""What an address of a database may say."""

import pytest

from strongroom.broker.store.address import checked, description, stays_here
from strongroom.broker.store.errors import StoreAddress, StorePassword, StoreUnencrypted
from strongroom.broker.store.opening import open_store


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hunter2@localhost/db", "postgresql:///db?password=hunter2", "postgres:///x?sslpassword=hunter2"],
)
def test_kd_a_password_in_the_address_is_refused_and_not_repeated(url):
    with pytest.raises(StorePassword) as refusal:
        open_store(url)
    assert refusal.value.code == "SR-STORE-PASSWORD"
    assert "hunter2" not in repr(refusal.value) + refusal.value.fix


def test_a_password_in_the_environment_is_refused():
    with pytest.raises(StorePassword):
        checked({}, {"PGPASSWORD": "hunter2"})


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_a_way_that_leaves_the_machine_has_to_be_verified(mode):
    with pytest.raises(StoreUnencrypted) as refusal:
        checked({"host": "db.example", "sslmode": mode}, {})
    assert refusal.value.code == "SR-STORE-TLS"


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        ({"host": "db.example"}, {}),
        ({"host": "localhost,db.example"}, {}),
        ({"host": "localhost", "hostaddr": "192.0.2.1"}, {}),
        ({"service": "broker"}, {}),
        ({}, {"PGHOST": "db.example"}),
        ({}, {"PGSERVICE": "broker"}),
    ],
)
def test_every_other_machine_is_asked_to_prove_itself(words, environ):
    assert checked(words, {**environ, "PGSSLMODE": "disable"})["sslmode"] == "verify-full"


@pytest.mark.parametrize("words", [{}, {"host": "/run/postgresql"}, {"host": "localhost"}, {"hostaddr": "127.0.0.1"}])
def test_what_stays_on_this_machine_needs_no_certificate(words):
    assert checked(words, {}) == words


def test_loopback_is_known_by_its_number():
    assert [stays_here(each) for each in ("::1", "127.9.9.9", "@abstract", "10.0.0.1", "localhost.example")] == [
        True, True, True, False, False]  # fmt: skip


def test_a_description_holds_no_user():
    words = {"host": "db.example", "port": "5433", "dbname": "broker", "user": "somebody", "passfile": "/x"}
    assert description(words) == "PostgreSQL database broker at db.example:5433"


def test_an_address_that_cannot_be_read_is_not_repeated():
    with pytest.raises(StoreAddress) as refusal:
        open_store("postgresql://u:hunter2@host:port:port/%zz?x")
    assert "hunter2" not in str(refusal.value)
