"""Judge what was seen of a cluster: will this deployment run there, and if not, what is missing. Pure.

Each absence is named here, with a fix, rather than found in a pod that waits for ever (threats DP-06).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.cluster.nodes import Node
from strongroom.deploy.cluster.quantities import amount, gramine_size, shown
from strongroom.deploy.description import OLDEST_KUBERNETES, Description, Front, Role, Tee
from strongroom.platforms.machine_findings import Finding, Standing

NAMES_SHOWN: Final = 3
SKEW_S: Final = 5.0  # quotes and certificates are judged to the second, tokens with a little grace
POD_SECURITY_SINCE: Final = (1, 23)
ENFORCING: Final = ("calico", "cilium", "antrea", "weave", "kube-router", "canal", "azure-npm", "terway")
GATEWAY: Final = "tlsroutes.gateway.networking.k8s.io"
EXTERNAL_METRICS: Final = "external.metrics.k8s.io"
_PLUGIN: Final = (
    "Install Intel's SGX device plugin (kubectl apply -k from intel/intel-device-plugins-for-kubernetes,"
    " deployments/sgx_plugin), or your cloud's SGX node pool add-on; then kubectl describe node shows the resource."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What was seen of a cluster; None: could not be asked."""

    version: tuple[int, int]
    nodes: tuple[Node, ...] = ()
    kinds: frozenset[str] | None = None  # RESOURCE.GROUP, as kubectl api-resources names them
    runtime_classes: frozenset[str] | None = None
    ingress_classes: frozenset[str] | None = None
    system_workloads: frozenset[str] | None = None  # names of the DaemonSets of kube-system
    skew_s: float | None = None  # the API server's clock minus ours
    rights: Mapping[str, bool] | None = None  # by `verb resource`


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerFacts:
    """What was seen on the owner's side."""

    sealed: Mapping[str, bool]  # whether a model's sealed folder is there
    collateral_failure: str | None = None  # why the profile's PCCS did not answer; empty: it did; None: not asked


def examine(
    cluster: ClusterFacts, owner: OwnerFacts, description: Description, profile: Profile
) -> tuple[Finding, ...]:
    """Return the findings, in the order in which a newcomer would meet what they are about."""
    return (
        *_version(cluster, description),
        *_rights(cluster),
        *_nodes(cluster),
        *_sgx(cluster, description, profile),
        *_tdx(cluster, description, profile),
        *_room(cluster, description),
        *_fronts(cluster, description),
        *_images(cluster, description),
        *_models(owner),
        *_collateral(owner, description, profile),
        *_clock(cluster),
        *_guards(cluster),
    )


def wanted_replicas(description: Description) -> int:
    """Return how many replicas have to find room."""
    return description.autoscaling.most if description.autoscaling else description.replicas


def good(topic: str, sentence: str) -> Finding:
    """Return that something is as it must be."""
    return Finding(topic=topic, standing=Standing.GOOD, sentence=sentence)


def missing(topic: str, sentence: str, fix: str) -> Finding:
    """Return that something keeps the deployment from running, or from being safe."""
    return Finding(topic=topic, standing=Standing.MISSING, sentence=sentence, fix=fix)


def note(topic: str, sentence: str) -> Finding:
    """Return something to know."""
    return Finding(topic=topic, standing=Standing.ABSENT, sentence=sentence)


def _version(cluster: ClusterFacts, description: Description) -> Iterator[Finding]:
    there = f"{cluster.version[0]}.{cluster.version[1]}"
    wanted = f"{description.kubernetes[0]}.{description.kubernetes[1]}"
    if cluster.version < OLDEST_KUBERNETES:
        yield missing("Kubernetes", f"the cluster is {there}; the oldest supported is 1.20", "Upgrade the cluster.")
    elif cluster.version < description.kubernetes:
        yield missing("Kubernetes", f"the cluster is {there}, [deploy] kubernetes is {wanted}",
                      f'Say kubernetes = "{there}" in [deploy], or leave it away.')  # fmt: skip
    else:
        yield good("Kubernetes", f"the cluster is {there}")


def _rights(cluster: ClusterFacts) -> Iterator[Finding]:
    denied = [name for name, allowed in (cluster.rights or {}).items() if not allowed]
    if denied:
        yield missing("Rights", f"you may not {', '.join(denied)}",
                      "Ask the cluster's administrator for a role with these rights in the namespace.")  # fmt: skip


def _nodes(cluster: ClusterFacts) -> Iterator[Finding]:
    ready = [each for each in cluster.nodes if each.ready]
    if not ready:
        yield missing("Nodes", f"none of {len(cluster.nodes)} nodes is ready", "Look at kubectl describe nodes.")
    elif not any(each.open for each in ready):
        yield missing("Nodes", "every node is closed for pods, by a taint or by being cordoned",
                      "Run kubectl uncordon, or name a toleration in your own clouds/NAME.toml.")  # fmt: skip
    else:
        yield good("Nodes", f"{len(ready)} of {len(cluster.nodes)} nodes are ready")


def _sgx(cluster: ClusterFacts, description: Description, profile: Profile) -> Iterator[Finding]:
    if description.tee is not Tee.SGX:
        return
    ready = [each for each in cluster.nodes if each.ready]
    wanted = (profile.epc_resource, *profile.sgx_resources)
    lacking = [name for name in wanted if not any(each.allocatable.get(name) for each in ready)]
    if lacking:
        yield missing("SGX", f"no node offers {', '.join(lacking)}", _PLUGIN)
    else:
        yield good("SGX", f"{sum(bool(each.allocatable.get(profile.epc_resource)) for each in ready)} nodes offer"
                          f" {', '.join(wanted)}")  # fmt: skip
    if profile.epc_resource not in lacking:
        yield from _epc(ready, description, profile)
    if profile.aesmd_socket is not None:
        yield note("aesmd", f"the pods mount {profile.aesmd_socket} of their node, which cannot be seen from here: on"
                            " each SGX node, systemctl is-active aesmd has to say active")  # fmt: skip


def _epc(nodes: list[Node], description: Description, profile: Profile) -> Iterator[Finding]:
    each, count = amount(description.resources.epc), wanted_replicas(description)
    room = sum(node.room_for({profile.epc_resource: each}) for node in nodes)
    if room < count:
        yield missing("EPC", f"{count} replicas want {description.resources.epc} of enclave memory each; there is room"
                             f" for {room}",
                      "Lower [deploy.resources] epc or the number of replicas, or add nodes with SGX.")  # fmt: skip
    else:
        yield good("EPC", f"there is room for {room} replicas of {description.resources.epc}")
    largest = max((node.allocatable.get(profile.epc_resource, Decimal(0)) for node in nodes), default=Decimal(0))
    size = gramine_size(description.resources.enclave_size)
    if size > largest:
        yield note("EPC", f"an enclave may grow to {shown(size)}, a node has {shown(largest)}: beyond that the kernel"
                          " pages, which is slow")  # fmt: skip


def _tdx(cluster: ClusterFacts, description: Description, profile: Profile) -> Iterator[Finding]:
    if description.tee is not Tee.TDX:
        return
    wanted = profile.tdx_runtime_class
    if wanted is None:
        yield note("TDX", f"the profile {profile.name} names no runtime class: the nodes themselves have to be trust"
                          " domains")  # fmt: skip
    elif cluster.runtime_classes is not None and wanted not in cluster.runtime_classes:
        yield missing("TDX", f"there is no RuntimeClass {wanted}",
                      "Install Confidential Containers (kata-qemu-tdx) on TDX nodes, or name the class that you have"
                      " in a profile of your own: clouds/NAME.toml, tdx_runtime_class.")  # fmt: skip
    else:
        yield good("TDX", f"the RuntimeClass {wanted} is there")


def _room(cluster: ClusterFacts, description: Description) -> Iterator[Finding]:
    asked = description.resources
    count = wanted_replicas(description)
    for topic, name, each in (("CPU", "cpu", asked.cpu), ("Memory", "memory", asked.memory)):
        room = sum(node.room_for({name: amount(each)}) for node in cluster.nodes)
        if room < count:
            yield missing(topic, f"{count} replicas want {each} {name} each; what is not asked for yet is enough for"
                                 f" {room}",
                          f"Lower [deploy.resources] {name} or the number of replicas, or add nodes.")  # fmt: skip
        else:
            yield good(topic, f"there is room for {room} replicas of {each}")


def _fronts(cluster: ClusterFacts, description: Description) -> Iterator[Finding]:
    kinds = cluster.kinds
    if description.front is Front.GATEWAY and kinds is not None and GATEWAY not in kinds:
        yield missing("Front", "the cluster has no Gateway API with TLSRoute",
                      "Install the experimental channel of the Gateway API and a controller, or choose front = "
                      '"nginx".')  # fmt: skip
    if description.front is Front.INGRESS and cluster.ingress_classes is not None and not cluster.ingress_classes:
        yield missing("Front", "the cluster has no ingress controller",
                      'Install ingress-nginx with --enable-ssl-passthrough, or choose front = "nginx".')  # fmt: skip
    if description.autoscaling and kinds is not None and not any(each.endswith(EXTERNAL_METRICS) for each in kinds):
        yield note("Autoscaling", "nothing serves external metrics yet: the adapter of this deployment will")


def _images(cluster: ClusterFacts, description: Description) -> Iterator[Finding]:
    wanted = [description.image(each) for each in (Role.MODEL_SERVER, Role.MODELS)]
    loose = [each for each in wanted if "@sha256:" not in each]
    if not loose:
        yield good("Images", "all images are pinned to their digests")
        return
    present = [each for each in loose if any(each in node.images for node in cluster.nodes)]
    words = f"not pinned to a digest: {', '.join(loose[:NAMES_SHOWN])}"
    words += f"; on nodes already: {', '.join(present)}" if present else ""
    if description.tee is Tee.SIMULATED:
        yield note("Images", words)
    else:
        yield missing("Images", words, "Run strongroom deploy build --push, which pins what it pushed.")


def _models(owner: OwnerFacts) -> Iterator[Finding]:
    for name, there in owner.sealed.items():
        if not there:
            yield missing("Models", f"there is no sealed folder of the model {name}",
                          "Run strongroom model publish, or correct [[deploy.model]] path.")  # fmt: skip


def _collateral(owner: OwnerFacts, description: Description, profile: Profile) -> Iterator[Finding]:
    if description.tee is Tee.SIMULATED:
        return
    place = profile.pccs_url or "Intel's service"
    if owner.collateral_failure is None:
        yield note("Collateral", f"{place} was not asked")
    elif owner.collateral_failure:
        yield missing("Collateral", f"{place} does not answer: {owner.collateral_failure}",
                      "Open the way to it, run a PCCS of your own (strongroom pccs serve), or name another source in"
                      " [collateral]; strongroom collateral doctor says more.")  # fmt: skip
    else:
        yield good("Collateral", f"{place} answers")


def _clock(cluster: ClusterFacts) -> Iterator[Finding]:
    if cluster.skew_s is None:
        yield note("Clock", "the API server did not say what time it is")
    elif abs(cluster.skew_s) > SKEW_S:
        ahead = "ahead of" if cluster.skew_s > 0 else "behind"
        yield missing("Clock", f"the API server's clock is {abs(cluster.skew_s):.0f} seconds {ahead} this one: evidence"
                               " and certificates would be judged at another time",
                      "Run an NTP client (chrony) on the nodes and here.")  # fmt: skip
    else:
        yield good("Clock", "the API server's clock and this one agree")


def _guards(cluster: ClusterFacts) -> Iterator[Finding]:
    if cluster.version < POD_SECURITY_SINCE:
        yield note("Pod Security", "this Kubernetes ignores Pod Security labels (they work from 1.23 on)")
    names = sorted(each for each in cluster.system_workloads or () if any(word in each for word in ENFORCING))
    if names:
        yield good("NetworkPolicy", f"{names[0]} is there, which enforces it")
    else:
        yield note("NetworkPolicy", "whether anything enforces it cannot be seen from here: ask who runs the network"
                                    " plugin; without, every pod may connect to every other")  # fmt: skip


def as_json(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Return findings as JSON can write them."""
    return [
        {"topic": each.topic, "standing": each.standing.value, "sentence": each.sentence, "fix": each.fix}
        for each in findings
    ]
