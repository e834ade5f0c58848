"""Lay out what an image runs: a virtual environment of locked dependencies, and this program itself.

World: files, and uv, which downloads wheels from the package index that this machine is set up for. Every wheel is
held to the hash in uv.lock (threats SA-06). Installed without a checkout there is no lock: then the versions that are
installed here are pinned, and Strongroom itself is copied file by file as its RECORD lists them.
Nothing is run from what was downloaded, so machine and image may differ.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import strongroom
from strongroom.deploy.description import Role
from strongroom.deploy.images import programs
from strongroom.deploy.images.pins import closure
from strongroom.deploy.images.roles import CONTENTS, NATIVE_IN_BROKER, PYTHON_VERSION
from strongroom.errors import BadInput, Refused

PLATFORM: Final = "x86_64-manylinux_2_28"  # glibc 2.28: Debian 10 and later, Anolis OS 8
SITE: Final = f"lib/python{PYTHON_VERSION}/site-packages"
TIMEOUT_S: Final = 900.0
INSTALL: Final = "pip install uv, in a virtual environment that is active"
DISTRIBUTION: Final = "strongroom"
_PYTHON: Final = f"/usr/bin/python{PYTHON_VERSION}"
_CONFIG: Final = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON_VERSION}\n"
_SCRIPT: Final = """\
#!/opt/strongroom/bin/python3 -I
import sys

from strongroom.cli import main

sys.exit(main())
"""
_NAMES: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)  # of a file of requirements
_OF_THIS_MACHINE: Final = ("direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED")


class ProgramNotPortable(BadInput):
    """The installed Strongroom cannot be copied into an image: it was built for another Python."""

    code = "SR-IMAGE-PROGRAM"
    fix = f"Install Strongroom under Python {PYTHON_VERSION}, or run strongroom deploy build from a checkout."


class NativeCodeUnknown(Refused):
    """A package with compiled code would enter the key broker's image, and nobody has admitted it."""

    code = "SR-IMAGE-NATIVE"
    fix = "Look at the package; then add it to NATIVE_IN_BROKER in deploy/images/roles.py, or leave it out of the role."


def checkout() -> Path | None:
    """Return the source tree that this program runs from; None where it is installed from a wheel."""
    root = Path(strongroom.__file__).parents[2]
    return root if (root / "uv.lock").is_file() and (root / "pyproject.toml").is_file() else None


def dependencies(role: Role, folder: Path, environ: Mapping[str, str]) -> None:
    """Write `folder`: a virtual environment with what the role imports, program aside; raise as `programs.run`."""
    site = folder / SITE
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(_PYTHON)
    (folder / "bin" / "python").symlink_to("python3")
    (folder / "pyvenv.cfg").write_text(_CONFIG, encoding="utf-8")
    wanted = folder.with_name("requirements.txt")
    source = checkout()
    if CONTENTS[role].locked:
        _install_locked(role, site, environ)
        _neutral(folder)
        return
    if source is not None:
        _export(role, source, wanted, environ)
    else:
        wanted.write_text("".join(f"{line}\n" for line in _installed(role)), encoding="utf-8")
    hashed = ["--require-hashes"] if source is not None else []
    _install(["--requirements", str(wanted), *hashed], site, environ, built=_built(role, wanted))
    wanted.unlink()
    for pattern in CONTENTS[role].left_out:
        for place in sorted(site.glob(pattern)):
            shutil.rmtree(place)
    _neutral(folder)
    if role is Role.BROKER:
        _check_native(site)


def build_wheel(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Build this program's wheel into `folder`; None where there is no checkout to build from."""
    source = checkout()
    if source is None:
        return None
    words = ["build", "--quiet", "--wheel", "--python", PYTHON_VERSION, "--out-dir", str(folder), str(source)]
    _uv(words, environ)
    return next(folder.glob("*.whl"))


def program(wheel: Path | None, folder: Path, environ: Mapping[str, str]) -> None:
    """Write `folder`: this program, from its wheel or as it is installed, and its command."""
    site = folder / SITE
    site.mkdir(parents=True)
    if wheel is not None:
        _install([str(wheel)], site, environ)
    else:
        _copy_installed(site)
    (folder / "bin").mkdir()
    script = folder / "bin" / "strongroom"
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    _neutral(folder)


def _export(role: Role, source: Path, place: Path, environ: Mapping[str, str]) -> None:
    contents = CONTENTS[role]
    extras = [word for extra in contents.extras for word in ("--extra", extra)]
    pruned = [word for name in contents.without for word in ("--prune", name)]
    _uv(
        ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", *extras,
         *pruned, "--project", str(source), "--output-file", str(place)],
        environ,
    )  # fmt: skip


def _installed(role: Role) -> list[str]:
    contents = CONTENTS[role]
    return closure(DISTRIBUTION, extras=contents.extras, without=contents.without, facts=_facts)


def _facts(name: str) -> tuple[str, list[str]] | None:
    """Return version and requirements of an installed distribution; None where there is none of that name."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return found.version, found.requires or []


def _install(
    what: list[str], site: Path, environ: Mapping[str, str], *, built: tuple[str, ...] = ("--only-binary", ":all:")
) -> None:  # fmt: skip
    _uv(
        ["pip", "install", "--quiet", "--no-deps", *built, "--link-mode", "copy", "--python-version", PYTHON_VERSION,
         "--python-platform", PLATFORM, "--target", str(site), *what],
        environ,
    )  # fmt: skip


def _built(role: Role, wanted: Path) -> tuple[str, ...]:
    """Return the options by which a role's packages without wheels are built with locked ones, and no others are."""
    contents = CONTENTS[role]
    if not contents.sources:
        return ("--only-binary", ":all:")
    names = _NAMES.findall(wanted.read_text(encoding="utf-8"))
    wheels = [word for name in names if name not in contents.sources for word in ("--only-binary", name)]
    return (*wheels, "--build-constraints", str(Path(strongroom.__file__).parent / contents.builders))


def _install_locked(role: Role, site: Path, environ: Mapping[str, str]) -> None:
    """Install a lock of the role's own, with hashes; what comes as sources alone is built with locked packages."""
    package, contents = Path(strongroom.__file__).parent, CONTENTS[role]
    _uv(
        ["pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", "--python-version", PYTHON_VERSION,
         "--python-platform", PLATFORM, "--target", str(site), "--require-hashes", "--build-constraints",
         str(package / contents.builders), "--requirements", str(package / contents.locked)],
        environ,
    )  # fmt: skip


def _uv(words: list[str], environ: Mapping[str, str]) -> None:
    programs.run(_where_uv_is(), words, environ, install=INSTALL, timeout_s=TIMEOUT_S)


def _where_uv_is() -> str:
    """Return uv's name, or the place where `make` put it into the checkout when it is not on the PATH."""
    source = checkout()
    fetched = source and source / ".tools" / "bin" / "uv"
    return str(fetched) if fetched and fetched.is_file() and shutil.which("uv") is None else "uv"


def _check_native(site: Path) -> None:
    """Refuse compiled code in the broker that is not on the list (threats SA-06). Raises NativeCodeUnknown."""
    owners = {place.relative_to(site).parts[0].split(".")[0] for place in site.rglob("*.so*")}
    unknown = sorted(owners - NATIVE_IN_BROKER)
    if unknown:
        raise NativeCodeUnknown(f"{', '.join(unknown)[:200]} brings compiled code into the broker's image")


def _copy_installed(site: Path) -> None:
    """Copy Strongroom's own files, as its RECORD lists them."""
    installed = metadata.distribution(DISTRIBUTION)
    for entry in installed.files or ():
        parts = entry.parts
        if ".." in parts or "__pycache__" in parts:
            continue  # commands, and what this machine compiled
        if entry.suffix == ".so" and sys.version_info[:2] != tuple(map(int, PYTHON_VERSION.split("."))):
            raise ProgramNotPortable(f"{entry} is made for Python {sys.version_info[0]}.{sys.version_info[1]}")
        target = site / Path(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(entry.locate()), target)


def _neutral(folder: Path) -> None:
    """Take away what tells of this machine, and give every file the mode that anybody would give it."""
    site = folder / SITE
    shutil.rmtree(site / "bin", ignore_errors=True)  # commands of dependencies, made for this machine's Python
    (site / ".lock").unlink(missing_ok=True)
    for record in sorted(site.glob("*.dist-info/RECORD")):
        for name in _OF_THIS_MACHINE:
            record.with_name(name).unlink(missing_ok=True)
        rows = csv.reader(io.StringIO(record.read_text(encoding="utf-8")))
        kept = sorted(row for row in rows if row and (site / row[0]).is_file())
        lines = io.StringIO(newline="")
        csv.writer(lines, lineterminator="\n").writerows(kept)
        record.write_text(lines.getvalue(), encoding="utf-8")
    for place in _below(folder):
        if not place.is_symlink():
            executable = place.is_dir() or place.stat().st_mode & stat.S_IXUSR
            place.chmod(0o755 if executable else 0o644)


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")
