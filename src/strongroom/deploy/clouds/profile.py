"""One cloud's profile and its strict reader. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from strongroom.errors import BadInput

T = TypeVar("T")
MAX_PROFILE_BYTES: Final = 64 * 1024
USUAL_PORTS: Final = (4433, 8500, 8501)
USUAL_SGX: Final[Mapping[str, str]] = {"sgx.intel.com/enclave": "1", "sgx.intel.com/provision": "1"}
AESMD: Final = "/var/run/aesmd"
USUAL_DEVICES: Final = ("/dev/sgx_enclave", "/dev/sgx_provision")
_DEVICE_RESOURCE: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}/[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class CloudMalformed(BadInput):
    """A cloud profile holds something that is not a setting, or a value that a setting cannot have."""

    code = "SR-CLOUD-PROFILE"
    fix = "Correct the file; docs/clouds/README.md lists what a profile may hold."


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a cloud adds to a deployment. Empty values mean that nothing is special there."""

    name: str
    title: str
    instance_types: tuple[str, ...] = ()
    collateral: str | None = None  # a source as `[collateral] sources` names it; None: Intel's own service
    pccs_url: str | None = None  # the same place as an address, for the quote library's own configuration
    attestation_provider: str | None = None  # the address of an attestation service (MAA)
    sgx_resources: Mapping[str, str] = field(default_factory=lambda: dict(USUAL_SGX))  # asked for beside the EPC
    epc_resource: str = "sgx.intel.com/epc"  # enclave memory, as the device plugin names it
    aesmd_socket: str | None = None  # a folder of the node, only where quotes come from the node's aesmd
    tdx_runtime_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    device_paths: tuple[str, ...] = USUAL_DEVICES  # where there is no device plugin: Compose, systemd
    ports: tuple[int, ...] = USUAL_PORTS  # to open in the cloud's firewall
    facts: Mapping[str, str] = field(default_factory=dict)  # the machine of the reference guide, for the page
    regions: Mapping[str, str] = field(default_factory=dict)  # region -> collateral source
    steps: tuple[str, ...] = ()  # what to do there first, a sentence each
    verified: str = "Nothing of this was run there."
    notes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Profile:
        """Read a profile. Raises CloudMalformed for anything that is not one; unknown words are refused."""
        words = _Words(_toml(data, where), where)
        found = cls(
            name=words.text("name"),
            title=words.text("title"),
            instance_types=words.texts("instance_types", ()),
            collateral=words.optional("collateral"),
            pccs_url=words.optional("pccs_url"),
            attestation_provider=words.optional("attestation_provider"),
            sgx_resources=words.mapping("sgx_resources", USUAL_SGX),
            epc_resource=words.text("epc_resource", "sgx.intel.com/epc"),
            aesmd_socket=words.optional("aesmd_socket"),
            tdx_runtime_class=words.optional("tdx_runtime_class"),
            node_selector=words.mapping("node_selector", {}),
            tolerations=words.mappings("tolerations"),
            device_paths=words.texts("device_paths", USUAL_DEVICES),
            ports=words.ports(),
            facts=words.mapping("facts", {}),
            regions=words.mapping("regions", {}),
            steps=words.texts("steps", ()),
            verified=words.text("verified", "Nothing of this was run there."),
            notes=words.texts("notes", ()),
        )
        words.expect_end()
        return _sound(found, where)


def _sound(found: Profile, where: str) -> Profile:
    if not _NAME.fullmatch(found.name):
        raise CloudMalformed(f"{where}: name cannot be {found.name[:64]!r}")
    for word, url in (("pccs_url", found.pccs_url), ("attestation_provider", found.attestation_provider)):
        if url is not None and not url.startswith("https://"):
            raise CloudMalformed(f"{where}: {word} is {url[:128]!r}; TLS is not an option, so it starts with https://")
    if found.aesmd_socket not in {None, AESMD}:  # a folder of the node that a pod gets: this one alone
        raise CloudMalformed(f"{where}: aesmd_socket is {str(found.aesmd_socket)[:128]!r}, and may be {AESMD} only")
    for resource in (*found.sgx_resources, found.epc_resource):
        if not _DEVICE_RESOURCE.fullmatch(resource):
            raise CloudMalformed(f"{where}: {resource[:64]!r} is no resource of a device plugin (VENDOR/NAME)")
    for path in found.device_paths:
        if not re.fullmatch(r"/dev/[a-z0-9_/-]{1,60}", path) or "//" in path:
            raise CloudMalformed(f"{where}: {path[:64]!r} is no device")
    return found


def _toml(data: bytes, where: str) -> dict[str, object]:
    if len(data) > MAX_PROFILE_BYTES:
        raise CloudMalformed(f"{where} is longer than {MAX_PROFILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise CloudMalformed(f"{where} is not UTF-8 at byte {problem.start}") from None
    except (ValueError, RecursionError) as problem:
        raise CloudMalformed(f"{where} is not TOML: {str(problem)[:160]}") from None


class _Words:
    """A file whose words are taken one by one, so that what is left over is unknown."""

    def __init__(self, values: dict[str, object], where: str) -> None:
        self._values, self._where = values, where

    def _take(self, name: str, kind: type[T], default: T | None) -> T:
        value = self._values.pop(name, default)
        if not isinstance(value, kind):
            raise CloudMalformed(f"{self._where}: {name} is missing or not of the type {kind.__name__}")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = self._take(name, str, default)
        if not value or not value.isprintable():
            raise CloudMalformed(f"{self._where}: {name} is empty, or more than one line")
        return value

    def optional(self, name: str) -> str | None:
        return self.text(name) if name in self._values else None

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        values = self._take(name, list, list(default))
        if not all(isinstance(value, str) and value.isprintable() for value in values):
            raise CloudMalformed(f"{self._where}: {name} is not a list of single lines")
        return tuple(values)

    def mapping(self, name: str, default: Mapping[str, str]) -> dict[str, str]:
        return self._texts_of(name, self._take(name, dict, dict(default)))

    def mappings(self, name: str) -> tuple[Mapping[str, str], ...]:
        return tuple(self._texts_of(name, value) for value in self._take(name, list, []))

    def _texts_of(self, name: str, values: object) -> dict[str, str]:
        if not isinstance(values, dict) or not all(
            isinstance(value, str) and f"{key}{value}".isprintable() for key, value in values.items()
        ):
            raise CloudMalformed(f"{self._where}: {name} is not a table of single lines")
        return dict(values)

    def ports(self) -> tuple[int, ...]:
        values = self._take("ports", list, list(USUAL_PORTS))
        if not all(isinstance(value, int) and 0 < value < 65536 for value in values):
            raise CloudMalformed(f"{self._where}: ports is not a list of ports")
        return tuple(values)

    def expect_end(self) -> None:
        if self._values:
            raise CloudMalformed(f"{self._where} does not know {', '.join(sorted(self._values))[:200]!r}")
