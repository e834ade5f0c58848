"""The public queue key file: what the owner signed is read, and nothing else is."""

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.clusterserving.names import BadJobName
from strongroom.clusterserving.public_key_file import (
    BadKeyFile,
    KeyFileExpired,
    KeyFileForged,
    OtherQueue,
    PublicKeyFile,
    _canonical,
)
from strongroom.clusterserving.sealed import QueuePublicKey

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OWNER = Ed25519PrivateKey.generate()
FILE = PublicKeyFile(
    job="serving_stream", model="resnet50", version=3, key=QueuePublicKey(secrets.token_bytes(32)),
    not_after=NOW + timedelta(days=90),
)  # fmt: skip


def read(data, *, owner=OWNER, now=NOW):
    return PublicKeyFile.read(data, owner=owner.public_key(), now=now)


def signed_by_owner(**changes):
    """Return a file with other fields and a signature that holds."""
    body = {**json.loads(FILE.signed(OWNER)), **changes}
    body = {name: value for name, value in body.items() if name != "signature" and value is not None}
    signature = OWNER.sign(b"strongroom queue key v1\0" + _canonical(body))
    return json.dumps({**body, "signature": base64.b64encode(signature).decode()}).encode()


def test_what_the_owner_signed_is_read():
    assert read(FILE.signed(OWNER)) == FILE
    assert read(signed_by_owner(version="*")).version is None


def test_kd_24_a_key_of_somebody_else_is_refused():
    with pytest.raises(KeyFileForged) as forged:
        read(FILE.signed(Ed25519PrivateKey.generate()))
    assert forged.value.code == "SR-QUEUE-KEY-SIGNATURE"


@pytest.mark.parametrize(
    ("name", "value"),
    [("job", "other"), ("model", "other"), ("version", 4), ("version", "*"), ("kid", "0" * 16),
     ("key", "A" * 43 + "="), ("not_after", "2099-01-01T00:00:00Z"), ("format", "strongroom queue key v2")],
)  # fmt: skip
def test_no_field_can_be_changed(name, value):
    changed = {**json.loads(FILE.signed(OWNER)), name: value}
    with pytest.raises(KeyFileForged):
        read(json.dumps(changed).encode())


def test_a_file_that_is_over_is_refused():
    with pytest.raises(KeyFileExpired) as over:
        read(FILE.signed(OWNER), now=FILE.not_after)
    assert over.value.code == "SR-QUEUE-KEY-EXPIRED"


@pytest.mark.parametrize(
    "changes",
    [{"format": "v2"}, {"model": ""}, {"model": "a\0"}, {"model": 7}, {"version": 0}, {"version": "3"}, {"kid": "0"},
     {"key": "AAAA"}, {"key": "!"}, {"key": 5}, {"not_after": "soon"}, {"not_after": 1}, {"job": None}, {"more": "x"}],
    ids=str,
)  # fmt: skip
def test_a_signed_file_still_has_to_be_in_its_form(changes):
    with pytest.raises(BadKeyFile) as bad:
        read(signed_by_owner(**changes))
    assert bad.value.code == "SR-QUEUE-KEY-FILE"


def test_a_job_that_cannot_be_one_is_refused():
    with pytest.raises(BadJobName):
        read(signed_by_owner(job="a b"))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"\xff", b"{" * 5000, b"x" * 20_000, FILE.signed(OWNER)[:-3], b'{"key": NaN}',
     FILE.signed(OWNER).replace(b'"job"', b'"job": "a", "job"', 1), b'{"job": {}}',
     FILE.signed(OWNER).replace(b'"signature": "', b'"signature": "!', 1)],
    ids=range(11),
)  # fmt: skip
def test_anything_else_is_no_key_file(data):
    with pytest.raises(BadKeyFile):
        read(data)


def test_records_are_sealed_for_the_job_and_version_that_the_file_names():
    to = FILE.seal_to(job="serving_stream")
    assert (to.key, to.job, to.model, to.version) == (FILE.key, "serving_stream", "resnet50", 3)
    assert FILE.seal_to(job="serving_stream", version=3) == to
    for wrong in ({"job": "other"}, {"job": "serving_stream", "version": 4}):
        with pytest.raises(OtherQueue) as other:
            FILE.seal_to(**wrong)
        assert other.value.code == "SR-QUEUE-KEY-OTHER"


def test_a_file_for_any_version_wants_one_to_be_named():
    open_file = read(signed_by_owner(version="*"))
    assert open_file.seal_to(job="serving_stream", version=7).version == 7
    with pytest.raises(OtherQueue, match="none is named"):
        open_file.seal_to(job="serving_stream")
