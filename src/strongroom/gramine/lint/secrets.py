"""Rules on keys: who provisions them, over which channel, and what may bear a reserved name (threat ID-17). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final

from strongroom.gramine.lint.findings import Finding, Level, Rule
from strongroom.gramine.lint.places import Path
from strongroom.gramine.lint.subject import Subject
from strongroom.gramine.lint.template import is_open
from strongroom.gramine.versions import GramineVersion

M06: Final = Rule(id="M06", level=Level.ERROR, title="nobody provisions the key of an encrypted mount")
M07: Final = Rule(id="M07", level=Level.ERROR, title="secret provisioning without remote attestation")
M08: Final = Rule(id="M08", level=Level.ERROR, title="the CA that vouches for the key server is not trusted")
M18: Final = Rule(id="M18", level=Level.ERROR, title="the key server is named by an IP address, or not at all")
M21: Final = Rule(id="M21", level=Level.ERROR, title="a reserved key name is used for something else")

SEALING_KEYS: Final = frozenset({"_sgx_mrenclave", "_sgx_mrsigner"})
SET_KEY: Final = "SECRET_PROVISION_SET_KEY"
CA_CHAIN: Final = "SECRET_PROVISION_CA_CHAIN_PATH"
SERVERS: Final = "SECRET_PROVISION_SERVERS"
OWN_KEY: Final = "STRONGROOM_GRAMINE_KEY"  # `strongroom keys open` sets the key of this name, once it was released
_KEY_FILE: Final = re.compile(r"/dev/attestation/keys/(_sgx_\w+)", re.ASCII)


def unprovisioned(subject: Subject) -> Iterator[Finding]:
    """M06: the mount could not be read, or somebody will be tempted to write the key into the manifest."""
    set_by = (subject.value_of(SET_KEY), subject.value_of(OWN_KEY))
    provided = {*SEALING_KEYS, *subject.table("fs", "insecure__keys"), *set_by}
    if subject.value_of("SECRET_PROVISION_SET_PF_KEY") in {"1", "true", "TRUE"} or any(
        subject.get(above, "insecure__protected_files_key") for above in ("fs", "sgx")
    ):
        provided.add("default")
    for mount in subject.encrypted():
        if mount.key_name not in provided and not is_open(mount.key_name) and not is_open(subject.value_of(SET_KEY)):
            yield subject.finding(M06, mount.place, f"nothing provisions the key {subject.plain.shown(mount.key_name)}",
                                  f'Set loader.env.{SET_KEY} = "{subject.plain.shown(mount.key_name)}".')  # fmt: skip


def unattested(subject: Subject) -> Iterator[Finding]:
    """M07: without a quote the key server has nothing to judge."""
    place = ("sgx", "remote_attestation")
    value = subject.table("sgx").get("remote_attestation")
    if not subject.provisions() or is_open(value) or value == "dcap":
        return
    if subject.version < GramineVersion.V1_3 and value == 1 and not subject.get("sgx", "ra_client_spid"):
        return
    yield subject.finding(M07, place, "secrets are provisioned, but the enclave cannot make DCAP quotes",
                          'Set sgx.remote_attestation = "dcap".')  # fmt: skip


def untrusted_ca(subject: Subject) -> Iterator[Finding]:
    """M08: whoever chooses the CA chooses the key server."""
    if not subject.provisions():
        return
    variable = subject.variables.get(CA_CHAIN)
    place = ("loader", "env", CA_CHAIN)
    if variable is None:
        yield subject.finding(M08, place, "no CA is named, so the key server cannot be told from another",
                              "Set it to the CA's file and list that file in sgx.trusted_files.")  # fmt: skip
    elif variable.value is not None and not is_open(variable.value) and not subject.trusts(variable.value):
        path = variable.value
        name = path.rpartition("/")[2]
        elsewhere = subject.trusted.named(name)
        why = f"{subject.plain.shown(path)} is not a trusted file"
        if elsewhere:
            why = f"no mount leads from {subject.plain.shown(path)} to {subject.name(elsewhere.place)}"
        yield subject.finding(M08, place, why, "Mount the file there and list it in sgx.trusted_files.")


def servers(subject: Subject) -> Iterator[Finding]:
    """M18: a certificate names hosts; the default is localhost, where the attacker is at home."""
    if not subject.provisions():
        return
    place = ("loader", "env", SERVERS)
    value = subject.value_of(SERVERS)
    if is_open(value) or (value is None and SERVERS in subject.variables):
        return  # an expression; or the host's, which is M15
    if not value:
        yield subject.finding(M18, place, "no key server is named, so the enclave asks localhost",
                              "Name it as in its certificate: attestation.service.com:4433.")  # fmt: skip
    for server in re.split(r"[;,\s]+", value or ""):
        if _is_address(server):
            yield subject.finding(M18, place, f"{subject.plain.shown(server)} is an address; certificates name hosts",
                                  "Write the host's name.")  # fmt: skip


def _is_address(server: str) -> bool:
    bracketed = re.match(r"\[([^\]]*)\]", server)
    for text in (bracketed[1] if bracketed else server, server.rpartition(":")[0]):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            continue
        return True
    return False


def reserved(subject: Subject) -> Iterator[Finding]:
    """M21: names with an underscore are Gramine's; a sealing key has one use, and nobody sets it."""
    provided: list[tuple[Path, str]] = [(("loader", "env", SET_KEY), subject.value_of(SET_KEY) or "")]
    provided += [(("fs", "insecure__keys", name), name) for name in subject.table("fs", "insecure__keys")]
    for place, name in provided:
        if name.startswith("_"):
            yield subject.finding(M21, place, f"{subject.plain.shown(name)} is a name that Gramine reserves",
                                  "Give the key a name without a leading underscore.")  # fmt: skip
    mounted = {}
    for mount in subject.encrypted():
        mounted[mount.key_name] = mount.place
        if mount.key_name.startswith("_") and mount.key_name not in SEALING_KEYS:
            yield subject.finding(M21, mount.place, f"Gramine has no key {subject.plain.shown(mount.key_name)}",
                                  "Use _sgx_mrenclave, or a name without a leading underscore.")  # fmt: skip
    texts = [value for _, value in subject.walk()] + [each.value for each in subject.variables.values()]
    read = {name for text in texts if isinstance(text, str) for name in _KEY_FILE.findall(text)}
    for name in sorted(read & mounted.keys()):
        yield subject.finding(M21, mounted[name], f"the program reads {name} itself, which this mount uses",
                              "Use one sealing key for one purpose.")  # fmt: skip


CHECKS: Final[tuple[tuple[Rule, Callable[[Subject], Iterator[Finding]]], ...]] = (
    (M06, unprovisioned), (M07, unattested), (M08, untrusted_ca), (M18, servers), (M21, reserved),
)  # fmt: skip
