"""The folder of a simulated world: written whole or not at all, read strictly.

Keys are 0600 in a 0700 folder that is written under another name and then moved into place, so that two processes that
start at once agree on one world.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import BadInput
from strongroom.platforms.simulated import certificates
from strongroom.platforms.simulated.certificates import Holder
from strongroom.platforms.simulated.collateral import Signers
from strongroom.platforms.simulated.hardware import Hardware
from strongroom.wire import strict_json

FORMAT: Final = 1
MAX_FILE_BYTES: Final = 64 * 1024
ROLES: Final = ("root", "pck_ca", "pck", "tcb_signer")
ENCLAVE_SIGNER: Final = "enclave_signer"  # stands for the key that signs enclaves; only its hash is ever used
HARDWARE_FILE: Final = "machine.json"
_IDENTIFIERS: Final = {"fmspc": 6, "ppid": 16, "platform_instance_id": 16, "qe_id": 16, "pce_id": 2}  # bytes


class WorldMissing(BadInput):
    """There is no simulated platform in this folder."""

    code = "SR-WORLD-MISSING"
    fix = "Create it with: strongroom sim init FOLDER."


class WorldUnusable(BadInput):
    """The folder of a simulated platform is not as it was made, or others may read it."""

    code = "SR-WORLD-UNUSABLE"
    fix = "Move the folder away and create a new one with: strongroom sim init FOLDER. Then write its collateral again."


def exists(folder: Path) -> bool:
    """Say whether a world lives in `folder`."""
    return (folder / HARDWARE_FILE).exists()


def create(folder: Path, hardware: Hardware, *, now: datetime) -> bool:
    """Write a new world into `folder`; return False, leaving everything as it is, if something is there already."""
    return _write(folder, _new_files(hardware, now))


def read(folder: Path) -> tuple[Hardware, Signers, bytes]:
    """Return hardware, signers and the SHA-256 of the enclave signer's key; raise WorldMissing or WorldUnusable."""
    if not exists(folder):
        raise WorldMissing(f"there is no simulated platform in {folder}")
    _refuse_exposed(folder)
    hardware = _parse_hardware(_read(folder / HARDWARE_FILE))
    signers = Signers(**{role: _holder(folder, role) for role in ROLES})
    return hardware, signers, _key_hash(_key(folder / f"{ENCLAVE_SIGNER}_key.pem").public_key())


def _new_files(hardware: Hardware, now: datetime) -> dict[str, bytes]:
    """Return every file of a new world by name."""
    keys = {role: ec.generate_private_key(ec.SECP256R1()) for role in (*ROLES, ENCLAVE_SIGNER)}
    root = certificates.make_root(keys["root"], now=now)
    pck_ca = certificates.make_pck_ca(keys["pck_ca"], root, hardware, now=now)
    holders = {
        "root": root,
        "pck_ca": pck_ca,
        "pck": certificates.make_pck(keys["pck"], pck_ca, hardware, now=now),
        "tcb_signer": certificates.make_tcb_signer(keys["tcb_signer"], root, now=now),
    }
    files = {f"{role}_key.pem": _key_pem(key) for role, key in keys.items()}
    files |= {f"{role}.pem": holder.pem.encode("ascii") for role, holder in holders.items()}
    files[HARDWARE_FILE] = _render_hardware(hardware)
    return files


def _write(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write a folder under another name and move it into place; return False if something was there already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{secrets.token_hex(8)}.new"
    draft.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            handle = os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
        draft.rename(folder)  # replaces an empty folder, fails on any other
    except (FileExistsError, NotADirectoryError):
        return False
    except OSError:
        if folder.is_dir() and any(folder.iterdir()):
            return False
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _refuse_exposed(folder: Path) -> None:
    """Refuse a folder that group or others can enter, or that somebody else owns: keys in it are not ours alone."""
    seen = folder.stat()
    if stat.S_IMODE(seen.st_mode) & 0o077:
        raise WorldUnusable(f"{folder} can be entered by others", fix=f"Run: chmod 700 {folder}.")
    if seen.st_uid != os.geteuid():
        raise WorldUnusable(f"{folder} belongs to user {seen.st_uid}, not to this process")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise WorldUnusable(f"{path} cannot be read: {problem.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise WorldUnusable(f"{path} is longer than {MAX_FILE_BYTES} bytes")
    return content


def _holder(folder: Path, role: str) -> Holder:
    try:
        certificate = x509.load_pem_x509_certificate(_read(folder / f"{role}.pem"))
    except ValueError:
        raise WorldUnusable(f"{folder / role}.pem is not a certificate") from None
    key = _key(folder / f"{role}_key.pem")
    if certificate.public_key() != key.public_key():
        raise WorldUnusable(f"{folder / role}.pem and its key do not belong together")
    return Holder(certificate, key)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):
        raise WorldUnusable(f"{path} is not a private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WorldUnusable(f"{path} is not a P-256 key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key_hash(key: ec.EllipticCurvePublicKey) -> bytes:
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).digest()


def _render_hardware(hardware: Hardware) -> bytes:
    document = {
        "format": FORMAT,
        "note": "a simulated platform: whoever reads this folder can forge its quotes",
        "fmspc": hardware.fmspc.hex(),
        "ppid": hardware.ppid.hex(),
        "platform_instance_id": hardware.platform_instance_id.hex(),
        "qe_id": hardware.qe_id.hex(),
        "pce_id": hardware.pce_id.hex(),
        "components": list(hardware.components),
        "pce_svn": hardware.pce_svn,
        "qe_svn": hardware.qe_svn,
        "ca": hardware.ca,
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _parse_hardware(content: bytes) -> Hardware:
    document: Any = strict_json.loads(content, what=HARDWARE_FILE, error=WorldUnusable)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise WorldUnusable(f"{HARDWARE_FILE} is not of format {FORMAT}")
    try:
        return Hardware(
            **{name: _identifier(document[name], size) for name, size in _IDENTIFIERS.items()},
            components=tuple(_svn(each) for each in document["components"]),
            pce_svn=_svn(document["pce_svn"], 0xFFFF),
            qe_svn=_svn(document["qe_svn"], 0xFFFF),
            ca=_ca(document["ca"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise WorldUnusable(f"{HARDWARE_FILE} lacks or garbles a value: {problem}") from None


def _identifier(value: object, size: int) -> bytes:
    raw = bytes.fromhex(value) if isinstance(value, str) else b""
    if len(raw) != size:
        raise ValueError(f"an identifier has not {size} bytes")
    return raw


def _ca(value: object) -> Literal["platform", "processor"]:
    if value == "platform":
        return "platform"
    if value == "processor":
        return "processor"
    raise ValueError("there is no such PCK CA")


def _svn(value: object, highest: int = 0xFF) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise ValueError(f"a security version is not between 0 and {highest}")
    return value
