"""The ssl_configure folder of the reference solution: write it without its faults, inspect and take over an old one.

World: one folder. Two-way: `ca_cert.pem, server/{key,cert}.pem, client/{key,cert}.pem, cert.csr beside each, ssl.cfg`;
one-way: `server/{key,cert}.pem, ssl.cfg`. The CA's key is never in it.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput
from strongroom.pki import disk, keys, ssl_cfg
from strongroom.pki.authority import LEAF_DAYS, Authority, Role, request_for
from strongroom.pki.findings import Finding, Pair, TlsSet, judge
from strongroom.pki.keys import PublishedKey
from strongroom.secret import Secret

SEALED_MAGICS: Final = (b"GRAFS_PF", b"GRAPH_PF")
KEY_FILES: Final = ("ca_key.pem", "server/key.pem", "client/key.pem", "ssl.cfg")


class NotSslConfigure(BadInput):
    """A folder is not an ssl_configure folder."""

    code = "SR-SSL-CONFIGURE"
    fix = "Name the folder that holds server/cert.pem or ssl.cfg."


def write_two_way(
    folder: Path,
    authority: Authority,
    *,
    server_names: Sequence[str],
    client_name: str,
    now: datetime,
    days: int = LEAF_DAYS,
    server_request: bytes | None = None,
    client_request: bytes | None = None,
) -> None:
    """Write a mutual-TLS set. With a request (CSR, PEM) that side's key stays where it was made.

    Without the server's key there is no ssl.cfg: whoever holds the key writes it. Raises `AlreadyThere`.
    """
    with disk.new_folder(folder) as new:
        disk.write_public(new / "ca_cert.pem", authority.certificate_pem)
        server = _side(authority, Role.SERVER, server_names, now=now, days=days, request=server_request)
        client = _side(authority, Role.CLIENT, [client_name], now=now, days=days, request=client_request)
        _write_side(new / "server", server, with_request=True)
        _write_side(new / "client", client, with_request=True)
        _write_config(new, server, custom_ca=authority.certificate_pem)


def write_one_way(
    folder: Path,
    authority: Authority,
    *,
    server_names: Sequence[str],
    now: datetime,
    days: int = LEAF_DAYS,
    server_request: bytes | None = None,
) -> None:
    """Write a set for a server that asks clients for no certificate.

    `server/cert.pem` ends with the CA's certificate, so that clients can go on using that file as their root.
    """
    with disk.new_folder(folder) as new:
        leaf = _side(authority, Role.SERVER, server_names, now=now, days=days, request=server_request)
        chained = replace(leaf, certificate_pem=leaf.certificate_pem + authority.certificate_pem)
        _write_side(new / "server", chained, with_request=False)
        _write_config(new, chained, custom_ca=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One side's files; no key where it stayed with the maker of the request."""

    certificate_pem: bytes
    key_pem: Secret | None
    request_pem: bytes


def _side(
    authority: Authority, role: Role, names: Sequence[str], *, now: datetime, days: int, request: bytes | None
) -> _Side:
    if request is not None:
        certificate = authority.sign_request(request, role=role, allowed_names=names, now=now, days=days)
        return _Side(certificate_pem=certificate, key_pem=None, request_pem=request)
    if role is Role.SERVER:
        leaf = authority.issue_server(names, now=now, days=days)
    else:
        leaf = authority.issue_client(names[0], now=now, days=days)
    answered = request_for(leaf.key_pem, names[0])
    return _Side(certificate_pem=leaf.certificate_pem, key_pem=leaf.key_pem, request_pem=answered)


def _write_side(folder: Path, side: _Side, *, with_request: bool) -> None:
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE)
    disk.write_public(folder / "cert.pem", side.certificate_pem)
    if side.key_pem is not None:
        disk.write_secret(folder / "key.pem", side.key_pem)
    if with_request:
        disk.write_public(folder / "cert.csr", side.request_pem)


def _write_config(folder: Path, server: _Side, *, custom_ca: bytes) -> None:
    if server.key_pem is None:
        return
    config = ssl_cfg.make(
        server_key=server.key_pem,
        server_cert=server.certificate_pem,
        custom_ca=custom_ca,
        client_verify=bool(custom_ca),
    )
    disk.write_secret(folder / "ssl.cfg", config.render())


def inspect(folder: Path, *, now: datetime) -> list[Finding]:
    """Return the weaknesses of an existing ssl_configure folder.

    Raises `NotSslConfigure`, or what makes it unusable: `KeyMismatch`, `BadCertificate`, `BadPrivateKey`,
    `SslCfgMalformed`.
    """
    return judge(read(folder), now=now)


def take_over(folder: Path, target: Path, *, now: datetime) -> list[Finding]:
    """Write the certificates and keys of `folder` to `target`, normalised, and return what was found.

    Left behind: the CA's key, requests, and anything that is not part of the set. Raises `PublishedKey` besides the
    errors of `inspect`.
    """
    found = read(folder)
    findings = judge(found, now=now)
    for finding in findings:
        if finding.name == "published-key":
            raise PublishedKey(f"{finding.where}: {finding.seen}")
    with disk.new_folder(target) as new:
        if found.ca is not None:
            disk.write_public(new / "ca_cert.pem", keys.certificate_pem(found.ca))
        for pair in found.leaves():
            place = new / Path(pair.where).parent
            place.mkdir(mode=disk.SECRET_FOLDER_MODE)
            disk.write_public(place / "cert.pem", keys.certificate_pem(pair.certificate))
            if pair.key is not None:
                disk.write_secret(place / "key.pem", keys.private_pem(pair.key))
        if found.config is not None:
            disk.write_secret(new / "ssl.cfg", found.config.render())
    return findings


def read(folder: Path) -> TlsSet:
    """Parse what an ssl_configure folder holds; every key is checked against its certificate."""
    server, client = _pair(folder, "server"), _pair(folder, "client")
    text = _optional(folder / "ssl.cfg", ssl_cfg.MAX_SSL_CFG_BYTES)
    if server is None and text is None:
        raise NotSslConfigure(f"{folder} holds neither server/cert.pem nor ssl.cfg")
    sealed = text is not None and text[:8] in SEALED_MAGICS
    ca_pem, ca_key = _optional(folder / "ca_cert.pem"), _optional(folder / "ca_key.pem")
    ca = None if ca_pem is None else keys.load_certificates(ca_pem)[0]
    if ca is not None and ca_key is not None:
        keys.check_match(ca, keys.load_private_key(Secret(ca_key)), what="ca_key.pem")
    return TlsSet(
        ca=ca,
        ca_key_there=ca_key is not None,
        server=server,
        client=client,
        config=None if text is None or sealed else ssl_cfg.parse(text),
        config_sealed=sealed,
        loose_files=tuple(
            name for name in KEY_FILES if _is_loose(folder / name) and not (sealed and name == "ssl.cfg")
        ),
    )


def _pair(folder: Path, side: str) -> Pair | None:
    certificate_pem = _optional(folder / side / "cert.pem")
    key_pem = _optional(folder / side / "key.pem")
    if certificate_pem is None:
        return None
    certificate = keys.load_certificates(certificate_pem)[0]
    key = None if key_pem is None else keys.load_private_key(Secret(key_pem))
    if key is not None:
        keys.check_match(certificate, key, what=f"{side}/key.pem")
    return Pair(where=f"{side}/cert.pem", certificate=certificate, key=key)


def _optional(path: Path, limit: int = keys.MAX_PEM_BYTES) -> bytes | None:
    try:
        return disk.read_bounded(path, limit=limit)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_loose(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & disk.OTHERS)
