"""Provisioning and ra_config.json under arbitrary bytes: a value or one catalogued error; round trips in any cut."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.gramine import provisioning, ra_config
from strongroom.gramine.provisioning import Client, SecretReceived, SecretRequested, Server
from strongroom.secret import Secret

PIECES = st.lists(st.binary(max_size=60), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEX = st.binary(min_size=32, max_size=32).filter(any).map(bytes.hex)
NUMBER = st.integers(0, 65535)


def cut(data, points):
    places = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 400), max_size=6))
def test_a_secret_travels_whole_however_the_bytes_are_cut(raw, points):
    server, client = Server(), Client()
    asked = [event for piece in cut(client.request(), points) for event in server.receive(piece)]
    assert asked == [SecretRequested()]
    got = [event for piece in cut(bytes(server.answer(Secret(raw))), points) for event in client.receive(piece)]
    assert got == [SecretReceived(Secret(raw))]


@given(PIECES)
def test_fb_17_only_the_exact_request_is_a_request(pieces):
    server, events = Server(), []
    try:
        for piece in pieces:
            events += server.receive(piece)
    except StrongroomError:
        return
    assert (events == [SecretRequested()]) == (b"".join(pieces) == provisioning.REQUEST)


@given(PIECES, st.booleans())
def test_only_an_exact_answer_gives_a_secret(pieces, well_begun):
    client, events = Client(), []
    sent = [provisioning.RESPONSE, *pieces] if well_begun else pieces
    try:
        for piece in sent:
            events += client.receive(piece)
    except StrongroomError:
        return
    whole = b"".join(sent)
    if events:
        assert whole == provisioning.RESPONSE + len(whole[41:]).to_bytes(4, "big") + whole[41:]
        assert events == [SecretReceived(Secret(whole[41:]))]


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_config_or_one_catalogued_error(data):
    try:
        ra_config.parse(data)
    except StrongroomError as refusal:
        assert refusal.code == "SR-RA-CONFIG"


@given(
    st.lists(st.tuples(HEX, HEX, NUMBER, NUMBER), min_size=1, max_size=5),
    st.tuples(*[st.booleans()] * 4),
)
def test_what_is_on_is_enforced_exactly_and_what_is_off_is_not(rows, on):
    entries = [dict(zip(ra_config.FIELDS, row, strict=True)) for row in rows]
    switches = {f"verify_{field}": "on" if flag else "off" for field, flag in zip(ra_config.FIELDS, on, strict=True)}
    admissible = on[0] or (on[1] and on[2] and on[3])
    try:
        config = ra_config.parse(json.dumps({**switches, "mrs": entries}).encode())
    except StrongroomError:
        assert not admissible
        return
    assert admissible
    for row, entry in zip(rows, config.entries, strict=True):
        expected = (bytes.fromhex(row[0]), bytes.fromhex(row[1]), row[2], row[3])
        found = (entry.mr_enclave, entry.mr_signer, entry.isv_prod_id, entry.isv_svn)
        assert found == tuple(value if flag else None for value, flag in zip(expected, on, strict=True))
