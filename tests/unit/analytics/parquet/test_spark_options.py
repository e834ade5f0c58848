"""What Spark is told for encrypted Parquet."""

import base64

import pytest

from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet.jvm import reading_options, writing_options
from strongroom.datasets.names import BadCryptoMode, CryptoMode

GCM = CryptoMode.AES_GCM_V1


def test_kd_25_spark_is_told_names_of_keys_alone(keys, rings):
    options = writing_options(keys, "people", GCM, {"pay": ["salary", "bonus"]}, "/run/agent.socket")
    assert options["parquet.encryption.footer.key"] == "people.1"
    assert options["parquet.encryption.column.keys"] == "pay.1:salary,bonus"
    assert options["parquet.encryption.complete.columns"] == "true"  # what has no key of its own is under the file's
    assert "mock" not in str(options).lower()
    for ring in rings.values():
        with ring.keys[1].reveal() as raw:
            shown = str(options)
            assert not any(text in shown for text in (raw.hex(), base64.b64encode(raw).decode().rstrip("=")))


def test_one_key_is_for_the_whole_file(keys):
    options = writing_options(keys, "people", CryptoMode.AES_GCM_CTR_V1, {})
    assert options["parquet.encryption.uniform.key"] == "people.1"
    assert options["parquet.encryption.algorithm"] == "AES_GCM_CTR_V1"
    assert reading_options().items() <= options.items()


def test_no_agent_is_named_where_each_process_has_its_own():
    assert not any("agent" in value for value in reading_options().values())
    assert reading_options("/run/agent.socket")["strongroom.agent.local"] == "/run/agent.socket"


def test_what_cannot_be_encrypted_so_is_refused(keys):
    with pytest.raises(BadCryptoMode):
        writing_options(keys, "people", CryptoMode.SEALED, {})
    with pytest.raises(KeyNotGranted):
        writing_options(keys, "people", GCM, {"others": ["salary"]})
