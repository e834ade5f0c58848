"""Build the images of a deployment: client, broker, servers, parts of a queue, spark, models, front.

Without a base image to pull, a minimal Debian is made with mmdebstrap, once. Every layer is searched for keys and
readable models before anything is handed on. Enclaves are signed here, on the owner's machine: the key never enters an
image. WORKSPACE/images/ROLE (or OUT/ROLE) gets each image's bill of materials (CycloneDX) and the measurement that
strongroom policy trust takes; OUT/ROLE also the image itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse
from strongroom.cli.workspace_option import open_workspace, workspace_argument
from strongroom.deploy.description import Flavour, Role
from strongroom.deploy.images.builder import BuilderName

if TYPE_CHECKING:
    from strongroom.deploy.images.build import Made, Signing, Source, Workshop
    from strongroom.workspace import Workspace

USUAL = (Role.BROKER, Role.MODEL_SERVER, Role.MODELS, Role.FRONT, Role.CLIENT)
USUAL_REGISTRY = ""
ARCHIVE = "image.tar"
BILL = "sbom.cdx.json"
MEASUREMENT = "measurement.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("roles", metavar="ROLE", nargs="*", type=Role, default=list(USUAL),
                        help=f"{', '.join(Role)} (default: {', '.join(USUAL)})")  # fmt: skip
    parser.add_argument("--flavour", type=Flavour, choices=list(Flavour), help="(default: the one of strongroom.toml)")
    parser.add_argument("--builder", type=BuilderName, choices=list(BuilderName),
                        help="(default: the first that is installed)")  # fmt: skip
    parser.add_argument("--base", metavar="IMAGE@sha256:…", default="debootstrap",
                        help="stand on this image (default: debootstrap, a Debian made here)")  # fmt: skip
    parser.add_argument("--proxy", metavar="URL", help="a proxy for downloads; no image gets to know it")
    parser.add_argument("--repository-keys", metavar="DIR", type=Path,
                        help="public keys of Gramine's and Intel's packages, for SGX")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="write image archives for containerd, podman, docker")
    parser.add_argument("--push", metavar="REGISTRY", nargs="?", const=USUAL_REGISTRY,
                        help="push there (default: the registry of strongroom.toml) and pin the digests in"
                        " WORKSPACE/deploy.lock.toml")  # fmt: skip
    parser.add_argument("--sign", metavar="KEY.pem", type=Path,
                        help="sign enclaves with this key (RSA-3072, exponent 3, 0600)")  # fmt: skip
    parser.add_argument("--trust", metavar="NAME", action="append", default=[],
                        help="let the policy release this to the replicas: model/NAME/VERSION and others")  # fmt: skip
    parser.add_argument("--compare", metavar="OLD.tar", type=Path,
                        help="say file by file how the image differs from this archive of an earlier one")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Build, look through, list, and print what there is."""
    from strongroom.deploy.images import build
    from strongroom.deploy.images.builder import choose
    from strongroom.deploy.images.comparison import differences
    from strongroom.deploy.images.sealed import versions_of

    if args.compare is not None and (len(args.roles) != 1 or args.out is None):
        raise Misuse("--compare is about one image", fix="Name one ROLE, and --out DIR.")
    if args.push in set(Role):
        raise Misuse(f"--push takes {args.push} for a registry", fix="Put the ROLEs before --push.")
    workspace = open_workspace(args)
    source = build.with_tags(source_of(workspace, args.repository_keys), args.flavour, args.push or None)
    if Role.MODELS in args.roles:  # before minutes go into the images under it
        for model in source.description.models:
            versions_of(workspace.folder, model)
    environ = build.environment(args.proxy)
    base = build.checked_base(args.base)
    with build.working_folder() as folder:
        workshop = build.Workshop(
            builder=choose(args.builder, environ), environ=environ, folder=folder, base=base,
            signing=signing(args.sign), tell=tell,
        )  # fmt: skip
        made = [one(workshop, role, source, args.out, workspace) for role in build.in_order(args.roles)]
        pinned = push(workshop, made, workspace) if args.push is not None else {}
    for each in made:
        trust(args, each, workspace)
    changes = differences(args.compare, made[-1].archive) if args.compare is not None else []
    sys.stdout.write(as_json(made, pinned, changes) if args.json else as_text(made, pinned, args, workspace))
    if args.compare is not None and not args.json:
        sys.stdout.writelines(f"{line}\n" for line in changes or ["the same, file by file"])
    return 0


def signing(key: Path | None) -> Signing | None:
    """Return with what enclaves are signed, dated today. Raises SigningKeyUnusable or LoosePermissions."""
    from strongroom.deploy.images.build import Signing
    from strongroom.deploy.images.signing import MAX_KEY_BYTES, load_key
    from strongroom.pki import disk

    if key is None:
        return None
    return Signing(key=load_key(disk.read_secret(key, limit=MAX_KEY_BYTES)), on=datetime.now(UTC).date())


def push(workshop: Workshop, made: list[Made], workspace: Workspace) -> dict[Role, str]:
    """Push images that were looked through, and pin them for every renderer."""
    from strongroom.deploy.images.builder import is_loopback
    from strongroom.deploy.images.pinning import pin

    pinned = {}
    for each in made:
        tell(f"{each.role}: pushing {each.reference}")
        digest = workshop.builder.push(each.reference, plain_http=is_loopback(each.reference))
        pinned[each.role] = f"{each.reference.rpartition(':')[0]}@{digest}"
    pin(workspace.folder, pinned)
    return pinned


def trust_words(args: argparse.Namespace, made: Made, workspace: Workspace) -> list[list[str]]:
    """Return the words of `policy trust` for everything that was measured, but for what is released to it."""
    folder = place_of(args.out, made, workspace)
    usual = ["--workspace", str(workspace.folder), "--trust-domain"]
    if made.measurement is not None:
        files = [MEASUREMENT, *map(measurement_of, made.more)]
        return [[str(folder / file), *usual, "simulated"] for file in files]
    return [[str(folder / f"{enclave.name}.sig"), *usual, "intel"] for enclave in made.enclaves]


def trust(args: argparse.Namespace, made: Made, workspace: Workspace) -> None:
    """Write the rules that --trust asks for, as `policy trust` does; what it says goes to stderr."""
    from strongroom.cli import policy_trust

    if not args.trust:
        return
    released = [word for name in args.trust for word in ("--release", name)]
    for words in trust_words(args, made, workspace):
        parser = argparse.ArgumentParser(prog="strongroom policy trust")
        policy_trust.arguments(parser)
        with contextlib.redirect_stdout(sys.stderr):
            policy_trust.run(parser.parse_args([*words, *released]))


def source_of(workspace: Workspace, repository_keys: Path | None) -> Source:
    """Return what the images of a workspace's deployment are made of."""
    from strongroom.deploy.images import own_keys
    from strongroom.deploy.images.build import Source
    from strongroom.deploy.opening import open_deployment

    deployment = open_deployment(workspace)
    return Source(
        description=deployment.description,
        profile=deployment.profile,
        public_files=deployment.public_files,
        owner=workspace.signer().public_key(),
        workspace=workspace.folder,
        repository_keys=repository_keys,
        own_keys=own_keys.needles(workspace),
    )


def one(workshop: Workshop, role: Role, source: Source, out: Path | None, workspace: Workspace) -> Made:
    """Make one image and write what belongs to it."""
    from strongroom.pki import disk

    folder = (out or workspace.folder / "images") / role.value
    folder.mkdir(parents=True, exist_ok=True)
    made = workshop.make(role, source, folder / ARCHIVE if out else workshop.folder / f"{role}.tar")
    disk.replace_public(folder / BILL, made.bill)
    if made.measurement is not None:
        disk.replace_public(folder / MEASUREMENT, made.measurement)
    for name, measurement in made.more.items():
        disk.replace_public(folder / measurement_of(name), measurement)
    for enclave in made.enclaves:
        for name, content in enclave.files.items():
            disk.replace_public(folder / name, content)
    if out is None:
        made.archive.unlink()
    return made


def measurement_of(name: str) -> str:
    """Return the file with the measurement of a further program of an image."""
    return f"measurement-{name}.json"


def place_of(out: Path | None, made: Made, workspace: Workspace) -> Path:
    """Return the folder of what belongs to an image."""
    return (out or workspace.folder / "images") / made.role.value


def tell(sentence: str) -> None:
    """Say on stderr what is being done: a build takes minutes."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def as_json(made: list[Made], pinned: dict[Role, str], changes: list[str]) -> str:
    """Return what was built, for a machine."""
    images = [
        {"role": each.role.value, "image": each.reference, "pinned": pinned.get(each.role), "bytes": each.size,
         "files": each.looked_at, "models": list(each.models),
         "archive": str(each.archive) if each.archive.exists() else None,
         "enclaves": {enclave.name: enclave.identity.mr_enclave.hex() for enclave in each.enclaves},
         "measurement": json.loads(each.measurement) if each.measurement else None,
         "more": {name: json.loads(measurement) for name, measurement in each.more.items()}}
        for each in made
    ]  # fmt: skip
    return json.dumps({"images": images, "changes": changes}) + "\n"


def as_text(made: list[Made], pinned: dict[Role, str], args: argparse.Namespace, workspace: Workspace) -> str:
    """Return what was built, and what to do next."""
    lines = []
    for each in made:
        lines.append(f"{each.reference}  {each.size / 1e6:.0f} MB, {each.looked_at} files looked through")
        if each.role in pinned:
            lines.append(f"  pinned as {pinned[each.role]}")
        if each.measurement is not None:
            lines.append(f"  mr_enclave {json.loads(each.measurement)['mr_enclave']}")
        lines += [f"  {name}: mr_enclave {json.loads(found)['mr_enclave']}" for name, found in each.more.items()]
        lines += [f"  {enclave.name}: mr_enclave {enclave.identity.mr_enclave.hex()}" for enclave in each.enclaves]
        if not args.trust:
            lines += [
                f"  to release a model to it: strongroom policy trust {shlex.join(words)} --release model/NAME/VERSION"
                for words in trust_words(args, each, workspace)
            ]
    return "\n".join(lines) + "\n"
