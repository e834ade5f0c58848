"""Release keys to attested code: rules, decisions, the ledger, and both ends of Gramine's provisioning protocol.

Law of this room: deny by default. A secret leaves only when evidence holds, exactly one secret is granted, and the
ledger's line is on the disk; a refused peer learns nothing, the owner learns everything. `release`, `policy_file`,
`policy_text`, `chain` and `records` are pure; `server`, `client`, `ledger`, `policy_store` and `setup` touch the world.
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
