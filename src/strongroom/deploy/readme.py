"""README.md of a rendered tree: what each file is, the two commands, and what this rendering leaves to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Front, Role, Tee
from strongroom.deploy.kubernetes.broker import is_address, outside_address
from strongroom.deploy.kubernetes.model_server import aesmd_folder
from strongroom.deploy.tree import Tree

PARTS = (
    ("kubernetes/", "plain manifests in the order in which they are applied"),
    ("chart/", "the same objects as a Helm chart; values.yaml beside it holds this deployment's values"),
    ("gramine/", "manifests of the enclaves, and what goes into /app of the images"),
    ("occlum/", "the streaming worker for Occlum, checked as JSON and no further"),
    ("images/", "container files; strongroom deploy build uses them"),
    ("compose/", "the same parts without Kubernetes"),
    ("systemd/", "the same parts as services of one machine"),
    ("nginx/", "nginx in front of replicas on machines of your own"),
    ("haproxy/", "haproxy in front of them"),
    ("coredns/", "the broker's old name, for programs that have it built in"),
    ("monitoring/", "alert rules (Prometheus) and a dashboard (Grafana)"),
)


def next_commands(description: Description) -> tuple[str, str]:
    """Return the two commands that come after rendering: images first, unless they are built and pinned."""
    if Role.MODEL_SERVER in description.images:
        return "strongroom deploy apply", "strongroom deploy status"
    words = ["strongroom deploy build --push"]
    if description.tee is Tee.SGX:
        words.append("--sign enclave-key.pem --repository-keys keys")
    if description.tee is not Tee.TDX:  # what a trust domain measures, its own machine says: policy trust
        words += [f"--trust model/{model.name}/1-" for model in description.models]
    return " ".join(words), "strongroom deploy apply"


def readme(description: Description, profile: Profile, tree: Tree) -> str:
    """Return the text; parts that this tree does not have are not named."""
    version = ".".join(map(str, description.kubernetes))
    lines = [
        f"# {description.name} on {profile.title}",
        "",
        f"TEE {description.tee}, engine {description.engine}, front {description.front}, Kubernetes {version}.",
        "Rendered by strongroom deploy render: change strongroom.toml, not these files.",
        "",
        "## Two commands",
        "",
        *(f"    {each}" for each in next_commands(description)),
        "",
        *_without_strongroom(description),
        "",
        "## What is here",
        "",
        *(f"- `{name}`: {about}" for name, about in PARTS if any(path.startswith(name) for path in tree)),
        "",
        "## What to know",
        "",
        *(f"- {each}" for each in notes(description, profile)),
    ]
    return "\n".join([*lines, ""])


def _without_strongroom(description: Description) -> Iterable[str]:
    if description.tee is Tee.SIMULATED:
        yield "Nothing else brings a simulated deployment up: `deploy apply` makes its platform's Secret and, where the"
        yield "broker is in the cluster, hands the workspace over."
        return
    yield "Where there is no strongroom: `kubectl apply -f kubernetes/`, or with Helm"
    yield "`kubectl apply -f kubernetes/00-namespace.yaml` (for its labels) and"
    yield f"`helm upgrade --install {description.name} chart -f values.yaml -n {description.namespace}`."


def notes(description: Description, profile: Profile) -> Iterable[str]:
    """Yield what an operator has to know of this very rendering, a sentence or two each."""
    yield "Nothing here is secret: keys come from the broker, to replicas that have proved themselves."
    yield from _tee_notes(description, profile)
    yield from _broker_notes(description)
    yield from _front_notes(description)
    yield (
        "NetworkPolicies let in Prometheus from the namespace `monitoring`, and to the broker's administration pods"
        " with the label strongroom/broker-admin=true; kubectl port-forward needs neither."
    )
    yield f"{profile.title}: {profile.verified}"


def _tee_notes(description: Description, profile: Profile) -> Iterable[str]:
    if description.tee is Tee.SIMULATED:
        yield (
            f"The TEE is simulated: it proves that everything fits together and keeps nothing secret. The Secret"
            f" {description.name}-simulated-world, which `strongroom deploy apply` makes, is its hardware: whoever"
            " reads it can forge quotes. No policy accepts them unless its owner wrote `simulated`."
        )
    if description.tee is Tee.SGX:
        yield (
            "Pods ask the SGX device plugin for the devices, so none is privileged. The devices must be open to user"
            " 10001: in containerd, device_ownership_from_security_context = true."
        )
        if Role.MODEL_SERVER not in description.images:
            yield (
                "`enclave-key.pem` is your own signing key, `keys` a folder with the public keys of Gramine's and"
                " Intel's packages: docs/images.md says how to come by both."
            )
        folder = aesmd_folder(description, profile)
        if folder:
            yield (
                f"Quotes come from the node's aesmd, whose socket in {folder} is mounted. The Pod Security levels"
                " below `privileged` forbid every hostPath, so the namespace enforces `privileged`; it still warns and"
                " audits by `restricted`, which everything else here keeps."
            )
        else:
            yield "No folder of the node is mounted; the namespace enforces the Pod Security level `restricted`."
    if description.tee is Tee.TDX:
        yield (
            "Each pod has to be a trust domain of its own (a runtime class for confidential containers), whose kernel"
            " lets user 10001 write to /sys/kernel/config/tsm/report. None of this was run on TDX."
        )
        yield (
            "`deploy build` cannot know what a trust domain measures, its own machine does: until a rule in policy.toml"
            " names that (docs/policy.md), replicas wait for their keys."
        )
        if profile.tdx_runtime_class is None:
            yield "The cloud's profile names no runtime class: set tdx_runtime_class in clouds/NAME.toml."


def _broker_notes(description: Description) -> Iterable[str]:
    if description.broker is not None:
        host, number = outside_address(description.broker)
        yield f"The broker is outside of this cluster: replicas ask {host}:{number}."
        if is_address(host):
            yield "Its certificate has to hold that address; older Gramine releases match names only."
    elif description.tee is Tee.SIMULATED:
        yield (
            "The broker's pod waits, in its init container, until `strongroom deploy apply` has handed it the"
            " workspace. That lies in the pod's memory: a pod that is deleted waits again."
        )
    else:
        yield (
            "The broker is a pod like the replicas, inside of a TEE. Its workspace would have to be made there:"
            ' strongroom hands none over. Say broker = "HOST:PORT" in [deploy] and run it on a machine of your own.'
        )


def _front_notes(description: Description) -> Iterable[str]:
    match description.front:
        case Front.NGINX:
            yield f"nginx passes TLS for {description.host} through and closes everything else. It has no key."
        case Front.INGRESS:
            yield (
                "The Ingress needs an ingress-nginx that was started with --enable-ssl-passthrough, in the namespace"
                " ingress-nginx; it carries gRPC alone."
            )
        case Front.GATEWAY:
            yield (
                "The Gateway needs a controller with TLSRoute (Gateway API, experimental channel); its class is `nginx`"
                " (NGINX Gateway Fabric), in the namespace nginx-gateway. It carries gRPC alone."
            )
        case Front.NONE:
            yield "Without a front, pods with the label strongroom/client=true may connect to the replicas."
