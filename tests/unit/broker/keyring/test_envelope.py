"""What is wrapped opens under its key and in its place, and nowhere else."""

import ast
import itertools
from pathlib import Path

import pytest

from strongroom.broker.keyring import envelope
from strongroom.broker.keyring.envelope import Context, EnvelopeTampered
from strongroom.secret import Secret

KEY = Secret(bytes(range(32)))
CONTENT = Secret(bytes(range(100, 132)))
NONCE = bytes(range(200, 212))
PLACE = Context(purpose="secret", tenant="default", name="model/resnet50/1", version=1, generation=1)
OTHERS = [
    Context(purpose="tenant-key", tenant="default", name="model/resnet50/1", version=1, generation=1),
    Context(purpose="secret", tenant="default2", name="model/resnet50/1", version=1, generation=1),
    Context(purpose="secret", tenant="defaultm", name="odel/resnet50/1", version=1, generation=1),
    Context(purpose="secret", tenant="default", name="model/resnet50/2", version=1, generation=1),
    Context(purpose="secret", tenant="default", name="model/resnet50/1", version=2, generation=1),
    Context(purpose="secret", tenant="default", name="model/resnet50/1", version=1, generation=2),
    Context(purpose="secret", tenant="", name="defaultmodel/resnet50/1", version=1, generation=1),
    Context(purpose="secretdefault", tenant="", name="model/resnet50/1", version=1, generation=1),
    Context(purpose="secret", tenant="default", name="model/resnet50/1", version=1 << 32, generation=1),
]


def test_kd_16_golden_values_of_the_format_are_fixed():
    assert PLACE.encode().hex() == (
        "7374726f6e67726f6f6d206b657972696e67204145532d3235362d47434d207631"
        "0006736563726574000764656661756c7400106d6f64656c2f7265736e657435302f31"
        "00000000000000010000000000000001"
    )
    assert (
        envelope.derive(KEY, PLACE.encode()).hex() == "81b7d391a844fc5952e1a4f70fb01d872975b01a5dcd0d3f1dab76e600b16cdf"
    )
    wrapped = envelope.wrap(KEY, CONTENT, PLACE.encode(), nonce=NONCE)
    assert wrapped.hex() == (
        "01c8c9cacbcccdcecfd0d1d2d3534db53b39818d405c0c1852da8fadf552d42d"
        "1752e226e37fabbdaad5c8f9196a6129c8ede21bb2630c55d9cbb09435"
    )
    assert envelope.unwrap(KEY, wrapped, PLACE.encode()) == CONTENT


def test_kd_16_the_derived_keys_of_all_pairs_of_contexts_differ():
    contexts = [PLACE, *OTHERS]
    for left, right in itertools.combinations(contexts, 2):
        assert left.encode() != right.encode()
        assert envelope.derive(KEY, left.encode()) != envelope.derive(KEY, right.encode())
        assert envelope.derive(KEY, left.encode()) != envelope.derive(CONTENT, left.encode())


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_kd_06_what_is_wrapped_does_not_open_in_another_place(other):
    wrapped = envelope.wrap(KEY, CONTENT, PLACE.encode(), nonce=NONCE)
    with pytest.raises(EnvelopeTampered) as caught:
        envelope.unwrap(KEY, wrapped, other.encode())
    assert caught.value.code == "SR-ENVELOPE"


def test_kd_06_no_bit_can_be_changed_and_nothing_cut_off():
    wrapped = envelope.wrap(KEY, CONTENT, PLACE.encode(), nonce=NONCE)
    for bit in range(8 * len(wrapped)):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeTampered):
            envelope.unwrap(KEY, bytes(changed), PLACE.encode())
    for length in range(len(wrapped)):
        with pytest.raises(EnvelopeTampered):
            envelope.unwrap(KEY, wrapped[:length], PLACE.encode())
    with pytest.raises(EnvelopeTampered):
        envelope.unwrap(KEY, wrapped + b"\0", PLACE.encode())


def test_kd_06_another_key_does_not_open_it():
    wrapped = envelope.wrap(KEY, CONTENT, PLACE.encode(), nonce=NONCE)
    with pytest.raises(EnvelopeTampered):
        envelope.unwrap(CONTENT, wrapped, PLACE.encode())


UNWANTED = {"ECB", "PKCS1v15", "TripleDES", "ARC4", "PBKDF2HMAC", "SHA1", "MD5", "CBC", "pbkdf2_hmac", "sha1", "md5"}


def test_kd_27_no_outdated_primitive_is_named_where_keys_are_kept():
    folder = Path(envelope.__file__).parent
    for module in folder.rglob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named |= {each.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for each in node.names}
        assert not named & UNWANTED, module.name
