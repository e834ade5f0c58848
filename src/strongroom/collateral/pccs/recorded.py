"""Replay recorded answers of Intel's service: every signed byte as it was served.

World: files. Each `*.json` file wraps one answer as a JSON object: `tcb_info_json`, `enclave_identity_json`,
`tcb_evaluation_data_numbers_json` (the whole body), `crl_data` (PEM) or `crl_data_base64` (DER), `pck_certificate`
(PEM; with `qe_id` and `encrypted_ppid` where the machine is known), each with `issuer_chain` (PEM; none with a root
CRL); or `fmspcs_json`. What an answer is for is read from the answer; the end of a file name says what its content
cannot: `_early` or `_eval17` the edition, `_v3` the version of the API.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.collateral.api import MAX_BODY_BYTES
from strongroom.collateral.pccs.crls import read_crl, root_crl_urls
from strongroom.collateral.pccs.pck_certificates import PckCertificate
from strongroom.collateral.pccs.shelf import Document, DocumentUnusable, Edition, RevocationList, Shelf
from strongroom.collateral.pccs.watched import FolderUnusable, Watched
from strongroom.errors import BadInput
from strongroom.pki.disk import read_bounded
from strongroom.wire import strict_json

MAX_FILE_BYTES: Final = 4 * MAX_BODY_BYTES
_NUMBER: Final = re.compile(r"_eval[0-9]+\Z")
_DOCUMENTS: Final = ("tcb_info_json", "enclave_identity_json", "tcb_evaluation_data_numbers_json")


class Recorded(Watched):
    """A Backend over a folder of recorded answers. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _read_answers)


def _read_answers(paths: Sequence[Path]) -> Shelf:
    documents: list[Document] = []
    crls: list[RevocationList] = []
    certificates: list[PckCertificate] = []
    platforms: bytes | None = None
    for path in paths:
        wrapped = _wrapped(path)
        try:
            if "fmspcs_json" in wrapped:
                platforms = _platforms(wrapped["fmspcs_json"])
            elif "pck_certificate" in wrapped:
                certificates.append(_certificate(wrapped))
            elif "crl_data" in wrapped or "crl_data_base64" in wrapped:
                crls.append(_crl(wrapped))
            else:
                documents.append(_document(wrapped, path.stem))
        except BadInput as problem:
            raise FolderUnusable(f"{path}: {problem.sentence}") from None
    chains = [*(each.chain for each in documents), *(each.chain for each in crls)]
    return Shelf(documents=documents, crls=crls, certificates=certificates, platforms=platforms,
                 root_crl_urls=root_crl_urls(chains))  # fmt: skip


def _wrapped(path: Path) -> Mapping[str, str]:
    value = strict_json.loads(
        read_bounded(path, limit=MAX_FILE_BYTES), what=str(path), error=FolderUnusable, max_bytes=MAX_FILE_BYTES
    )
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise FolderUnusable(f"{path} is not a JSON object of strings")
    try:
        "".join(value.values()).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        raise FolderUnusable(f"{path} holds something that is not text") from None
    return value


def _platforms(text: str) -> bytes:
    listed = strict_json.loads(text, what="the list of FMSPCs", error=DocumentUnusable)
    if not isinstance(listed, list) or not all(isinstance(each, dict) and "platform" in each for each in listed):
        raise DocumentUnusable("fmspcs_json is not a list of platforms")
    return text.encode("utf-8")


def _document(wrapped: Mapping[str, str], name: str) -> Document:
    body = next((wrapped[member] for member in _DOCUMENTS if member in wrapped), None)
    if body is None:
        raise DocumentUnusable(f"it has none of the members {', '.join(_DOCUMENTS)}")
    api = frozenset({3 if name.endswith("_v3") else 4})
    return Document.read(body.encode(), wrapped.get("issuer_chain", ""), edition=_edition(name), versions=api)


def _edition(name: str) -> Edition:
    plain = name.removesuffix("_v3")
    if plain.endswith("_early"):
        return Edition.EARLY
    return Edition.NUMBER if _NUMBER.search(plain) else Edition.STANDARD


def _crl(wrapped: Mapping[str, str]) -> RevocationList:
    chain = wrapped.get("issuer_chain", "")
    if "crl_data" in wrapped:
        return read_crl(wrapped["crl_data"].encode(), chain)
    try:
        return read_crl(base64.b64decode(wrapped["crl_data_base64"], validate=True), chain)
    except ValueError:  # binascii.Error is one
        raise FolderUnusable("crl_data_base64 is not base64") from None


def _certificate(wrapped: Mapping[str, str]) -> PckCertificate:
    return PckCertificate.read(
        wrapped["pck_certificate"],
        wrapped.get("issuer_chain", ""),
        qe_id=wrapped.get("qe_id"),
        encrypted_ppid=wrapped.get("encrypted_ppid"),
    )
