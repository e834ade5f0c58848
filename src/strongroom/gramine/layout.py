"""Lay out an enclave's memory as Gramine's signer does: which page lies where, with which rights and content.

Pure. The order, the sizes and the two control structures of each thread are the same from Gramine 1.0 to 1.9; versions
up to 1.4 put position-independent enclaves at an address of their own. Source: spec gramine.md sections 10.1 to 10.4
and 10.6; Gramine, `python/graminelibos/sgx_sign.py`; Intel SDM volume 3D (TCS).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import BadInput
from strongroom.gramine import elf

PAGE: Final = 0x1000
SSA_FRAME_BYTES: Final = 0x4000
SSA_FRAMES: Final = 2  # per thread
STACK_BYTES: Final = 0x40000
SIGNAL_STACK_BYTES: Final = 0x10000
HEAP_MIN: Final = 0x10000
CANARY: Final = 0xBADBADBADBAD
GPR_BYTES: Final = 0xB8
READ, WRITE, EXECUTE, TCS, REGULAR = 0x1, 0x2, 0x4, 0x100, 0x200  # SECINFO flags

_DATA: Final = REGULAR | READ | WRITE
_SSA_BYTES: Final = SSA_FRAME_BYTES * SSA_FRAMES
ZERO_PAGE: Final = bytes(PAGE)


class EnclaveDoesNotFit(BadInput):
    """The memory that a manifest asks for is too small for what has to lie in it."""

    code = "SR-ENCLAVE-SIZE"
    fix = "Raise sgx.enclave_size (a power of two), or lower sgx.max_threads."


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveSettings:
    """What decides the layout besides the bytes of manifest and libpal."""

    enclave_size: int  # bytes, a power of two
    threads: int
    edmm: bool = False  # heap pages are added at run time
    high_base: bool = False  # 1.4 and older without sgx.nonpie_binary: the base is the size of the enclave

    @property
    def base(self) -> int:
        """The address that page offsets count from."""
        return self.enclave_size if self.high_base else 0

    @property
    def heap_min(self) -> int:
        """The lowest address of the heap."""
        return self.enclave_size if self.high_base else HEAP_MIN


@dataclass(frozen=True, slots=True)
class Area:
    """A run of pages of one kind; `content` is padded with zeros."""

    name: str
    address: int
    size: int
    flags: int
    content: bytes = b""

    @property
    def end(self) -> int:
        """The address after the area."""
        return self.address + self.size

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield address and 4096 bytes of each page, ascending."""
        for at in range(0, self.size, PAGE):
            content = self.content[at : at + PAGE]
            yield self.address + at, content.ljust(PAGE, b"\0") if content else ZERO_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An enclave's memory: areas in the order in which they are added, then libpal at `pal`, then unmeasured heap."""

    settings: EnclaveSettings
    areas: tuple[Area, ...]
    pal: int
    program: elf.Program
    heap: tuple[tuple[int, int], ...]  # address ranges, from and to

    def pal_pages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield address, flags and 4096 bytes of each page of libpal, in the order of its program headers."""
        shift = self.pal - self.program.lowest
        for segment in self.program.segments:
            rights = READ * segment.readable | WRITE * segment.writable | EXECUTE * segment.executable
            for address in range(segment.first_page, segment.end, PAGE):
                yield address + shift, REGULAR | rights, segment.page(address)


@dataclass(frozen=True, slots=True)
class _Places:
    """Addresses that the threads' control structures refer to."""

    ssa: int
    tcs: int
    tls: int
    stacks: Sequence[int]
    signal_stacks: Sequence[int]
    pal: int
    manifest_bytes: int  # with the NUL at its end


def lay_out(settings: EnclaveSettings, manifest: bytes, program: elf.Program) -> Layout:
    """Return the layout of the enclave of `manifest` (its exact bytes). Raises EnclaveDoesNotFit."""
    data = manifest + b"\0"
    threads, top = settings.threads, settings.base + settings.enclave_size
    sizes = [_round_up(len(data)), threads * _SSA_BYTES, threads * PAGE, threads * PAGE]
    sizes += [STACK_BYTES] * threads + [SIGNAL_STACK_BYTES] * threads
    addresses = []
    for size in sizes:
        top -= size
        addresses.append(top)
    pal = program.lowest or top - program.span
    if min(pal, top) < settings.heap_min or pal + program.span > top:
        raise EnclaveDoesNotFit(
            f"manifest, libpal and {threads} threads do not fit into an enclave of {settings.enclave_size} bytes"
        )
    stacks, signal_stacks = addresses[4 : 4 + threads], addresses[4 + threads :]
    places = _Places(addresses[1], addresses[2], addresses[3], stacks, signal_stacks, pal, len(data))
    tcs = b"".join(_tcs(settings, places, program.entry, thread) for thread in range(threads))
    tls = b"".join(_tls(settings, places, thread) for thread in range(threads))
    kinds = [("manifest", REGULAR | READ, data), ("ssa", _DATA, b""), ("tcs", TCS, tcs), ("tls", _DATA, tls)]
    kinds += [("stack", _DATA, b"")] * threads + [("signal stack", _DATA, b"")] * threads
    areas = tuple(
        Area(name, address, size, flags, content)
        for (name, flags, content), address, size in zip(kinds, addresses, sizes, strict=True)
    )
    # A libpal of a fixed address leaves a hole above it, which is heap as well and added first.
    holes = ((pal + program.span, top), (settings.heap_min, pal))
    heap = () if settings.edmm else tuple((start, end) for start, end in holes if start < end)
    return Layout(settings=settings, areas=areas, pal=pal, program=program, heap=heap)


def _tcs(settings: EnclaveSettings, places: _Places, entry: int, thread: int) -> bytes:
    """Return the thread control structure's page (SDM: OSSA, NSSA, OENTRY, OGSBASE and the two limits)."""
    base = settings.base
    page = bytearray(PAGE)
    struct.pack_into("<Q", page, 0x10, places.ssa + thread * _SSA_BYTES - base)
    struct.pack_into("<I", page, 0x1C, SSA_FRAMES)
    struct.pack_into("<Q", page, 0x20, places.pal + entry - base)
    struct.pack_into("<Q", page, 0x38, places.tls + thread * PAGE - base)
    struct.pack_into("<II", page, 0x40, 0xFFF, 0xFFF)
    return bytes(page)


def _tls(settings: EnclaveSettings, places: _Places, thread: int) -> bytes:
    """Return the page that the thread's GS segment starts with; all fields are 64 bits wide."""
    ssa, signal_stack = places.ssa + thread * _SSA_BYTES, places.signal_stacks[thread]
    fields = {
        0x000: places.tls + thread * PAGE,
        0x008: CANARY,
        0x110: settings.enclave_size,
        0x118: places.tcs + thread * PAGE - settings.base,
        0x120: places.stacks[thread] + STACK_BYTES,
        0x130: signal_stack,
        0x138: signal_stack + SIGNAL_STACK_BYTES,
        0x148: ssa,
        0x150: ssa + SSA_FRAME_BYTES - GPR_BYTES,
        0x1A0: places.manifest_bytes,
        0x1A8: settings.heap_min,
        0x1B0: places.pal,
    }
    page = bytearray(PAGE)
    for offset, value in fields.items():
        struct.pack_into("<Q", page, offset, value)
    return bytes(page)


def _round_up(size: int) -> int:
    return -(-size // PAGE) * PAGE
