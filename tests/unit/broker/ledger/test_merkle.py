"""The tree of RFC 6962: known answers, and a naive implementation of the recursive definitions."""

import hashlib

import pytest

from strongroom.broker.ledger import merkle

# The eight leaves that the reference implementation of RFC 6962 is tested with, and the roots over the first n of them.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves):
    """MTH of section 2.1."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m, leaves):
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m, leaves, *, whole=True):
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = largest_power(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], whole=False), naive_root(leaves[:k])]


def largest_power(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def proof_of(ranges, leaves):
    return merkle.prove(ranges, lambda low, high: merkle.root_of(merkle.leaf_hash(each) for each in leaves[low:high]))


def grown(leaves):
    tree = merkle.Frontier()
    for leaf in leaves:
        tree = tree.grown(merkle.leaf_hash(leaf))
    return tree


def test_no_leaf_has_the_hash_of_nothing():
    assert merkle.Frontier().root() == merkle.EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_that_are_known(size):
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size - 1] == naive_root(LEAVES[:size]).hex()


@pytest.mark.parametrize("size", [*range(1, 35), 63, 64, 65])
def test_roots_and_proofs_are_those_of_the_definitions(size):
    leaves = [bytes([number]) * number for number in range(size)]
    root = grown(leaves).root()
    assert root == naive_root(leaves)
    for index in range(size):
        proof = proof_of(merkle.inclusion_ranges(index, size), leaves)
        assert list(proof) == naive_path(index, leaves)
        assert merkle.includes(merkle.leaf_hash(leaves[index]), index, size=size, root=root, proof=proof)
    for old in range(1, size + 1):
        proof = proof_of(merkle.consistency_ranges(old, size), leaves)
        assert list(proof) == naive_subproof(old, leaves)
        assert merkle.extends(old, naive_root(leaves[:old]), size, root, proof=proof)


def test_a_leaf_is_no_node():
    left, right = (merkle.leaf_hash(each) for each in (b"a", b"b"))
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert not merkle.includes(merkle.leaf_hash(left + right), 0, size=1, root=merkle.node_hash(left, right), proof=())


@pytest.mark.parametrize("size", range(20))
def test_a_frontier_is_kept_as_bytes(size):
    tree = grown([bytes([number]) for number in range(size)])
    assert merkle.Frontier.from_bytes(size, tree.to_bytes()) == tree
    assert merkle.Frontier.from_bytes(size, tree.to_bytes() + b"x") is None
    assert merkle.Frontier.from_bytes(2 * size + 1, tree.to_bytes()) is None
    assert merkle.Frontier.from_bytes(-1, b"") is None


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_a_leaf_that_is_not_there_has_no_proof(index, size):
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_ranges(index, size)
    assert not merkle.includes(bytes(32), index, size=size, root=bytes(32), proof=())


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (6, 5)])
def test_trees_that_cannot_be_compared_are_not(old, new):
    with pytest.raises(ValueError, match="cannot be compared"):
        merkle.consistency_ranges(old, new)
    assert not merkle.extends(old, merkle.EMPTY_ROOT, new, bytes(32), proof=())


def test_a_proof_is_a_short_list_of_hashes():
    leaf = merkle.leaf_hash(b"a")
    assert merkle.includes(leaf, 0, size=1, root=leaf, proof=())
    assert not merkle.includes(leaf, 0, size=1, root=leaf, proof=(bytes(31),))
    assert not merkle.includes(leaf, 0, size=1, root=leaf, proof=(bytes(32),) * 1000)
    assert not merkle.extends(1, leaf, 2, leaf, proof=(bytes(33),))
    assert not merkle.extends(3, leaf, 5, leaf, proof=())
    assert not merkle.extends(1, leaf, 2, leaf, proof=(bytes(32),) * 5)
