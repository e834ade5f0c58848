"""Split a secret into shares of which any M give it back and fewer say nothing about it (threat SA-17).

Pure: the caller brings the randomness. Shamir's scheme (Communications of the ACM 22, 1979) byte by byte over GF(2^8)
with the polynomial of AES. A share is a few lines of text that a person can print; its checksum finds typing errors.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from strongroom.errors import BadInput
from strongroom.secret import Secret

TITLE: Final = "strongroom recovery share 1"
MAX_SHARES: Final = 255  # the field has 255 places besides the secret's own
MAX_SECRET_BYTES: Final = 64
MAX_SHARE_BYTES: Final = 1024
CHECKSUM_DIGITS: Final = 16
_ROOT: Final = r"[a-z0-9-]{1,64}"
_SHARE: Final = re.compile(
    rf"{TITLE}\n"
    rf"set: (?P<set>[0-9a-f]{{16}})\nroot: (?P<root>{_ROOT})\n"
    r"threshold: (?P<threshold>[1-9][0-9]{0,2})\nshares: (?P<shares>[1-9][0-9]{0,2})\n"
    r"number: (?P<number>[1-9][0-9]{0,2})\n"
    rf"share: (?P<share>(?:[0-9a-f]{{2}}){{1,{MAX_SECRET_BYTES}}})\nchecksum: (?P<checksum>[0-9a-f]{{16}})\n?",
    re.ASCII,
)


class ShareMalformed(BadInput):
    """A recovery share is not as it was written: a line is missing, or a character was mistyped."""

    code = "SR-SHARE"
    fix = "Compare the share with its original, character by character."


class SharesDoNotFit(BadInput):
    """The recovery shares given do not belong together: other sets, one twice, or another root key."""

    code = "SR-SHARES-MIXED"
    fix = "Give different shares of one set: the lines `set` and `root` say which belong together."


class TooFewShares(BadInput):
    """Fewer recovery shares were given than their threshold; fewer say nothing about the key."""

    code = "SR-SHARES-TOO-FEW"
    fix = "Collect as many shares of the set as its threshold says."


class BadThreshold(BadInput):
    """A secret cannot be split so: wanted are 2 to 255 shares and a threshold from 2 to their number."""

    code = "SR-THRESHOLD"
    fix = "Choose for example --threshold 3 --shares 5."


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One share, checked to be possible."""

    set_id: str  # 16 hex digits, common to the shares of one splitting
    root_id: str  # which root key it is a part of
    threshold: int
    shares: int
    number: int  # 1 to `shares`
    value: Secret = field(repr=False)

    def render(self) -> Secret:
        """Return the text of the share; it is secret as long as others of its set exist."""
        with self.value.reveal() as raw:
            body = self._head() + f"share: {raw.hex()}\n"
        return Secret(f"{body}checksum: {_checksum(body)}\n".encode())

    def _head(self) -> str:
        return (
            f"{TITLE}\nset: {self.set_id}\nroot: {self.root_id}\n"
            f"threshold: {self.threshold}\nshares: {self.shares}\nnumber: {self.number}\n"
        )

    @classmethod
    def parse(cls, text: bytes, *, what: str = "the share") -> Self:
        """Read a share's text; `what` names it in errors. Raises ShareMalformed, which shows nothing of the share."""
        if len(text) > MAX_SHARE_BYTES:
            raise ShareMalformed(f"{what} is longer than {MAX_SHARE_BYTES} bytes")
        found = _SHARE.fullmatch(text.decode("ascii", "replace").replace("\r\n", "\n"))
        if found is None:
            raise ShareMalformed(f"{what} does not have the lines of a recovery share")
        share = cls(
            set_id=found["set"], root_id=found["root"], threshold=int(found["threshold"]), shares=int(found["shares"]),
            number=int(found["number"]), value=Secret(bytes.fromhex(found["share"])),
        )  # fmt: skip
        body = share._head() + f"share: {found['share']}\n"
        if not hmac.compare_digest(_checksum(body), found["checksum"]):
            raise ShareMalformed(f"{what} (set {share.set_id}, number {share.number}) does not match its checksum")
        if not (2 <= share.threshold <= share.shares <= MAX_SHARES and share.number <= share.shares):
            raise ShareMalformed(f"{what} says number {share.number} of {share.shares}, threshold {share.threshold}")
        return share


def check_threshold(threshold: int, shares: int) -> None:
    """Raise `BadThreshold` unless so many shares can have this threshold."""
    if not 2 <= threshold <= shares <= MAX_SHARES:
        raise BadThreshold(f"a threshold of {threshold} does not go with {shares} shares")


def split(
    secret: Secret, *, threshold: int, shares: int, root_id: str, set_id: bytes, randomness: bytes
) -> tuple[Share, ...]:
    """Split `secret`; `set_id` is 8 random bytes, `randomness` (threshold - 1) x len(secret). Raises BadThreshold."""
    check_threshold(threshold, shares)
    size = len(secret)
    if not 1 <= size <= MAX_SECRET_BYTES or len(randomness) != (threshold - 1) * size or len(set_id) != 8:
        raise ValueError("the sizes of secret, randomness and set do not fit together")
    with secret.reveal() as raw:
        polynomials = [
            bytes([raw[at]]) + randomness[at * (threshold - 1) : (at + 1) * (threshold - 1)] for at in range(size)
        ]
    return tuple(
        Share(
            set_id=set_id.hex(), root_id=root_id, threshold=threshold, shares=shares, number=number,
            value=Secret(bytes(_evaluate(polynomial, number) for polynomial in polynomials)),
        )
        for number in range(1, shares + 1)
    )  # fmt: skip


def combine(shares: Sequence[Share]) -> Secret:
    """Return the secret of at least `threshold` shares of one set. Raises TooFewShares or SharesDoNotFit.

    Shares that fit together always give some secret: the caller checks it against `root_id`.
    """
    if not shares:
        raise TooFewShares("no share was given")
    first = shares[0]
    for share in shares[1:]:
        if _set_of(share) != _set_of(first):
            raise SharesDoNotFit(
                f"number {share.number} of set {share.set_id} (root {share.root_id}) does not belong to "
                f"number {first.number} of set {first.set_id} (root {first.root_id})"
            )
    numbers = [share.number for share in shares]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise SharesDoNotFit(f"number {twice[0]} of set {first.set_id} was given twice")
    if len(shares) < first.threshold:
        raise TooFewShares(f"{len(shares)} shares of set {first.set_id} were given, wanted {first.threshold}")
    weights = [_weight_at_zero(number, numbers) for number in numbers]
    result = bytearray(len(first.value))
    for weight, share in zip(weights, shares, strict=True):
        with share.value.reveal() as raw:
            for at, byte in enumerate(raw):
                result[at] ^= multiply(weight, byte)
    return Secret(result)


def _set_of(share: Share) -> tuple[str, str, int, int, int]:
    return (share.set_id, share.root_id, share.threshold, share.shares, len(share.value))


def multiply(left: int, right: int) -> int:
    """Multiply in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2), without branches or tables on the values."""
    product = 0
    for _ in range(8):
        product ^= left * (right & 1)
        right >>= 1
        left = ((left << 1) ^ (0x11B * (left >> 7))) & 0xFF
    return product


def _inverse(value: int) -> int:
    """Return value ** 254, for the group has 255 elements: 254 = 2 + 4 + 8 + ... + 128."""
    power = result = multiply(value, value)
    for _ in range(6):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def _evaluate(polynomial: bytes, place: int) -> int:
    result = 0
    for coefficient in reversed(polynomial):
        result = multiply(result, place) ^ coefficient
    return result


def _weight_at_zero(number: int, numbers: Sequence[int]) -> int:
    """Return Lagrange's weight of one share for the value at 0, where the secret is."""
    weight = 1
    for other in numbers:
        if other != number:
            weight = multiply(weight, multiply(other, _inverse(other ^ number)))
    return weight


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("ascii")).hexdigest()[:CHECKSUM_DIGITS]
