"""The JVMs of Spark and Flink, each behind the measured launcher, since their command lines differ from run to run.

Pure. The manifest fixes what the launcher may accept; what Spark or Flink would like to say comes in over standard
input, from outside, and is checked word by word (docs/gramine-manifests.md).
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.gramine import places
from strongroom.deploy.gramine.parts import arch_libraries, enclave, python_files
from strongroom.deploy.gramine.places import PythonPlaces
from strongroom.deploy.gramine.server_words import provisioning_server
from strongroom.gramine.manifests import SEALING_KEY, Encrypted, Program, Provisioning
from strongroom.launcher.roles import Role

LAUNCHER: Final = "strongroom.launcher"
_JVM_THREADS: Final = 256
_MIB: Final = {"K": 2**-10, "M": 1, "G": 1024}
_TITLES: Final = {
    Role.SPARK_DRIVER: "Spark driver",
    Role.SPARK_EXECUTOR: "Spark executor",
    Role.FLINK_JOBMANAGER: "Flink job manager",
    Role.FLINK_TASKMANAGER: "Flink task manager",
}


def jvm_programs(description: Description, python: PythonPlaces) -> tuple[Program, ...]:
    """Return the four programs."""
    return tuple(_jvm(description, python, role) for role in Role)


def heap_mib(description: Description) -> int:
    """Return the largest heap, in MiB: half of the enclave, whose other half is code, threads and buffers."""
    size = description.resources.enclave_size
    return max(int(int(size[:-1]) * _MIB[size[-1]]) // 2, 64)


def _jvm(description: Description, python: PythonPlaces, role: Role) -> Program:
    home = places.SPARK_HOME if role.is_spark else places.FLINK_HOME
    machine = arch_libraries(description)
    library_path = ":".join((f"{places.JAVA_HOME}/lib/server", "/lib", machine, f"/usr{machine}"))
    is_driver = role is Role.SPARK_DRIVER
    launcher = (
        f"--role={role}",
        f"--java={places.JAVA_HOME}/bin/java",
        f"--home={home}",
        f"--scratch={places.SCRATCH}",
        f"--max-heap-mib={heap_mib(description)}",
        f"--library-path={library_path}",
        *([f"--program-from={places.SPARK_PROGRAM}"] if is_driver else []),
        "--words-from=-",
    )
    return Program(
        name=str(role),
        title=_TITLES[role],
        argv=(python.interpreter, "-I", "-B", "-m", LAUNCHER, *launcher),
        env={"HOME": "/nonexistent", "LANG": "C.UTF-8", "LD_LIBRARY_PATH": f"{places.JAVA_HOME}/lib/server"},
        trusted=(
            places.CA,
            *([places.SPARK_PROGRAM] if is_driver else []),
            *([f"{places.JOB}/"] if is_driver and description.spark and description.spark.program else []),
            "/etc/passwd",
            f"{places.JAVA_HOME}/",
            f"{home}/",
            *python_files(python),
        ),
        arch_libraries=arch_libraries(description),
        encrypted=(
            Encrypted(path="/data", host=places.DATA),
            Encrypted(path=places.SCRATCH, host=places.SCRATCH, key_name=SEALING_KEY),
        ),
        provisioning=Provisioning(servers=provisioning_server(description), ca_path=places.CA),
        enclave=enclave(description, least_threads=_JVM_THREADS, files=65536),
        lists_interfaces=True,
    )
