"""Show what a sealed file says about itself.

Without a key: what node 0 says in clear (nothing of it is proved), and the pin. With -w: the stored path and the
plaintext size as well, from node 0 as verified under the key. No data node is read; "file verify" does that.

  strongroom file inspect -i models/resnet50/1/model.onnx
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom import sealing
from strongroom.cli import file_common as common
from strongroom.sealing.layout import NODE_BYTES, node_count, plain_size_range
from strongroom.sealing.node0 import GRAMINE_MAGIC
from strongroom.sealing.paths import RECOVERY_SUFFIX

Fact = str | int | bool


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_key(parser, required=False)
    common.add_input_or_word(parser, "the sealed file")
    common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    path = args.input or args.word
    facts = clear_facts(path)
    if args.wrap_key is not None:
        facts |= sealed_facts(path, args.wrap_key)
    if args.json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        sys.stdout.write(f"{name.replace('_', ' '):<{width}}{plain(name, value)}\n")
    if facts["pending_write"]:
        common.notice("unfinished write: use a mount with enable_recovery and keep the recovery file")
    return 0


def plain(name: str, value: Fact) -> str:
    """Return a fact as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return common.shown(str(value)) if name in {"file", "path"} else str(value)


def clear_facts(path: str) -> dict[str, Fact]:
    """Return what node 0 and the file system say without a key."""
    node0, length = sealing.read_node0(path)
    header = sealing.parse_header(node0, length=length)
    gramine = header.magic == GRAMINE_MAGIC
    least, most = plain_size_range(length)
    return {
        "file": path,
        "magic": "Gramine" if gramine else "Graphene 1.1 or 1.2-rc1: Gramine refuses it, file rename rewrites it",
        "version": header.major,
        "minor_version": header.minor,
        "flags": header.flags,
        "pending_write": header.pending_write,
        "recovery_file": Path(path + RECOVERY_SUFFIX).exists(),
        "padding_zero": header.padding_zero,
        "bytes": length,
        "nodes": length // NODE_BYTES,
        "plain_size_least": least,
        "plain_size_most": most,
        "pin": sealing.pin_of(node0).hex(),
    }  # fmt: skip


def sealed_facts(path: str, key_file: Path) -> dict[str, Fact]:
    """Return what node 0 says under the key."""
    key = sealing.read_wrap_key(key_file)
    try:
        sealing.check_wrap_key(key)
        weak = False
    except sealing.WeakKey:
        weak = True
    with sealing.open(path, key, stored_path=None, weak_key=True) as reader:
        needed = node_count(reader.size)
        return {"path": reader.stored_path, "size": reader.size, "nodes_needed": needed, "weak_key": weak}
