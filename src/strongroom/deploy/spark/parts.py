"""The measured programs of a job's image: driver and executors, as the simulated platform launches them. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description, Tee
from strongroom.deploy.gramine.parts import python_files
from strongroom.deploy.gramine.places import CA, JAVA_HOME, JOB, PYTHON, PythonPlaces
from strongroom.deploy.gramine.programs import PYTHON_WORDS
from strongroom.deploy.gramine.simulated import manifest_of
from strongroom.deploy.images.roles import SPARK_DISTRIBUTION
from strongroom.deploy.spark.words import DRIVER, EXECUTOR, driver_words, executor_words, manifest
from strongroom.gramine.manifests import Program

PARTS: Final = (DRIVER, EXECUTOR)
_JAVA: Final = tuple(f"{JAVA_HOME}/{folder}/" for folder in ("bin", "conf", "lib"))  # all that a JVM reads there
_ENVIRONMENT: Final = {
    "HOME": "/nonexistent", "JAVA_HOME": JAVA_HOME, "LANG": "C.UTF-8", "PATH": f"{JAVA_HOME}/bin:/usr/bin:/bin",
    "SPARK_HOME": SPARK_DISTRIBUTION, "TMPDIR": "/tmp",  # noqa: S108  # memory of the pod
}  # fmt: skip


def manifest_names(description: Description) -> tuple[str, ...]:
    """Return the manifests in /app that are launched: the driver's first; none where nothing is simulated."""
    return tuple(map(manifest, PARTS)) if description.tee is Tee.SIMULATED and description.spark else ()


def program(part: str, description: Description, python: PythonPlaces = PYTHON) -> Program:
    """Return a part as what is measured of it. Raises NoSparkJob."""
    words = ("strongroom", *driver_words(description)) if part == DRIVER else executor_words(description)
    own = (f"{JOB}/",) if part == DRIVER and description.spark and description.spark.program else ()
    return Program(
        name=f"spark-{part}",
        title=f"Spark: {part}",
        argv=(python.interpreter, *PYTHON_WORDS[:-1], *words),
        env=_ENVIRONMENT,
        trusted=(CA, *own, *_JAVA, *python_files(python)),
        children=True,
    )


def app_files(description: Description) -> dict[str, bytes]:
    """Return what the image has in /app on the simulated platform besides the owner's files and the program."""
    if not manifest_names(description):
        return {}
    return {manifest(part): manifest_of(program(part, description)).encode() for part in PARTS}
