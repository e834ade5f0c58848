"""A Spark job by its chart on the cluster: sealed data in, sealed data out, and what the cluster could see meanwhile.

After the right job come executors that are not what the owner admitted: they get nothing, and the job says which.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from typing import Any, Final

import yaml

from kube.cluster import HERE
from kube.images import Images
from kube.journey import IN_NAMESPACE, Journey
from kube.owner import NAMESPACE
from kube.spark_looking import Looking

RELEASE: Final = "people"
CLAIM: Final = "people-data"
DATA_KEY: Final = "secret/data-people"
JOB_SECRET: Final = f"secret/spark-{RELEASE}"
CITIES: Final = ("Delft", "Gouda", "Leiden")
IMAGE: Final = "spark.kubernetes.container.image"
ROWS: Final = 30_000
WAIT_S: Final = 600.0  # a job's JVMs on a busy machine
USER: Final = 10001
_TABLE: Final = f"""
[deploy.spark]
name = "{RELEASE}"
keys = ["people"]
program = "spark_job.py"
arguments = ["{WAIT_S:.0f}"]
driver_memory = "768m"
executor_memory = "768m"
executors = 2
cores = 1
report = "/data/report"
"""


_PYTHON: Final = "/opt/strongroom/bin/python3"
_SITE: Final = "/opt/strongroom/lib/python3.11/site-packages"
_CHANGE: Final = (
    "p = '/app/spark-executor.manifest'; t = open(p).read(); assert '--max-heap-mib=768' in t; "
    "open(p, 'w').write(t.replace('--max-heap-mib=768', '--max-heap-mib=769'))"
)
ANOTHER_WORD: Final = f"RUN {json.dumps([_PYTHON, '-I', '-c', _CHANGE])}"
# In the place of what launches the measured program: Spark's own executor, as Spark's own image starts it. Bytecode in
# images is not held against its sources, so it goes.
_PLAIN: Final = (
    "import os; from strongroom.sparkjobs.executor_pod import command; "
    f"os.execv('/opt/java/bin/java', ['java', *command(os.environ, '{_SITE}/pyspark')])"
)
_REPLACE: Final = (
    f"import glob, os; place = '{_SITE}/strongroom/analytics/agent/'; "
    f"open(place + 'pod_executor.py', 'w').write({_PLAIN!r}); "
    "[os.remove(each) for each in glob.glob(place + '__pycache__/pod_executor.*')]"
)
UNATTESTED: Final = f"RUN {json.dumps([_PYTHON, '-I', '-c', _REPLACE])}"


class Spark:
    """One release of the job's chart beside a deployment, whose broker releases its keys."""

    def __init__(self, journey: Journey, images: Images) -> None:
        self.journey, self.images = journey, images
        self.folder = journey.owner.folder / "spark"
        self.data = journey.cluster.folder / "data"  # what the claim of the pods is

    def prepare(self) -> None:
        """Make keys, sealed data, image and chart: before the broker gets the workspace."""
        journey, owner = self.journey, self.journey.owner
        self.folder.mkdir()
        owner.tables = _TABLE
        self.images.describe("v1")
        shutil.copy(HERE / "spark_job.py", owner.workspace / "spark_job.py")
        with journey.results.phase("data and image of the job") as phase:
            owner.strongroom("data", "key", "people")
            owner.strongroom("key", "create", JOB_SECRET)
            self._seal()
            began = time.monotonic()
            journey.say("strongroom deploy build spark")
            said = owner.build("deploy", "build", "spark", "--trust", DATA_KEY, "--trust", JOB_SECRET, "--push",
                               "--json")  # fmt: skip
            sizes = [f"{each['bytes'] / 1e6:.0f} MB" for each in json.loads(said)["images"]]
            phase.times["image built, looked through, pushed"] = time.monotonic() - began
        journey.results.check("the job's image was built and pushed", bool(sizes), ", ".join(sizes))
        owner.strongroom("spark", "chart", "--out", self.folder / "chart", "--pvc", CLAIM)

    def _seal(self) -> None:
        plain = self.folder / "plain"
        plain.mkdir()
        lines = [f"{CITIES[each % 3]},{each % 90}" for each in range(ROWS)]
        (plain / "people.csv").write_text("\n".join(["city,age", *lines, ""]), encoding="ascii")
        self.journey.owner.strongroom("data", "seal", plain, "--key", "people", "--out", self.data / "people",
                                      "--kind", "csv", "--schema", "city string, age int")  # fmt: skip
        for path in (self.data, *self.data.rglob("*")):
            shutil.chown(path, USER, USER)
            path.chmod(0o770 if path.is_dir() else 0o660)

    def run(self) -> None:
        """Run the right job and look at it; then the wrong executors."""
        self._claim()
        self._right_job()
        self._wrong_executors("another-word", "executors with another word", ANOTHER_WORD, "SR-AGENT-REFUSAL")
        self._wrong_executors("unattested", "executors without attestation", UNATTESTED, "ended with status")
        self._delete()

    # The job ----------------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Give the pods a volume: a folder of the node."""
        size = {"storage": "1Gi"}
        volume = {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLAIM},
            "spec": {"capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(self.data)},
                     "storageClassName": "", "persistentVolumeReclaimPolicy": "Retain"},
        }  # fmt: skip
        claim = {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": NAMESPACE},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": CLAIM,
                     "resources": {"requests": size}},
        }  # fmt: skip
        for each in (volume, claim):
            self.journey.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(each))

    def _helm(self, *words: str) -> str:
        chart = [str(self.folder / "chart/chart"), f"--values={self.folder / 'chart/values.yaml'}"]
        return self.journey.owner.run("helm", *words, *(chart if words[0] != "uninstall" else []), IN_NAMESPACE)

    def _right_job(self) -> None:
        journey = self.journey
        with journey.results.phase("a Spark job on two executors") as phase:
            began = time.monotonic()
            journey.say(f"helm install {RELEASE}")
            self._helm("install", RELEASE)
            journey.wait("both executors run", lambda: len(self.pods("executor")) == 2, WAIT_S)
            phase.times["executors run"] = time.monotonic() - began
            journey.wait("the job is at work", (self.data / "at_work").exists, WAIT_S)
            phase.times["sealed data read and written"] = time.monotonic() - began
            self._look()
            (self.data / "go_on").touch()
            journey.wait("the job has ended", lambda: self._ended() is not None, WAIT_S)
            phase.times["job ended"] = time.monotonic() - began
        log = self._log()
        hosts = next((line.split()[1:] for line in log.splitlines() if line.startswith("EXECUTORS")), [])
        journey.results.check("the job succeeded", self._ended() is True, log[-600:])
        _, trace, told = log.partition("Traceback")
        journey.results.check("its driver printed no trace", not trace, told[:4000])
        journey.results.check("both executors worked", len(hosts) == 2, hosts)
        self._check_sums()
        self._check_report()
        journey.wait("the executors' pods are gone", lambda: not self.pods("executor"), 120)
        self._helm("uninstall", RELEASE)
        self._wait_for_nobody()

    def _check_report(self) -> None:
        """Read the job's report: driver and executors, each as what it was admitted."""
        told = self._report()
        executors = [each for each in told["admitted"] if each["role"].startswith("executor")]
        named = {each["host"] for each in executors if each["program"] and each["keys"] == ["people"]}
        programs = {each["program"] for each in executors}
        self.journey.results.check("the job's report names both executors with their measurement",
                                   len(named) == 2 and len(programs) == 1 and not told["unnamed"],
                                   sorted(named))  # fmt: skip

    def _report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "report/report.json").read_bytes())
        return found

    def _check_sums(self) -> None:
        """Open what the job wrote, as its owner, and compare with what plain Python counts."""
        owner, opened = self.journey.owner, self.folder / "sums"
        owner.strongroom("data", "open", self.data / "sums", "--out", opened)
        lines = [line for path in opened.rglob("*") if path.is_file() for line in path.read_text().splitlines()]
        wanted = dict.fromkeys(CITIES, 0)
        for each in range(ROWS):
            if each % 90 >= 45:
                wanted[CITIES[each % 3]] += each % 90
        rows = {f"{city},{total}" for city, total in wanted.items() if total}
        found = {line.replace('"', "") for line in lines}
        self.journey.results.check("what the job wrote sealed is right", rows <= found, sorted(found)[:6])
        sealed = [path for path in (self.data / "sums").rglob("*") if path.is_file()]
        clear = [path.name for path in sealed if any(city.encode() in path.read_bytes() for city in CITIES)]
        self.journey.results.check("nothing of it lies in clear", bool(sealed) and not clear, clear)

    def _look(self) -> None:
        """Look at everything that the cluster's operator sees while the job works."""
        journey, looking = self.journey, Looking(self.journey, RELEASE)
        secrets = self._secrets()
        found = looking.objects_with(secrets)
        journey.results.check("no object of the cluster holds a secret of the job", not found, found)
        found = looking.processes_with(secrets)
        journey.results.check("no command line or environment holds one", not found, found)
        hosts = {each["peer"].rpartition(":")[0] for each in self._releases()}  # leases are renewed: more than once
        journey.results.check("driver and both executors proved themselves, and nobody else", len(hosts) == 3,
                              f"{DATA_KEY} was released to {len(hosts)} pods")  # fmt: skip
        driver, executor = self.pods("driver")[0], self.pods("executor")[0]
        said = looking.asked_in(driver)
        journey.results.check("the driver's account may list pods, and read no Secret",
                              (said.get("pods"), said.get("secrets")) == (200, 403), said)  # fmt: skip
        said = looking.asked_in(executor)
        told = 200 in {said.get("pods"), said.get("secrets")}
        journey.results.check("an executor has no account, and the API server tells it nothing",
                              said.get("token") is False and not told, said)  # fmt: skip

    def _secrets(self) -> dict[str, bytes]:
        """Return what nobody may see, by name: as bytes, hexadecimal digits and base64."""
        from strongroom.datasets.wrapping import application_secret
        from strongroom.secret import Secret

        owner = self.journey.owner
        found: dict[str, bytes] = {}
        sessions = {each["metadata"]["labels"].get("strongroom-session", "") for each in self.pods("executor")}
        for name, file in ((JOB_SECRET, "job.secret"), (DATA_KEY, "people.ring")):
            path = self.folder / file
            if not path.exists():
                owner.strongroom("key", "export", name, "--out", path)
            raw = path.read_bytes()
            found |= {name: raw, f"{name} in hex": raw.hex().encode(), f"{name} in base64": base64.b64encode(raw)}
        for session in sessions:
            spark = application_secret(Secret((self.folder / "job.secret").read_bytes()), session).encode()
            found |= {"Spark's secret": spark, "Spark's secret in base64": base64.b64encode(spark)}
        for number, key in json.loads((self.folder / "people.ring").read_bytes())["keys"].items():
            found[f"primary key people.{number}"] = key.encode()
        return found

    # Wrong executors --------------------------------------------------------------------------------------------

    def _wrong_executors(self, name: str, prose: str, lines: str, wanted: str) -> None:
        """Run the job as an operator would who changes which image the executors are made from."""
        journey = self.journey
        objects = with_image(self._helm("template", RELEASE), self._image(name, lines))
        before = {each["seq"] for each in self._releases()}
        for file in ("at_work", "go_on"):
            (self.data / file).unlink(missing_ok=True)
        with journey.results.phase(prose) as phase:
            began = time.monotonic()
            journey.say(prose)
            journey.cluster.kubectl("apply", IN_NAMESPACE, "--filename=-", stdin=objects)
            journey.wait("the job has ended", lambda: self._ended() is not None, WAIT_S)
            phase.times["job ended"] = time.monotonic() - began
        log = self._log()
        said = [line for line in log.splitlines() if wanted in line and f"{RELEASE}-exec-" in line]
        journey.results.check(f"{prose}: the job failed", self._ended() is False)
        journey.results.check(f"{prose}: it says which pods they were", bool(said), said[:2] or log[-600:])
        fresh = {each["peer"].rpartition(":")[0] for each in self._releases() if each["seq"] not in before}
        journey.results.check(f"{prose}: no key went to any of them", len(fresh) == 1,
                              f"released to {len(fresh)} pod, which is the driver's")  # fmt: skip
        told = self._report()
        journey.results.check(f"{prose}: the report has no executor that was admitted, and how the job ended",
                              [each["role"] for each in told["admitted"]] == ["driver"] and bool(told["job"]["status"]),
                              f"status {told['job']['status']}, {len(told['refused'])} refused")  # fmt: skip
        journey.results.check(f"{prose}: nothing was worked on", not (self.data / "at_work").exists())
        journey.cluster.kubectl("delete", IN_NAMESPACE, "--filename=-", stdin=objects)
        self._wait_for_nobody()

    def _image(self, name: str, lines: str) -> str:
        """Build and push an image of executors that has something else in it."""
        right = str(yaml.safe_load((self.folder / "chart/values.yaml").read_text(encoding="utf-8"))["image"])
        run, folder = self.journey.owner.run, self.folder / name
        folder.mkdir()
        text = f"FROM {right}\nUSER 0\n{lines}\nUSER {USER}:{USER}\n"
        (folder / "Containerfile").write_text(text, encoding="utf-8")
        tag = f"{right.partition('/')[0]}/{name}:1"
        run("buildah", "bud", "--quiet", "--tls-verify=false", "--tag", tag, "--file", folder / "Containerfile", folder)
        run("buildah", "push", "--quiet", "--tls-verify=false", tag)
        return tag

    # Looking ----------------------------------------------------------------------------------------------------

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the pods of a component that have not ended."""
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        found = self.journey.cluster.get("pods", IN_NAMESPACE, f"--selector={labels}")["items"]
        return [each for each in found if each["status"].get("phase") == "Running"]

    def _releases(self) -> list[dict[str, Any]]:
        """Return the ledger's releases of the data's key."""
        found = self.journey.owner.ledger()
        return [each for each in found if each["decision"] == "granted" and each["secret"] == DATA_KEY]

    def _ended(self) -> bool | None:
        """Return whether the job succeeded; None while it runs."""
        status = self.journey.cluster.get("job", f"{RELEASE}-driver", IN_NAMESPACE).get("status", {})
        kinds = {each["type"] for each in status.get("conditions", []) if each["status"] == "True"}
        return True if "Complete" in kinds else False if "Failed" in kinds else None

    def _log(self) -> str:
        return self.journey.cluster.kubectl("logs", f"job/{RELEASE}-driver", IN_NAMESPACE, "--tail=-1")

    def _wait_for_nobody(self) -> None:
        labels = f"--selector=app.kubernetes.io/instance={RELEASE}"
        self.journey.wait(
            "the pods are gone", lambda: not self.journey.cluster.get("pods", IN_NAMESPACE, labels)["items"]
        )

    def _delete(self) -> None:
        journey = self.journey
        kinds = "pods,jobs,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies"
        selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
        left = journey.cluster.get(kinds, IN_NAMESPACE, selector)["items"]
        journey.results.check("nothing of the job is left", not left, [each["metadata"]["name"] for each in left])
        for each in (f"pvc/{CLAIM}", f"pv/{CLAIM}"):
            journey.cluster.kubectl("delete", each, IN_NAMESPACE, "--wait=false")


def with_image(objects: str, image: str) -> str:
    """Return a job's objects, where the driver is told to make executors from another image. Pure."""
    found = re.findall(rf"^ *{re.escape(IMAGE)} .*$", objects, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{len(found)} lines name the executors' image")
    return objects.replace(found[0], f"{found[0].partition(IMAGE)[0]}{IMAGE} {image}")
