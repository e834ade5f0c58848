"""Settings, secret names and signing keys of any shape end in a catalogued error or a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.pki import signing
from strongroom.secret import Secret
from strongroom.workspace import BrokerSettings, Settings
from strongroom.workspace.secret_store import check_name

names = st.from_regex(r"(model|secret)(/[A-Za-z0-9._-]{0,6}){1,3}", fullmatch=True) | st.text(max_size=30)


def only_catalogued(action):
    try:
        action()
    except StrongroomError as error:
        assert error.code.startswith("SR-")


@given(names)
def test_a_name_that_is_taken_stays_inside_the_store(name):
    try:
        check_name(name)
    except StrongroomError:
        return
    parts = name.split("/")
    assert parts[0] in {"model", "secret"}
    assert len(parts) == (3 if parts[0] == "model" else 2)
    assert not any(part.startswith(".") or not part for part in parts)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_settings_of_any_bytes(data):
    only_catalogued(lambda: Settings.parse(data))


@given(st.integers(1, 3649), st.lists(st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True), min_size=1, max_size=3))
def test_settings_come_back_as_they_were_written(days, broker_names):
    settings = Settings(certificate_days=days, broker=BrokerSettings(names=tuple(broker_names)))
    assert Settings.parse(settings.render()) == settings


@given(st.binary(max_size=300))
def test_signing_keys_of_any_bytes(data):
    for load in (lambda: signing.load_signer(Secret(data)), lambda: signing.load_owner_public(data)):
        with pytest.raises(StrongroomError):
            load()
