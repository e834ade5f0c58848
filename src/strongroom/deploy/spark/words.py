"""What the driver and the executors of a job start, word by word. Pure.

Their words are measured, so the image's manifests say them and the pods say none, but in trust domains, which have no
manifests. What may differ from cluster to cluster without anybody having to trust it comes in a file of the chart's
ConfigMap, which `spark submit --cluster-file` holds against a short list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.deploy.description import Description, SparkJob, Tee
from strongroom.deploy.gramine.java_script import java_script
from strongroom.deploy.gramine.jvm import heap_mib
from strongroom.deploy.gramine.places import APP, CA, JAVA_HOME, JOB, PYTHON, SPARK_HOME
from strongroom.deploy.gramine.server_words import broker_address
from strongroom.deploy.images.roles import JARS, PROGRAM, PYTHON_VERSION, SPARK_DISTRIBUTION
from strongroom.deploy.kubernetes.replica import STRONGROOM, WORLD
from strongroom.errors import BadInput
from strongroom.launcher.roles import Role as Jvm
from strongroom.sparkjobs.defaults_file import render

DRIVER: Final = "driver"
EXECUTOR: Final = "executor"
MASTER: Final = "k8s://https://kubernetes.default.svc"
DATA: Final = "/data"
SETTINGS: Final = "/settings"  # the chart's ConfigMap
CLUSTER_FILE: Final = "cluster.conf"
TEMPLATE_FILE: Final = "executor.yaml"
MEMORY: Final = "/dev/shm"  # noqa: S108  # of the pod, with a size of its own: settings, spill, what executors hold
WORDS: Final = "/work/words"  # what Spark says to an executor, for the measured program to check
EXAMPLE: Final = f"{PROGRAM}/lib/python{PYTHON_VERSION}/site-packages/strongroom/analytics/examples/programs/pi.py"
_EXECUTOR_MODULE: Final = "strongroom.analytics.agent.executor"
_OUTSIDE_MODULE: Final = "strongroom.analytics.agent.pod_executor"
_PYTHON: Final = (PYTHON.interpreter, "-I")


class NoSparkJob(BadInput):
    """The [deploy] table of strongroom.toml describes no Spark job."""

    code = "SR-SPARK-CHART-JOB"
    fix = 'Add [deploy.spark] with name = "…" and what it runs; docs/analytics-kubernetes.md lists its words.'


def job_of(description: Description) -> SparkJob:
    """Return the job of a description. Raises NoSparkJob."""
    if description.spark is None:
        raise NoSparkJob("strongroom.toml has no [deploy.spark]")
    return description.spark


def manifest(part: str) -> str:
    """Return the file in /app that the simulated platform launches a part by."""
    return f"spark-{part}.manifest"


def program_path(job: SparkJob) -> str:
    """Return where the job's program lies in the image."""
    return EXAMPLE if job.program is None else f"{JOB}/{job.program.rpartition('/')[2]}"


def driver_words(description: Description) -> tuple[str, ...]:
    """Return the words of `strongroom` in the driver's pod. Raises NoSparkJob."""
    job = job_of(description)
    return (
        "spark", "submit", f"--master={MASTER}", "--deploy-mode=client", f"--name={job.name}", "--no-progress",
        f"--driver-memory={job.driver_memory}", f"--executor-memory={job.executor_memory}", *_asked(description, job),
        f"--cluster-file={SETTINGS}/{CLUSTER_FILE}", *((f"--class={job.main_class}",) if job.main_class else ()),
        *((f"--report={job.report}",) if job.report else ()), program_path(job), *job.arguments,
    )  # fmt: skip


def executor_words(description: Description) -> tuple[str, ...]:
    """Return the words of the executor's measured program, its module first. Raises NoSparkJob."""
    job = job_of(description)
    return (
        _EXECUTOR_MODULE, *_asked(description, job), f"--java={JAVA_HOME}/bin/java",
        f"--home={SPARK_DISTRIBUTION}", f"--jar={JARS}/parquet.jar", f"--max-heap-mib={mebibytes(job.executor_memory)}",
        f"--memory={MEMORY}", f"--words-from={WORDS}",
    )  # fmt: skip


def command(part: str, description: Description) -> tuple[str, ...]:
    """Return what a part's container starts. Raises NoSparkJob.

    What stands before an executor's measured program is trusted by nobody: it writes down what Spark said in the
    container's environment, and starts the program.
    """
    launch: tuple[str, ...]
    match description.tee, part:
        case Tee.SGX, _:
            return enclave_command(description)
        case Tee.SIMULATED, _:
            launch = (*STRONGROOM, "sim", "run", "--world", WORLD, f"{APP}/{manifest(part)}")
        case _, "driver":
            launch = (*STRONGROOM, *driver_words(description))
        case _:
            launch = (*_PYTHON, "-m", *executor_words(description))
    if part == DRIVER:
        return launch
    return (*_PYTHON, "-m", _OUTSIDE_MODULE, f"--home={SPARK_DISTRIBUTION}", f"--words={WORDS}", "--", *launch)


def enclave_command(description: Description) -> tuple[str, ...]:
    """Return what runs a whole job in one enclave: Spark's local mode, through the measured launcher of the driver.

    What Gramine lets a program read is measured or sealed. The API server's token is neither, so that a driver in an
    enclave cannot make pods.
    """
    job = job_of(description)
    return (
        "sh", "-c", java_script(str(Jvm.SPARK_DRIVER)), "java", "-cp", f"{SPARK_HOME}/jars/*",
        f"-Xmx{min(mebibytes(job.driver_memory), heap_mib(description))}m", "org.apache.spark.deploy.SparkSubmit",
        "--master", f"local[{job.cores}]", "--name", job.name,
    )  # fmt: skip


def cluster_file(sizes: Mapping[str, object], *, name: str, namespace: str, image: str) -> str:
    """Return what the cluster's side says to the driver. `sizes`: `executor` of the chart's values."""
    spark, kubernetes = "spark.executor", "spark.kubernetes"
    settings = {
        "spark.driver.host": f"{name}-{DRIVER}.{namespace}.svc",
        f"{spark}.instances": str(sizes["instances"]),
        f"{spark}.cores": str(sizes["cores"]),
        f"{spark}.memoryOverhead": str(sizes["memoryOverhead"]),
        f"{kubernetes}.namespace": namespace,
        f"{kubernetes}.container.image": image,
        f"{kubernetes}.container.image.pullPolicy": "IfNotPresent",
        f"{kubernetes}.executor.podNamePrefix": name,
        f"{kubernetes}.executor.podTemplateFile": f"{SETTINGS}/{TEMPLATE_FILE}",
        f"{kubernetes}.executor.podTemplateContainerName": EXECUTOR,
        f"{kubernetes}.executor.request.cores": str(sizes["cpu"]),
        f"{kubernetes}.executor.limit.cores": str(sizes["cpuLimit"]),
        f"{kubernetes}.authenticate.executor.serviceAccountName": f"{name}-{EXECUTOR}",
    }
    return render(settings).decode("ascii")


def mebibytes(heap: str) -> int:
    """Return the MiB of a heap such as 512m or 2g."""
    return int(heap[:-1]) * (1024 if heap.endswith("g") else 1)


def _asked(description: Description, job: SparkJob) -> tuple[str, ...]:
    """Return the words by which both ask the broker."""
    return (f"--broker={broker_address(description)}", f"--broker-ca={CA}", f"--job={job.name}",
            *(f"--key={key}" for key in job.keys))  # fmt: skip
