"""The options of the verbs that drive a cluster: which workspace, which cluster, and how to ask its broker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk
    from strongroom.deploy.cluster.deployment import Deployment

TIMEOUT_S = 300.0


def cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace, the cluster and `--json`."""
    workspace_argument(parser)
    cluster = parser.add_argument_group("which cluster")
    cluster.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")
    cluster.add_argument("--kubeconfig", metavar="FILE", type=Path, help="(default: as kubectl finds it)")
    cluster.add_argument("--namespace", metavar="NAME", help="(default: what [deploy] in strongroom.toml says)")
    cluster.add_argument("--kubectl", metavar="PROGRAM", default="kubectl", help="(default: kubectl)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def timeout_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--timeout`."""
    parser.add_argument("--timeout", type=seconds, default=TIMEOUT_S, metavar="SECONDS", help="(default: 300)")


def broker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to ask the broker."""
    parser.add_argument("--broker", metavar="URL", help="its admin port, https://HOST:PORT (default: the one in the"
                        " cluster, or the workspace where [deploy] names a broker outside)")  # fmt: skip
    parser.add_argument("--identity", metavar="DIR", type=Path, help="who asks: the folder with cert.pem and key.pem")
    passphrase_argument(parser)


def open_cluster(args: argparse.Namespace) -> Deployment:
    """Return the deployment that the command line names."""
    from strongroom.deploy.cluster.deployment import open_deployment

    return open_deployment(
        open_workspace(args), context=args.context, kubeconfig=args.kubeconfig, namespace=args.namespace,
        program=args.kubectl,
    )  # fmt: skip


@contextmanager
def broker_of(args: argparse.Namespace, deployment: Deployment) -> Iterator[Desk]:
    """Lend the administration of the deployment's broker. Raises Misuse and what opening raises."""
    from strongroom.cli.admin_option import administration
    from strongroom.deploy.cluster.broker_desk import cluster_desk

    if args.broker is None and args.identity is None and deployment.description.broker is None:
        with cluster_desk(deployment) as desk:
            yield desk
        return
    with administration(args) as desk:
        yield desk


def seconds(text: str) -> float:
    """Read a time to wait, 0 to a day."""
    found = float(text)
    if not 0 <= found <= 86400:
        raise ValueError
    return found


def tell(words: str) -> None:
    """Say how far it has come, on standard error."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
