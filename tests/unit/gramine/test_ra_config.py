"""The key server's policy file is read strictly: each spelling means what it says, or is refused with its place."""

import json

import pytest

from strongroom.gramine import ra_config
from strongroom.gramine.ra_config import RaConfigMalformed, Unenforced

ENCLAVE, SIGNER = "ab" * 32, "CD" * 32
ENTRY = {"mr_enclave": ENCLAVE, "mr_signer": SIGNER, "isv_prod_id": "7", "isv_svn": "3"}


def config(*entries, name="mrs", **switches):
    on = {f"verify_{field}": "on" for field in ra_config.FIELDS}
    return {**on, **switches, name: list(entries or (ENTRY,))}


def encoded(document):
    return json.dumps(document).encode()


def refused(data):
    with pytest.raises(RaConfigMalformed) as refusal:
        ra_config.parse(data if isinstance(data, bytes) else encoded(data))
    assert refusal.value.code == "SR-RA-CONFIG"
    return refusal.value.sentence


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


def test_a_full_entry_enforces_all_four_fields():
    parsed = ra_config.parse(encoded(config()))
    assert parsed.enforced == ra_config.FIELDS
    [entry] = parsed.entries
    assert (entry.mr_enclave, entry.mr_signer) == (bytes.fromhex(ENCLAVE), bytes.fromhex(SIGNER))
    assert (entry.isv_prod_id, entry.isv_svn) == (7, 3)
    assert entry.unenforced == ()


def test_the_sister_solution_names_its_list_sgx_mrs():
    assert len(ra_config.parse(encoded(config(ENTRY, ENTRY, name="sgx_mrs"))).entries) == 2


def test_id_03_numbers_may_be_strings_and_are_never_zero_for_it():
    for spelling in ("5", 5):
        assert ra_config.parse(encoded(config({**ENTRY, "isv_svn": spelling}))).entries[0].isv_svn == 5


def test_a_check_that_is_off_keeps_its_value_to_be_shown_only():
    document = config(verify_mr_signer="off", verify_isv_svn="off")
    [entry] = ra_config.parse(encoded(document)).entries
    assert entry.mr_signer is None
    assert entry.isv_svn is None
    assert entry.unenforced == (Unenforced("mr_signer", f"'{SIGNER}'"), Unenforced("isv_svn", "'3'"))


def test_a_field_whose_check_is_off_may_be_missing():
    document = config(without(ENTRY, "mr_signer"), verify_mr_signer="off")
    assert ra_config.parse(encoded(document)).entries[0].mr_signer is None


@pytest.mark.parametrize(
    "word", [True, False, 1, 0, "ON", "On", "yes", "true", "", "o", "of", "offf", None, ["on"], {}]
)
def test_id_04_only_on_and_off_are_switches(word):
    assert "/verify_mr_enclave" in refused(config(verify_mr_enclave=word))


@pytest.mark.parametrize("field", ra_config.FIELDS)
def test_id_04_a_missing_switch_is_refused(field):
    assert f"/verify_{field} is missing" in refused(without(config(), f"verify_{field}"))


@pytest.mark.parametrize(
    "word", ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, "any", "*", 5, None, f" {ENCLAVE[1:]}", "0x" + "a" * 62]
)
def test_id_04_a_measurement_has_exactly_64_hex_digits(word):
    assert "/mrs/1/mr_enclave" in refused(config(ENTRY, {**ENTRY, "mr_enclave": word}))


@pytest.mark.parametrize("field", ["mr_enclave", "mr_signer"])
def test_id_02_an_all_zero_measurement_is_refused(field):
    assert "all zero" in refused(config({**ENTRY, field: "0" * 64}))


@pytest.mark.parametrize(
    "word", ["", "-1", "65536", "99999999", "1.0", "0x1", " 1", "1 ", "١", 65536, -1, 1.0, True, None]
)
def test_id_04_a_number_is_decimal_and_fits_16_bits(word):
    assert "/mrs/0/isv_svn" in refused(config({**ENTRY, "isv_svn": word}))


def test_id_02_all_checks_off_is_refused():
    off = {f"verify_{field}": "off" for field in ra_config.FIELDS}
    assert "every enclave" in refused(config(**off))


def test_id_02_numbers_alone_are_refused():
    assert "any signer" in refused(config(verify_mr_enclave="off", verify_mr_signer="off"))


@pytest.mark.parametrize("field", ["isv_prod_id", "isv_svn"])
def test_id_02_a_signer_without_product_and_svn_is_refused(field):
    assert f"/verify_{field}" in refused(config(verify_mr_enclave="off", **{f"verify_{field}": "off"}))


def test_the_shipped_samples_with_empty_measurements_are_refused():
    sample = {"mr_enclave": "", "mr_signer": "", "isv_prod_id": "0", "isv_svn": "0"}
    refused(config(sample))
    refused(config(sample, name="sgx_mrs", **{f"verify_{field}": "off" for field in ra_config.FIELDS}))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (config(MRS=[]), "/MRS"),
        (config({**ENTRY, "MR_ENCLAVE": ENCLAVE}), "/mrs/0/MR_ENCLAVE"),
        (config(**{"a/b~c": 1}), "/a~1b~0c"),
        (config(sgx_mrs=[ENTRY]), "both"),
        (without(config(), "mrs"), "/mrs is missing"),
        ({**config(), "mrs": []}, "at least one entry"),
        ({**config(), "mrs": {}}, "has to be an array"),
        (config("text"), "/mrs/0 has to be an object"),
        (config(without(ENTRY, "isv_svn")), "/mrs/0/isv_svn is missing"),
        (config(*[ENTRY] * 101), "101 entries"),
        ([], "the top level"),
    ],
)  # fmt: skip
def test_every_refusal_names_its_place(document, said):
    assert said in refused(document)


def test_more_than_100_entries_need_to_be_asked_for():
    assert len(ra_config.parse(encoded(config(*[ENTRY] * 101)), max_entries=101).entries) == 101


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf" + encoded(config()),
        encoded(config()).replace(b'"7"', b"NaN"),
        encoded(config()).replace(b'"7"', b"[[1]]"),
        encoded(config()) + b"{}",
        encoded(config()).replace(b"{", b'{"verify_mr_enclave": "off", ', 1),
        encoded(config()).replace(b'"mr_enclave":', b'"mr_enclave": "", "mr_enclave":'),
        b" " * (1024 * 1024 + 1),
        b"\xff\xfe" + encoded(config()),
    ],
    ids=["empty", "torn", "BOM", "NaN", "deep", "two documents", "switch twice", "field twice", "huge", "UTF-16"],
)  # fmt: skip
def test_id_04_what_is_not_strict_json_is_refused(data):
    refused(data)


@pytest.mark.parametrize("field", ["isv_prod_id", "isv_svn", "mr_enclave", "mr_signer"])
def test_id_16_an_unset_value_is_a_refusal_and_never_any(field):
    """Gramine 1.3 took an unset variable for a match with everything."""
    refused(config(without(dict(ENTRY), field)))
    for word in ("any", "ANY", "", "*", None):
        refused(config({**ENTRY, field: word}))
