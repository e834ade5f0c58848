"""Release keys to attested code, for several tenants, over Gramine's and the KBS protocol, with a ledger of it all.

Law of this room: deny by default. A secret leaves only when evidence holds, a rule grants it, no limit or revocation
stands against it, and lease and ledger line are on the disk. A refused peer learns nothing, the owner everything. The
core (`store`, `keyring`, `policy`, `ledger`, `release`, `admission`, `service`, the protocols) knows nothing of what
stands around it: `web`, `admin`, `console`, `operations`. `opening` and `run` put it together.
"""

from strongroom.broker.gramine_client import BrokerRefused, BrokerUnreachable, BrokerUntrusted, provision
from strongroom.broker.gramine_server import BrokerServer, ServerLimits
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.file import PolicyFileMalformed, ReleasePolicy
from strongroom.broker.release import Denial, DenialReason, Grant, ReleaseRule, SignatureCheck, decide
from strongroom.broker.service import ReleaseService

__all__ = [
    "BrokerRefused",
    "BrokerServer",
    "BrokerUnreachable",
    "BrokerUntrusted",
    "Denial",
    "DenialReason",
    "Grant",
    "Ledger",
    "PolicyFileMalformed",
    "ReleasePolicy",
    "ReleaseRule",
    "ReleaseService",
    "ServerLimits",
    "SignatureCheck",
    "decide",
    "provision",
]
