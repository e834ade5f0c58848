"""What the adapter asks of the API server: who may ask it, and that the API server knows its certificate.

World: one TLS connection to the API server, with the pod's own token. Two questions and one change, no more: the
ConfigMap extension-apiserver-authentication, and the one APIService that is the adapter's. Source: Kubernetes,
"Configure the Aggregation Layer"; decision 22.
"""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import urllib3
from cryptography.x509.oid import NameOID
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from strongroom.errors import Refused, Unreachable
from strongroom.pki import disk, keys

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API_SERVICE: Final = "v1beta1.external.metrics.k8s.io"
_API_SERVICES: Final = f"/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}"
_AUTHENTICATION: Final = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
_MERGE: Final = {"Content-Type": "application/merge-patch+json"}
MAX_ANSWER_BYTES: Final = 1024 * 1024
MAX_TOKEN_BYTES: Final = 64 * 1024
MAX_CA_BYTES: Final = 1024 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,253}")


class NotInACluster(Unreachable):
    """The adapter runs in a pod, and this is none: the API server's address or the pod's token is missing."""

    code = "SR-ADAPTER-NO-CLUSTER"
    fix = "Run it where deploy apply puts it; its pod needs automountServiceAccountToken: true."


class ApiServerUnusable(Unreachable):
    """The API server did not answer, or not what its documentation says."""

    code = "SR-ADAPTER-API"
    fix = "Look at the adapter's log, role and NetworkPolicy: it needs the API server's port and its two roles."


class AdapterTaken(Refused):
    """The cluster's external metrics belong to another adapter: there can be only one."""

    code = "SR-ADAPTER-TAKEN"
    fix = "Remove the other adapter, or leave [deploy.autoscaling] out and scale with the other one."


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """By what the API server is known when it passes a request on."""

    ca_pem: bytes
    names: frozenset[str]  # that its certificate may bear; empty: any of this CA

    def admits(self, certificate_der: bytes | None) -> bool:
        """Return whether a certificate, whose chain the handshake has verified, is the API server's."""
        if certificate_der is None:
            return False
        try:
            subject = keys.load_certificate_der(certificate_der).subject
        except keys.BadCertificate:
            return False
        found = {str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        return not self.names or bool(found & self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The API server, as this pod reaches it."""

    url: str
    ca_pem: bytes
    token_file: Path
    timeout_s: float = 10.0

    @classmethod
    def of_this_pod(cls, folder: Path = ACCOUNT) -> Self:
        """Take what Kubernetes gives every pod. Raises NotInACluster."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not _HOST.fullmatch(host) or not port.isdecimal():
            raise NotInACluster("KUBERNETES_SERVICE_HOST names no API server")
        try:
            ca_pem = disk.read_bounded(folder / "ca.crt", limit=MAX_CA_BYTES)
        except OSError as problem:
            raise NotInACluster(f"{folder / 'ca.crt'}: {problem.strerror}") from None
        written = f"[{host}]" if ":" in host else host
        return cls(url=f"https://{written}:{port}", ca_pem=ca_pem, token_file=folder / "token")

    def front_proxy(self) -> FrontProxy:
        """Return by what the API server is known. Raises ApiServerUnusable, NotInACluster."""
        data = _table(self._ask("GET", _AUTHENTICATION).get("data"))
        ca_pem = data.get("requestheader-client-ca-file")
        if not isinstance(ca_pem, str) or not ca_pem.isascii():
            raise ApiServerUnusable("the API server has no front-proxy CA, so it passes no request on")
        try:
            keys.load_certificates(ca_pem.encode("ascii"))
            names = json.loads(str(data.get("requestheader-allowed-names") or "[]"))
        except (keys.BadCertificate, ValueError, RecursionError):
            raise ApiServerUnusable("extension-apiserver-authentication cannot be read") from None
        if not isinstance(names, list):
            raise ApiServerUnusable("requestheader-allowed-names is no list")
        return FrontProxy(ca_pem.encode("ascii"), frozenset(str(each) for each in names))

    def publish(self, ca_pem: bytes, *, service: str, namespace: str) -> bool:
        """Let the API server know our CA; return whether it had another one.

        Raises AdapterTaken, ApiServerUnusable, NotInACluster.
        """
        spec = _table(self._ask("GET", _API_SERVICES).get("spec"))
        owner = _table(spec.get("service"))
        if (owner.get("namespace"), owner.get("name")) != (namespace, service):
            shown = f"{owner.get('namespace')}/{owner.get('name')}"[:160]
            raise AdapterTaken(f"{API_SERVICE} belongs to {shown}, not to {namespace}/{service}")
        wanted = base64.b64encode(ca_pem).decode("ascii")
        if spec.get("caBundle") == wanted and not spec.get("insecureSkipTLSVerify"):
            return False
        change = {"spec": {"caBundle": wanted, "insecureSkipTLSVerify": False}}
        self._ask("PATCH", _API_SERVICES, json.dumps(change).encode("ascii"))
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        context = ssl.create_default_context(cadata=self.ca_pem.decode("ascii", "replace"))
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json", **(_MERGE if body else {})}
        timeout = Timeout(total=self.timeout_s)
        try:
            with urllib3.PoolManager(num_pools=1, ssl_context=context, timeout=timeout, retries=False) as pool:
                answer = pool.request(method, f"{self.url}{path}", body=body, headers=headers, preload_content=False)
                content = answer.read(MAX_ANSWER_BYTES + 1)
                answer.close()
        except HTTPError as problem:
            raise ApiServerUnusable(f"the API server: {type(problem).__name__}") from None
        if answer.status != HTTPStatus.OK or len(content) > MAX_ANSWER_BYTES:
            raise ApiServerUnusable(f"the API server answered {answer.status} to {method} {path}")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ApiServerUnusable("the API server's answer is no JSON object")
        return found

    def _token(self) -> str:
        """Return the pod's token, which Kubernetes renews in its file."""
        try:
            return disk.read_bounded(self.token_file, limit=MAX_TOKEN_BYTES).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise NotInACluster(f"{self.token_file} holds no token") from None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
