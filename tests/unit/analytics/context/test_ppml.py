"""BigDL's words for where keys come from."""

import pytest

from strongroom import analytics
from strongroom.analytics.context.ppml import (
    KmsTypeRefused,
    KmsTypeUnknown,
    generate_encrypted_file,
    init_keys,
    keys_of,
)


def test_public_names_are_imported_when_they_are_asked_for():
    assert analytics.CryptoMode.AES_CBC_PKCS5PADDING == "AES/CBC/PKCS5Padding"
    assert issubclass(analytics.PPMLContext, analytics.StrongroomContext)
    assert analytics.TrustedSession.__name__ == "TrustedSession"
    with pytest.raises(AttributeError, match="Nothing"):
        _ = analytics.Nothing


@pytest.mark.parametrize(
    "args", [{}, {"kms_type": ""}, {"kms_type": "StrongroomKeyRelease"}], ids=["none", "", "named"]
)
def test_keys_come_from_the_agent_unless_said_otherwise(args):
    assert keys_of(args) is None


def test_files_of_keys_need_their_folder():
    assert keys_of({"kms_type": "FileKeyService", "primary_key_folder": "/keys"}) == "file:/keys"
    with pytest.raises(KmsTypeUnknown, match="need argument primary_key_folder") as caught:
        keys_of({"kms_type": "FileKeyService"})
    assert caught.value.code == "SR-PPML-KMS"


def test_a3_the_key_management_of_16_digits_is_refused_by_name():
    with pytest.raises(KmsTypeRefused, match="16 digits") as caught:
        keys_of({"kms_type": "SimpleKeyManagementService", "app_id": "1"})
    assert caught.value.code == "SR-PPML-REFUSED"
    with pytest.raises(KmsTypeRefused):
        init_keys("123456789012", "123456789012", "key")
    with pytest.raises(KmsTypeRefused, match="data seal"):
        generate_encrypted_file(None, "key", "data", "in", "out")


@pytest.mark.parametrize("name", ["EHSM", "Azure", "BigDL"])
def test_a5_services_that_are_not_built_are_named(name):
    with pytest.raises(KmsTypeUnknown, match=f"{name}KeyManagementService is not built"):
        keys_of({"kms_type": f"{name}KeyManagementService"})


def test_an_unknown_service_has_bigdls_sentence():
    with pytest.raises(KmsTypeUnknown, match=r"invalid KMS type\."):
        keys_of({"kms_type": "Other"})


@pytest.mark.parametrize("name", ["primary_key_plaintext", "api_key", "kms_user_token"])
def test_a6_keys_in_arguments_are_refused_and_not_shown(name):
    with pytest.raises(KmsTypeRefused, match=name) as caught:
        keys_of({name: "hunter2"})
    assert "hunter2" not in str(caught.value)
