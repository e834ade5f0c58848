"""Measure an expanded manifest (`X.manifest.sgx`) and compare it with the identity that was signed (`X.sig`).

Pure: the bytes of manifest and libpal in, the values that a verifier will see out (threat ID-15). Every byte of the
manifest counts, comments included. Source: spec gramine.md sections 7.2, 9 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import BadInput, Tampered
from strongroom.gramine import elf, sigstruct, toml_text
from strongroom.gramine.layout import EnclaveSettings, lay_out
from strongroom.gramine.manifest import MAX_U16, ManifestMalformed
from strongroom.gramine.mrenclave import mrenclave
from strongroom.gramine.sigstruct import Sigstruct
from strongroom.gramine.versions import LATEST, GramineVersion

MAX_EXPANDED_BYTES: Final = 16 * 1024 * 1024  # every trusted file is a line: 100,000 fit
MAX_THREADS: Final = 16 * 1024
MAX_ENCLAVE_BYTES: Final = 1 << 40  # 1 TiB: the default with EDMM
MIN_ENCLAVE_BYTES: Final = 1 << 20
DEFAULT_THREADS: Final = 4

_SIZE: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,18})([KMG]?)\Z", re.ASCII)
_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_JINJA: Final = re.compile(r"\{\{|\{%|\{#")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}\Z", re.ASCII)
# Spec section 9, in the order of application: AVX-512 contains the bit of AVX.
_FEATURES: Final = (("avx", 0x4), ("avx512", 0xE4), ("amx", 0x60000), ("mpx", 0x18), ("pkru", 0x200))
_FEATURE_DEFAULT: Final = {"mpx": "disabled", "pkru": "disabled"}
_MASK_BEFORE_FEATURES: Final = 0xFFFF_FFFF_FFF9_FF1B


class ManifestNotExpanded(BadInput):
    """A manifest is a template, or was not expanded by gramine-sgx-sign, so it is not what will be measured."""

    code = "SR-MANIFEST-TEMPLATE"
    fix = "Name the X.manifest.sgx that gramine-sgx-sign wrote; it holds the SHA-256 of every trusted file."


class MeasurementDiffers(Tampered):
    """A .sig file and the manifest beside it do not belong together."""

    code = "SR-MEASURE-DIFFERS"
    fix = "Check that manifest, libpal.so and the release of Gramine are those of this build; else sign it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a verifier will see of an enclave, but for its signer, who is not in the manifest."""

    mr_enclave: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool
    features: tuple[int, int, int] | None  # xfrm, its mask, misc_select; None where the release had other keys
    settings: EnclaveSettings
    version: GramineVersion


def measure(manifest: bytes, libpal: bytes, *, version: GramineVersion = LATEST) -> Measurement:
    """Return what the enclave of `manifest` (exact bytes) and `libpal` measures under a release of Gramine.

    Raises ManifestNotExpanded, ManifestMalformed, ElfMalformed, EnclaveDoesNotFit.
    """
    document = read_expanded(manifest)
    sgx = _table(document, "sgx")
    settings = _settings(sgx, version)
    return Measurement(
        mr_enclave=mrenclave(lay_out(settings, manifest, elf.parse(libpal))),
        isv_prod_id=_number(sgx, "isvprodid", 0, MAX_U16, default=0),
        isv_svn=_number(sgx, "isvsvn", 0, MAX_U16, default=0),
        debug=_boolean(sgx, "debug"),
        features=_features(sgx) if version >= GramineVersion.V1_6 else None,
        settings=settings,
        version=version,
    )


def compare(measured: Measurement, signed: Sigstruct) -> None:
    """Raise MeasurementDiffers unless `signed` states what was measured, feature masks included."""
    flags = sigstruct.ATTRIBUTE_MODE64 | (sigstruct.ATTRIBUTE_DEBUG if measured.debug else 0)
    pairs: list[tuple[str, object, object]] = [
        ("mr_enclave", measured.mr_enclave.hex(), signed.mr_enclave.hex()),
        ("isv_prod_id", measured.isv_prod_id, signed.isv_prod_id),
        ("isv_svn", measured.isv_svn, signed.isv_svn),
        ("debug", measured.debug, signed.permits_debug),
        ("attributes", hex(flags), hex(signed.attributes)),
    ]
    if measured.features is not None:
        theirs = (signed.xfrm, signed.xfrm_mask, signed.misc_select)
        names = ("xfrm", "xfrm mask", "misc_select")
        pairs += zip(names, map(hex, measured.features), map(hex, theirs), strict=True)
    for name, ours, signers in pairs:
        if ours != signers:
            raise MeasurementDiffers(f"{name} is {ours} by the manifest and {signers} in the .sig file")


def read_expanded(manifest: bytes) -> dict[str, Any]:
    """Return the manifest's document, once it is sure that it is the one that is measured."""
    try:
        text = manifest.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ManifestMalformed(f"the manifest is not UTF-8 at byte {problem.start}") from None
    try:
        document = toml_text.loads(text, max_bytes=MAX_EXPANDED_BYTES, error=ManifestMalformed)
    except ManifestMalformed:
        if _JINJA.search(text):
            raise ManifestNotExpanded("this is a template: it has Jinja's braces in it") from None
        raise
    files = _table(document, "sgx").get("trusted_files", [])
    for index, entry in enumerate(files if isinstance(files, list) else [files]):
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(digest, str) or not _SHA256.match(digest):
            raise ManifestNotExpanded(f"sgx.trusted_files[{index}] has no SHA-256, so the signer has not been here")
    return document


def _settings(sgx: Mapping[str, Any], version: GramineVersion) -> EnclaveSettings:
    edmm = _boolean(sgx, "edmm_enable")
    if edmm and version < GramineVersion.V1_4:
        raise ManifestMalformed(f"sgx.edmm_enable is not read by Gramine {version}; remove it")
    size = _size(sgx.get("enclave_size", "1024G" if edmm else "256M"))
    high_base = version <= GramineVersion.V1_4 and not _boolean(sgx, "nonpie_binary")
    return EnclaveSettings(enclave_size=size, threads=_threads(sgx, version), edmm=edmm, high_base=high_base)


def _threads(sgx: Mapping[str, Any], version: GramineVersion) -> int:
    """Return the number of threads; its key was renamed in 1.4, which reads both."""
    known = {
        "max_threads": version >= GramineVersion.V1_4,
        "thread_num": version <= GramineVersion.V1_4,
    }
    for word, is_read in known.items():
        if word in sgx and not is_read:
            raise ManifestMalformed(f"sgx.{word} is not read by Gramine {version}, which would use another number")
    word = "max_threads" if "max_threads" in sgx or "thread_num" not in sgx else "thread_num"
    return _number(sgx, word, 1, MAX_THREADS, default=DEFAULT_THREADS)


def _size(value: object) -> int:
    """Return the bytes that text as "4G" or "0x40000000" means."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    size = int(match[1], 0) * _UNIT[match[2]] if match else 0
    if not MIN_ENCLAVE_BYTES <= size <= MAX_ENCLAVE_BYTES or size & (size - 1):
        raise ManifestMalformed('sgx.enclave_size must be text as "4G": a power of two from 1M to 1024G')
    return size


def _features(sgx: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return xfrm, its mask and misc_select as gramine-sgx-sign 1.6 to 1.9 derive them."""
    chosen = _table(sgx, "cpu_features", "sgx.")
    xfrm, mask = sigstruct.XFRM_LEGACY, _MASK_BEFORE_FEATURES
    for name, bits in _FEATURES:
        choice = chosen.get(name, _FEATURE_DEFAULT.get(name, "unspecified"))
        if choice not in ("required", "disabled", "unspecified"):
            raise ManifestMalformed(f'sgx.cpu_features.{name} must be "required", "disabled" or "unspecified"')
        if choice != "unspecified":
            xfrm, mask = (xfrm | bits if choice == "required" else xfrm & ~bits), mask | bits
    return xfrm, mask, sigstruct.MISC_EXINFO if _boolean(sgx, "use_exinfo") else 0


def _table(document: Mapping[str, Any], name: str, above: str = "") -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise ManifestMalformed(f"{above}{name} must be a table")
    return value


def _boolean(sgx: Mapping[str, Any], name: str) -> bool:
    value = sgx.get(name, False)
    if not isinstance(value, bool):
        raise ManifestMalformed(f"sgx.{name} must be true or false")
    return value


def _number(sgx: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    value = sgx.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ManifestMalformed(f"sgx.{name} must be a whole number from {least} to {most}")
    return value
