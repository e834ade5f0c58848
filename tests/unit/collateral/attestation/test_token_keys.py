"""Where token keys come from: how long fetched ones count, and what is kept for the next process."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation.tokens import KeySetUnusable
from strongroom.collateral.attestation_service import ServiceUnreachable
from strongroom.collateral.token_keys import PinnedKeys
from strongroom.errors import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def counted(rehearsal):
    """A source whose fetches are counted."""

    def make(**options):
        source = rehearsal.keys(**options)
        fetch, count = source._service.key_set, []
        source._service.key_set = lambda issuer: (count.append(1), fetch(issuer))[1]
        return source, count

    return make


def test_fetched_keys_are_asked_for_once_and_again_when_they_are_old(counted):
    source, count = counted(max_age=timedelta(hours=24))
    for minutes, fetched in ((0, 1), (5, 1), (24 * 60 - 1, 1), (24 * 60, 2), (24 * 60 + 1, 2)):
        source.current(at=NOW + timedelta(minutes=minutes))
        assert len(count) == fetched
    source.current(at=NOW)  # the clock went back: keys from the future are not believed
    assert len(count) == 3


def test_a_renewal_is_asked_for_at_most_once_a_minute(counted):
    source, count = counted()
    source.current(at=NOW)
    assert source.renewed(at=NOW + timedelta(seconds=59)) is None
    assert source.renewed(at=NOW + timedelta(seconds=60)) is not None
    assert source.renewed(at=NOW + timedelta(seconds=61)) is None
    assert len(count) == 2


def test_a_renewal_that_fails_is_not_tried_again_for_every_made_up_key_id(counted):
    source, count = counted()
    source.current(at=NOW)

    def gone(_issuer):
        count.append(1)
        raise ServiceUnreachable("nobody is there")

    source._service.key_set = gone
    with pytest.raises(ServiceUnreachable):
        source.renewed(at=NOW + timedelta(minutes=5))
    for seconds in (0, 1, 59):
        assert source.renewed(at=NOW + timedelta(minutes=5, seconds=seconds)) is None
    assert len(count) == 2
    with pytest.raises(ServiceUnreachable):
        source.renewed(at=NOW + timedelta(minutes=6))


def test_the_next_process_finds_the_keys_on_disk(counted, tmp_path):
    folder = tmp_path / "keys"
    first, fetched = counted(folder=folder)
    kept = first.current(at=NOW)
    second, again = counted(folder=folder)
    assert second.current(at=NOW + timedelta(hours=1)).keys.keys() == kept.keys.keys()
    assert (len(fetched), len(again)) == (1, 0)
    assert folder.stat().st_mode & 0o777 == 0o700
    second.current(at=NOW + timedelta(days=2))
    assert len(again) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"fetched_at": "x", "keys": ""}', b'{"fetched_at": 1772366400, "keys": "%"}',
     b'{"fetched_at": 1772366400, "keys": "e30="}', b'{"fetched_at": 99999999999999999999, "keys": "e30="}'],
)  # fmt: skip
def test_a_damaged_file_is_only_a_cache_that_does_not_help(counted, tmp_path, content):
    folder = tmp_path / "keys"
    first, _ = counted(folder=folder)
    first.current(at=NOW)
    (file,) = folder.iterdir()
    file.write_bytes(content)
    second, count = counted(folder=folder)
    second.current(at=NOW)
    assert len(count) == 1


def test_a_folder_that_others_may_write_to_is_refused(counted, tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Refused) as caught:
        counted(folder=folder)[0].current(at=NOW)
    assert caught.value.code == "SR-LOOSE-PERMISSIONS"


def test_old_keys_do_not_count_when_the_service_is_gone(counted):
    source, _ = counted()
    source.current(at=NOW)

    def gone(_):
        raise ServiceUnreachable("gone")

    source._service.key_set = gone
    assert source.current(at=NOW + timedelta(hours=23))
    with pytest.raises(ServiceUnreachable):
        source.current(at=NOW + timedelta(hours=25))


def test_a_pinned_file_is_read_again_and_strictly(rehearsal, tmp_path):
    file = tmp_path / "keys.json"
    pinned = PinnedKeys(file, issuer=rehearsal.url, url=None)
    file.write_text(json.dumps(rehearsal.double.key_set()), encoding="utf-8")
    assert pinned.current(at=NOW).simulated
    assert pinned.renewed(at=NOW) is None
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(KeySetUnusable):
        pinned.current(at=NOW)
