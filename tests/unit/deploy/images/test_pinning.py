"""deploy.lock.toml: what was pushed is pinned, the owner's word wins, anything else is refused."""

import pytest

from strongroom.deploy.description import Description, Role
from strongroom.deploy.images import pinned, with_pins
from strongroom.deploy.images.pinning import LOCK, LockMalformed, parse, pin

BROKER = f"registry.example:5000/strongroom-broker@sha256:{'ab' * 32}"
FRONT = f"registry.example:5000/strongroom-front@sha256:{'cd' * 32}"


def test_a_workspace_that_pushed_nothing_has_no_pins(tmp_path):
    assert pinned(tmp_path) == {}
    assert with_pins(Description(), tmp_path) == Description()


def test_what_is_pinned_later_is_added_and_takes_the_place_of_what_was(tmp_path):
    pin(tmp_path, {Role.BROKER: FRONT.replace("front", "broker")})
    pin(tmp_path, {Role.FRONT: FRONT})
    pin(tmp_path, {Role.BROKER: BROKER})
    assert pinned(tmp_path) == {Role.BROKER: BROKER, Role.FRONT: FRONT}
    assert with_pins(Description(), tmp_path).image(Role.BROKER) == BROKER


def test_what_the_owner_names_wins(tmp_path):
    pin(tmp_path, {Role.BROKER: BROKER})
    own = Description.parse({"images": {"broker": FRONT}})
    assert with_pins(own, tmp_path).image(Role.BROKER) == FRONT


@pytest.mark.parametrize(
    "content",
    [b"", b"images = 1", b"[images]\nbroker = 1", b'[images]\nbroker = "a:latest"', b"\xff", b"[images]\n[more]\n",
     b'[images]\nkitchen = "' + BROKER.encode() + b'"', b"a" * 70_000],
)  # fmt: skip
def test_sa_04_an_image_without_a_digest_is_no_pin_but_sr_image_lock(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content[:65_536])
    with pytest.raises(LockMalformed) as caught:
        parse(content)
    assert caught.value.code == "SR-IMAGE-LOCK"


def test_nothing_is_pinned_by_a_tag(tmp_path):
    with pytest.raises(LockMalformed):
        pin(tmp_path, {Role.BROKER: "localhost:5000/strongroom-broker:v1"})
    assert pinned(tmp_path) == {}
