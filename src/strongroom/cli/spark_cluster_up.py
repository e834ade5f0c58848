"""Start a Spark cluster whose Master, Workers and executors prove themselves before they get secrets.

Spark's own Master and Workers run behind agents, and stand executors' Java behind the measured launcher. The owner
admits three programs first: --prepare writes them and says how. Everything listens on 127.0.0.1, or on --host where
other machines take part: those join the first one's Master. Done twice, the second time does nothing.

  strongroom spark cluster up --job demo --key people --broker https://broker:8080 --broker-ca ca_cert.pem
  strongroom spark cluster up --host 10.0.0.2 --join spark://10.0.0.1:7077 --job demo --broker …
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.analytics.cluster.settings import LOOPBACK, MAX_WORKERS, Settings
from strongroom.cli.option_types import port, whole_number

if TYPE_CHECKING:
    from strongroom.analytics.cluster.cluster import Cluster

FOLDER = Path("spark-cluster")


def host_address(text: str) -> str:
    """Return a name or address that others reach this machine by."""
    from strongroom.launcher.values import host

    if not host(text) or text == "0.0.0.0":  # noqa: S104  # what is refused here
        raise argparse.ArgumentTypeError(f"{text[:64]!r} is no name or address that others reach this machine by")
    return text


def master_address(text: str) -> str:
    """Return the address of a Master."""
    from strongroom.sparkjobs.masters import BadMaster, MasterKind

    try:
        if MasterKind.of(text) is MasterKind.STANDALONE:
            return text
    except BadMaster:
        pass
    raise argparse.ArgumentTypeError(f"{text[:64]!r} is no spark://HOST:PORT")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    folder_argument(parser)
    parser.add_argument("--broker", metavar="URL", required=True, help="https://HOST:PORT of the broker (KBS)")
    parser.add_argument("--broker-ca", metavar="FILE", type=Path, required=True,
                        help="CA certificate (PEM) that the broker's comes from")  # fmt: skip
    parser.add_argument("--job", metavar="NAME", required=True,
                        help="the deployment, whose processes get Spark's secret: secret/spark-NAME")  # fmt: skip
    parser.add_argument("--key", metavar="NAME", action="append", default=[],
                        help="a primary key that executors ask for; may be given again")  # fmt: skip
    parser.add_argument("--tenant", metavar="NAME", default="default", help="(default: default)")
    parser.add_argument("--deployment", metavar="NAME", default="", help="ask in this deployment of the policy alone")
    parser.add_argument("--workers", type=whole_number(1, MAX_WORKERS), default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--cores", type=whole_number(1, 256), default=1, metavar="N",
                        help="of each Worker (default: 1)")  # fmt: skip
    parser.add_argument("--memory-mib", type=whole_number(256, 1 << 24), default=1024, metavar="MIB",
                        help="of each Worker, and the largest heap of an executor (default: 1024)")  # fmt: skip
    parser.add_argument("--host", type=host_address, default=LOOPBACK, metavar="ADDRESS",
                        help="where the cluster's other machines reach this one (default: 127.0.0.1)")  # fmt: skip
    parser.add_argument("--join", type=master_address, metavar="spark://HOST:PORT",
                        help="start Workers alone, for the Master of another machine")  # fmt: skip
    parser.add_argument("--port", type=port, default=0, metavar="PORT", help="(default: a free one, then kept)")
    parser.add_argument("--ui-port", type=port, default=0, metavar="PORT", help="(default: a free one, then kept)")
    parser.add_argument("--world", type=Path, metavar="DIR", help="the simulated platform to run on")
    parser.add_argument("--beside-real-tee", action="store_true", help="simulate although this machine has a real TEE")
    parser.add_argument("--prepare", action="store_true", help="write the programs to be admitted, and start nothing")
    parser.add_argument("--json", action="store_true", help="say where everything is as JSON")


def folder_argument(parser: argparse.ArgumentParser) -> None:
    """Add --dir."""
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR",
                        help="programs, logs and the roll call (default: spark-cluster)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prepare, start, say."""
    from strongroom.analytics.cluster import programs
    from strongroom.analytics.cluster.cluster import prepare
    from strongroom.analytics.cluster.running import up
    from strongroom.analytics.parquet.build import build, kms_jar
    from strongroom.analytics.submit.preparing import JAVA_SOURCES
    from strongroom.pki import disk, keys

    ca_pem = disk.read_bounded(args.broker_ca, limit=keys.MAX_PEM_BYTES)
    jars = {programs.JAR: kms_jar().read_bytes(), programs.PAGES_JAR: build(JAVA_SOURCES).read_bytes()}
    cluster = prepare(args.dir, _settings(args), ca_pem, jars)
    if not args.prepare:
        cluster = up(cluster, said=lambda line: sys.stderr.write(f"{line}\n"))
    _say(args, cluster)
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    """Return what the programs follow from. Raises JavaNotFound and what a missing extra raises."""
    import strongroom
    from strongroom.analytics.parquet.build import spark_jars
    from strongroom.datasets.names import check_key_name

    return Settings(
        broker=args.broker, job=args.job, keys=tuple(check_key_name(name) for name in dict.fromkeys(args.key)),
        tenant=args.tenant, deployment=args.deployment, workers=args.workers, cores=args.cores,
        memory_mib=args.memory_mib, host=args.host, join=args.join or "", port=args.port, ui_port=args.ui_port,
        world="" if args.world is None else str(args.world.absolute()), beside_real_tee=args.beside_real_tee,
        python=sys.executable, package=str(Path(strongroom.__file__).parent), java=_java(),
        home=str(spark_jars().parent),
    )  # fmt: skip


def _java() -> str:
    from strongroom.analytics.cluster.java import find_java

    return find_java(shutil.which)


def _say(args: argparse.Namespace, cluster: Cluster) -> None:
    from strongroom.analytics.cluster import programs

    settings = cluster.record.settings
    manifests = {role: str(cluster.program(role)) for role in programs.roles(settings)}
    if args.json:
        facts = {
            "master": settings.master, "roll_call": str(cluster.roll_call.path), "programs": manifests,
            "folder": str(cluster.folder),
        }  # fmt: skip
        if not settings.join:
            facts["ui"] = _page(settings)
            facts["ui_ca"], facts["ui_token"] = map(str, _shown(cluster))
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    if not args.prepare:
        ready = f"joined {settings.master}" if settings.join else f"The cluster is ready: {settings.master}"
        sys.stdout.write(f"{ready}, {settings.workers} Workers\n")
        sys.stdout.write(f"Run a job:\n  strongroom spark submit --master {settings.master} app.py\n")
        if not settings.join:
            ca, token = _shown(cluster)
            sys.stdout.write("Look at its page:\n")
            sys.stdout.write(f"  curl --cacert {ca} -H @{token.with_suffix('.header')} {_page(settings)}/\n")
        sys.stdout.write(f"End it:\n  strongroom spark cluster down --dir {cluster.folder}\n")
        return
    sys.stdout.write("The owner admits each of these programs:\n")
    for role, path in manifests.items():
        sys.stdout.write(f"  {role}: {path}\n")
    releases = [f"secret/spark-{settings.job}", *(f"secret/data-{name}" for name in settings.keys)]
    sys.stdout.write("with their measurements (strongroom sim measure, or the trust domain's) and:\n")
    sys.stdout.write(f"  strongroom policy trust FILE --release {' --release '.join(releases)}\n")


def _page(settings: Settings) -> str:
    return f"https://{settings.host}:{settings.page_port}"


def _shown(cluster: Cluster) -> tuple[Path, Path]:
    """Return where the certificate of the Master's page is, and the link to the token that it wants."""
    from strongroom.analytics.cluster import programs

    folder = cluster.folder / "launches" / programs.MASTER
    return folder / programs.UI_CA, folder / programs.UI_TOKEN
