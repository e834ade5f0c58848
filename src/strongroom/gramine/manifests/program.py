"""What runs in one enclave, apart from how a release of Gramine spells it. Pure.

Everything in a `Program` is fixed when it is signed: words, variables, files. Nothing of it comes from the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

KEY_NAME: Final = "default"  # the one key that secret provisioning sets, as the reference solution calls it
SEALING_KEY: Final = "_sgx_mrenclave"  # this enclave's own, on this machine: for what it puts aside for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A folder or file that Gramine decrypts: where the program sees it, and where it lies.

    `host` is the path that its files are bound to, without a slash before it where they were sealed so.
    """

    path: str
    host: str
    key_name: str = KEY_NAME
    is_folder: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """Whom Gramine asks for the key before main(): HOST:PORT by name, checked against a CA that is a trusted file."""

    servers: str
    ca_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclave:
    """How large an enclave is, and its numbers in policies."""

    size: str = "4G"  # a power of two
    threads: int = 128
    stack: str = "4M"  # less overflows in OpenBLAS
    brk: str = "256M"
    files: int = 4096  # open at a time, where the release can be told (1.8)
    isvprodid: int = 1
    isvsvn: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program for one enclave. Paths in `trusted` are of the host; those of folders end with a slash."""

    name: str
    title: str
    argv: tuple[str, ...]  # [0] is what is started
    env: Mapping[str, str]
    trusted: tuple[str, ...]
    arch_libraries: str = "/lib/x86_64-linux-gnu"
    encrypted: tuple[Encrypted, ...] = ()
    temporary: tuple[str, ...] = ("/tmp",)  # noqa: S108  # memory of the enclave
    provisioning: Provisioning | None = None
    enclave: Enclave = field(default_factory=Enclave)
    children: bool = False  # whether it may start other programs, each an enclave of its own
    lists_interfaces: bool = False  # asks for network interfaces with ioctl, as the JVM does

    @property
    def entrypoint(self) -> str:
        """What is started, in the enclave."""
        return self.argv[0]

    @property
    def argv_file(self) -> str:
        """Where releases that cannot have arguments in the manifest find them, on the host."""
        return f"/app/{self.name}.argv"
