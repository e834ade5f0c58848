"""Reading hostile bytes: every length is checked before it is used.

Law of this room: pure, no knowledge of any format's meaning. `Reader` walks binary layouts, `strict_json` reads JSON
that somebody signed or an operator edits, `der` walks ASN.1 DER, `cbor` the few CBOR forms that RA-TLS needs.
"""

from strongroom.wire.reader import Malformed, Reader

__all__ = ["Malformed", "Reader"]
