"""The programs that build images, behind one small protocol: buildah, podman, docker.

World: processes. Builds run in `--isolation chroot` where the builder knows it, which works without privileges and in
containers; layers carry one fixed time, so that the same content has the same digest.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from strongroom.deploy.images import programs
from strongroom.deploy.images.containerfile import CONTAINERFILE, IGNORE
from strongroom.deploy.images.recipe import EPOCH
from strongroom.errors import BadInput

BUILD_TIMEOUT_S: Final = 3600.0
RUN_TIMEOUT_S: Final = 600.0
_CAP_SYS_RESOURCE: Final = 1 << 24
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LIMITS: Final = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")


class BuilderMissing(BadInput):
    """There is no program here that builds images."""

    code = "SR-BUILDER"
    fix = "Install buildah or podman (apt-get install buildah), or name the one to use with --builder."


class BuilderName(StrEnum):
    """The builders that are known, in the order in which they are looked for."""

    BUILDAH = "buildah"
    PODMAN = "podman"
    DOCKER = "docker"


class Builder(Protocol):
    """What making images needs of a builder. Every method raises ProgramMissing or ProgramFailed."""

    def has(self, reference: str) -> bool:
        """Return whether an image is there."""

    def build(self, context: Path, reference: str, *, base: str | None = None) -> None:
        """Build the Containerfile in `context`."""

    def save(self, reference: str, archive: Path) -> None:
        """Write an image with its name into a tar that containerd, podman and docker load (docker-archive)."""

    def run(self, reference: str, words: Sequence[str]) -> bytes:
        """Run a program of an image as the image's user, without network, and return what it printed."""

    def push(self, reference: str, *, plain_http: bool) -> str:
        """Push an image to its registry; return the digest under which it lies there, as sha256:HEX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBuilder:
    """A builder that is a program; `environ` is what it runs with (proxies, certificates), never what an image gets."""

    name: BuilderName
    environ: Mapping[str, str]

    def has(self, reference: str) -> bool:
        """Return whether an image is there."""
        listed = self._run(["images", "--quiet", reference] if self.name is BuilderName.DOCKER else
                           ["images", "--quiet", "--filter", f"reference={reference}"])  # fmt: skip
        return bool(listed.strip())

    def build(self, context: Path, reference: str, *, base: str | None = None) -> None:
        """Build the Containerfile in `context`."""
        chosen = ["--build-arg", f"BASE={base}"] if base else []
        common = [*chosen, "--tag", reference, "--file", str(context / CONTAINERFILE), str(context)]
        if self.name is BuilderName.DOCKER:
            environ = {**self.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "DOCKER_BUILDKIT": "1"}
            if (context / IGNORE).exists():
                shutil.copyfile(context / IGNORE, context / ".dockerignore")
            self._run(["build", *common], environ=environ, timeout_s=BUILD_TIMEOUT_S)
            return
        pull = "--pull=false" if base else "--pull=never"  # without a base of the user's, everything is here
        words = ["build", "--layers", "--isolation", "chroot", "--timestamp", str(EPOCH), pull, *common]
        self._run(words, timeout_s=BUILD_TIMEOUT_S)

    def save(self, reference: str, archive: Path) -> None:
        """Write an image with its name into a tar; one that is there is replaced."""
        draft = archive.with_name(f".{archive.name}.{uuid4().hex}")
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self.name is BuilderName.BUILDAH:
                self._run(["push", "--quiet", reference, f"docker-archive:{draft}:{reference}"])
            else:
                self._run(["save", "--output", str(draft), reference])
            draft.replace(archive)
        finally:
            draft.unlink(missing_ok=True)

    def run(self, reference: str, words: Sequence[str]) -> bytes:
        """Run a program of an image as the image's user and return what it printed."""
        if self.name is not BuilderName.BUILDAH:
            loosened = self.name is BuilderName.PODMAN and not may_raise_limits()
            runtime = ["--runtime", "runc"] if loosened and shutil.which("runc") else []
            limits = list(_LIMITS) if loosened else []
            return self._run([*runtime, "run", "--rm", "--network", "none", *limits, "--entrypoint", words[0],
                              reference, *words[1:]])  # fmt: skip
        container = f"strongroom-{uuid4().hex[:12]}"
        self._run(["from", "--name", container, "--pull-never", reference])
        try:
            return self._run(["run", "--isolation", "chroot", container, "--", *words])
        finally:
            self._run(["rm", container])

    def push(self, reference: str, *, plain_http: bool) -> str:
        """Push an image; docker decides by its own configuration about plain HTTP, and prints the digest."""
        if self.name is BuilderName.DOCKER:
            said = self._run(["push", reference], timeout_s=BUILD_TIMEOUT_S)
            return _digest_in(said.decode("utf-8", "replace"))
        loose = ["--tls-verify=false"] if plain_http else []
        with tempfile.TemporaryDirectory(prefix="strongroom-push-") as folder:
            place = Path(folder) / "digest"
            words = ["push", "--quiet", *loose, "--digestfile", str(place), reference]
            self._run(words, timeout_s=BUILD_TIMEOUT_S)
            return _digest_in(place.read_text(encoding="ascii", errors="replace"))

    def _run(
        self, words: Sequence[str], *, environ: Mapping[str, str] | None = None, timeout_s: float = RUN_TIMEOUT_S
    ) -> bytes:
        install = f"apt-get install {'docker.io' if self.name is BuilderName.DOCKER else self.name}"
        return programs.run(self.name, words, environ or self.environ, install=install, timeout_s=timeout_s)


def is_loopback(reference: str) -> bool:
    """Return whether an image's registry is on this machine: only there plain HTTP will do."""
    host = reference.split("/", 1)[0].rpartition(":")[0]
    return host in {"localhost", "127.0.0.1", "[::1]"}


def _digest_in(text: str) -> str:
    found = _DIGEST.search(text)
    if found is None:
        raise programs.ProgramFailed("the builder pushed the image and named no digest")
    return found[0]


def choose(wanted: BuilderName | None, environ: Mapping[str, str]) -> CommandBuilder:
    """Return the builder that is asked for, or the first that is installed. Raises BuilderMissing."""
    for name in [wanted] if wanted else list(BuilderName):
        if shutil.which(name):
            return CommandBuilder(name=name, environ=environ)
    raise BuilderMissing(
        f"{wanted or 'none of buildah, podman and docker'} is {'not ' if wanted else ''}installed here"
    )


def may_raise_limits() -> bool:
    """Return whether this process may raise resource limits (CAP_SYS_RESOURCE in its bounding set)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True  # no Linux: the builder runs in a virtual machine of its own
    bounding = next((line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), "0")
    return bool(int(bounding, 16) & _CAP_SYS_RESOURCE)
