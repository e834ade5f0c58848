"""Stores, root keys and workspaces for the keyring's tests."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.store.opening import open_store
from strongroom.workspace import Workspace


class Clock:
    """A clock that a test moves on."""

    def __init__(self):
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    (tmp_path / "store").mkdir(mode=0o700)
    opened = open_store(tmp_path / "store" / "broker.db", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def root():
    return LocalRoot(new_root_key(), "a test")


@pytest.fixture
def keyring(store, root):
    made = Keyring(store, root)
    made.begin()
    return made


@pytest.fixture
def again(store, keyring, root):
    """A second keyring of the same store and root, which has unwrapped nothing yet: another broker."""
    return Keyring(store, root)


@pytest.fixture
def owner(tmp_path):
    return Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))


@pytest.fixture
def opened():
    """Opens a workspace's keyring for the length of a `with` block."""

    @contextmanager
    def opening(owner, **options):
        keyring = open_keyring(owner, **options)
        try:
            yield keyring
        finally:
            keyring.close()
            keyring.store.close()

    return opening
