"""Make images: fill the folders beside a Containerfile, build, look through every layer, list what is in, measure.

World: a temporary folder, the user's cache, the builder. What comes out is handed to nobody before it was looked
through.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.deploy.clouds import Profile
from strongroom.deploy.cluster_serving.parts import ROLES as PARTS
from strongroom.deploy.cluster_serving.parts import app_files as queue_files
from strongroom.deploy.cluster_serving.parts import manifest_name
from strongroom.deploy.description import Description, Flavour, Role, Tee
from strongroom.deploy.gramine import manifests, places
from strongroom.deploy.images import base as base_root
from strongroom.deploy.images import bom, program, scan, sealed
from strongroom.deploy.images.archive import members, remaining
from strongroom.deploy.images.builder import Builder
from strongroom.deploy.images.containerfile import CONTAINERFILE, keys, role_files
from strongroom.deploy.images.expansion import NotExpandable, libpal
from strongroom.deploy.images.recipe import recipe
from strongroom.deploy.images.roles import CONTENTS, PROGRAM, QUEUE, has_app, has_program, in_gramine
from strongroom.deploy.images.signing import SignedEnclave, sign
from strongroom.deploy.images.tree_view import TreeView
from strongroom.deploy.spark.parts import app_files as spark_files
from strongroom.deploy.spark.parts import manifest_names
from strongroom.deploy.tree import Tree
from strongroom.errors import BadInput, Refused
from strongroom.pki import disk
from strongroom.platforms import simulated

APP: Final = "gramine/app/"
MANIFESTS: Final = "gramine/"
TEMPLATE: Final = ".manifest.template"
MAX_PROGRAM_BYTES: Final = 256 << 20  # a .jar with all that it needs
JOB_FOLDER: Final = places.JOB.removeprefix(f"{places.APP}/")
WORLD: Final = "world"  # the simulated platform that goes with a workspace
_ROOT: Final = "FROM scratch\nADD root.tar /\n"
_MEASURE: Final = (f"{PROGRAM}/bin/strongroom", "sim", "measure", "--json", "--beside-real-tee",
                   "--world", "/tmp/world")  # fmt: skip  # noqa: S108  # in the container, which ends with it


class BaseNotPinned(Refused):
    """A base image is named by a tag, which somebody else may move to another image at any time."""

    code = "SR-IMAGE-BASE"
    fix = "Name it by digest: --base IMAGE@sha256:DIGEST."


class BaseNeeded(BadInput):
    """A base for this flavour cannot be made here, so one has to be named."""

    code = "SR-IMAGE-BASE-NEEDED"
    fix = "Name one by digest: --base IMAGE@sha256:DIGEST."


class JobProgramMissing(BadInput):
    """The program of a Spark job is neither in the workspace nor beside it."""

    code = "SR-IMAGE-JOB"
    fix = "Put the file there, or correct [deploy.spark] program in strongroom.toml."


class DistributorKeyMissing(BadInput):
    """Gramine and Intel's packages come from repositories whose public keys were not given."""

    code = "SR-IMAGE-REPOSITORY-KEY"
    fix = "Put the files that are named into one folder and give it with --repository-keys; see docs/images.md."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What images are made of: the description, the owner's public files, and where sealed models lie."""

    description: Description
    profile: Profile
    public_files: Mapping[str, str]
    owner: Ed25519PublicKey
    workspace: Path  # its folder
    repository_keys: Path | None = None
    own_keys: tuple[bytes, ...] = field(default=(), repr=False)  # of the owner: no layer may hold one


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One image that was built and looked through."""

    role: Role
    reference: str
    archive: Path
    size: int  # bytes of the archive: all layers
    looked_at: int  # files in all layers
    bill: bytes  # of materials: CycloneDX, JSON
    measurement: bytes | None = None  # JSON as `policy trust` reads it; for what a simulated platform launches
    more: Mapping[str, bytes] = field(default_factory=dict)  # as `measurement`, of further programs, by their name
    models: tuple[str, ...] = ()
    enclaves: tuple[SignedEnclave, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """With what enclaves are signed, and which day stands in their identity."""

    key: rsa.RSAPrivateKey
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where and with what images are made. `tell` hears what is being done."""

    builder: Builder
    environ: Mapping[str, str]
    folder: Path  # temporary
    base: str | None = None  # named by the user; None: made here
    signing: Signing | None = None
    tell: Callable[[str], None] = field(default=lambda _: None)

    def make(self, role: Role, source: Source, archive: Path) -> Made:
        """Build one role's image and look through it. Raises SecretInImage and what building raises."""
        context = self.folder / role.value
        self._write(context, role_files(role, source.description, foreign_base=self.base is not None))
        base = self._base(role, source.description)
        models = self._fill(role, source, context)
        reference = source.description.image(role)
        self.tell(f"{role}: building {reference}")
        self.builder.build(context, reference, base=base)
        shutil.rmtree(context)
        self.builder.save(reference, archive)
        enclaves = self._sign(role, source, archive)
        self.tell(f"{role}: looking through every layer")
        try:
            looked_at = scan.check(archive, source.own_keys)
        except Refused:
            archive.unlink()  # nobody shall load it
            raise
        measured = self._measure(role, source.description, reference, source.workspace)
        measurement = next(iter(measured.values()), None)
        bill = bom.of_archive(archive, role=role, reference=reference, measurement=measurement)
        return Made(
            role=role, reference=reference, archive=archive, size=archive.stat().st_size, looked_at=looked_at,
            bill=bill, measurement=measurement, more=dict(list(measured.items())[1:]), models=tuple(models),
            enclaves=enclaves,
        )  # fmt: skip

    def _base(self, role: Role, description: Description) -> str | None:
        """Return the base to build on where the Containerfile does not name it; make the one that it names."""
        if role is Role.MODELS:
            return None
        if self.base is not None:
            return self.base
        made = recipe(role, description)
        if made is None:
            raise BaseNeeded(f"images of the flavour {description.flavour} stand on a base that is not made here")
        if not self.builder.has(made.reference):
            self.tell(f"{role}: making the base {made.reference} (once)")
            root = base_root.make(made, base_root.cache_folder(self.environ), self.environ)
            context = self.folder / "base"
            context.mkdir()
            shutil.copyfile(root, context / "root.tar")
            (context / CONTAINERFILE).write_text(_ROOT, encoding="utf-8")
            self.builder.build(context, made.reference)
            shutil.rmtree(context)
        return None

    def _fill(self, role: Role, source: Source, context: Path) -> list[str]:
        """Put into the build's folder what the Containerfile copies; return the models."""
        if role is Role.MODELS:
            target = context / "models"
            return sealed.gather(source.workspace, source.description.models, target, owner=source.owner)
        if has_program(role, source.description):
            self.tell(f"{role}: fetching locked dependencies")
            program.dependencies(role, context / "dependencies", self.environ)
            program.program(self._wheel(), context / "program", self.environ)
        if has_app(role, source.description):
            self._write(context / "app", app(role, source))
            self._write(context / "app" / JOB_FOLDER, job_program(role, source))
        self._copy_keys(role, source, context / "repositories")
        return []

    def _sign(self, role: Role, source: Source, archive: Path) -> tuple[SignedEnclave, ...]:
        """Sign what runs in an enclave and add manifest and signature to the image; the key stays here."""
        if self.signing is None or not in_gramine(role, source.description):
            return ()
        self.tell(f"{role}: measuring and signing the enclave")
        description = source.description
        view = TreeView()
        view.lay(members(archive))
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            models = Path(folder) / "models"
            sealed.gather(source.workspace, description.models, models, owner=source.owner)
            view.lay_folder("models", models)
        pal = libpal(description.flavour)
        found = remaining(archive, lambda path: path == pal.removeprefix("/"))
        if not found:
            raise NotExpandable(f"the image has no {pal}: Gramine is not installed in it")
        enclaves = tuple(
            sign(
                name, template.decode(), view, next(iter(found.values())), self.signing.key, on=self.signing.on,
                flavour=description.flavour, gramine=description.gramine,
            )
            for name, template in templates(role, source).items()
        )  # fmt: skip
        reference = description.image(role)
        context = self.folder / f"{role}-signed"
        self._write(context, {CONTAINERFILE: f"FROM {reference}\nCOPY signed/ {places.APP}/\n".encode()})
        for enclave in enclaves:
            self._write(context / "signed", enclave.files)
        self.builder.build(context, reference)
        self.builder.save(reference, archive)
        return enclaves

    def _wheel(self) -> Path | None:
        """Return this program's wheel, built once for all images."""
        folder = self.folder / "wheel"
        if folder.exists():
            return next(folder.glob("*.whl"), None)
        folder.mkdir()
        return program.build_wheel(folder, self.environ)

    def _copy_keys(self, role: Role, source: Source, target: Path) -> None:
        for name in keys(role, source.description):
            place = source.repository_keys / name if source.repository_keys else None
            if place is None or not place.is_file():
                raise DistributorKeyMissing(f"{name} is not in {source.repository_keys or '--repository-keys'}")
            disk.replace_public(target / name, disk.read_bounded(place, limit=64 * 1024))

    def _measure(self, role: Role, description: Description, reference: str, workspace: Path) -> dict[str, bytes]:
        """Let the program that was just built measure what replicas start, by the names of their manifests.

        The signer is that of the workspace's simulated platform; without one, of one that ends with the container.
        """
        if description.tee is not Tee.SIMULATED or not has_app(role, description):
            return {}
        self.tell(f"{role}: measuring what it starts")
        signer = {}
        if (workspace / WORLD).is_dir():
            signer["mr_signer"] = simulated.World.open(workspace / WORLD).mr_signer.hex()
        measured = {}
        for manifest in launched(role, description):
            found = json.loads(self.builder.run(reference, (*_MEASURE, manifest))) | signer
            measured[Path(manifest).stem] = (json.dumps(found) + "\n").encode()
        return measured

    def _write(self, folder: Path, tree: Tree) -> None:
        for path, content in tree.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o644)


def templates(role: Role, source: Source) -> dict[str, bytes]:
    """Return the Gramine manifest templates of the programs that a role's image starts, by the program's name."""
    rendered = manifests(source.description, source.profile)
    places_of = {name: f"{MANIFESTS}{name}{TEMPLATE}" for name in CONTENTS[role].enclaves}
    return {name: rendered[path] for name, path in places_of.items() if path in rendered}


def app(role: Role, source: Source) -> dict[str, bytes]:
    """Return what lies in /app: what programs start with, and the owner's two public files."""
    rendered = manifests(source.description, source.profile)
    found = {path.removeprefix(APP): content for path, content in rendered.items() if path.startswith(APP)}
    if source.description.tee is Tee.SGX:
        found |= {f"{name}{TEMPLATE}": content for name, content in templates(role, source).items()}
    if role in QUEUE:
        found = {**found, **queue_files(role, source.description)}
    if role is Role.SPARK:
        found |= spark_files(source.description)
    found |= {name: text.encode() for name, text in source.public_files.items()}
    return dict(sorted(found.items()))


def job_program(role: Role, source: Source) -> dict[str, bytes]:
    """Return the program of a Spark job, by its file name; none where it is an example. Raises JobProgramMissing."""
    job = source.description.spark
    if role is not Role.SPARK or job is None or job.program is None:
        return {}
    for folder in (source.workspace, source.workspace.parent):
        if (folder / job.program).is_file():
            return {Path(job.program).name: disk.read_bounded(folder / job.program, limit=MAX_PROGRAM_BYTES)}
    raise JobProgramMissing(f"{job.program} is neither in {source.workspace} nor beside it")


def launched(role: Role, description: Description) -> tuple[str, ...]:
    """Return the manifests that the simulated platform launches in a role's containers."""
    if role is Role.SPARK:
        return tuple(f"{places.APP}/{name}" for name in manifest_names(description))
    part = next((part for part, each in PARTS.items() if each is role), None)
    return (places.REPLICA if part is None else f"{places.APP}/{manifest_name(part)}",)


def in_order(roles: Sequence[Role]) -> tuple[Role, ...]:
    """Return the roles in the order in which they can be built: models stand on the model server."""
    wanted = set(roles)
    if Role.MODELS in wanted:
        wanted.add(Role.MODEL_SERVER)
    return tuple(role for role in Role if role in wanted)


def checked_base(text: str | None) -> str | None:
    """Return the user's base image; None for the one that is made here. Raises BaseNotPinned."""
    if text in (None, "debootstrap"):
        return None
    _, at, digest = text.partition("@sha256:")
    if not at or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise BaseNotPinned(f"{text[:200]!r} has no digest")
    return text


def with_tags(source: Source, flavour: Flavour | None = None, registry: str | None = None) -> Source:
    """Return the source with tags for names: images that are being built have no digest yet."""
    told = source.description
    described = replace(told, images={}, flavour=flavour or told.flavour, registry=registry or told.registry)
    return replace(source, description=described)


@contextmanager
def working_folder() -> Iterator[Path]:
    """Lend a folder that only this user reads, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="strongroom-images-") as folder:
        yield Path(folder)


def environment(proxy: str | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what programs run with: this process's environment, and a proxy that an image never gets to know."""
    found = dict(os.environ if environ is None else environ)
    if proxy is not None:
        found |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy)
    return found
