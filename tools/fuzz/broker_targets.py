"""What the key broker reads from outside: KBS messages, keys, envelopes, tokens, admin bodies, files of owners.

Each line of the table is a name, a function that makes the parser, and one that gives sound inputs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

Parser: TypeAlias = Callable[[bytes], object]
Line: TypeAlias = tuple[str, Callable[[], Parser], Callable[[], Iterable[bytes]]]


_TEXTS = {"tenant": "default", "fingerprint": "ab" * 32}  # of arguments that not every text can be


def _kbs_auth() -> Parser:
    from strongroom.broker import kbs

    return kbs.parse_auth


def _kbs_auth_seeds() -> Iterable[bytes]:
    from strongroom.broker import kbs

    return [kbs.auth_request("sgx"), b'{"version":"0.4.0","tee":"tdx","extra-params":""}']


def _kbs_attestation() -> Parser:
    """Read an attestation as a session does that negotiated more, or did not, and everything in it."""
    from strongroom.broker import kbs
    from strongroom.broker.kbs_evidence import quote_in
    from strongroom.broker.kbs_init_data import InitData

    def parse(data: bytes) -> object:
        sent = kbs.parse_attestation(data[1:], negotiated=data[:1] != b"\0")
        kbs.check_nonce(sent.nonce)
        if sent.init_data is not None:
            InitData.proven(sent.init_data, hashlib.sha256(sent.init_data.encode("utf-8", "replace")).digest())
        return sent.report_data, quote_in("sgx", sent.primary)

    return parse


def _kbs_attestation_seeds() -> Iterable[bytes]:
    import forge
    from cryptography.hazmat.primitives.asymmetric import ec

    from strongroom.broker import kbs
    from strongroom.pki.jose import RecipientKey

    key = RecipientKey.of(ec.derive_private_key(7, ec.SECP256R1()).public_key())
    quote = forge.render(forge.sound("SGX", 3, 1)).quote
    nonce, evidence = kbs.nonce_text(bytes(32)), {"quote": base64.b64encode(quote).decode()}
    bound = kbs.Bound(deployment="d", purpose=kbs.PURPOSE, paths=("default/model/m.1",), kbs="00" * 32, lease_id="ab")
    init_data = 'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"strongroom.json" = \'{"tenant":"a"}\'\n'
    for first, each in ((b"\1", bound), (b"\0", None)):
        message = json.loads(kbs.attestation(nonce, key, each, evidence))
        yield first + json.dumps(message | {"init-data": {"format": "toml", "body": init_data}}).encode()


def _kbs_path() -> Parser:
    from strongroom.broker import kbs

    return lambda data: kbs.spelled_path(data.decode("latin-1"))


def _jwk() -> Parser:
    from strongroom.pki.jose import KeyRefused, RecipientKey
    from strongroom.wire import strict_json

    return lambda data: RecipientKey.parse(strict_json.loads(data, what="key", error=KeyRefused, max_depth=4)).spki


def _jwk_seeds() -> Iterable[bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from strongroom.pki.jose import RecipientKey

    rsa_key = rsa.RSAPublicNumbers(65537, (1 << 2047) | 1).public_key()
    curves: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP521R1())
    keys = [ec.derive_private_key(7, curve).public_key() for curve in curves]
    recipients = [RecipientKey.of(rsa_key), *(RecipientKey.of(key) for key in keys)]
    return [json.dumps(each.members).encode() for each in recipients]


def _jwe() -> Parser:
    from cryptography.hazmat.primitives.asymmetric import ec

    from strongroom.pki.jose import open_sealed

    key = ec.derive_private_key(7, ec.SECP256R1())
    return lambda data: open_sealed(key, data)


def _jwe_seeds() -> Iterable[bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec

    from strongroom.pki.jose import RecipientKey, seal
    from strongroom.secret import Secret

    key = RecipientKey.of(ec.derive_private_key(7, ec.SECP256R1()).public_key())
    return [json.dumps(seal(key, Secret(bytes(16)), extra={"sr": {"iat": 1, "path": "a/model/m.1"}})).encode()]


def _kbs_token() -> Parser:
    """Read a token whose signature is not looked at last but first; the claims of one that holds as a broker does."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from strongroom.broker import kbs_token
    from strongroom.pki.jose import read_signed, sign
    from strongroom.wire import Malformed, strict_json

    key = ec.derive_private_key(7, ec.SECP256R1())

    def parse(data: bytes) -> object:
        if data[:1] == b"{":
            claims = strict_json.loads(data, what="claims", error=Malformed, max_depth=8)
            data = sign(claims, key).encode() if isinstance(claims, dict) else data
        return kbs_token.session_of(
            read_signed(data.decode("latin-1"), key.public_key()), now_s=1_000_000, deployment="d"
        )  # fmt: skip

    return parse


def _kbs_token_seeds() -> Iterable[bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec

    from strongroom.pki.jose import sign

    claims: dict[str, Any] = {
        "iat": 999_900, "exp": 1_000_100, "strongroom_session": "ab", "strongroom_deployment": "d"
    }  # fmt: skip
    return [json.dumps(claims).encode(), sign(claims, ec.derive_private_key(7, ec.SECP256R1())).encode()]


def _admin_body() -> Parser:
    """Read a body for the operation that the first byte chooses, and the rest as a query's values as well."""
    from strongroom.broker.admin.arguments import from_json, from_query
    from strongroom.broker.admin.operations import OPERATIONS
    from strongroom.broker.admin.problems import BadArgument
    from strongroom.wire import strict_json

    operations = list(OPERATIONS.values())

    def parse(data: bytes) -> object:
        operation = operations[data[0] % len(operations)] if data else operations[0]
        values = strict_json.loads(data[1:], what="the body", error=BadArgument, max_bytes=1 << 20, max_depth=3)
        if not isinstance(values, dict):
            raise BadArgument("the body is not a JSON object")
        if operation.method == "GET":
            return from_query(operation, {name: str(value) for name, value in values.items()})
        return from_json(operation, values)

    return parse


def _admin_body_seeds() -> Iterable[bytes]:
    from strongroom.broker.admin.operations import OPERATIONS

    for number, operation in enumerate(OPERATIONS.values()):
        values = {
            each.name: 1 if each.kind.value == "number" else (*each.choices, _TEXTS.get(each.name, "YWJj"))[0]
            for each in operation.parameters
        }
        yield bytes([number]) + json.dumps(values).encode()


def _admin_certificate() -> Parser:
    from strongroom.broker.admin.certificates import read_presented, read_registered

    return lambda data: read_registered(data.decode("latin-1")) if data[:1] == b"-" else read_presented(data)


def _admin_certificate_seeds() -> Iterable[bytes]:
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    from strongroom.pki.authority import Authority

    now = datetime(2026, 6, 15, tzinfo=UTC)
    leaf = Authority.create("fuzz", now=now).issue_client("a@b.example", now=now)
    return [leaf.certificate_pem, load_pem_x509_certificate(leaf.certificate_pem).public_bytes(Encoding.DER)]


def _vote() -> Parser:
    from strongroom.broker.policy.votes import Vote

    return Vote.from_json


def _vote_seeds() -> Iterable[bytes]:
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from strongroom.broker.policy.votes import NOTHING, Ballot, sign

    ballot = Ballot(tenant="default", version=2, policy="ab" * 32, replaces=NOTHING)
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    return [sign(ballot, key, at=datetime(2026, 6, 15, tzinfo=UTC)).to_json()]


def _checkpoint() -> Parser:
    from strongroom.broker.ledger.checkpoint import SignedCheckpoint

    return SignedCheckpoint.parse


def _signed(size: int) -> Any:  # a checkpoint, whose module is loaded late
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from strongroom.broker.ledger.checkpoint import Checkpoint, origin_of, sign

    return sign(Checkpoint(origin_of(b"{}"), size, bytes(32), 1), Ed25519PrivateKey.generate())


def _checkpoint_seeds() -> Iterable[bytes]:
    return [_signed(size).to_text().encode() for size in (1, 1 << 40)]


def _proof() -> Parser:
    from strongroom.broker.ledger.proofs import LedgerProof

    return LedgerProof.from_json


def _proof_seeds() -> Iterable[bytes]:
    from strongroom.broker.ledger.proofs import LedgerProof

    proof = LedgerProof(
        seq=1, line=b'{"seq":1,"prev":"00"}', checkpoint=_signed(2), inclusion=(bytes(32),), key="ab" * 32,
        older=_signed(1), consistency=(bytes(32),),
    )  # fmt: skip
    return [proof.to_json()]


def _ledger_line() -> Parser:
    from strongroom.broker.ledger import chain

    return lambda data: chain.check(data.split(b"\n"))


def _ledger_line_seeds() -> Iterable[bytes]:
    from strongroom.broker.ledger import chain

    first, head = chain.write_line(chain.EMPTY, {"kind": "genesis"}, time=chain.timestamp_ms(0))
    return [first + chain.write_line(head, {"kind": "admin", "reason": "é"}, time=chain.timestamp_ms(1))[0][:-1]]


def _share() -> Parser:
    from strongroom.broker.keyring.shares import Share

    return Share.parse


def _share_seeds() -> Iterable[bytes]:
    from strongroom.broker.keyring.shares import split
    from strongroom.secret import Secret

    made = split(
        Secret(bytes(32)), threshold=2, shares=3, root_id="ab" * 8, set_id=bytes(8), randomness=bytes(range(32))
    )  # fmt: skip
    for each in made:
        with each.render().reveal() as raw:
            yield bytes(raw)


def _backup() -> Parser:
    """Open the bytes as a backup's file, whatever SQLite makes of them."""
    from strongroom.broker.store import backup

    folder = TemporaryDirectory()
    path = Path(folder.name) / "backup"

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        path.chmod(0o600)
        with backup.opened(path) as (label, _):
            return folder.name, label

    return parse


def _backup_seeds() -> Iterable[bytes]:
    from contextlib import closing

    from strongroom.broker.store import backup
    from strongroom.broker.store.opening import open_store

    with TemporaryDirectory() as name:
        path = Path(name) / "backup"
        with closing(open_store(Path(name) / "broker.db")) as store:
            store.write(lambda tx: tx.execute("INSERT INTO tenants VALUES ('default', 'active', 1, '{}')"))
            backup.write(store, path)
        return [path.read_bytes()]


LINES: tuple[Line, ...] = (
    ("kbs-auth", _kbs_auth, _kbs_auth_seeds),
    ("kbs-attestation", _kbs_attestation, _kbs_attestation_seeds),
    ("kbs-path", _kbs_path, lambda: [b"default/model/m.1", b"kbs:///acme/tls/front"]),
    ("kbs-token", _kbs_token, _kbs_token_seeds),
    ("jwk", _jwk, _jwk_seeds),
    ("jwe", _jwe, _jwe_seeds),
    ("admin-body", _admin_body, _admin_body_seeds),
    ("admin-certificate", _admin_certificate, _admin_certificate_seeds),
    ("vote", _vote, _vote_seeds),
    ("checkpoint", _checkpoint, _checkpoint_seeds),
    ("proof", _proof, _proof_seeds),
    ("ledger-line", _ledger_line, _ledger_line_seeds),
    ("share", _share, _share_seeds),
    ("backup", _backup, _backup_seeds),
)
