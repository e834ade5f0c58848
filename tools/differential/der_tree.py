"""DER as a tree that can be damaged in one place and written again with every enclosing length put right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

_CONSTRUCTED = 0x20
_OCTET_STRING, _BIT_STRING = 0x04, 0x03


@dataclass
class Node:
    """One TLV: children where the content is TLVs itself, else plain content; `padded` writes a non-minimal length."""

    tag: int
    content: bytes = b""
    children: list[Node] = field(default_factory=list)
    prefix: bytes = b""  # of an encapsulating BIT STRING: the count of unused bits
    padded: bool = False

    def walk(self) -> Iterator[Node]:
        """Yield this node and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def to_bytes(self) -> bytes:
        """Return the DER (or what has become of it)."""
        content = self.prefix + b"".join(child.to_bytes() for child in self.children) if self.children else self.content
        size = len(content)
        if size < 0x80 and not self.padded:
            return bytes([self.tag, size]) + content
        octets = size.to_bytes(max(1, (size.bit_length() + 7) // 8) + self.padded, "big")
        return bytes([self.tag, 0x80 | len(octets)]) + octets + content


def parse(data: bytes) -> Node:
    """Return the tree of one sound DER value."""
    node, rest = _parse(data)
    if rest:
        raise ValueError("bytes follow the value")
    return node


def damage(data: bytes, rng: random.Random) -> bytes:
    """Return the DER with one node changed, moved, doubled or dropped."""
    root = parse(data)
    parents = [node for node in root.walk() if node.children]
    parent = rng.choice(parents)
    index = rng.randrange(len(parent.children))
    child = parent.children[index]
    action = rng.choice((_retag, _flip, _flip, _resize, _pad, _empty))
    step = rng.randrange(9)
    if step == 0:
        del parent.children[index]
    elif step == 1:
        parent.children.insert(index, child)
    elif step == 2:
        rng.shuffle(parent.children)
    else:
        action(child, rng)
    if not parent.children:
        parent.content = parent.prefix
    return root.to_bytes()


def _retag(node: Node, rng: random.Random) -> None:
    node.tag = rng.choice((0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0C, 0x13, 0x17, 0x18, 0x30, 0x31, 0xA0, 0xA3))


def _flip(node: Node, rng: random.Random) -> None:
    content = bytearray(node.prefix + b"".join(child.to_bytes() for child in node.children) or node.content)
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    node.children, node.content = [], bytes(content)


def _resize(node: Node, rng: random.Random) -> None:
    content = node.prefix + b"".join(child.to_bytes() for child in node.children) or node.content
    node.children = []
    node.content = rng.choice((content + b"\0", b"\0" + content, content[:-1], content * 2))


def _pad(node: Node, rng: random.Random) -> None:  # noqa: ARG001  # one shape for all actions
    node.padded = True


def _empty(node: Node, rng: random.Random) -> None:  # noqa: ARG001  # one shape for all actions
    node.children, node.content = [], b""


def _parse(data: bytes) -> tuple[Node, bytes]:
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise ValueError("not a TLV of this tool")
    tag, size, head = data[0], data[1], 2
    if size >= 0x80:
        head += size & 0x7F
        size = int.from_bytes(data[2:head], "big")
    content, rest = data[head : head + size], data[head + size :]
    if len(content) != size:
        raise ValueError("a length that is not there")
    if tag & _CONSTRUCTED:
        return Node(tag, children=_children(content)), rest
    prefix = content[:1] if tag == _BIT_STRING else b""
    if tag in {_OCTET_STRING, _BIT_STRING} and content[len(prefix) : len(prefix) + 1] in {b"\x30", b"\x02"}:
        try:  # extensions and the like hide more DER in strings
            return Node(tag, children=_children(content[len(prefix) :]), prefix=prefix), rest
        except ValueError:
            pass
    return Node(tag, content=content), rest


def _children(content: bytes) -> list[Node]:
    children = []
    while content:
        child, content = _parse(content)
        children.append(child)
    return children
