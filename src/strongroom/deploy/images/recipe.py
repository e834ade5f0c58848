"""The base that images stand on where none is pulled: a minimal Debian root, named by what it is made of. Pure.

The same recipe on the same day's archive gives the same bytes (SOURCE_DATE_EPOCH; threats SA-05).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from strongroom.deploy.description import Description, Flavour, Role
from strongroom.deploy.images.roles import USER_ID, has_program, in_gramine, system_packages

EPOCH: Final = 1_767_225_600  # 2026-01-01: the time of every file and layer that we make
SUITE: Final = "bookworm"
_EXCLUDED: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_KEPT: Final = "/usr/share/doc/*/copyright"
_USER: Final = f"strongroom:x:{USER_ID}:{USER_ID}::/nonexistent:/usr/sbin/nologin"
_REMOVED: Final = ("var/log/*", "var/cache/*", "var/lib/apt", "etc/hostname", "etc/resolv.conf", "etc/machine-id")
_HOOKS: Final = (
    f"echo '{_USER}' >> \"$1/etc/passwd\"",
    f"echo 'strongroom:x:{USER_ID}:' >> \"$1/etc/group\"",
    "rm -rf " + " ".join(f'"$1"/{place}' for place in _REMOVED),
    'find "$1"/usr/lib -name __pycache__ -type d -prune -exec rm -rf {} +',
)
# Java's package links its manual pages where the rule above leaves no folder, and does not configure itself without it.
_JAVA: Final = "openjdk"
_BEFORE_JAVA: Final = 'mkdir -p "$1"/usr/share/man/man1'
_AFTER_JAVA: Final = 'rm -rf "$1"/usr/share/man/man1'
_MERGED: Final = "/usr/share/mmdebstrap/hooks/merged-usr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a Debian root is made of."""

    packages: tuple[str, ...]
    suite: str = SUITE

    @property
    def words(self) -> tuple[str, ...]:
        """Return mmdebstrap's words but for where to write; its hooks are the only shell in here, and ours."""
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
        hooks = [f"--customize-hook={hook}" for hook in _HOOKS]
        if any(package.startswith(_JAVA) for package in self.packages):
            hooks = [f"--essential-hook={_BEFORE_JAVA}", f"--customize-hook={_AFTER_JAVA}", *hooks]
        packages = ",".join(("usr-is-merged", *self.packages))  # not usrmerge, which brings all of Perl
        return (
            "--quiet", "--variant=essential", f"--hook-dir={_MERGED}", f"--include={packages}", *options,
            f"--dpkgopt=path-include={_KEPT}", *hooks, self.suite,
        )  # fmt: skip

    @property
    def tag(self) -> str:
        """Return what names the root: it changes with whatever the root is made of."""
        made_of = json.dumps([EPOCH, *self.words])
        return f"{self.suite}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"

    @property
    def reference(self) -> str:
        """Return the name of the image."""
        return f"localhost/strongroom-base:{self.tag}"


def recipe(role: Role, description: Description) -> Recipe | None:
    """Return what the base of a role is made of; None where one has to be named.

    That is so for Anolis OS, and for TensorFlow Serving's own server, which no distribution has. Packages of other
    distributors are not in it: the Containerfile installs those.
    """
    is_foreign = role is Role.MODEL_SERVER and not has_program(role, description)
    if description.flavour is Flavour.ANOLISOS or is_foreign:
        return None
    if in_gramine(role, description):
        return Recipe(packages=("apt", "ca-certificates"))
    return Recipe(packages=system_packages(role, description))
