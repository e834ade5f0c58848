"""Rules on secrets in objects that everybody with a kubeconfig reads (threats DP-03, SA-01, KD-12). Pure."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Objects, Table, table, tables

K16: Final = Rule(id="K16", level=Level.ERROR, title="an object holds a key or a password")
K17: Final = Rule(id="K17", level=Level.ERROR, title="a secret is given in an environment variable or an argument")

_PRIVATE: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_SECRET_NAME: Final = re.compile(
    r"(^|[_.-])(pass(word|wd|phrase)?|secret|token|api[_.-]?key|private[_.-]?key|wrap[_.-]?key|credentials?)($|[_.-])",
    re.IGNORECASE,
)
_NAMES_A_PLACE: Final = re.compile(r"(path|file|dir|servers?|url|host|port|name|chain)$", re.IGNORECASE)
_PROVISIONING: Final = "SECRET_PROVISION_SET_"  # Gramine: whether keys are asked for, and what they are called
_WORD: Final = re.compile(r"[A-Za-z0-9+/=_-]{24,4096}")
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_DIGESTED: Final = re.compile(r"sha(256|384|512)[:-][A-Za-z0-9+/=]+")
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN (CERTIFICATE|PUBLIC KEY|X509 CRL)-----[^-]{0,100000}-----END (CERTIFICATE|PUBLIC KEY|X509 CRL)-----"
)
MAX_SCANNED: Final = 1024 * 1024  # Kubernetes' own limit for a Secret or ConfigMap
_RANDOM_BITS: Final = 4.2  # of each character: base64 of a random 32 bytes has about 4.8, prose and names below 4


def holders(objects: Objects) -> Iterator[Finding]:
    """K16: etcd, backups and every reader of the namespace have what stands in a Secret; keys come from the broker."""
    fix = "Let the replica get it from the broker once it is attested; remove it here and change it, it is known."
    for holder in objects.of_kind("Secret"):
        for name, value, place in _entries(holder.value, "data", "stringData"):
            why = _trouble(name, value, suspicious=True)
            if why:
                yield holder.finding(K16, place, why, fix)
    for holder in objects.of_kind("ConfigMap"):
        for name, value, place in _entries(holder.value, "binaryData", "data"):
            why = _trouble(name, value, suspicious=False)
            if why:
                yield holder.finding(K16, place, why, fix)


def _entries(holder: Table, encoded: str, plain: str) -> Iterator[tuple[str, bytes, str]]:
    for name, value in table(holder.get(encoded)).items():
        yield str(name), _decoded(str(value)), f"{encoded}[{name}]"
    for name, value in table(holder.get(plain)).items():
        yield str(name), str(value)[:MAX_SCANNED].encode(), f"{plain}[{name}]"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text[: 2 * MAX_SCANNED].split()), validate=True)
    except (binascii.Error, ValueError):
        return text[:MAX_SCANNED].encode()


def _trouble(name: str, value: bytes, *, suspicious: bool) -> str | None:
    """Return why an entry may not be here. In a Secret, `suspicious` as it is, its name or 16 random bytes suffice."""
    if _PRIVATE.search(value):
        return "it holds a private key"
    if holds_random(value, least=16 if suspicious else 32):
        return "it holds something as random as a key"
    if suspicious and value.strip() and _SECRET_NAME.search(name):
        return "its name says that it is a secret"
    return None


def holds_random(value: bytes, *, least: int) -> bool:
    """Return whether there is a run of at least so many bytes that look random: raw, base64 or hexadecimal.

    Certificates, public keys and digests (sha256:…) are as random and are public; they do not count.
    """
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return len(value) >= least and _bits_of_each(value) > min(7.0, math.log2(len(value)) - 0.7)
    text = _DIGESTED.sub(" ", _CERTIFICATE.sub(" ", text))
    return any(_looks_random(word) for word in _WORD.findall(text) if _bytes_in(word) >= least)


def _bytes_in(word: str) -> int:
    return len(word) // 2 if _HEX.fullmatch(word) else len(word) * 3 // 4


def _looks_random(word: str) -> bool:
    if _HEX.fullmatch(word):
        return _bits_of_each(word.encode()) > 3.0 and any(each.isdigit() for each in word)
    mixed = any(each.isdigit() for each in word) and any(each.isupper() for each in word)
    return mixed and any(each.islower() for each in word) and _bits_of_each(word.encode()) > _RANDOM_BITS - 0.2


def _bits_of_each(value: bytes) -> float:
    """Return the entropy of the bytes' own distribution, in bits a byte."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())


def environment(objects: Objects) -> Iterator[Finding]:
    """K17: the environment and the arguments are in the object, in /proc, and in the host's hands."""
    fix = "Let the replica get it from the broker once it is attested."
    for pod in objects.workloads:
        for container in pod.containers():
            for index, variable in tables(container.value.get("env")):
                name, place = str(variable.get("name")), f"{container.place}.env[{index}]"
                if "secretKeyRef" in table(variable.get("valueFrom")):
                    yield pod.finding(K17, place, f"{name} comes from a Secret", fix)
                elif _is_secret(name, variable.get("value")):
                    yield pod.finding(K17, place, f"{name} looks like a secret", fix)
            for index, source in tables(container.value.get("envFrom")):
                if "secretRef" in source:
                    yield pod.finding(K17, f"{container.place}.envFrom[{index}]", "all of a Secret is taken in", fix)
            for word in container.words:
                name, sign, value = word.lstrip("-").partition("=")
                if _PRIVATE.search(word.encode()) or (sign and " " not in name and _is_secret(name, value)):
                    yield pod.finding(K17, f"{container.place}.args", f"--{name[:40]} looks like a secret", fix)


def _is_secret(name: str, value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if _PRIVATE.search(value.encode()):
        return True
    if _NAMES_A_PLACE.search(name) or value.startswith(("/", "$(", "https://")):
        return False
    named = bool(_SECRET_NAME.search(name.removeprefix(_PROVISIONING))) and value.lower() not in {
        "true",
        "false",
        "0",
        "1",
    }
    return named or holds_random(value.encode(), least=16)


RULES: Final = (K16, K17)
CHECKS: Final = (holders, environment)
