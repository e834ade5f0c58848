"""Ways to protect data, by kind of file."""

import pytest

from strongroom.analytics.context.modes import mode_for
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import BadCryptoMode, CryptoMode


@pytest.mark.parametrize("kind", [Kind.CSV, Kind.JSON, Kind.TEXT, Kind.PARQUET])
def test_sealed_and_plain_text_go_with_everything(kind):
    assert mode_for("sealed", kind) is CryptoMode.SEALED
    assert mode_for("PLAIN_TEXT", kind) is CryptoMode.PLAIN_TEXT


def test_parquets_own_encryption_is_parquets_alone():
    assert mode_for("aes_gcm_ctr_v1", Kind.PARQUET) is CryptoMode.AES_GCM_CTR_V1
    with pytest.raises(BadCryptoMode, match="csv files are protected by the mode sealed"):
        mode_for(CryptoMode.AES_GCM_V1, Kind.CSV)


@pytest.mark.parametrize("kind", [Kind.CSV, Kind.PARQUET])
def test_a1_files_that_do_not_show_changes_are_neither_written_nor_read(kind):
    with pytest.raises(BadCryptoMode, match="do not show whether somebody changed them") as caught:
        mode_for("AES/CBC/PKCS5Padding", kind)
    assert "data seal" in caught.value.fix


def test_an_unknown_mode_is_refused():
    with pytest.raises(BadCryptoMode, match="rot13"):
        mode_for("rot13", Kind.CSV)
