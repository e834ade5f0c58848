"""Rules on who reaches what from outside, and where TLS ends (threats DP-05, DP-12, IN-01). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Object, Objects, items, table, tables
from strongroom.deploy.lint.pods import AESMD

K24: Final = Rule(id="K24", level=Level.ERROR, title="a Service offers a port in clear text")
K25: Final = Rule(id="K25", level=Level.ERROR, title="a port for administrators is open outside of the cluster")
K26: Final = Rule(id="K26", level=Level.ERROR, title="TLS ends outside of the attested process")
K27: Final = Rule(id="K27", level=Level.WARNING, title="a Service opens ports of every node")
K28: Final = Rule(id="K28", level=Level.WARNING, title="a namespace does not enforce Pod Security")

PASSTHROUGH: Final = "nginx.ingress.kubernetes.io/ssl-passthrough"
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_CLEAR_NAMES: Final = ("http-", "ws-", "h2c-", "redis-", "tcp-redis-")
_CLEAR_PROTOCOLS: Final = frozenset({"http", "kubernetes.io/h2c", "kubernetes.io/ws", "redis"})
_CLEAR_PORTS: Final[Mapping[int, str]] = {80: "HTTP", 6379: "Redis", 8081: "Flink's REST", 4040: "Spark's UI"}
_ADMIN_NAMES: Final = frozenset({"admin", "health", "debug", "metrics", "console"})


def services(objects: Objects) -> Iterator[Finding]:
    """K24, K25, K27: what a Service offers, and to whom."""
    for service in objects.of_kind("Service"):
        outside = service.spec.get("type") in {"NodePort", "LoadBalancer"} or bool(service.spec.get("externalIPs"))
        if service.spec.get("type") == "NodePort":
            yield service.finding(K27, "spec.type", "the port is open on every node, past the front",
                                  "Use type: ClusterIP behind the front, or a LoadBalancer.")  # fmt: skip
        for index, port in tables(service.spec.get("ports")):
            place = f"spec.ports[{index}]"
            what = _clear_text(port)
            if what:
                yield service.finding(K24, place, f"{what} is spoken there", "Offer the TLS port instead.")
            if outside and (port.get("name") in _ADMIN_NAMES or port.get("targetPort") in _ADMIN_NAMES):
                yield service.finding(K25, place, f"{port.get('name')} is reachable from outside",
                                      "Leave it in the cluster: kubectl port-forward reaches it.")  # fmt: skip


def _clear_text(port: Mapping[str, object]) -> str | None:
    name, protocol, wanted = str(port.get("name") or ""), port.get("appProtocol"), port.get("port")
    if protocol in _CLEAR_PROTOCOLS or f"{name}-".startswith(_CLEAR_NAMES):
        return str(protocol or name)
    if protocol in {"https", "tls"} or "tls" in name or "https" in name or not isinstance(wanted, int):
        return None
    return _CLEAR_PORTS.get(wanted)


def routes(objects: Objects) -> Iterator[Finding]:
    """K26: whoever ends the TLS reads requests and answers; only the attested process may."""
    for ingress in objects.of_kind("Ingress"):
        passes = str(ingress.annotations.get(PASSTHROUGH)).lower() == "true"
        if not passes:
            yield ingress.finding(K26, "metadata.annotations", "the controller ends the TLS and reads what passes",
                                  f'Set {PASSTHROUGH}: "true", and start ingress-nginx with '
                                  "--enable-ssl-passthrough.")  # fmt: skip
        if any(each.get("secretName") for _, each in tables(ingress.spec.get("tls"))):
            yield ingress.finding(K26, "spec.tls", "the front has a key of its own for this name",
                                  "Remove secretName: the certificate is the replica's.")  # fmt: skip
    for route in objects.of_kind("HTTPRoute", "GRPCRoute"):
        yield route.finding(K26, "kind", f"a {route.kind} needs a gateway that ends the TLS", "Use a TLSRoute.")
    for gateway in objects.of_kind("Gateway"):
        yield from _listeners(gateway)


def _listeners(gateway: Object) -> Iterator[Finding]:
    for index, listener in tables(gateway.spec.get("listeners")):
        if listener.get("protocol") != "TLS" or table(listener.get("tls")).get("mode") != "Passthrough":
            yield gateway.finding(K26, f"spec.listeners[{index}]", "the gateway ends the TLS, or there is none",
                                  "Use protocol: TLS with tls.mode: Passthrough.")  # fmt: skip


def namespaces(objects: Objects) -> Iterator[Finding]:
    """K28: the API server itself refuses what K01 to K07 find, if the namespace asks it to."""
    for namespace in objects.of_kind("Namespace"):
        if namespace.labels.get(_ENFORCE) != "restricted" and not _mounts_aesmd(objects, namespace.name):
            yield namespace.finding(K28, "metadata.labels", f"{_ENFORCE} is not restricted",
                                    f"Set {_ENFORCE}: restricted.")  # fmt: skip


def _mounts_aesmd(objects: Objects, namespace: str) -> bool:
    """Return whether a pod needs the node's aesmd, which restricted forbids: K02 judges what is mounted."""
    return any(
        str(table(table(volume).get("hostPath")).get("path")).rstrip("/") == AESMD
        for pod in objects.workloads
        if pod.object.namespace == namespace
        for volume in items(pod.spec.get("volumes"))
    )


RULES: Final = (K24, K25, K26, K27, K28)
CHECKS: Final = (services, routes, namespaces)
