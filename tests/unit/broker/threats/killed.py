"""Kill -9 a broker in the midst of one release: python killed.py FOLDER WHEN (threat SA-11).

`before`: the lease and the line are written, and the transaction is not durable yet. `after`: it is, and the secret has
not left. Whatever would leave is printed.
"""

import hashlib
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import Anchor
from strongroom.broker.admission import Admission, Case
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.names import SecretName
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.service import ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.pki import ratls
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

ROOT = bytes(range(50, 82))
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)


class Collateral:
    """What the world says now."""

    def __init__(self, world):
        self.found = world.collateral(datetime.now(UTC))

    def collateral_for(self, _quote):
        return self.found


def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def dies_behind(function):
    def wrapped(*arguments):
        function(*arguments)
        die()

    return wrapped


def main(folder, when):
    world, store = World.create(folder / "world", now=datetime.now(UTC)), open_store(folder / "broker.db")
    keyring = Keyring(store, LocalRoot(Secret(ROOT), "of the test"))
    service = ReleaseService(
        store=store, policies=Policies(store, WatchedPolicy(folder / "policy.toml")), keyring=keyring,
        ledger=Ledger(store, keyring.signing_key()), source=Collateral(world),
        anchors=[Anchor.from_certificate(world.root_der)],
    )  # fmt: skip
    service.begin()
    spki = ratls.generate_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bound = hashlib.sha256(spki).digest() + bytes(32)
    case = Case(id="case", peer="10.0.0.1:1", protocol="test", fresh=True)
    case = service.judge(case, world.quote(ENCLAVE, bound), report_data=bound, bound=spki)
    case = service.decide(case, SecretName.parse("model/m/1"))
    if when == "before":
        Admission.admit = dies_behind(Admission.admit)
    elif when == "after":
        ReleaseService._handed_over = die
    released = service.release(case)
    with released.secret.reveal() as raw:
        print(raw.hex(), flush=True)


main(Path(sys.argv[1]), sys.argv[2])
