"""Sealed files: Gramine's encrypted-file format, the one sealed format of Strongroom.

Law of this room: everything is pure but `files` and `disk`, which touch disk, processes and entropy. No plaintext
leaves a node before its tag was verified; no key seals twice; no output has a name before it is whole. It
knows bytes, paths and 16-byte keys; models, bundles and brokers are above.

`layout` where everything lies · `keys` wrap keys · `paths` path binding · `node0` header and metadata · `nodes` the
hot loops · `reader` random access · `writer` sealing · `workers` sharing the work · `files` whole
files · `disk` how they get their names.
"""

from strongroom.sealing.disk import BadOutput, NotAFile
from strongroom.sealing.files import (
    decrypt_file,
    encrypt_file,
    new_wrap_key,
    open,  # noqa: A004 - the room's verb: sealing.open(path, key)
    pin_file,
    read_node0,
    read_wrap_key,
    rewrite_file,
    verify_file,
)
from strongroom.sealing.keys import WeakKey, WrapKeyLength, check_wrap_key
from strongroom.sealing.node0 import (
    Header,
    NotASealedFile,
    Truncated,
    UnfinishedWrite,
    UnknownVersion,
    WrongKeyOrTampered,
    WrongPin,
    parse_header,
    pin_of,
)
from strongroom.sealing.nodes import DataTampered, RootTampered, TableTampered
from strongroom.sealing.paths import AsOpened, BadStoredPath, WrongPath, normalise
from strongroom.sealing.reader import SealedReader, Summary, open_source, unseal_bytes
from strongroom.sealing.source import ChangedMeanwhile, MemorySource, Source, StreamSource
from strongroom.sealing.workers import HelperLost
from strongroom.sealing.writer import seal_bytes

__all__ = [
    "AsOpened",
    "BadOutput",
    "BadStoredPath",
    "ChangedMeanwhile",
    "DataTampered",
    "Header",
    "HelperLost",
    "MemorySource",
    "NotAFile",
    "NotASealedFile",
    "RootTampered",
    "SealedReader",
    "Source",
    "StreamSource",
    "Summary",
    "TableTampered",
    "Truncated",
    "UnfinishedWrite",
    "UnknownVersion",
    "WeakKey",
    "WrapKeyLength",
    "WrongKeyOrTampered",
    "WrongPath",
    "WrongPin",
    "check_wrap_key",
    "decrypt_file",
    "encrypt_file",
    "new_wrap_key",
    "normalise",
    "open",
    "open_source",
    "parse_header",
    "pin_file",
    "pin_of",
    "read_node0",
    "read_wrap_key",
    "rewrite_file",
    "seal_bytes",
    "unseal_bytes",
    "verify_file",
]
