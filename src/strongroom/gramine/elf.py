"""Read from an ELF file what an enclave's measurement needs: the entry point and the segments that are loaded.

Pure, strict and small: only the file header and the program headers are looked at, every number is checked before it is
used, and whatever a loader could read in two ways is refused. Source: System V ABI, chapters 4 and 5; ELF-64 format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from strongroom.errors import BadInput
from strongroom.wire import Reader

PAGE: Final = 0x1000
MAX_ELF_BYTES: Final = 64 * 1024 * 1024  # a libpal.so with debug information has less than 10 MiB
MAX_LOADED_BYTES: Final = 64 * 1024 * 1024  # of memory; each page of it is hashed
MAX_PROGRAM_HEADERS: Final = 64
MAX_ADDRESS: Final = 1 << 47  # user space of x86-64
HEADER_BYTES: Final = 64
PROGRAM_HEADER_BYTES: Final = 56

_IDENT: Final = bytes.fromhex("7f454c46020101")  # magic, 64-bit, little-endian, version 1
_ET_EXEC, _ET_DYN, _EM_X86_64, _PT_LOAD = 2, 3, 62, 1
_PF_X, _PF_W, _PF_R = 1, 2, 4


class ElfMalformed(BadInput):
    """A file is not an x86-64 ELF program that can be measured without doubt."""

    code = "SR-ELF"
    fix = "Name the libpal.so of the Gramine build that runs the enclave (below its directory for sgx)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One PT_LOAD segment: where it lies in memory and the file's bytes that it starts with."""

    address: int
    memory_bytes: int
    content: memoryview
    readable: bool
    writable: bool
    executable: bool

    @property
    def first_page(self) -> int:
        """The address of its first page."""
        return self.address & -PAGE

    @property
    def end(self) -> int:
        """The address after its last page."""
        return -(-(self.address + self.memory_bytes) & -PAGE)

    def page(self, address: int) -> bytes:
        """Return the 4096 bytes at `address`: what the file has there, and zeros."""
        start = address - self.address
        before = max(-start, 0)
        found = bytes(self.content[max(start, 0) : max(start + PAGE, 0)])
        return (bytes(before) + found).ljust(PAGE, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An ELF file as it is loaded: the entry point and its segments, ascending and without a common page."""

    entry: int
    segments: tuple[Segment, ...]

    @property
    def lowest(self) -> int:
        """The address of the first page."""
        return self.segments[0].first_page

    @property
    def span(self) -> int:
        """Bytes from the first page to the end of the last."""
        return self.segments[-1].end - self.lowest


def parse(data: bytes, *, what: str = "libpal") -> Program:
    """Return how the ELF file `data` is loaded. Raises ElfMalformed."""
    if len(data) > MAX_ELF_BYTES:
        raise ElfMalformed(f"{what} has {len(data)} bytes; {MAX_ELF_BYTES} are allowed")
    header = Reader(data[:HEADER_BYTES], what=what, error=ElfMalformed)
    ident = header.take(16, "ELF identification")
    kind, machine = header.u16("e_type"), header.u16("e_machine")
    header.u32("e_version")
    entry, table = header.u64("e_entry"), header.u64("e_phoff")
    header.take(14, "e_shoff, e_flags and e_ehsize")
    entry_bytes, count = header.u16("e_phentsize"), header.u16("e_phnum")
    if not ident.startswith(_IDENT) or kind not in {_ET_EXEC, _ET_DYN} or machine != _EM_X86_64:
        raise ElfMalformed(f"{what} is not a 64-bit little-endian ELF program for x86-64")
    if entry_bytes != PROGRAM_HEADER_BYTES or not 0 < count <= MAX_PROGRAM_HEADERS:
        raise ElfMalformed(f"{what} has {count} program headers of {entry_bytes} bytes; 1 to 64 of 56 are read")
    if table > len(data) - count * entry_bytes:
        raise ElfMalformed(f"{what}: the program headers at offset {table} lie outside the file")
    headers = Reader(memoryview(data)[table : table + count * entry_bytes], what=what, error=ElfMalformed)
    found = [_segment(headers, memoryview(data), what) for _ in range(count)]
    segments = tuple(each for each in found if each is not None)
    _check_layout(segments, entry, what)
    return Program(entry=entry, segments=segments)


def _segment(headers: Reader, data: memoryview, what: str) -> Segment | None:
    """Return the next program header's segment; None for one that is not loaded."""
    kind, flags = headers.u32("p_type"), headers.u32("p_flags")
    offset, address = headers.u64("p_offset"), headers.u64("p_vaddr")
    headers.u64("p_paddr")
    file_bytes, memory_bytes = headers.u64("p_filesz"), headers.u64("p_memsz")
    headers.u64("p_align")
    if kind != _PT_LOAD:
        return None
    if offset > len(data) or file_bytes > len(data) - offset:
        raise ElfMalformed(f"{what}: a segment of {file_bytes} bytes at offset {offset} lies outside the file")
    if not 0 < memory_bytes <= MAX_LOADED_BYTES or file_bytes > memory_bytes or address > MAX_ADDRESS - memory_bytes:
        raise ElfMalformed(f"{what}: a segment at {address:#x} takes {memory_bytes} bytes of memory, which cannot be")
    if (address - offset) % PAGE:
        raise ElfMalformed(f"{what}: the segment at {address:#x} does not lie in its page as in the file")
    return Segment(
        address=address, memory_bytes=memory_bytes, content=data[offset : offset + file_bytes],
        readable=bool(flags & _PF_R), writable=bool(flags & _PF_W), executable=bool(flags & _PF_X),
    )  # fmt: skip


def _check_layout(segments: Sequence[Segment], entry: int, what: str) -> None:
    """Refuse what the ABI forbids or the processor could not load: disorder, shared pages, an entry outside code."""
    if not segments:
        raise ElfMalformed(f"{what} has no segment to load")
    if any(after.first_page < before.end for before, after in pairwise(segments)):
        raise ElfMalformed(f"{what}: the segments are not in ascending order, or two share a page")
    if segments[-1].end - segments[0].first_page > MAX_LOADED_BYTES:
        raise ElfMalformed(f"{what} spans more than {MAX_LOADED_BYTES} bytes of memory")
    if not any(each.executable and each.address <= entry < each.address + each.memory_bytes for each in segments):
        raise ElfMalformed(f"{what}: the entry point {entry:#x} lies outside the code")
