"""Intel's checklist for enclave identities: each row is a case of their tests, under its name, with our answer.

The field rules are those of the identity's format; a case that their API splits into two (read, then compare) is one
verification here, and the code says which step refused.
"""

import json

import pytest

from strongroom.attestation import TcbStatus

UP, OLD, REVOKED = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED
NO_CHANGE = id  # takes the world and leaves it as it is


def put(**members):
    return lambda world: world.qe_identity.update(members)


def drop(name):
    return lambda world: world.qe_identity.pop(name)


def level(**members):
    return lambda world: world.qe_identity["tcbLevels"][0].update(members)


def drop_of_level(name):
    return lambda world: world.qe_identity["tcbLevels"][0].pop(name)


def text(edit):
    return lambda world: setattr(world, "qe_identity_text", edit(json.dumps(world.qe_identity, separators=(",", ":"))))


def levels(*rows):
    entries = [{"tcb": {"isvsvn": svn}, "tcbDate": "2018-08-22T12:00:00Z", "tcbStatus": word} for svn, word in rows]
    return put(tcbLevels=entries)


def svn(number, change):
    def changed(world):
        change(world)
        world.qe_fields["isv_svn"] = number

    return changed


LEVELS = levels((6, "UpToDate"), (5, "OutOfDate"), (4, "Revoked"))

PARSER = {
    "positiveQE": (UP, NO_CHANGE),
    "positiveQVE": ("QE_IDENTITY_MISMATCH", put(id="QVE")),  # read, and no quoting enclave's
    "positiveTD_QE": (UP, lambda world: world.become(4, 2)),
    "positiveWithExtraField": (UP, put(extra={"a": [1, "b"]})),
    "shouldFailWHenInitializedWithInvalidJSON": ("MALFORMED", text(lambda whole: whole[:-1])),
    "shouldFailWhenAttributesAreMalformed": ("MALFORMED", put(attributes="X1" + "00" * 15)),
    "shouldFailWhenAttributesAreNotAString": ("MALFORMED", put(attributes=11)),
    "shouldFailWhenAttributesAreTooLong": ("MALFORMED", put(attributes="11" + "00" * 16)),
    "shouldFailWhenAttributesAreTooShort": ("MALFORMED", put(attributes="11" + "00" * 14)),
    "shouldFailWhenAttributesFieldIsMissing": ("MALFORMED", drop("attributes")),
    "shouldFailWhenAttributesMaskFieldIsMissing": ("MALFORMED", drop("attributesMask")),
    "shouldFailWhenAttributesMaskIsMalformed": ("MALFORMED", put(attributesMask="FG" + "FF" * 15)),
    "shouldFailWhenAttributesMaskIsNotAString": ("MALFORMED", put(attributesMask=["FF"])),
    "shouldFailWhenAttributesMaskIsTooLong": ("MALFORMED", put(attributesMask="FF" * 17)),
    "shouldFailWhenAttributesMaskIsTooShort": ("MALFORMED", put(attributesMask="FF" * 15)),
    "shouldFailWhenIdFieldHasInvalidType": ("MALFORMED", put(id=1)),
    "shouldFailWhenIdFieldHasInvalidValue": ("QE_IDENTITY_MISMATCH", put(id="invalid id")),
    "shouldFailWhenIdFieldIsMissing": ("MALFORMED", drop("id")),
    "shouldFailWhenInitializedWithEmptyString": ("MALFORMED", text(lambda _: " ")),
    "shouldFailWhenIssueDateFieldIsMissing": ("MALFORMED", drop("issueDate")),
    "shouldFailWhenIssueDateIsMalformed": ("MALFORMED", put(issueDate="2018-08-22T10:09:")),
    "shouldFailWhenIssueDateIsNotAString": ("MALFORMED", put(issueDate=20180822)),
    "shouldFailWhenIsvprodidFieldIsMissing": ("MALFORMED", drop("isvprodid")),
    "shouldFailWhenIsvprodidIsNotANumber": ("MALFORMED", put(isvprodid="1")),
    "shouldFailWhenIsvsvnIsNotANumber": ("MALFORMED", level(tcb={"isvsvn": "8"})),
    "shouldFailWhenMiscselectFieldIsMissing": ("MALFORMED", drop("miscselect")),
    "shouldFailWhenMiscselectIsMalformed": ("MALFORMED", put(miscselect="0000000Z")),
    "shouldFailWhenMiscselectIsNotAString": ("MALFORMED", put(miscselect=0)),
    "shouldFailWhenMiscselectIsTooLong": ("MALFORMED", put(miscselect="0000000000")),
    "shouldFailWhenMiscselectIsTooShort": ("MALFORMED", put(miscselect="000000")),
    "shouldFailWhenMiscselectMaskFieldIsMissing": ("MALFORMED", drop("miscselectMask")),
    "shouldFailWhenMiscselectMaskIsMalformed": ("MALFORMED", put(miscselectMask="FFFFFFF ")),
    "shouldFailWhenMiscselectMaskIsNotAString": ("MALFORMED", put(miscselectMask=0xFFFFFFFF)),
    "shouldFailWhenMiscselectMaskIsTooLong": ("MALFORMED", put(miscselectMask="FF" * 5)),
    "shouldFailWhenMiscselectMaskIsTooShort": ("MALFORMED", put(miscselectMask="FF" * 3)),
    "shouldFailWhenMrSignerIsTooLong": ("MALFORMED", put(mrsigner="9E" * 33)),
    "shouldFailWhenMrsignerFieldIsMissing": ("MALFORMED", drop("mrsigner")),
    "shouldFailWhenMrsignerIsMalformed": ("MALFORMED", put(mrsigner="9E" * 31 + "-1")),
    "shouldFailWhenMrsignerIsNotAString": ("MALFORMED", put(mrsigner=None)),
    "shouldFailWhenMrsignerIsTooShort": ("MALFORMED", put(mrsigner="9E" * 31)),
    "shouldFailWhenNextUpdateFieldIsMissing": ("MALFORMED", drop("nextUpdate")),
    "shouldFailWhenNextUpdateIsMalformed": ("MALFORMED", put(nextUpdate="2026-06-30")),
    "shouldFailWhenNextUpdateIsNotAString": ("MALFORMED", put(nextUpdate={})),
    "shouldFailWhenQEIdentityFieldIsMissing": ("MALFORMED", text(lambda _: "{}")),
    "shouldFailWhenQeIdentityIsArray": ("MALFORMED", text(lambda whole: f"[{whole}]")),
    "shouldFailWhenSignatureFieldIsMissing": (
        "QE_IDENTITY_INVALID_SIGNATURE", lambda world: world.collateral_edits.update(qe_identity_signature="")),
    "shouldFailWhenTcbEvaluationDataNumberFieldIsMissing": ("MALFORMED", drop("tcbEvaluationDataNumber")),
    "shouldFailWhenTcbLevelIsInvalidType": ("MALFORMED", put(tcbLevels=["UpToDate"])),
    "shouldFailWhenTcbLevelsFieldIsMissing": ("MALFORMED", drop("tcbLevels")),
    "shouldFailWhenTcbLevelsMaskFieldIsAnEmptyArray": ("MALFORMED", put(tcbLevels=[])),
    "shouldFailWhenTcbLevelsTcbDateFieldInvalidValue": ("MALFORMED", level(tcbDate="yesterday")),
    "shouldFailWhenTcbLevelsTcbDateFieldIsMissing": ("MALFORMED", drop_of_level("tcbDate")),
    "shouldFailWhenTcbLevelsTcbFieldIsMissing": ("MALFORMED", drop_of_level("tcb")),
    "shouldFailWhenTcbLevelsTcbIsvSvnFieldIsMissing": ("MALFORMED", level(tcb={})),
    "shouldFailWhenTcbLevelsTcbStatusFieldInvalidValue": ("TCB_UNRECOGNIZED_STATUS", level(tcbStatus="Unknown")),
    "shouldFailWhenTcbLevelsTcbStatusFieldIsMissing": ("MALFORMED", drop_of_level("tcbStatus")),
    "shouldFailWhenVersionFieldIsMissing": ("MALFORMED", drop("version")),
    "shouldFailWhenVersionFieldIsNotANumber": ("MALFORMED", put(version="2")),
    "shouldFailWhenVersionFieldIsNotEqual1or2": ("QE_IDENTITY_MISMATCH", put(version=3)),
    "shouldReturnEnclaveIdentityInvalidWhenAttributesHasIncorrectSize": ("MALFORMED", put(attributes="")),
    "shouldReturnEnclaveIdentityInvalidWhenAttributesIsNotHexString": ("MALFORMED", put(attributes="no hexstring" * 3)),
    "shouldReturnEnclaveIdentityInvalidWhenAttributesMaskHasIncorrectSize": ("MALFORMED", put(attributesMask="")),
    "shouldReturnEnclaveIdentityInvalidWhenAttributesMaskIsNotHexString": ("MALFORMED", put(attributesMask="zz" * 16)),
    "shouldReturnEnclaveIdentityInvalidWhenIssuedateIsWrong": ("MALFORMED", put(issueDate="2018-08-22T10:09:10:0:01Z")),
    "shouldReturnEnclaveIdentityInvalidWhenMiscselectHasIncorrectSize": ("MALFORMED", put(miscselect="0")),
    "shouldReturnEnclaveIdentityInvalidWhenMiscselectIsNotHexString": ("MALFORMED", put(miscselect="no hex!!")),
    "shouldReturnEnclaveIdentityInvalidWhenMiscselectIsWrong": ("MALFORMED", put(miscselect="0101")),
    "shouldReturnEnclaveIdentityInvalidWhenMiscselectMaskHasIncorrectSize": ("MALFORMED", put(miscselectMask="F")),
    "shouldReturnEnclaveIdentityInvalidWhenMiscselectMaskIsNotHexString": ("MALFORMED", put(miscselectMask="no hex!!")),
    "shouldReturnEnclaveIdentityInvalidWhenNextUpdateIsWrong": (
        "MALFORMED", put(nextUpdate="2018-08-22T10:09:10:0Z")),
    "shouldReturnEnclaveIdentityInvalidWhenOptionalFieldIsInvalid": (
        "MALFORMED", text(lambda whole: whole.replace("mrsigner", "").replace("isvprodid", "").replace("isvsvn", ""))),
    "shouldReturnEnclaveIdentityInvalidWhenVerionFieldIsInvalid": (
        "MALFORMED", text(lambda whole: whole.replace("version", ""))),
    "shouldReturnEnclaveIdentityUnsuportedVersionWhenVersionIsWrong": ("QE_IDENTITY_MISMATCH", put(version=5)),
    "shouldReturnStatusOkWhenJsonIsOk": (UP, NO_CHANGE),
}  # fmt: skip

REPORT = {
    "shouldReturnEnclaveReportAttributestMismatchWhenAttributesIsDifferent": (
        "QE_IDENTITY_MISMATCH", put(attributes="31" + "00" * 15)),
    "shouldReturnEnclaveReportAttributestMismatchWhenIdentityAttributesHasIncorrectSize": (
        "MALFORMED", put(attributes="11" + "00" * 13)),
    "shouldReturnEnclaveReportIsvprodidMismatchWhenIsvprodidIsDifferent": ("QE_IDENTITY_MISMATCH", put(isvprodid=11)),
    "shouldReturnEnclaveReportMiscselectMismatchWhenMiscselectIsDifferent": (
        "QE_IDENTITY_MISMATCH", put(miscselect="00000001")),
    "shouldReturnEnclaveReportMrsignerMismatchWhenMrsignerIsDifferent": (
        "QE_IDENTITY_MISMATCH", lambda world: world.qe_fields.update(mr_signer=b"\x9e" * 31 + b"\x9f")),
    "shouldReturnEnclaveReportNotSupportedWhenIsvSvnisOneAndEnclaveIdentityHavingTcbsBelowFive": (
        "TCB_NOT_SUPPORTED", svn(1, levels((3, "Revoked"), (2, "Revoked")))),
    "shouldReturnEnclaveReportNotSupportedWhenIsvsvnIsBelowAllLevels": ("TCB_NOT_SUPPORTED", svn(2, LEVELS)),
    "shouldReturnEnclaveReportOutOfDateWhenIsvsvnIsOnOutOfDateLevel": (OLD, svn(5, LEVELS)),
    "shouldReturnEnclaveReportRevokedWhenIsvsvnIsOnRevokedLevel": (REVOKED, svn(4, LEVELS)),
    "shouldReturnStatusOkWhenJsonIsOk": (UP, svn(6, LEVELS)),
    "shouldReturnStausStausSgxEnclaveIndentityWhenIsvprodidIsNotPresent": ("MALFORMED", drop("isvprodid")),
    "shouldReturnStausStausSgxEnclaveIndentityWhenIsvsvnIsNotPresent": ("MALFORMED", level(tcb={})),
    "shouldReturnStausStausSgxEnclaveIndentityWhenMrsignerIsNotPresent": ("MALFORMED", drop("mrsigner")),
}  # fmt: skip


def rows(suite, table):
    return [pytest.param(*row, id=f"{suite}.{case}") for case, row in table.items()]


@pytest.mark.parametrize(
    ("wanted", "change"), [*rows("EnclaveIdentityParserUT", PARSER), *rows("EnclaveReportVerifierUT", REPORT)]
)
def test_sc_10_an_enclave_identity(expect, wanted, change):
    expect(wanted, change)


@pytest.mark.parametrize("status", [OLD, REVOKED])
@pytest.mark.parametrize(("version", "body_type"), [(3, 1), (4, 1), (5, 1)])
def test_tcb_02_what_the_identity_says_of_the_enclave_reaches_the_verdict(judge, world, version, body_type, status):
    """QuoteV*VerifierUTQeIdentityStatusParametrized, the statuses; the mismatches are rows of the report above."""
    world.become(version, body_type)
    world.qe_identity["tcbLevels"][0]["tcbStatus"] = status.value
    assert judge(world).status is status
