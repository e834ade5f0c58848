"""A secret shows its length and nothing else."""

import copy
import json
import logging
import pickle

import pytest

from strongroom.secret import Secret

RAW = b"correct horse battery staple"


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "{:>40}".format, lambda s: f"{s!r}", lambda s: "%s" % s])  # noqa: UP031  # old-style formatting is a way to leak as well
def test_no_way_of_printing_shows_the_bytes(shown):
    text = shown(Secret(RAW))
    assert "Secret(28 bytes)" in text
    assert "horse" not in text


def test_logging_a_secret_shows_its_length(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("key %s", Secret(RAW))
    assert caplog.messages == ["key Secret(28 bytes)"]


@pytest.mark.parametrize("travel", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash])
def test_a_secret_does_not_travel(travel):
    with pytest.raises(TypeError):
        travel(Secret(RAW))


def test_revealing_lends_the_bytes():
    with Secret(RAW).reveal() as raw:
        assert raw == RAW


def test_equality_compares_content():
    assert Secret(RAW) == Secret(bytearray(RAW))
    assert Secret(RAW) != Secret(RAW[:-1])
    assert Secret(RAW) != RAW


def test_a_wiped_secret_is_empty():
    secret = Secret(RAW)
    secret.wipe()
    assert len(secret) == 0
    with secret.reveal() as raw:
        assert raw == b""
