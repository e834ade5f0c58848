"""Fixtures of the attestation tests: a platform small enough to break, and a judge for it."""

import importlib.util
import sys
from datetime import datetime
from pathlib import Path

import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceCode, EvidenceRefused, TcbStatus, Verdict, verify


def _load_little_world():
    """Load the helper beside this file: tests are collected in importlib mode, where siblings cannot be imported."""
    name = "strongroom_tests_little_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("little_world.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def lw():
    """Return the module `little_world`."""
    return _load_little_world()


@pytest.fixture
def world(lw):
    """Return a sound platform, to be broken in one place."""
    return lw.LittleWorld()


@pytest.fixture
def judge():
    """Return a function that verifies a little world's quote against its collateral, under its own root."""

    def judged(world, *, at: datetime | None = None, anchors=None) -> Verdict:
        anchors = [Anchor.from_certificate(world.root_der())] if anchors is None else anchors
        return verify(world.quote(), Collateral(**world.collateral()), anchors=anchors, at=at or world.now)

    return judged


@pytest.fixture
def expect(judge, world):
    """Return a function that changes the little world and wants a status, or the code of a refusal."""

    def expected(wanted: TcbStatus | str, change) -> None:
        change(world)
        if isinstance(wanted, TcbStatus):
            assert judge(world).status is wanted
            return
        with pytest.raises(EvidenceRefused) as caught:
            judge(world)
        assert caught.value.reason == EvidenceCode[wanted], caught.value.sentence

    return expected
