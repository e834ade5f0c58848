"""Small ONNX models, TLS files, and fronts that run on a loop in a thread of their own."""

import asyncio
import os
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from onnx import TensorProto, helper

from strongroom import bundles
from strongroom.pki import Authority, SslConfig
from strongroom.secret import Secret

ANY = "any rank"


def onnx_model(nodes, inputs, outputs, constants=()):
    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, None if shape == ANY else shape)

    graph = helper.make_graph(
        nodes, "g", [info(*each) for each in inputs], [info(*each) for each in outputs], list(constants)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def x_times_half_plus(number, shape=ANY):
    """Return half_plus_two and its kind, with TensorFlow Serving's names: x float32 to y float32."""
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    more = helper.make_tensor("more", TensorProto.FLOAT, [], [float(number)])
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "more"], ["y"])]
    return onnx_model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)], [half, more])


def many():
    """Return a model with two inputs and three outputs: a float32, s string; double float64, same string, n int64."""
    nodes = [
        helper.make_node("Cast", ["a"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Identity", ["s"], ["same"]),
        helper.make_node("Shape", ["a"], ["n"]),
    ]
    return onnx_model(
        nodes,
        [("a", TensorProto.FLOAT, ANY), ("s", TensorProto.STRING, ANY)],
        [("double", TensorProto.DOUBLE, ANY), ("same", TensorProto.STRING, ANY), ("n", TensorProto.INT64, [None])],
    )


def failing():
    """Return a model that fails for every input but six numbers, inside a node with a name that must not leak."""
    shape = helper.make_tensor("to", TensorProto.INT64, [2], [2, 3])
    nodes = [helper.make_node("Reshape", ["x", "to"], ["y"], name="confidential_layer")]
    return onnx_model(nodes, [("x", TensorProto.FLOAT, ANY)], [("y", TensorProto.FLOAT, ANY)], [shape])


@pytest.fixture(scope="session")
def models():
    return SimpleNamespace(half_plus=x_times_half_plus, many=many, failing=failing, onnx_model=onnx_model, any_rank=ANY)


@pytest.fixture
def base(tmp_path):
    """A base folder, and a function that writes a version into it."""
    folder = tmp_path / "m"

    def put(version, model=None, name="model.onnx"):
        version_folder = folder / str(version)
        version_folder.mkdir(parents=True, exist_ok=True)
        raw = (model or x_times_half_plus(2)).SerializeToString() if not isinstance(model, bytes) else model
        (version_folder / name).write_bytes(raw)
        return version_folder

    folder.mkdir()
    return SimpleNamespace(folder=folder, put=put)


@pytest.fixture
def sealed(tmp_path):
    """Publish sealed versions; key and owner belong to them."""
    signer, key = Ed25519PrivateKey.generate(), Secret(os.urandom(16))
    target = tmp_path / "models"

    def publish(version=1, model=None, *, name="m", key=key, signer=signer, files=None, source=None):
        if source is None:
            source = tmp_path / f"plain-{name}-{version}"
            source.mkdir()
            (source / "model.onnx").write_bytes((model or x_times_half_plus(2)).SerializeToString())
        for path, content in (files or {}).items():
            (source / path).parent.mkdir(exist_ok=True)
            (source / path).write_bytes(content)
        engine = bundles.detect(source)
        bundles.publish(
            source, target, name=name, version=version, key=key, signer=signer, engine=engine,
            signatures=bundles.signatures_of(source, engine), now=datetime.now(UTC), entropy=os.urandom,
        )  # fmt: skip
        return target / name / str(version)

    return SimpleNamespace(publish=publish, key=key, owner=signer.public_key(), folder=target / "m")


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory):
    """An owner's TLS set: mutual and one-way ssl.cfg, certificates for both roles, and a stranger's client."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority, stranger = Authority.create("Owner", now=now), Authority.create("Stranger", now=now)
    server = authority.issue_server(["localhost", "127.0.0.1"], now=now)

    def write(name, leaf):
        (folder / f"{name}.pem").write_bytes(leaf.certificate_pem)
        with leaf.key_pem.reveal() as raw:
            (folder / f"{name}.key").write_bytes(raw)
        return folder / f"{name}.pem", folder / f"{name}.key"

    def config(*, mutual):
        return SslConfig(
            server_key=server.key_pem,
            server_cert=server.certificate_pem,
            custom_ca=authority.certificate_pem if mutual else b"",
            client_verify=mutual,
        )

    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    for name, mutual in (("mutual.cfg", True), ("one_way.cfg", False)):
        with config(mutual=mutual).render().reveal() as raw:
            (folder / name).write_bytes(raw)
    return SimpleNamespace(
        folder=folder, authority=authority, ca=folder / "ca.pem", mutual=config(mutual=True),
        one_way=config(mutual=False), server=write("server", server), write=write,
        client=write("client", authority.issue_client("client.example", now=now)),
        stranger=write("stranger", stranger.issue_client("client.example", now=now)),
    )  # fmt: skip


@pytest.fixture
def client_context(tls_files):
    """Make TLS client contexts that trust the owner's CA."""

    def make(shown=None):
        context = ssl.create_default_context(cafile=tls_files.ca)
        if shown is not None:
            context.load_cert_chain(*shown)
        return context

    return make


@contextmanager
def running_loop():
    """Lend a function that runs coroutines on a loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.fixture
def on_loop():
    with running_loop() as run:
        yield run


@pytest.fixture
def repository():
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def roleless(tls_files):
    """A certificate from the owner's CA without any extended key usage, as the reference scripts make them."""
    now = datetime.now(UTC)
    with tls_files.authority.key_pem.reveal() as raw:
        signer = load_pem_private_key(raw, None)
    issuer = x509.load_pem_x509_certificate(tls_files.authority.certificate_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "roleless")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(signer, hashes.SHA384())
    )
    path, key_path = tls_files.folder / "roleless.pem", tls_files.folder / "roleless.key"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, key_path
