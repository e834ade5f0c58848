"""Sealed records and results: what opens them, and everything that does not."""

import base64
import secrets
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from strongroom.clusterserving import sealed
from strongroom.clusterserving.faults import UnsealFailed
from strongroom.clusterserving.sealed import (
    BadBinding,
    BadQueueKey,
    Binding,
    InnerSerde,
    QueueKey,
    QueuePublicKey,
    ResultKind,
    SealTo,
    keys_of,
    new_response_key,
    open_record,
    open_result,
    seal_record,
    seal_result,
)
from strongroom.secret import Secret

PAYLOAD = b"a record of a data owner"
BINDING = Binding("serving_stream", "my:img 1 ä", "resnet50", 3)
OTHERS = {
    "job": Binding("another", BINDING.uri, BINDING.model, BINDING.version),
    "uri": Binding(BINDING.job, "my:img 2", BINDING.model, BINDING.version),
    "model": Binding(BINDING.job, BINDING.uri, "resnet101", BINDING.version),
    "version": Binding(BINDING.job, BINDING.uri, BINDING.model, 4),
}


@pytest.fixture
def key():
    return QueueKey.from_secret(Secret(secrets.token_bytes(32)))


@pytest.fixture
def response_key():
    return new_response_key()


@pytest.fixture
def record(key, response_key):
    return seal_record(PAYLOAD, InnerSerde.RAW, to=key.public, binding=BINDING, response_key=response_key)


@pytest.fixture
def result(response_key):
    return seal_result(PAYLOAD, ResultKind.RAW, response_key=response_key, binding=BINDING, entry_id="17-0")


def test_a_record_opens_with_the_key_that_it_was_sealed_to(key, record, response_key):
    opened = open_record(record, key=key, binding=BINDING)
    assert (opened.serde, opened.payload) == (InnerSerde.RAW, PAYLOAD)
    assert opened.response_key == response_key
    assert PAYLOAD not in record
    assert PAYLOAD.decode() not in repr(opened.response_key)


def test_the_bytes_are_those_of_rfc_9180_with_the_info_that_the_page_says(record, response_key):
    private = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = QueueKey.from_secret(Secret(bytes(range(32))))
    data = seal_record(PAYLOAD, InnerSerde.JSON, to=key.public, binding=BINDING, response_key=response_key)
    info = b"\0".join([b"strongroom cs request v1", b"serving_stream", "my:img 1 ä".encode(), b"resnet50", b"3"])
    plain = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).decrypt(data, private, info)
    assert (plain[0], plain[33:]) == (1, PAYLOAD)
    assert len(data) == 32 + 1 + 32 + len(PAYLOAD) + 16
    assert len(data) - len(record) == 0


def test_a_result_is_nonce_and_aes_gcm_with_the_aad_that_the_page_says(result, response_key):
    data = base64.b64decode(result)
    aad = b"\0".join(
        [b"strongroom cs response v1", b"serving_stream", "my:img 1 ä".encode(), b"resnet50", b"3", b"17-0"]
    )
    with response_key.reveal() as raw:
        assert AESGCM(raw).decrypt(data[1:13], data[13:], aad) == bytes((2,)) + PAYLOAD
    assert data[0] == 1


@pytest.mark.parametrize("what", OTHERS)
def test_kd_24_a_record_does_not_open_for_another_job_uri_model_or_version(key, record, what):
    with pytest.raises(UnsealFailed) as failed:
        open_record(record, key=key, binding=OTHERS[what])
    assert failed.value.code == "SR-QUEUE-UNSEAL"


def test_kd_24_a_record_opens_with_no_other_key(record):
    with pytest.raises(UnsealFailed):
        open_record(record, key=QueueKey.from_secret(Secret(secrets.token_bytes(32))), binding=BINDING)


def test_d04_the_constants_of_the_original_open_nothing_and_wrong_keys_are_an_error(record):
    for constant in (b"secret", b"salt"):
        with pytest.raises(UnsealFailed):
            open_record(record, key=QueueKey.from_secret(Secret(constant.ljust(32, b"\0"))), binding=BINDING)


def test_no_byte_of_a_record_can_be_changed_or_left_out(key, record):
    for at in range(0, len(record), 7):
        changed = record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :]
        with pytest.raises(UnsealFailed):
            open_record(changed, key=key, binding=BINDING)
    for end in (0, 31, 32, 80, len(record) - 1):
        with pytest.raises(UnsealFailed):
            open_record(record[:end], key=key, binding=BINDING)


def test_a_form_that_nobody_knows_is_not_read(key, response_key):
    with response_key.reveal() as raw:
        plain = bytes((9,)) + raw
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    data = suite.encrypt(plain, X25519PublicKey.from_public_bytes(key.public.raw), BINDING.request_info())
    with pytest.raises(UnsealFailed, match="form 9"):
        open_record(data, key=key, binding=BINDING)


def test_sv_05_a_result_opens_for_its_record_entry_and_version_alone(result, response_key):
    assert open_result(result, response_key=response_key, binding=BINDING, entry_id="17-0") == (ResultKind.RAW, PAYLOAD)
    for binding in OTHERS.values():
        with pytest.raises(UnsealFailed):
            open_result(result, response_key=response_key, binding=binding, entry_id="17-0")
    with pytest.raises(UnsealFailed):  # a replayed record has another entry
        open_result(result, response_key=response_key, binding=BINDING, entry_id="18-0")


def test_sv_05_swapped_results_open_for_neither_record(response_key):
    keys = [new_response_key(), new_response_key()]
    bindings = [BINDING, OTHERS["uri"]]
    results = [
        seal_result(PAYLOAD, ResultKind.RAW, response_key=each, binding=binding, entry_id=f"{at}-0")
        for at, (each, binding) in enumerate(zip(keys, bindings, strict=True))
    ]
    for at, result in enumerate(reversed(results)):
        with pytest.raises(UnsealFailed):
            open_result(result, response_key=keys[at], binding=bindings[at], entry_id=f"{at}-0")


@pytest.mark.parametrize("value", ["", "NaN", "AA==", "/" * 400, "not base64 ä", base64.b64encode(bytes(64)).decode()])
def test_what_is_no_sealed_result_is_refused(value, response_key):
    with pytest.raises(UnsealFailed):
        open_result(value, response_key=response_key, binding=BINDING, entry_id="17-0")


def test_a_result_of_a_kind_that_nobody_knows_is_refused(response_key):
    with response_key.reveal() as raw:
        sealed_bytes = AESGCM(raw).encrypt(bytes(12), bytes((9,)), BINDING.result_aad("17-0"))
    value = base64.b64encode(b"\1" + bytes(12) + sealed_bytes)
    with pytest.raises(UnsealFailed):
        open_result(value, response_key=response_key, binding=BINDING, entry_id="17-0")


def test_a_key_is_named_by_its_hash_and_keeps_its_secret(key):
    assert len(key.public.kid) == 16
    secret, shown = key.private.private_bytes_raw(), repr(key)
    assert "private" not in shown
    assert repr(secret)[2:-1] not in shown
    assert secret.hex() not in shown


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_queue_key_has_32_bytes(size):
    with pytest.raises(BadQueueKey) as bad:
        QueueKey.from_secret(Secret(secrets.token_bytes(size)))
    assert bad.value.code == "SR-QUEUE-KEY"
    with pytest.raises(BadQueueKey):
        QueuePublicKey(bytes(size))


def test_a_queues_secret_holds_one_to_four_keys_newest_first():
    raw = [secrets.token_bytes(32) for _ in range(5)]
    for count in (1, 2, 4):
        keys = keys_of(Secret(b"".join(raw[:count])))
        assert [key.public for key in keys] == [QueueKey.from_secret(Secret(each)).public for each in raw[:count]]
    for wrong in (b"", raw[0][:31], b"".join(raw), raw[0] + raw[0]):
        with pytest.raises(BadQueueKey):
            keys_of(Secret(wrong))


def test_nothing_is_sealed_to_a_point_that_everybody_knows(response_key):
    with pytest.raises(BadQueueKey):
        seal_record(b"", InnerSerde.RAW, to=QueuePublicKey(bytes(32)), binding=BINDING, response_key=response_key)


def test_a_response_key_has_32_bytes(key):
    with pytest.raises(BadQueueKey):
        seal_record(b"", InnerSerde.RAW, to=key.public, binding=BINDING, response_key=Secret(b"short"))


@pytest.mark.parametrize(
    "parts", [("", "u", "m", 1), ("j", "", "m", 1), ("j", "u", "m\0", 1), ("j", "u\0", "m", 1), ("j", "u", "m", 0)]
)
def test_parts_that_could_run_into_each_other_are_not_bound(parts):
    with pytest.raises(BadBinding) as bad:
        Binding(*parts)
    assert bad.value.code == "SR-QUEUE-BINDING"


def test_a_name_that_is_no_utf_8_is_not_bound():
    with pytest.raises(BadBinding):
        Binding("j", "\ud800", "m", 1).request_info()


def test_the_clients_half_seals_and_opens_for_its_job_and_version(key, response_key):
    to = SealTo(key.public, BINDING.job, BINDING.model, BINDING.version)
    kid, data = to.seal(1, PAYLOAD, uri=BINDING.uri, response_key=response_key)
    assert kid == key.public.kid
    assert open_record(data, key=key, binding=BINDING).payload == PAYLOAD
    value = seal_result(b"[]", ResultKind.TEXT, response_key=response_key, binding=BINDING, entry_id="1-1")
    assert to.open(value, uri=BINDING.uri, entry_id="1-1", response_key=response_key) == (1, b"[]")


def test_kd_24_no_literal_secret_stands_in_the_code_that_seals():
    source = Path(sealed.__file__).read_text()
    assert '"secret"' not in source
    assert '"salt"' not in source
