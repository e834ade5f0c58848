"""The container files of a deployment, one for each role, each with the list of what may enter its build. Pure.

`strongroom deploy build` fills the folders beside a Containerfile (`dependencies/`, `program/`, `app/`, `models/`) and
builds it. Nothing is downloaded by a build but packages of the system, and those only where the base lacks them. No
secret enters: there are no build arguments for one, and `.containerignore` lets nothing else in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Engine, Flavour, Role
from strongroom.deploy.gramine import places, ssl_link
from strongroom.deploy.images.recipe import recipe
from strongroom.deploy.images.roles import (
    CONTENTS,
    JARS,
    PROGRAM,
    PYTHON_VERSION,
    USER_ID,
    has_app,
    has_program,
    in_gramine,
    java_home,
    started,
    system_packages,
)
from strongroom.deploy.tree import Tree, under

CONTAINERFILE: Final = "Containerfile"
IGNORE: Final = ".containerignore"
REPOSITORIES: Final = "strongroom.list"
GRAMINE_KEY: Final = "gramine.gpg"
INTEL_KEY: Final = "intel-sgx.gpg"
MICROSOFT_KEY: Final = "microsoft.gpg"
GRAMINE_REPOSITORY: Final = "https://packages.gramineproject.io/ bookworm main"
INTEL_REPOSITORY: Final = "https://download.01.org/intel-sgx/sgx_repo/ubuntu jammy main"
MICROSOFT_REPOSITORY: Final = "https://packages.microsoft.com/debian/12/prod bookworm main"
_DEBIAN: Final = "amd64"


def containerfiles(description: Description, profile: Profile) -> dict[str, bytes]:
    """Return `images/ROLE/Containerfile` and what goes beside it, for every role."""
    del profile  # a cloud's own packages come with the flavour
    found: dict[str, bytes] = {}
    for role in Role:
        found.update(under(f"images/{role.value}", role_files(role, description)))
    return found


def role_files(role: Role, description: Description, *, foreign_base: bool = False) -> Tree:
    """Return the files of one role; with `foreign_base` for a base that has none of our packages yet."""
    admitted = [f"!{name}" for name in entering(role, description)]
    files = {
        CONTAINERFILE: _text(_lines(role, description, foreign_base=foreign_base)),
        IGNORE: _text(["# Nothing enters the image but this.", "*", *admitted]),
    }
    if keys(role, description):
        files[f"repositories/{REPOSITORIES}"] = _text(repositories(description))
    return files


def entering(role: Role, description: Description) -> tuple[str, ...]:
    """Return the folders beside the Containerfile that a build may read."""
    if role is Role.MODELS:
        return ("models",)
    return (
        *(["repositories"] if keys(role, description) else []),
        *(["dependencies", "program"] if has_program(role, description) else []),
        *(["app"] if has_app(role, description) else []),
    )


def repositories(description: Description) -> list[str]:
    """Return the sources of Gramine's and Intel's packages, each under its own key, as apt reads them."""
    keyring = "/etc/apt/keyrings"
    found = [
        f"deb [arch={_DEBIAN} signed-by={keyring}/{GRAMINE_KEY}] {GRAMINE_REPOSITORY}",
        f"deb [arch={_DEBIAN} signed-by={keyring}/{INTEL_KEY}] {INTEL_REPOSITORY}",
    ]
    if description.flavour is Flavour.AZURE:
        found.append(f"deb [arch={_DEBIAN} signed-by={keyring}/{MICROSOFT_KEY}] {MICROSOFT_REPOSITORY}")
    return found


def keys(role: Role, description: Description) -> tuple[str, ...]:
    """Return the key files that the build of a role needs beside `repositories/strongroom.list`.

    A base of Anolis OS has its repositories and their keys set up by whoever made it.
    """
    if not in_gramine(role, description) or description.flavour is Flavour.ANOLISOS:
        return ()
    microsoft = [MICROSOFT_KEY] if description.flavour is Flavour.AZURE else []
    return (GRAMINE_KEY, INTEL_KEY, *microsoft)


def _lines(role: Role, description: Description, *, foreign_base: bool) -> Iterator[str]:
    yield "# Rendered by strongroom; strongroom deploy build fills the folders beside it (docs/images.md)."
    yield from _from(role, description, foreign_base=foreign_base)
    yield f"LABEL {' '.join(f'{name}={json.dumps(value)}' for name, value in labels(role, description).items())}"
    if role is not Role.MODELS:
        yield from _packages(role, description, foreign_base=foreign_base)
    yield from _content(role, description)
    contents = CONTENTS[role]
    if contents.ports:
        yield f"EXPOSE {' '.join(map(str, contents.ports))}"
    yield f"WORKDIR {places.WORKDIR}"
    yield f"USER {USER_ID}:{USER_ID}"
    entrypoint, command = started(role, description)
    yield f"ENTRYPOINT {json.dumps(list(entrypoint))}"
    yield f"CMD {json.dumps(list(command))}"


def _from(role: Role, description: Description, *, foreign_base: bool) -> Iterator[str]:
    if role is Role.MODELS:
        base = description.image(Role.MODEL_SERVER)
    else:
        made = recipe(role, description)
        base = made.reference if made and not foreign_base else ""
    yield f"ARG BASE={base}" if base else "ARG BASE"
    if not base:
        yield "# No base by default: strongroom deploy build --base IMAGE@sha256:… names one."
    yield "FROM ${BASE}"


def _packages(role: Role, description: Description, *, foreign_base: bool) -> Iterator[str]:
    """Yield what installs packages that the base does not have."""
    packages = " ".join(system_packages(role, description))
    is_gramine = in_gramine(role, description)
    if description.flavour is Flavour.ANOLISOS:
        yield "# The base's digest and the repositories' state decide the versions; the bill of materials lists them."
        yield "# hadolint ignore=DL3041"
        yield f"RUN dnf install -y --setopt=install_weak_deps=False {packages} \\"
        yield " && dnf clean all \\"
        yield f" && useradd --uid {USER_ID} --no-create-home --shell /sbin/nologin strongroom"
        return
    if not (is_gramine or foreign_base):
        return
    if is_gramine:
        yield f"COPY repositories/{REPOSITORIES} /etc/apt/sources.list.d/{REPOSITORIES}"
        yield "COPY repositories/*.gpg /etc/apt/keyrings/"
    user = f"useradd --uid {USER_ID} --no-create-home --shell /usr/sbin/nologin strongroom"
    yield "# The repositories' state decides the versions; the bill of materials lists them."
    yield "# hadolint ignore=DL3008"
    pages = "mkdir -p /usr/share/man/man1 && " if CONTENTS[role].links else ""  # Java's package wants the folder
    yield f"RUN {pages}apt-get update \\"
    yield f" && apt-get install -y --no-install-recommends {packages} \\"
    yield " && rm -rf /var/lib/apt/lists/*" + (" \\" if foreign_base else "")
    if foreign_base:
        yield f" && {user}"


def _content(role: Role, description: Description) -> Iterator[str]:
    """Yield what is ours: the program, or the sealed models."""
    if role is Role.MODELS:
        yield f"COPY --chown={USER_ID}:{USER_ID} models/ {places.MODELS}/"
        return
    if has_program(role, description):
        yield f"COPY dependencies/ {PROGRAM}/"
        yield f"COPY program/ {PROGRAM}/"
        yield f"ENV PATH={PROGRAM}/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1"
        compiling = [f"{PROGRAM}/bin/python3", "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        # What is measured runs from its sources (-X pycache_prefix), so only its launcher has a use for bytecode.
        own = "/strongroom" if has_app(role, description) else ""
        yield f"RUN {json.dumps([*compiling, f'{PROGRAM}/lib/python{PYTHON_VERSION}/site-packages{own}'])}"
    links = CONTENTS[role].links
    if links:  # a program of Java's: both are looked for where its manifest has them
        links = {**links, java_home(description): places.JAVA_HOME}
        yield f"RUN {' && '.join(f'ln -s {target} {link}' for target, link in links.items())}"
        yield f"ENV JAVA_HOME={places.JAVA_HOME}"
    if role is Role.SPARK:  # in the measured folder of the program; nothing is compiled where a job runs
        yield f"RUN {json.dumps([f'{PROGRAM}/bin/python3', '-I', '-m', 'strongroom.analytics.parquet.prebuild', JARS])}"
    if has_app(role, description):
        yield f"COPY app/ {places.APP}/"
    if role is Role.MODEL_SERVER and description.engine is Engine.TENSORFLOW_SERVING:
        link = ssl_link(description)  # Gramine opens a sealed file only at the path that it was sealed for
        yield f"RUN mkdir -p {link.rpartition('/')[0]} && ln -s {places.SSL_CONFIG} {link}"


def labels(role: Role, description: Description) -> dict[str, str]:
    """Return the annotations of an image (OCI's names, and ours)."""
    return {
        "org.opencontainers.image.title": CONTENTS[role].title,
        "org.opencontainers.image.version": description.version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.strongroom.role": role.value,
        "org.strongroom.flavour": description.flavour.value,
        "org.strongroom.tee": description.tee.value,
    }


def unpinned(description: Description) -> Description:
    """Return the description with tags alone: images that are being built have no digest yet."""
    return replace(description, images={})


def _text(lines: Sequence[str] | Iterator[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
