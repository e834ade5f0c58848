"""Look through everything that was rendered, before any of it is written: nothing in it may be a key. Pure.

A finding is a defect of ours or a secret that somebody put into strongroom.toml, so it stops the rendering (threats
T1, SA-01, DP-03). What is as random as a key and public does not count: certificates, public keys, named digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from strongroom.bundles.intake import PRIVATE_KEY
from strongroom.deploy.lint.secrets import holds_random
from strongroom.deploy.tree import Tree
from strongroom.errors import Refused
from strongroom.sealing import WeakKey, check_wrap_key
from strongroom.secret import Secret

KEY_BYTES: Final = 16  # the shortest key that is used anywhere: Gramine's wrap key
MAX_LINE: Final = 64 * 1024
_PUBLIC: Final = re.compile(
    r"-----BEGIN (?:CERTIFICATE|PUBLIC KEY)-----[^-]{0,100000}-----END (?:CERTIFICATE|PUBLIC KEY)-----"
)
_DIGEST: Final = re.compile(r"\b(?:sha256|mrenclave|mrsigner|mr_enclave|mr_signer)[:=\- \"']{1,5}[0-9a-f]{64}\b")
_ASSIGNMENT: Final = re.compile(r"=(?=[A-Za-z0-9+/_-])")  # NAME=VALUE are two words; base64 has its = at the end
# 16 or 32 bytes, whatever stands around them: the last character of either has bits that are not used, and are none.
_PADDED: Final = re.compile(r"(?<![\w+/-])(?:[\w+/-]{21}[AQgw]==|[\w+/-]{42}[AEIMQUYcgkosw048]=)(?!=)", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*")
_CHANGES: Final = 0.45
_BETWEEN: Final = re.compile(r"[\s\"']")
# As programs print bytes: aa:bb:…, 0xaa, 0xbb, …, \xaa\xbb…; each piece is two digits, so this is linear.
_PAIRS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s:,;-]{0,2}){15,4096}(?:0x|\\x)?[0-9A-Fa-f]{2}(?![0-9A-Za-z])"
)
_NUMBERS: Final = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}[\s,;]{1,2}){15,4096}[0-9]{1,3}(?![0-9.])")
_BASE32: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{26,4096}(?![A-Za-z0-9])")
_DISTINCT: Final = 10  # among 16 bytes or 26 letters; random ones have more
_HEX_KEY: Final = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")


class SecretInTree(Refused):
    """A file that was to be rendered holds something that is, or looks like, a key."""

    code = "SR-RENDER-SECRET"
    fix = "Take it out of strongroom.toml or the cloud profile, and change it: keys come from the broker alone."


def refuse_secrets(tree: Tree) -> None:
    """Raise SecretInTree, naming file and line, if any file holds a key; the key itself is never repeated."""
    for path, content in tree.items():
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretInTree(f"{path} is not text, and only text is rendered") from None
        private = PRIVATE_KEY.search(content)
        if private:
            raise SecretInTree(f"{path}, line {_line_at(content, private.start())}: a private key")
        for number, line in enumerate(_without_public(text).split("\n"), 1):
            _check_line(line, f"{path}, line {number}")


def _check_line(line: str, where: str) -> None:
    if len(line) > MAX_LINE:
        raise SecretInTree(f"{where}: too long to be looked through")
    for found in _HEX_KEY.finditer(line):
        try:
            check_wrap_key(Secret(bytes.fromhex(found[0])))
        except WeakKey as problem:
            raise SecretInTree(f"{where}: {problem.sentence}") from None
    if any(_in_disguise(line)):
        raise SecretInTree(f"{where}: bytes as random as a key")
    words = " ".join(map(_parts, _BETWEEN.split(_ASSIGNMENT.sub(" ", line))))
    plain = words.encode("ascii", "replace").replace(b"?", b" ")
    if _PADDED.search(line) or holds_random(plain, least=KEY_BYTES):
        raise SecretInTree(f"{where}: something as random as a key")


def _in_disguise(line: str) -> Iterator[bool]:
    """Yield, for each run that spells bytes out one by one or in base32, whether they differ as random ones do."""
    for found in _PAIRS.finditer(line):
        pairs = re.findall("[0-9a-f]{2}", re.sub(r"0x|\\x|[^0-9a-f]", "", found[0].lower()))
        yield len(set(pairs)) > _DISTINCT
    for found in _NUMBERS.finditer(line):
        numbers = re.findall("[0-9]+", found[0])
        yield max(map(int, numbers)) < 256 and len(set(numbers)) > _DISTINCT
    for found in _BASE32.finditer(line):
        yield len(set(found[0])) > _DISTINCT and len(re.findall("[2-7]", found[0])) > 1


def _parts(word: str) -> str:
    """Return a word as it is, or the parts of a path: /a/B2/c are three words."""
    return word.replace("/", " ") if word.startswith("/") and not _is_base64(word) else word


def _is_base64(word: str) -> bool:
    """Whether a word that begins as a path does is base64: groups of four that change kind as chance has it.

    Of two neighbours in random base64, 62 of 100 differ in kind (capital, small letter, digit).
    """
    if word.endswith("="):
        return True
    kinds = "".join("A" if each.isupper() else "a" if each.islower() else "0" for each in word if each not in "+/")
    changes = sum(one != other for one, other in pairwise(kinds))
    return len(word) % 4 == 0 and _BASE64.fullmatch(word) is not None and changes > _CHANGES * len(kinds)


def _without_public(text: str) -> str:
    """Return the text without what is public; every line keeps its number."""
    text = _PUBLIC.sub(lambda found: "\n" * found[0].count("\n"), text)
    return _DIGEST.sub(" ", text)


def _line_at(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1
