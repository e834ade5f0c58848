"""Read, check and write SIGSTRUCT, the signed identity of an enclave (Gramine's `X.sig`).

Pure. `parse` reads the 1808 bytes and holds them to their layout; `Sigstruct.check` proves that the signer of the
modulus signed them, as the processor does at EINIT (threat ID-15). Whatever is not signed is fixed by the layout, so no
byte of a checked file can be changed. Source: Intel SDM volume 3D, section 38.13 (SIGSTRUCT); EINIT.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from strongroom.errors import BadInput, Tampered
from strongroom.wire import Reader

SIGSTRUCT_BYTES: Final = 1808
KEY_BYTES: Final = 384  # RSA-3072
KEY_BITS: Final = 3072
EXPONENT: Final = 3
HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
HEADER2: Final = bytes.fromhex("01010000600000006000000001000000")
VENDOR_OTHERS: Final = 0
VENDOR_INTEL: Final = 0x8086
ATTRIBUTE_INIT: Final = 0x1  # set by the processor, never by a signer
ATTRIBUTE_DEBUG: Final = 0x2
ATTRIBUTE_MODE64: Final = 0x4
MISC_EXINFO: Final = 0x1
ALL_FLAGS: Final = 0xFFFF_FFFF_FFFF_FFFF
XFRM_LEGACY: Final = 0x3
GRAMINE_XFRM_MASK: Final = 0xFFFF_FFFF_FFF9_FF1B  # AVX, AVX-512, PKRU and AMX are left to the machine
_NO_ID: Final = bytes(16)


class SigstructMalformed(BadInput):
    """A .sig file is not a SIGSTRUCT: its length, a constant, a reserved byte or its date is wrong."""

    code = "SR-SIGSTRUCT"
    fix = "Name the .sig file that gramine-sgx-sign wrote (1808 bytes), or sign the manifest again."


class SigstructForged(Tampered):
    """The signature in a .sig file does not hold: it was changed after signing, or never signed."""

    code = "SR-SIGSTRUCT-SIGNATURE"
    fix = "Do not trust these values; get the .sig file again from whoever signed the build."


class SigstructHelperWrong(Tampered):
    """The q1 and q2 that a .sig file carries for the processor do not follow from its signature."""

    code = "SR-SIGSTRUCT-Q"
    fix = "The processor refuses this file too; get the .sig file again from whoever signed the build."


class SignerKeyUnusable(BadInput):
    """A file does not hold the public half of a key that can sign enclaves."""

    code = "SR-SIGNER-KEY"
    fix = "Write it with: openssl rsa -in enclave-key.pem -pubout."


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a signer states about an enclave; the defaults are those of gramine-sgx-sign 1.9."""

    mr_enclave: bytes  # 32 bytes
    date: date
    isv_prod_id: int = 0  # 16 bits
    isv_svn: int = 0  # 16 bits
    vendor: int = VENDOR_OTHERS
    sw_defined: int = 0  # 32 bits
    misc_select: int = 0  # 32 bits
    misc_mask: int = 0xFFFF_FFFF
    cet_attributes: int = 0  # 8 bits
    cet_attributes_mask: int = 0
    isv_family_id: bytes = _NO_ID  # 16 bytes
    isv_ext_prod_id: bytes = _NO_ID  # 16 bytes
    attributes: int = ATTRIBUTE_MODE64  # 64 bits
    attributes_mask: int = ALL_FLAGS
    xfrm: int = XFRM_LEGACY  # 64 bits
    xfrm_mask: int = GRAMINE_XFRM_MASK

    @property
    def debug(self) -> bool:
        """Whether the enclave is signed as a debug enclave, whose memory the host can read."""
        return bool(self.attributes & ATTRIBUTE_DEBUG)

    @property
    def permits_debug(self) -> bool:
        """Whether the host can start it in debug mode: so signed, or the mask leaves that bit to the host."""
        return self.debug or not self.attributes_mask & ATTRIBUTE_DEBUG


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigstruct(Identity):
    """An enclave's identity as it stands in a file; proof of who signed it only after `check`."""

    modulus: int
    signature: int
    q1: int
    q2: int
    encoded: bytes  # all 1808 bytes

    @property
    def mr_signer(self) -> bytes:
        """Return SHA-256 of the modulus as stored (384 bytes, little-endian)."""
        return hashlib.sha256(self.modulus.to_bytes(KEY_BYTES, "little")).digest()

    def check(self) -> None:
        """Check signature, q1 and q2. Raises SigstructForged or SigstructHelperWrong."""
        n, s = self.modulus, self.signature
        if n.bit_length() != KEY_BITS or not 0 < s < n:
            raise SigstructForged("the modulus is not one of RSA-3072, or the signature is out of its range")
        try:
            key = rsa.RSAPublicNumbers(EXPONENT, n).public_key()
            key.verify(s.to_bytes(KEY_BYTES, "big"), _signed(self.encoded), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):  # ValueError: a modulus that OpenSSL does not take, as an even one
            raise SigstructForged("the signature does not hold for these values and this signer") from None
        if (self.q1, self.q2) != _helpers(n, s):
            raise SigstructHelperWrong("q1 and q2 do not follow from the signature and the modulus")


def parse(data: bytes) -> Sigstruct:
    """Return what a .sig file of 1808 bytes says, unverified. Raises SigstructMalformed."""
    if len(data) != SIGSTRUCT_BYTES:
        raise SigstructMalformed(f"a SIGSTRUCT has {SIGSTRUCT_BYTES} bytes, this file has {len(data)}")
    reader = Reader(data, what="SIGSTRUCT", error=SigstructMalformed)
    _constant(reader, HEADER, "header")
    vendor = reader.u32("vendor")
    if vendor not in {VENDOR_OTHERS, VENDOR_INTEL}:
        raise SigstructMalformed(f"SIGSTRUCT: vendor is {vendor:#x}, wanted 0 or 0x8086")
    day = _date(reader.take(4, "date"))
    _constant(reader, HEADER2, "second header")
    sw_defined = reader.u32("swdefined")
    _constant(reader, bytes(84), "reserved bytes 44 to 127")
    modulus = _number(reader, KEY_BYTES, "modulus")
    _constant(reader, EXPONENT.to_bytes(4, "little"), "exponent")
    signature = _number(reader, KEY_BYTES, "signature")
    misc_select, misc_mask = reader.u32("misc_select"), reader.u32("misc_mask")
    cet_attributes, cet_mask = reader.u8("cet_attributes"), reader.u8("cet_attributes_mask")
    _constant(reader, bytes(2), "reserved bytes 910 and 911")
    family = reader.take(16, "isv_family_id")
    attributes, xfrm = reader.u64("attributes"), reader.u64("xfrm")
    attributes_mask, xfrm_mask = reader.u64("attributes mask"), reader.u64("xfrm mask")
    mr_enclave = reader.take(32, "enclave_hash")
    _constant(reader, bytes(16), "reserved bytes 992 to 1007")
    ext_prod_id = reader.take(16, "isvext_prod_id")
    isv_prod_id, isv_svn = reader.u16("isv_prod_id"), reader.u16("isv_svn")
    _constant(reader, bytes(12), "reserved bytes 1028 to 1039")
    q1, q2 = _number(reader, KEY_BYTES, "q1"), _number(reader, KEY_BYTES, "q2")
    reader.expect_end()
    return Sigstruct(
        mr_enclave=mr_enclave, date=day, isv_prod_id=isv_prod_id, isv_svn=isv_svn, vendor=vendor,
        sw_defined=sw_defined, misc_select=misc_select, misc_mask=misc_mask, cet_attributes=cet_attributes,
        cet_attributes_mask=cet_mask, isv_family_id=family, isv_ext_prod_id=ext_prod_id, attributes=attributes,
        attributes_mask=attributes_mask, xfrm=xfrm, xfrm_mask=xfrm_mask,
        modulus=modulus, signature=signature, q1=q1, q2=q2, encoded=bytes(data),
    )  # fmt: skip


def sign(identity: Identity, key: rsa.RSAPrivateKey) -> bytes:
    """Return the 1808 bytes of `identity` signed by `key`, an RSA-3072 key with exponent 3.

    Raises ValueError for another kind of key, and OverflowError for a number wider than its field.
    """
    numbers = key.public_key().public_numbers()
    if numbers.e != EXPONENT or numbers.n.bit_length() != KEY_BITS:
        raise ValueError("SIGSTRUCT is signed by RSA-3072 keys with exponent 3")
    front, body = _front(identity), _body(identity)
    signature = int.from_bytes(key.sign(front + body, padding.PKCS1v15(), hashes.SHA256()), "big")
    fields = (numbers.n, signature, *_helpers(numbers.n, signature))
    modulus, signed, q1, q2 = (number.to_bytes(KEY_BYTES, "little") for number in fields)
    return front + modulus + EXPONENT.to_bytes(4, "little") + signed + body + bytes(12) + q1 + q2


def mr_signer_of(public_key: bytes) -> bytes:
    """Return the mr_signer of a public key in PEM. Raises SignerKeyUnusable for any but RSA-3072 with exponent 3."""
    try:
        key = serialization.load_pem_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        raise SignerKeyUnusable("the signer's file does not hold a public key in PEM") from None
    numbers = key.public_numbers() if isinstance(key, rsa.RSAPublicKey) else None
    if numbers is None or numbers.e != EXPONENT or numbers.n.bit_length() != KEY_BITS:
        raise SignerKeyUnusable("enclaves are signed with RSA-3072 and exponent 3; this is another key")
    return hashlib.sha256(numbers.n.to_bytes(KEY_BYTES, "little")).digest()


def _front(identity: Identity) -> bytes:
    """Return bytes 0 to 127."""
    day = bytes.fromhex(identity.date.strftime("%d%m")) + bytes.fromhex(f"{identity.date.year:04d}")[::-1]
    vendor, defined = identity.vendor.to_bytes(4, "little"), identity.sw_defined.to_bytes(4, "little")
    return HEADER + vendor + day + HEADER2 + defined + bytes(84)


def _body(identity: Identity) -> bytes:
    """Return bytes 900 to 1027."""
    numbers = (
        (identity.misc_select, 4), (identity.misc_mask, 4), (identity.cet_attributes, 1),
        (identity.cet_attributes_mask, 1), (0, 2), (int.from_bytes(identity.isv_family_id, "little"), 16),
        (identity.attributes, 8), (identity.xfrm, 8), (identity.attributes_mask, 8), (identity.xfrm_mask, 8),
        (int.from_bytes(identity.mr_enclave, "little"), 32), (0, 16),
        (int.from_bytes(identity.isv_ext_prod_id, "little"), 16), (identity.isv_prod_id, 2), (identity.isv_svn, 2),
    )  # fmt: skip
    return b"".join(number.to_bytes(size, "little") for number, size in numbers)


def _signed(encoded: bytes) -> bytes:
    """Return the 256 bytes under the signature (SDM: everything but key, signature, q1, q2 and bytes 1028 to 1039)."""
    return encoded[:128] + encoded[900:1028]


def _helpers(n: int, s: int) -> tuple[int, int]:
    """Return q1 and q2, the quotients that spare the processor two divisions."""
    q1, remainder = divmod(s * s, n)
    return q1, s * remainder // n


def _number(reader: Reader, size: int, field: str) -> int:
    return int.from_bytes(reader.view(size, field), "little")


def _constant(reader: Reader, wanted: bytes, field: str) -> None:
    offset = reader.position
    if reader.view(len(wanted), field) != wanted:
        raise SigstructMalformed(f"SIGSTRUCT: the {field} at offset {offset} is not what the format fixes")


def _date(raw: bytes) -> date:
    """Return the day, stored in binary-coded decimal: day, month, year as u16 little-endian."""
    digits = f"{raw[3]:02x}{raw[2]:02x}-{raw[1]:02x}-{raw[0]:02x}"
    try:
        return date.fromisoformat(digits)
    except ValueError:
        raise SigstructMalformed(f"SIGSTRUCT: the date {digits} is not a day") from None
