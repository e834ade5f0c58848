"""Kill -9 a process at every durable step of an operation on a keyring, then open everything (threat KD-14).

python crasher.py FOLDER OPERATION: prints {"steps": how many were killed, "outcomes": {...}}. Each case is a
forked child of this process, which itself stays without threads; whatever does not hold ends it with a traceback.
"""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from strongroom.broker.keyring import changing, passphrase_root
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.passphrase_root import PassphraseNeeded, ScryptCost
from strongroom.broker.keyring.shares import Share
from strongroom.broker.store.sqlite import SqliteStore
from strongroom.secret import Secret
from strongroom.workspace import Workspace

OLD, NEW, FILE_KEY = (bytes([start]) + os.urandom(31) for start in (1, 2, 3))
PASSPHRASE = Secret(b"correct horse battery staple")
CHEAP = ScryptCost(n=2**14)
MAX_STEPS = 200


def in_child(action):
    """Run `action` in a child; return its wait status."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001  # a forked child must not run on into what its parent does
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(wanted):
    """Make this process end by SIGKILL before its `wanted`-th durable step; a commit is one before and after it."""
    count = 0

    def step():
        nonlocal count
        count += 1
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def before(function):
        def wrapped(*args, **options):
            step()
            return function(*args, **options)

        return wrapped

    for name in ("fsync", "link", "replace", "rename", "unlink", "mkdir"):
        setattr(os, name, before(getattr(os, name)))
    write = SqliteStore.write

    def write_in_steps(self, operation):
        def then_step(tx):
            result = operation(tx)
            step()  # executed, and not committed
            return result

        done = write(self, then_step)
        step()
        return done

    SqliteStore.write = before(write_in_steps)


class Opened:
    """An open keyring, with whichever root key is in force."""

    def __init__(self, folder):
        self.owner = Workspace.open(folder)
        try:
            self.keyring = open_keyring(self.owner, any_root=True)
        except PassphraseNeeded:
            self.keyring = open_keyring(self.owner, passphrase=PASSPHRASE, any_root=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.keyring.close()
        self.keyring.store.close()


def template(folder):
    owner = Workspace.create(folder, now=datetime.now(UTC))
    with Opened(folder) as here:
        here.keyring.put("default", "secret/s", Secret(OLD), "owner")
        for tenant in ("default", "acme"):
            for number in range(3):
                here.keyring.put(tenant, f"model/m/{number + 1}", Secret(bytes([number]) + OLD[:15]), "owner")
        here.keyring.signing_key()
    return owner


# What is done, each on a workspace of its own


def rotate(folder):
    with Opened(folder) as here:
        here.keyring.rotate("default", "secret/s", "owner", secret=Secret(NEW))


def rotate_tenant(folder):
    with Opened(folder) as here:
        here.keyring.rotate_tenant("default")


def rewrap(folder):
    with Opened(folder) as here:
        changing.change_root(here.owner, here.keyring, "file")


def protect(folder):
    with Opened(folder) as here:
        changing.change_root(here.owner, here.keyring, "passphrase", passphrase=PASSPHRASE)


def unprotect(folder):
    rewrap(folder)


def take_over(folder):
    with Opened(folder):
        pass


def first(folder):
    with Opened(folder) as here:
        here.keyring.put("default", "secret/s", Secret(OLD), "owner")


def recover(folder):
    owner = Workspace.open(folder)
    given = [Share.parse(path.read_bytes()) for path in sorted((folder.parent / "shares").iterdir())]
    changing.recover_root(owner, given)


def prepare(operation, folder):
    if operation == "first":
        Workspace.create(folder, now=datetime.now(UTC))
        return
    owner = template(folder)
    if operation == "unprotect":
        protect(folder)
    if operation == "take_over":
        owner.secrets.put("model/late/1", Secret(FILE_KEY[:16]))
        owner.secrets.put("secret/late", Secret(FILE_KEY))
    if operation == "recover":
        with Opened(folder) as here:
            changing.write_shares(
                changing.split_root(here.keyring.root, threshold=2, count=3), folder.parent / "shares"
            )
        (folder / "root/root.key").unlink()


# What has to hold afterwards


def check(operation, folder, outcome):
    """Open everything; nothing is lost, and nothing is half done. Then do the operation to its end."""
    if operation == "recover" and not (folder / "root/root.key").exists():
        recover(folder)
    with Opened(folder) as here:
        keyring = here.keyring
        if operation == "first":
            infos = keyring.infos("default")
            assert [info.version for info in infos] == [1] * len(infos)
            said = f"{len(infos)} secrets"
        else:
            said = check_secrets(operation, keyring)
        names = sorted(path.name for path in (folder / "root").iterdir())
        assert names in (["root.key"], ["root.passphrase"]), names
        assert here.owner.secrets.names() == ()
        root = f"{names[0]} in force" if operation in {"protect", "unprotect"} else ""
    outcome.write_text(" ".join(filter(None, (said, root))))
    if operation not in {"first", "recover"}:
        OPERATIONS[operation](folder)
        with Opened(folder) as here:
            check_secrets(operation, here.keyring)


def check_secrets(operation, keyring):
    for tenant in ("default", "acme"):
        for number in range(3):
            assert keyring.get(tenant, f"model/m/{number + 1}") == Secret(bytes([number]) + OLD[:15])
    keyring.signing_key()
    if operation == "take_over":
        assert keyring.get("default", "model/late/1") == Secret(FILE_KEY[:16])
        assert keyring.get("default", "secret/late") == Secret(FILE_KEY)
        assert max(info.version for info in keyring.infos("default")) == 1
    newest = keyring.get("default", "secret/s")
    if operation != "rotate":
        assert newest == Secret(OLD)
        return "old"
    assert keyring.get("default", "secret/s", 1) == Secret(OLD)
    assert newest in (Secret(OLD), Secret(NEW))
    return "new" if newest == Secret(NEW) else "old"


OPERATIONS = {
    each.__name__: each for each in (rotate, rotate_tenant, rewrap, protect, unprotect, take_over, first, recover)
}


def main(base, operation):
    passphrase_root.ScryptCost = lambda *values: ScryptCost(*values) if values else CHEAP
    start = base / "start"
    start.mkdir(mode=0o700)
    assert in_child(lambda: prepare(operation, start / "workspace")) == 0
    outcomes = Counter()
    for number in range(1, MAX_STEPS):
        case = base / "case"
        shutil.copytree(start, case)

        def work(case=case, number=number):
            killed_at(number)
            OPERATIONS[operation](case / "workspace")

        status = in_child(work)
        if status == 0:
            print(json.dumps({"steps": number - 1, "outcomes": outcomes}))
            return
        assert status == signal.SIGKILL, f"step {number}: {status}"
        outcome = base / "outcome"
        held = in_child(lambda case=case, outcome=outcome: check(operation, case / "workspace", outcome))
        assert held == 0, f"{operation} killed at step {number}"
        outcomes[outcome.read_text()] += 1
        shutil.rmtree(case)
    raise AssertionError("the operation has no end")


main(Path(sys.argv[1]), sys.argv[2])
