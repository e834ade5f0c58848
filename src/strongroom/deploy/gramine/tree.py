"""All files of a description's enclaves, by their path in the rendered tree. Pure: the same values, the same bytes."""

from __future__ import annotations

from typing import Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Tee
from strongroom.deploy.gramine import places
from strongroom.deploy.gramine.java_script import java_script
from strongroom.deploy.gramine.occlum import occlum
from strongroom.deploy.gramine.places import PYTHON, PythonPlaces
from strongroom.deploy.gramine.programs import programs
from strongroom.deploy.gramine.queue import queue_files
from strongroom.deploy.gramine.server_words import app_files, broker_address, broker_host
from strongroom.deploy.gramine.simulated import replica_manifest
from strongroom.deploy.tree import under
from strongroom.gramine import versions
from strongroom.gramine.manifests import Program, argv_file, graphene, render
from strongroom.gramine.versions import GramineVersion
from strongroom.launcher.roles import Role

# What a Spark driver runs until the file says otherwise: Spark's own example.
SPARK_PI: Final = (
    "--class", "org.apache.spark.examples.SparkPi", f"local://{places.SPARK_HOME}/examples/jars/spark-examples.jar",
)  # fmt: skip
GRAPHENE: Final = "graphene"
BEFORE_RESOLVING: Final = (GRAPHENE, "1.0", "1.1", "1.2")


def manifests(
    description: Description, profile: Profile, *, python: PythonPlaces = PYTHON, ssl_version: int = 1,
    isvprodid: int = 1, isvsvn: int = 1,
) -> dict[str, bytes]:  # fmt: skip
    """Return `gramine/…` and `occlum/…`: what an enclave of this deployment is measured by. Raises DeployMalformed.

    `gramine/app/` is for `/app` in the image, where the owner's ca_cert.pem and owner_public.pem go as well. What a
    cloud adds (devices, an attestation provider) is no part of an enclave, so a profile changes nothing here.
    """
    del profile
    found = under("gramine/app", {name: text.encode() for name, text in app_files(description).items()})
    if description.tee is Tee.SIMULATED:
        text = replica_manifest(description, python=python, isvprodid=isvprodid, isvsvn=isvsvn)
        found["gramine/app/replica.manifest"] = text.encode()
    if description.tee is Tee.SGX:
        numbers = {"ssl_version": ssl_version, "isvprodid": isvprodid, "isvsvn": isvsvn}
        for program in programs(description, python, **numbers):
            found |= under("gramine", _program(program, description.gramine))
        for role in Role:
            found[f"gramine/java/{role}"] = java_script(str(role)).encode()
        found[f"gramine{places.WORKER_CONFIG}"] = _worker_config(description).encode()
        found[f"gramine{places.CREDENTIALS}/README"] = _CREDENTIALS.encode()
        found[f"gramine{places.SPARK_PROGRAM}"] = argv_file.serialise(spark_program(description))
        if description.gramine in BEFORE_RESOLVING:
            found["gramine/app/hosts"] = _hosts(description).encode()
        found |= under("gramine/app", {name: text.encode() for name, text in queue_files(description).items()})
        found |= under("occlum", occlum(description, python))
    return dict(sorted(found.items()))


def spark_program(description: Description) -> tuple[str, ...]:
    """Return what a Spark driver in an enclave runs, as spark-submit's words: the job's .jar, else Spark's example."""
    job = description.spark
    if job is None or job.program is None or job.main_class is None:
        return SPARK_PI
    return ("--class", job.main_class, f"local://{places.JOB}/{job.program.rpartition('/')[2]}", *job.arguments)


def _worker_config(description: Description) -> str:
    """Return the streaming worker's measured configuration: sealed model, sealed records, sealed credentials."""
    name = description.models[0].name if description.models else "model"
    own = places.CREDENTIALS
    lines = {
        "modelPath": f"{places.MODELS}/{name}", "modelEncrypted": "true", "requireSealed": "true",
        "broker": broker_address(description), "brokerCaFile": places.CA, "ownerKeyFile": places.OWNER,
        "waitForKey": "true", "redisUrl": f"rediss://{places.REDIS}/0", "redisUser": "cs-worker",
        "redisCaFile": f"{own}/ca.crt", "redisCertFile": f"{own}/worker.crt", "redisKeyFile": f"{own}/worker.key",
        "redisPasswordFile": f"{own}/worker.password", "credentialsSealed": "true", "strict": "true",
    }  # fmt: skip
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


_CREDENTIALS: Final = """\
Before the enclave is signed, put here what the streaming worker shows Redis:
ca.crt and worker.crt as they are, worker.key and worker.password as strongroom queue seal wrote them.
They are measured: nobody can change them, and only the enclave that the broker releases their key to can use them.
"""


def _hosts(description: Description) -> str:
    """Return `/app/hosts` for releases that do not resolve names: the address goes in before the enclave is signed."""
    return (
        f"127.0.0.1 localhost\n# Before signing, write the broker's address here: ADDRESS {broker_host(description)}\n"
    )


def _program(program: Program, release: str) -> dict[str, bytes]:
    template, arguments = f"{program.name}.manifest.template", f"app/{program.name}.argv"
    if release == GRAPHENE:
        return {
            template: graphene.render_toml(program).encode(),
            f"graphene-1.1/{template}": graphene.render_text(program).encode(),
            arguments: argv_file.serialise(program.argv),
        }
    version = versions.parse(release)
    found = {template: render(program, version).encode()}
    if version < GramineVersion.V1_3:
        found[arguments] = argv_file.serialise(program.argv)
    return found
