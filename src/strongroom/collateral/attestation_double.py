"""A local double of both attestation services: it verifies quotes with our own verifier and signs tokens, all marked.

For rehearsals and tests on a machine without a TEE. Its tokens and key set carry a mark, its issuer is none of the real
services', and its key is its own, so that `attestation.tokens` can never take its word for a real service's. It answers
as the services document it: OpenID configuration, /certs, and one attest call each.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from strongroom.attestation import SgxReport, Tee, Verdict
from strongroom.attestation.tokens import SIMULATED_MARK
from strongroom.attestation.tokens.jws import base64url, base64url_text
from strongroom.attestation.validity import timestamp
from strongroom.errors import BadInput, StrongroomError
from strongroom.wire import strict_json

KEY_BITS: Final = 3072
LIFETIME: Final = timedelta(minutes=5)
MAX_REQUEST_BYTES: Final = 64 * 1024
ITA_ISSUER: Final = "Simulated Trust Authority"  # the real one's tokens all say "Intel Trust Authority"
ORGANISATION: Final = "Strongroom Simulated Attestation Service"
_MARK_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.32473.20.1")  # as on the simulated platform's certificates
_MARK: Final = b"\x0c\x09simulated"  # DER UTF8String
_log = logging.getLogger("strongroom.attestation_double")


class AttestRequestUnusable(BadInput):
    """A request to the double of an attestation service is not what the service documents."""

    code = "SR-ATTEST-REQUEST"
    fix = "Send quote and runtime data in base64url without padding, in the JSON of the service's attest call."


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The double's own RSA key and the self-signed certificate that carries it in the key set."""

    key: rsa.RSAPrivateKey
    certificate: bytes  # DER
    key_id: str

    @classmethod
    def create(cls, *, now: datetime) -> SigningKey:
        """Make a key for this process."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.COMMON_NAME, "SIMULATED - NOT A TEE"),
            ]
        )
        builder = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.UnrecognizedExtension(_MARK_OID, _MARK), critical=False)
        )
        certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        return cls(key=key, certificate=certificate, key_id=f"simulated-{hashlib.sha256(certificate).hexdigest()[:16]}")

    def key_set(self) -> dict[str, object]:
        """Return the JWK set, marked."""
        numbers = self.key.public_key().public_numbers()
        modulus, exponent = (
            base64url_text(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode("ascii")
            for value in (numbers.n, numbers.e)
        )
        entry = {
            "kty": "RSA", "use": "sig", "kid": self.key_id, "n": modulus, "e": exponent,
            "x5c": [b64encode(self.certificate).decode("ascii")],
        }  # fmt: skip
        return {SIMULATED_MARK: True, "keys": [entry]}

    def sign(self, claims: Mapping[str, object], *, algorithm: str, key_set_url: str) -> str:
        """Return a token in compact form."""
        header = {"alg": algorithm, "jku": key_set_url, "kid": self.key_id, "typ": "JWT"}
        signed = b".".join(base64url_text(json.dumps(part).encode("utf-8")) for part in (header, claims))
        if algorithm == "PS384":
            pss = padding.PSS(padding.MGF1(hashes.SHA384()), salt_length=hashes.SHA384.digest_size)
            signature = self.key.sign(signed, pss, hashes.SHA384())
        else:
            signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + base64url_text(signature)).decode("ascii")


class Double:
    """Both services under one address. `judge` verifies a quote with collateral; it raises what `verify` raises."""

    def __init__(
        self, url: str, key: SigningKey, *, judge: Callable[[bytes], Verdict], clock: Callable[[], datetime]
    ) -> None:
        self.url = url.rstrip("/")
        self._key, self._judge, self._clock = key, judge, clock

    def maa_token(self, request: Mapping[str, object], tee: Tee) -> str:
        """Return what Azure Attestation would: a token about one quote whose report data is the data's SHA-256."""
        runtime = request.get("runtimeData")
        data = runtime.get("data") if isinstance(runtime, dict) else None
        verdict = self._attested(request.get("quote"), data, tee)
        echoed = {"nonce": request["nonce"]} if isinstance(request.get("nonce"), str) else {}
        return self._signed(_maa_claims(verdict) | echoed, issuer=self.url, algorithm="RS256")

    def ita_token(self, request: Mapping[str, object]) -> str:
        """Return what Trust Authority would, in version 1.0.0."""
        verdict = self._attested(request.get("quote"), request.get("runtime_data"), None)
        return self._signed(_ita_claims(verdict), issuer=ITA_ISSUER, algorithm="PS384")

    def _attested(self, quote: object, data: object, tee: Tee | None) -> Verdict:
        evidence, bound = (_decoded(value, what) for value, what in ((quote, "quote"), (data, "runtime data")))
        verdict = self._judge(evidence)
        if tee not in (None, verdict.tee):
            raise AttestRequestUnusable(f"the quote is of {verdict.tee}, this call is for {tee}")
        if not hmac.compare_digest(verdict.body.report_data, hashlib.sha256(bound).digest() + bytes(32)):
            raise AttestRequestUnusable("the quote's report data is not the SHA-256 of the runtime data")
        return verdict

    def _signed(self, claims: Mapping[str, object], *, issuer: str, algorithm: str) -> str:
        now = int(self._clock().timestamp())
        dates = {"iat": now, "nbf": now, "exp": now + int(LIFETIME.total_seconds())}
        marked = {"iss": issuer, **dates, SIMULATED_MARK: True, **claims}
        return self._key.sign(marked, algorithm=algorithm, key_set_url=f"{self.url}/certs")

    def key_set(self) -> dict[str, object]:
        """Return what /certs answers."""
        return self._key.key_set()

    def configuration(self) -> dict[str, object]:
        """Return what /.well-known/openid-configuration answers."""
        return {
            "issuer": self.url, "jwks_uri": f"{self.url}/certs", SIMULATED_MARK: True,
            "response_types_supported": ["token"], "id_token_signing_alg_values_supported": ["RS256", "PS384"],
        }  # fmt: skip


def application(double: Double) -> Starlette:
    """Return the double as an ASGI application."""

    async def configuration(_: Request) -> JSONResponse:
        return JSONResponse(double.configuration())

    async def certs(_: Request) -> JSONResponse:
        return JSONResponse(double.key_set())

    async def sgx(request: Request) -> JSONResponse:
        return await _answer(request, lambda body: double.maa_token(body, Tee.SGX))

    async def tdx(request: Request) -> JSONResponse:
        return await _answer(request, lambda body: double.maa_token(body, Tee.TDX))

    async def ita(request: Request) -> JSONResponse:
        return await _answer(request, double.ita_token)

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", configuration),
            Route("/certs", certs),
            Route("/certs/", certs),  # as Gramine's libraries spell it
            Route("/attest/SgxEnclave", sgx, methods=["POST"]),
            Route("/attest/TdxVm", tdx, methods=["POST"]),
            Route("/appraisal/v1/attest", ita, methods=["POST"]),
        ]
    )


async def _answer(request: Request, attest: Callable[[Mapping[str, object]], str]) -> JSONResponse:
    """Return a token, or why there is none; the reason is for the person who rehearses."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_REQUEST_BYTES:
            return JSONResponse({"error": {"code": "TooLarge"}}, status_code=413)
    try:
        value = strict_json.loads(bytes(body), what="the request", error=AttestRequestUnusable, max_depth=8)
        if not isinstance(value, dict):
            raise AttestRequestUnusable("the request is not a JSON object")
        return JSONResponse({"token": attest(value)})
    except StrongroomError as refused:
        _log.warning("no token: %s [%s]", refused.sentence, refused.code)
        return JSONResponse({"error": {"code": refused.code, "message": refused.sentence}}, status_code=400)


def _decoded(value: object, what: str) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise AttestRequestUnusable(f"the request holds no {what}")
    return base64url(value.encode("ascii"), what=what, error=AttestRequestUnusable)


def _maa_claims(verdict: Verdict) -> dict[str, Any]:
    body = verdict.body
    if not isinstance(body, SgxReport):
        return {"x-ms-ver": "1.0", "x-ms-attestation-type": "tdxvm", **_tdx_claims(verdict)}
    claims = {
        "mrenclave": body.mr_enclave.hex(), "mrsigner": body.mr_signer.hex(), "product-id": body.isv_prod_id,
        "svn": body.isv_svn, "is-debuggable": body.debug, "report-data": body.report_data.hex(),
    }  # fmt: skip
    if body.kss_fields_set:
        claims |= {
            "config-id": body.config_id.hex(), "config-svn": body.config_svn,
            "isv-extended-product-id": body.isv_ext_prod_id.hex(), "isv-family-id": body.isv_family_id.hex(),
        }  # fmt: skip
    named = {f"x-ms-sgx-{name}": value for name, value in claims.items()}
    return {"x-ms-ver": "1.0", "x-ms-attestation-type": "sgx", **named}


def _ita_claims(verdict: Verdict) -> dict[str, Any]:
    body = verdict.body
    shared = {"ver": "1.0.0", "attester_type": verdict.tee.value, **_tcb_claims(verdict)}
    if not isinstance(body, SgxReport):
        return {**shared, **_tdx_claims(verdict)}
    return {
        **shared, "sgx_mrenclave": body.mr_enclave.hex(), "sgx_mrsigner": body.mr_signer.hex(),
        "sgx_isvprodid": body.isv_prod_id, "sgx_isvsvn": body.isv_svn, "sgx_is_debuggable": body.debug,
        "sgx_report_data": body.report_data.hex(),
    }  # fmt: skip


def _tdx_claims(verdict: Verdict) -> dict[str, Any]:
    body = verdict.body
    names = ("mr_td", "mr_seam", "mr_signer_seam", "mr_config_id", "mr_owner", "mr_owner_config", "rtmr0", "rtmr1",
             "rtmr2", "rtmr3")  # fmt: skip
    same = ("tee_tcb_svn", "seam_attributes", "td_attributes", "xfam", "report_data")
    return {
        **{f"tdx_{name.replace('_', '')}": getattr(body, name).hex() for name in names},
        **{f"tdx_{name}": getattr(body, name).hex() for name in same},
        "tdx_td_attributes_debug": body.debug, "dbgstat": "enabled" if body.debug else "disabled",
        "attester_tcb_status": verdict.status.value,
    }  # fmt: skip


def _tcb_claims(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "attester_tcb_status": verdict.status.value, "attester_tcb_date": timestamp(verdict.tcb_date),
    }  # fmt: skip
    return found | ({"attester_advisory_ids": list(verdict.advisories)} if verdict.advisories else {})
