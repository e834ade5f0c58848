"""ssl.cfg: TensorFlow Serving's text-format SSLConfig, read strictly and written with real PEM.

Pure. Reads what protobuf's text format allows for these four scalar fields (both quotes, C escapes, adjacent strings,
comments, optional separators) and the one-line base64 of the reference solution's generator. The key stays a `Secret`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from strongroom.errors import BadInput
from strongroom.pki import keys
from strongroom.secret import Secret

MAX_SSL_CFG_BYTES: Final = 512 * 1024
_TEXT_FIELDS: Final = ("server_key", "server_cert", "custom_ca")
_TRUE: Final = ("true", "True", "t", "1")
_FALSE: Final = ("false", "False", "f", "0")
_BLANK: Final = re.compile(r"(?:[ \t\r\n\v\f]|#[^\n]*)*")
_WORD: Final = re.compile(r"[A-Za-z0-9_]+")
_STRING: Final = re.compile(r"""'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)\"""")
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\'\"?])|([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|(.?))", re.DOTALL)
_LETTERS: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class SslCfgMalformed(BadInput):
    """An ssl.cfg is not a text-format SSLConfig with its four fields."""

    code = "SR-SSL-CFG"
    fix = "Write server_key, server_cert, custom_ca and client_verify, as strongroom certs does."


@dataclass(frozen=True, slots=True, kw_only=True)
class SslConfig:
    """TLS settings of a model server: the key belongs to the first certificate."""

    server_key: Secret  # PEM
    server_cert: bytes  # PEM, leaf first
    custom_ca: bytes  # PEM roots for client certificates; empty when no client is asked for one
    client_verify: bool

    def render(self) -> Secret:
        """Return the file's text: four lines, PEM line breaks as the two characters backslash and n."""
        with self.server_key.reveal() as key:
            fields = zip(_TEXT_FIELDS, (key, self.server_cert, self.custom_ca), strict=True)
            lines = [f"{name}: '{_escaped(pem)}'\n" for name, pem in fields]
        lines.append(f"client_verify: {'true' if self.client_verify else 'false'}\n")
        return Secret("".join(lines).encode("ascii"))


def make(*, server_key: Secret, server_cert: bytes, custom_ca: bytes, client_verify: bool) -> SslConfig:
    """Check the parts against each other and normalise them to PEM with lines of 64 characters.

    Raises `BadPrivateKey`, `BadCertificate`, `KeyMismatch`, or `SslCfgMalformed` when clients are to be verified
    without a CA: TensorFlow Serving would then trust every public CA.
    """
    key = keys.load_private_key(server_key)
    chain = keys.load_certificates(server_cert)
    keys.check_match(chain[0], key, what="ssl.cfg")
    roots = keys.load_certificates(custom_ca) if custom_ca.strip() else []
    if client_verify and not roots:
        raise SslCfgMalformed("client_verify is true and custom_ca is empty: any public CA could name your clients")
    return SslConfig(
        server_key=keys.private_pem(key),
        server_cert=b"".join(map(keys.certificate_pem, chain)),
        custom_ca=b"".join(map(keys.certificate_pem, roots)),
        client_verify=client_verify,
    )


def parse(data: bytes) -> SslConfig:
    """Read an ssl.cfg; everything in it is checked, nothing unknown is passed over."""
    if len(data) > MAX_SSL_CFG_BYTES:
        raise SslCfgMalformed(f"ssl.cfg has {len(data)} bytes, at most {MAX_SSL_CFG_BYTES} are read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise SslCfgMalformed(f"ssl.cfg is not UTF-8 at byte {problem.start}") from None
    fields = _Scanner(text).fields()
    for name in ("server_key", "server_cert"):
        if not fields.get(name):
            raise SslCfgMalformed(f"{name} is missing or empty")
    return make(
        server_key=Secret(str(fields["server_key"]).encode()),
        server_cert=str(fields["server_cert"]).encode(),
        custom_ca=str(fields.get("custom_ca", "")).encode(),
        client_verify=bool(fields.get("client_verify", False)),
    )


class _Scanner:
    """Read `name: value` pairs; a message names a line, never a value: the value may be a key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def fields(self) -> dict[str, str | bool]:
        found: dict[str, str | bool] = {}
        self.skip()
        while self.position < len(self.text):
            name = self.word("a field name")
            if name not in _TEXT_FIELDS and name != "client_verify":
                self.fail(f"{name[:40]!r} is not a field of SSLConfig")
            if name in found:
                self.fail(f"{name} is there twice")
            self.skip()
            if not self.accept(":"):
                self.fail(f"{name} is not followed by a colon")
            self.skip()
            found[name] = self.switch() if name == "client_verify" else self.string()
            self.skip()
            if self.accept(",") or self.accept(";"):
                self.skip()
        return found

    def skip(self) -> None:
        match = _BLANK.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def accept(self, mark: str) -> bool:
        if self.text.startswith(mark, self.position):
            self.position += len(mark)
            return True
        return False

    def word(self, what: str) -> str:
        match = _WORD.match(self.text, self.position)
        if match is None:
            self.fail(f"{what} was expected")
        self.position = match.end()
        return match[0]

    def switch(self) -> bool:
        word = self.word("true or false")
        if word not in _TRUE + _FALSE:
            self.fail("client_verify is neither true nor false")
        return word in _TRUE

    def string(self) -> str:
        parts: list[str] = []
        while match := _STRING.match(self.text, self.position):
            body = match[1] if match[1] is not None else match[2]
            parts.append(_ESCAPE.sub(self.unescape, body))
            self.position = match.end()
            self.skip()
        if not parts:
            self.fail("a closed string in quotes was expected")
        return "".join(parts)

    def unescape(self, match: re.Match[str]) -> str:
        letter, octal, hexadecimal, other = match.groups()
        if other is not None:
            self.fail("a string holds an unknown escape")
        if letter is not None:
            return _LETTERS.get(letter, letter)
        code = int(octal, 8) if octal is not None else int(hexadecimal, 16)
        if code > 0x7F:
            self.fail("a string holds an escape outside ASCII, which no PEM has")
        return chr(code)

    def fail(self, sentence: str) -> NoReturn:
        line = self.text.count("\n", 0, self.position) + 1
        raise SslCfgMalformed(f"ssl.cfg line {line}: {sentence}")


def _escaped(pem: bytes) -> str:
    return pem.decode("ascii").replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
