"""Measuring, SIGSTRUCT, ELF and the linter: any bytes end in a value or a catalogued error, and bounds hold."""

import struct
import tomllib
from datetime import date
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.gramine import elf, lint, measure, sigstruct
from strongroom.gramine.layout import EnclaveSettings, lay_out
from strongroom.gramine.lint import subject, template
from strongroom.gramine.lint.places import lines_of

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
KEYS = ["sgx", "fs", "loader", "debug", "trusted_files", "mounts", "uri", "path", "type", "env", "max_threads", "argv"]
WORDS = st.sampled_from(
    [*KEYS, *"=.[]{}\"',\n#", "[[", "]]", "true", "1", '"file:a/"', '"""', "{{ x }}", "{% if y %}", "{% else %}",
     "{% endif %}"]
)  # fmt: skip


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


IDENTITIES = st.builds(
    sigstruct.Identity, mr_enclave=st.binary(min_size=32, max_size=32), date=st.dates(), isv_prod_id=U16, isv_svn=U16,
    sw_defined=U32, misc_select=U32, misc_mask=U32, cet_attributes=st.integers(0, 255),
    cet_attributes_mask=st.integers(0, 255), isv_family_id=st.binary(min_size=16, max_size=16),
    isv_ext_prod_id=st.binary(min_size=16, max_size=16), attributes=U64, attributes_mask=U64, xfrm=U64, xfrm_mask=U64,
)  # fmt: skip


@given(identity=IDENTITIES)
def test_a_signed_identity_is_read_back_and_holds(key, identity):
    found = sigstruct.parse(sigstruct.sign(identity, key))
    found.check()
    for name in sigstruct.Identity.__dataclass_fields__:
        assert getattr(found, name) == getattr(identity, name)


@given(
    st.binary(max_size=2000) | st.binary(min_size=1808, max_size=1808).map(lambda data: sigstruct.HEADER + data[16:])
)
def test_any_bytes_are_a_sigstruct_or_a_catalogued_error(data):
    with pytest.raises(StrongroomError):
        sigstruct.parse(data).check()


@given(offset=st.integers(0, 1807), bit=st.integers(0, 7))
def test_id_15_any_flipped_bit_of_a_sigstruct_is_refused(key, offset, bit):
    data = bytearray(sigstruct.sign(sigstruct.Identity(mr_enclave=b"\1" * 32, date=date(2024, 2, 29)), key))
    data[offset] ^= 1 << bit
    with pytest.raises(StrongroomError):
        sigstruct.parse(bytes(data)).check()


def elf_file(entry: int, segments: list[tuple[int, int, int, int, int, int]], size: int) -> bytes:
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0
    )
    table = b"".join(struct.pack("<IIQQQQQQ", k, f, o, a, 0, fs, ms, 0x1000) for k, f, o, a, fs, ms in segments)
    return (header + table).ljust(size, b"\x90")[: max(size, 64)]


NEAR = st.sampled_from(
    [0, 1, 0xFFF, 0x1000, 0x1001, 0x2000, 0x3000, 1 << 26, 1 << 47, (1 << 64) - 0x1000, (1 << 64) - 1]
)
SEGMENT = st.tuples(st.sampled_from([1, 1, 1, 2]), st.integers(0, 7), NEAR, NEAR, NEAR, NEAR)


@given(st.binary(max_size=300) | st.builds(elf_file, NEAR, st.lists(SEGMENT, max_size=4), st.integers(0, 0x3000)))
def test_any_bytes_are_a_program_within_bounds_or_a_catalogued_error(data):
    try:
        found = elf.parse(data)
    except elf.ElfMalformed:
        return
    assert found.span <= elf.MAX_LOADED_BYTES
    for segment in found.segments:
        assert len(segment.content) <= min(len(data), segment.memory_bytes)
        assert len(segment.page(segment.first_page)) == elf.PAGE


@given(st.integers(0, 0xFFF), st.integers(1, 0x2000), st.integers(0, 0x2000), st.binary(min_size=8))
def test_a_segments_pages_hold_the_files_bytes_at_their_addresses_and_zeros(first, file_bytes, more, content):
    body = (content * (file_bytes // len(content) + 1))[:file_bytes]
    data = elf_file(first + 0x1000, [(1, 5, first + 0x1000, first + 0x1000, file_bytes, file_bytes + more)], 0x1000)
    (segment,) = elf.parse(data + bytes(first) + body + b"\xff" * 100).segments
    pages = b"".join(segment.page(at) for at in range(segment.first_page, segment.end, elf.PAGE))
    assert pages == (bytes(first) + body).ljust(segment.end - segment.first_page, b"\0")


PROGRAM = elf_file(0x1000, [(1, 4, 0, 0, 0x10, 0x10), (1, 5, 0x1000, 0x1000, 0x10, 0x10)], 0x2000)


@given(st.integers(25, 30), st.integers(1, 40), st.booleans(), st.booleans(), st.binary(max_size=9000))
def test_areas_fill_the_enclave_without_gap_or_overlap(size, threads, edmm, high, manifest):
    settings = EnclaveSettings(enclave_size=1 << size, threads=threads, edmm=edmm, high_base=high)
    found = lay_out(settings, manifest, elf.parse(PROGRAM))
    ranges = [(area.address, area.end) for area in found.areas] + [(found.pal, found.pal + found.program.span)]
    ranges += list(found.heap)
    assert ranges[0][1] == settings.base + settings.enclave_size
    for (start, _), (_, end) in pairwise(ranges):
        assert end == start
    assert ranges[-1][0] == (found.pal if edmm else settings.heap_min)
    assert sum(1 for area in found.areas for _ in area.pages()) * 4096 == sum(area.size for area in found.areas)


@given(st.binary(max_size=200))
def test_any_manifest_and_libpal_measure_or_end_in_a_catalogued_error(data):
    for manifest, libpal in ((data, PROGRAM), (b"", data)):
        try:
            assert len(measure.measure(manifest, libpal).mr_enclave) == 32
        except StrongroomError as error:
            assert error.code.startswith("SR-")


@given(st.text(max_size=200) | st.lists(WORDS, max_size=40).map(" ".join))
def test_any_text_is_linted_or_ends_in_a_catalogued_error(text):
    try:
        found = lint.lint(text)
    except StrongroomError as error:
        assert error.code == "SR-MANIFEST"
        return
    lines = text.count("\n") + 1
    assert all(each.line is None or 1 <= each.line <= lines for each in found)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_resolving_a_template_keeps_its_lines_and_leaves_plain_toml_alone(text):
    for last_branch in (False, True):
        assert template.plain(text, last_branch=last_branch).text.count("\n") == text.count("\n")
    if not template.is_template(text):
        assert template.plain(text).text == text


TEXTS = st.sampled_from(
    ['"a"', "'b'", '"""c\n"d" """', "'''e\n'''", r'"\" # ["', "1.5", "0x1f", "1979-05-27T07:32:00Z"]
)
GAPS = st.sampled_from(["", " ", "\n", " # ] , }\n", "\t"])


def arrays_and_tables(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    entries = st.lists(st.tuples(GAPS, inner, GAPS).map("".join), max_size=3)
    pairs = st.lists(inner, max_size=3).map(lambda values: [f"k{at} = {value}" for at, value in enumerate(values)])
    return entries.map(lambda each: f"[{','.join(each)}\n]") | pairs.map(lambda each: "{" + ", ".join(each) + "}")


VALUES = st.recursive(TEXTS, arrays_and_tables, max_leaves=6)
LINES = st.sampled_from(
    ["{} = {}", "x{}.'y z'.\"w\" = {}", "[t{}]\nv = {}", "[[a]]\n[a.b]\n c{}={}", "\n# = [\n[u.v{}]\n n = {}"]
)


@given(st.lists(st.tuples(LINES, VALUES), max_size=6))
def test_every_key_of_a_document_has_its_line(parts):
    text = "".join(line.format(f"k{number}", value) + "\n" for number, (line, value) in enumerate(parts))
    document = tomllib.loads(text)
    lines = lines_of(text)
    waiting = [((), document)]
    while waiting:
        place, value = waiting.pop()
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, below in inside:
            waiting.append(((*place, key), below))
            assert (*place, key) in lines


PARTS = st.lists(st.sampled_from(["a", "b", ".", "..", "", "c.d"]), max_size=8).map("/".join)


@given(PARTS, PARTS)
def test_normal_paths_have_no_steps_and_parents_are_above(one, other):
    path = subject.normal(one)
    assert subject.normal(path) == path
    assert all(part not in {".", ""} for part in path.strip("/").split("/")) or path in {"", "/"}
    assert all(subject.is_below(path, above) for above in subject.with_parents(path))
    joined = subject.normal(f"{path or '.'}/{other}")
    if ".." not in other.split("/"):
        assert subject.is_below(joined, path) or path.startswith("..")
