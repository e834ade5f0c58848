"""A cluster's own certificate authority, the certificates of its servers, and the kubeconfigs that carry them.

Pure but for what is called with a folder: keys are made anew for every cluster and die with its folder. Names and uses
are those that Kubernetes' documentation asks for ("PKI certificates and requirements").
"""

from __future__ import annotations

import base64
import ipaddress
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NODE: Final = "node1"
NODE_IP: Final = "10.240.0.10"
API_IP: Final = "10.96.0.1"  # the first address of the Services' range: the Service `kubernetes`
API_URL: Final = f"https://{NODE_IP}:6443"
LIFETIME: Final = timedelta(days=2)
MASTERS: Final = "system:masters"


@dataclass(frozen=True, slots=True)
class Leaf:
    """Whom a certificate names, and for which side of a connection."""

    name: str
    group: str | None = None
    server: bool = False
    client: bool = True
    hosts: tuple[str, ...] = ()


LEAVES: Final = {
    "api": Leaf(
        "kube-apiserver", server=True, client=False,
        hosts=("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", NODE_IP, API_IP),
    ),
    "admin": Leaf("admin", MASTERS),
    "kcm": Leaf("system:kube-controller-manager"),
    "sched": Leaf("system:kube-scheduler"),
    "proxy": Leaf("system:kube-proxy"),
    "dns": Leaf("strongroom:dns"),
    "api-kubelet": Leaf("apiserver-kubelet-client", MASTERS),
    "node": Leaf(f"system:node:{NODE}", "system:nodes", server=True, hosts=(NODE, NODE_IP)),
}  # fmt: skip
KUBECONFIGS: Final = ("admin", "kcm", "sched", "proxy", "node")


class Authority:
    """A certificate authority in memory."""

    def __init__(self, name: str, *, now: datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._now = now
        names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(names, self._key.public_key(), issuer=names)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def issue(self, leaf: Leaf) -> tuple[bytes, bytes]:
        """Return a new certificate and its private key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.name)]
        if leaf.group:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.group))
        uses = [ExtendedKeyUsageOID.SERVER_AUTH] * leaf.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * leaf.client
        builder = self._builder(x509.Name(attributes), key.public_key(), issuer=self.certificate.subject)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if leaf.hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in leaf.hosts]), False)
        return pem(builder.sign(self._key, hashes.SHA256())), private_pem(key)

    def certificate_pem(self) -> bytes:
        """Return the authority's own certificate."""
        return pem(self.certificate)

    def key_pem(self) -> bytes:
        """Return the authority's private key: the controller manager signs with it."""
        return private_pem(self._key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(minutes=5))
            .not_valid_after(self._now + LIFETIME)
        )


def write_all(folder: Path, *, now: datetime) -> None:
    """Write everything that the cluster's programs read: `X.crt`, `X.key`, `X.conf`, `ca.*`, `front-ca.crt`, `sa.*`."""
    authority = Authority("kube-ca", now=now)
    files = {"ca.crt": authority.certificate_pem(), "ca.key": authority.key_pem()}
    for name, leaf in LEAVES.items():
        files[f"{name}.crt"], files[f"{name}.key"] = authority.issue(leaf)
    front = Authority("kube-front-proxy-ca", now=now)  # what the API server shows to servers of other APIs
    files["front-ca.crt"] = front.certificate_pem()
    files["front.crt"], files["front.key"] = front.issue(Leaf("front-proxy-client"))
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    files["sa.key"] = private_pem(account)
    files["sa.pub"] = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for name in KUBECONFIGS:
        files[f"{name}.conf"] = kubeconfig(name, files["ca.crt"], files[f"{name}.crt"], files[f"{name}.key"])
    folder.mkdir(mode=0o700)
    for name, data in files.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)


def kubeconfig(user: str, ca: bytes, certificate: bytes, key: bytes) -> bytes:
    """Return the file by which a program finds the API server and proves who it is."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": API_URL, "certificate-authority-data": text(ca)}}],
        "users": [{"name": user, "user": {"client-certificate-data": text(certificate), "client-key-data": text(key)}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": user}}],
        "current-context": "c",
    }
    return yaml.safe_dump(found, sort_keys=False).encode()


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a private key as PEM, in the form that Go's servers read for both kinds."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
