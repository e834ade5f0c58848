"""Write an answer down in the recorded form, from which `recorded` serves it again. Pure.

Uploads are kept so, and a mirror is carried to a machine without any network so: one JSON file an answer, public data
but for PCK certificates, which name a machine (by its encrypted PPID).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.collateral.api import IDENTITIES, Answer, Kind, Request
from strongroom.collateral.assemble import BadAnswer, Exchange, crl_der, issuer_chain
from strongroom.collateral.checks import pck_tcbm

BODY_MEMBERS: Final[Mapping[Kind, str]] = {
    Kind.TCB: "tcb_info_json",
    **dict.fromkeys(IDENTITIES, "enclave_identity_json"),
    Kind.TCB_EVAL_NUMBERS: "tcb_evaluation_data_numbers_json",
    Kind.FMSPCS: "fmspcs_json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file of the recorded form: its name, and the members of the JSON object in it."""

    name: str
    members: Mapping[str, str]

    def content(self) -> bytes:
        """Return the file's content."""
        return json.dumps(dict(self.members), indent=1).encode("utf-8")


def record(exchange: Exchange) -> Recording | None:
    """Return a 200 answer as a recording; None for kinds that can be had from others. Raises BadAnswer."""
    request, answer = exchange.request, exchange.answer
    match request.kind:
        case Kind.PCK_CRL | Kind.ROOT_CRL:
            members = {"crl_data_base64": base64.b64encode(crl_der(request, answer)).decode("ascii")}
            if request.kind is Kind.PCK_CRL:
                members["issuer_chain"] = issuer_chain(request, answer)
            return Recording(name=f"crl_{request.parameters.get('ca', 'root')}.json", members=members)
        case Kind.PCK_CERT:
            return _certificate(request, answer)
        case Kind.PCK_CERTS | Kind.CRL:
            return None
    members = {BODY_MEMBERS[request.kind]: _text(answer)}
    if request.kind is not Kind.FMSPCS:
        members["issuer_chain"] = issuer_chain(request, answer)
    return Recording(name=_name(request), members=members)


def _name(request: Request) -> str:
    """Return a file name from parameters that can hold nothing but letters and digits."""
    asked = request.parameters
    parts = [request.tee.value.lower(), request.kind.value.replace("/", "_"), asked.get("fmspc", "")]
    parts.append(asked.get("platform", ""))
    parts.append(f"eval{asked['tcbEvaluationDataNumber']}" if "tcbEvaluationDataNumber" in asked else "")
    parts.append("early" if asked.get("update") == "early" else "")
    parts.append("v3" if request.version == 3 else "")
    return "_".join(part for part in parts if part) + ".json"


def _certificate(request: Request, answer: Answer) -> Recording:
    members = {"pck_certificate": _text(answer), "issuer_chain": issuer_chain(request, answer)}
    asked = request.parameters
    for parameter, member in (("qeid", "qe_id"), ("encrypted_ppid", "encrypted_ppid")):
        if parameter in asked:
            members[member] = asked[parameter]
    machine = hashlib.sha256(f"{asked.get('qeid')} {asked.get('encrypted_ppid')}".encode("ascii")).hexdigest()[:32]
    return Recording(name=f"pck_{machine}_{pck_tcbm(Exchange(request, answer))}.json", members=members)


def _text(answer: Answer) -> str:
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadAnswer("an answer is not text") from None
