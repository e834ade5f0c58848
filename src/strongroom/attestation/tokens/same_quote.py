"""Hold a token against the quote that was sent for it: a service, or whoever answers for it, may mean another one."""

from __future__ import annotations

from strongroom.attestation.quote import Quote
from strongroom.attestation.report import SgxReport
from strongroom.attestation.tokens.verdict import TokenVerdict
from strongroom.errors import Tampered

_FLAG_BYTES = 8


class TokenAboutAnotherQuote(Tampered):
    """An attestation token says something else about the program than the quote that was sent for it."""

    code = "SR-TOKEN-OTHER-QUOTE"
    fix = "Refuse this peer, and do not use this attestation service until it is explained."


def check_same_quote(verdict: TokenVerdict, quote: Quote) -> None:
    """Raise TokenAboutAnotherQuote if a field of the quote's body differs from what the token says of it."""
    body = quote.body
    fields = {name: getattr(body, name) for name in body.__dataclass_fields__} | {"tee": quote.tee, "debug": body.debug}
    if isinstance(body, SgxReport):
        fields |= {"attributes": body.attributes[:_FLAG_BYTES], "xfrm": body.attributes[_FLAG_BYTES:]}
    for name, said in verdict.evidence.items():
        if name in fields and said is not None and said != fields[name]:
            raise TokenAboutAnotherQuote(f"the token and the quote differ in {name}")
