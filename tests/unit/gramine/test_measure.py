"""Measurements: equal to what Gramine's signer computes, and another one for every changed byte (threat ID-15)."""

import hashlib
import struct
from dataclasses import replace
from datetime import date

import pytest

from strongroom.gramine import elf, layout, measure, sigstruct, versions
from strongroom.gramine.layout import EnclaveDoesNotFit, EnclaveSettings, lay_out
from strongroom.gramine.manifest import ManifestMalformed
from strongroom.gramine.measure import MeasurementDiffers
from strongroom.gramine.mrenclave import mrenclave
from strongroom.gramine.versions import GramineVersion

SMALL = b'[sgx]\nenclave_size = "32M"\nisvprodid = 7\n'


def program(*segments: tuple[int, int, int, int, int], entry: int = 0x1000, kind: int = 3) -> bytes:
    """Return an ELF file; a segment is (flags, offset, address, bytes in the file, bytes in memory)."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", kind, 62, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0
    )
    table = b"".join(struct.pack("<IIQQQQQQ", 1, f, o, a, a, fs, ms, 0x1000) for f, o, a, fs, ms in segments)
    return (header + table).ljust(0x3000, b"\x5a")


CODE = (5, 0x1000, 0x1000, 0x800, 0x800)
DATA = (6, 0x2000, 0x2000, 0x10, 0x1800)
LIBPAL = program((4, 0, 0, 0x200, 0x200), CODE, DATA)


def test_every_pair_measures_as_gramines_signer_says(sig_folder, sig_cases):
    for case in sig_cases:
        libpal = (sig_folder / case["libpal"]).read_bytes()
        found = measure.measure((sig_folder / case["manifest"]).read_bytes(), libpal)
        assert found.mr_enclave.hex() == case["mr_enclave"]
        assert (found.isv_prod_id, found.isv_svn, found.debug) == (
            case["isv_prod_id"], case["isv_svn"], case["debug"],
        )  # fmt: skip
        wanted = (case["attribute_xfrms"], case["xfrm_mask"], case["misc_select"])
        assert tuple(map(hex, found.features)) == wanted
        measure.compare(found, sigstruct.parse((sig_folder / case["sig"]).read_bytes()))


def test_the_worked_example_of_the_layout_is_met(sig_folder):
    place = lay_out(
        EnclaveSettings(enclave_size=32 << 20, threads=4),
        (sig_folder / "a.manifest.sgx").read_bytes(),
        elf.parse((sig_folder / "libpal.so").read_bytes()),
    )
    addresses = [hex(area.address) for area in place.areas]
    assert addresses[:4] == ["0x1fff000", "0x1fdf000", "0x1fdb000", "0x1fd7000"]
    assert addresses[4:8] == ["0x1f97000", "0x1f57000", "0x1f17000", "0x1ed7000"]
    assert addresses[8:] == ["0x1ec7000", "0x1eb7000", "0x1ea7000", "0x1e97000"]
    assert (hex(place.pal), place.heap) == ("0x1e8b000", ((0x10000, 0x1E8B000),))


def test_the_heap_records_are_those_of_the_specification():
    heap = ((0x10000, 0x1234000), (0xFFF000, 0x2001000), (0x12_3456_7000, 0x12_3456_9000))
    found = lay_out(EnclaveSettings(enclave_size=32 << 20, threads=4, edmm=True), SMALL, elf.parse(LIBPAL))
    one_by_one = hashlib.sha256(struct.pack("<8sLQ44s", b"ECREATE", 4, 32 << 20, b""))
    pages = [(address, area.flags, content) for area in found.areas for address, content in area.pages()]
    for address, flags, content in [*pages, *found.pal_pages()]:
        one_by_one.update(struct.pack("<8sQQ40s", b"EADD", address, flags, b""))
        for at in range(0, 4096, 256):
            one_by_one.update(struct.pack("<8sQ48s", b"EEXTEND", address + at, b"") + content[at : at + 256])
    for start, end in heap:
        for address in range(start, end, 4096):
            one_by_one.update(struct.pack("<8sQQ40s", b"EADD", address, 0x207, b""))
    assert mrenclave(replace(found, heap=heap)) == one_by_one.digest()


def test_id_15_every_changed_byte_of_the_manifest_is_another_measurement():
    seen = {measure.measure(SMALL, LIBPAL).mr_enclave}
    for text in (SMALL + b"\n", SMALL + b"# a comment", SMALL.replace(b"7", b"8"), SMALL.replace(b"\n", b"\r\n")):
        seen.add(measure.measure(text, LIBPAL).mr_enclave)
    assert len(seen) == 5


def test_id_15_another_libpal_is_another_measurement_but_bytes_outside_its_segments_do_not_count():
    ours = measure.measure(SMALL, LIBPAL).mr_enclave
    changed = bytearray(LIBPAL)
    changed[0x1800] ^= 1  # after the code's bytes in the file
    assert measure.measure(SMALL, bytes(changed)).mr_enclave == ours
    changed[0x1000] ^= 1
    assert measure.measure(SMALL, bytes(changed)).mr_enclave != ours


def signed_like(found: measure.Measurement, **changes: object) -> sigstruct.Identity:
    xfrm, mask, misc = found.features or (3, 0, 0)
    identity = sigstruct.Identity(
        mr_enclave=found.mr_enclave, date=date(2024, 1, 1), isv_prod_id=found.isv_prod_id, isv_svn=found.isv_svn,
        xfrm=xfrm, xfrm_mask=mask, misc_select=misc,
    )  # fmt: skip
    return replace(identity, **changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"mr_enclave": bytes(32)}, "mr_enclave"), ({"isv_prod_id": 8}, "isv_prod_id"), ({"isv_svn": 1}, "isv_svn"),
     ({"attributes": 6}, "debug"), ({"attributes_mask": ~2 & sigstruct.ALL_FLAGS}, "debug"),
     ({"attributes": 0x14}, "attributes"), ({"xfrm": 7}, "xfrm"), ({"xfrm_mask": 3}, "xfrm mask"),
     ({"misc_select": 1}, "misc_select")],
)  # fmt: skip
def test_id_15_a_signed_identity_that_is_not_the_manifests_is_refused(signing_key, changes, named):
    found = measure.measure(SMALL, LIBPAL)
    good = sigstruct.parse(sigstruct.sign(signed_like(found), signing_key))
    measure.compare(found, good)
    other = sigstruct.parse(sigstruct.sign(signed_like(found, **changes), signing_key))
    with pytest.raises(MeasurementDiffers, match=f"^{named} is") as caught:
        measure.compare(found, other)
    assert caught.value.code == "SR-MEASURE-DIFFERS"


@pytest.mark.parametrize(
    "text", ['[sgx]\ntrusted_files = ["file:a"]', '[sgx]\ntrusted_files = [{uri = "file:a"}]', "[sgx]\nx = {{ y }}",
             '[sgx]\ntrusted_files = "file:a"', "{% if x %}", '[sgx]\ntrusted_files = [{uri = "a", sha256 = "00"}]'],
)  # fmt: skip
def test_id_15_a_template_is_not_measured(text):
    with pytest.raises(measure.ManifestNotExpanded) as caught:
        measure.measure(text.encode(), LIBPAL)
    assert caught.value.code == "SR-MANIFEST-TEMPLATE"


@pytest.mark.parametrize(
    "line", ['enclave_size = "3G"', "enclave_size = 1", 'enclave_size = "4g"', 'enclave_size = "512K"',
             "max_threads = 0", "max_threads = true", "max_threads = 20000", "thread_num = 4", "isvsvn = 65536",
             "debug = 1",
             'cpu_features.avx = "on"', "cpu_features = 1", 'edmm_enable = "yes"'],
)  # fmt: skip
def test_values_that_the_signer_would_not_take_are_refused(line):
    with pytest.raises(ManifestMalformed):
        measure.measure(f"[sgx]\n{line}\n".encode(), LIBPAL)


@pytest.mark.parametrize(
    ("size", "wanted"), [("0x2000000", 32 << 20), ("32M", 32 << 20), ("32768K", 32 << 20), ("33554432", 32 << 20)]
)
def test_sizes_are_read_as_the_signer_reads_them(size, wanted):
    text = f'[sgx]\nenclave_size = "{size}"'.encode()
    assert measure.measure(text, LIBPAL).settings.enclave_size == wanted


def test_defaults_depend_on_edmm():
    assert measure.measure(b"", LIBPAL).settings == EnclaveSettings(enclave_size=256 << 20, threads=4)
    edmm = measure.measure(b"sgx.edmm_enable = true", LIBPAL).settings
    assert edmm == EnclaveSettings(enclave_size=1 << 40, threads=4, edmm=True)


def test_an_enclave_too_small_for_its_threads_is_refused():
    with pytest.raises(EnclaveDoesNotFit) as caught:
        measure.measure(b'[sgx]\nenclave_size = "1M"\n', LIBPAL)
    assert caught.value.code == "SR-ENCLAVE-SIZE"


def test_a_libpal_of_a_fixed_address_leaves_heap_on_both_sides():
    fixed = elf.parse(program((5, 0x1000, 0x100000, 0x800, 0x800), entry=0x100010, kind=2))
    found = lay_out(EnclaveSettings(enclave_size=32 << 20, threads=4), b"x", fixed)
    lowest = min(area.address for area in found.areas)
    assert (found.pal, found.heap) == (0x100000, ((0x101000, lowest), (0x10000, 0x100000)))
    low = elf.parse(program((5, 0x1000, 0x1000, 0x800, 0x800)))
    with pytest.raises(EnclaveDoesNotFit):
        lay_out(EnclaveSettings(enclave_size=32 << 20, threads=4), b"x", low)


def test_releases_from_1_5_on_measure_alike():
    found = {measure.measure(SMALL, LIBPAL, version=GramineVersion(minor)).mr_enclave for minor in range(5, 10)}
    assert len(found) == 1


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4])
def test_old_releases_lay_position_independent_enclaves_out_above_their_size(minor):
    """The rule of spec section 10.6, applied to a layout of today: addresses rise, offsets from the base stay."""
    version = GramineVersion(minor)
    old = measure.measure(SMALL + b"nonpie_binary = true\n", LIBPAL, version=version)
    assert old.mr_enclave == measure.measure(SMALL + b"nonpie_binary = true\n", LIBPAL).mr_enclave
    settings = measure.measure(SMALL, LIBPAL, version=version).settings
    assert (settings.base, settings.heap_min) == (32 << 20, 32 << 20)
    high, low = (lay_out(each, SMALL, elf.parse(LIBPAL)) for each in (settings, replace(settings, high_base=False)))
    rise = 32 << 20
    assert [area.address for area in high.areas] == [area.address + rise for area in low.areas]
    assert high.areas[2].content == low.areas[2].content  # thread control: offsets
    assert high.heap == ((rise, high.pal),)
    risen = {0x0: 1, 0x110: 0, 0x118: 0, 0x120: 1, 0x130: 1, 0x138: 1, 0x148: 1, 0x150: 1, 0x1A0: 0, 0x1B0: 1}
    for offset, factor in risen.items():
        theirs, ours = (struct.unpack_from("<Q", each.areas[3].content, offset)[0] for each in (low, high))
        assert ours == theirs + factor * rise, hex(offset)
    assert struct.unpack_from("<Q", high.areas[3].content, 0x1A8) == (rise,)


def test_the_thread_key_is_the_releases_own():
    for version, word in ((GramineVersion.V1_3, "max_threads"), (GramineVersion.V1_5, "thread_num")):
        with pytest.raises(ManifestMalformed, match=word):
            measure.measure(SMALL + f"{word} = 8\n".encode(), LIBPAL, version=version)
    for word in ("max_threads", "thread_num"):
        text = SMALL + f"{word} = 8\n".encode()
        assert measure.measure(text, LIBPAL, version=GramineVersion.V1_4).settings.threads == 8
    with pytest.raises(ManifestMalformed, match="edmm"):
        measure.measure(SMALL + b"edmm_enable = true\n", LIBPAL, version=GramineVersion.V1_3)


def test_releases_are_named_as_people_write_them():
    assert [str(versions.parse(text)) for text in ("1.9", "v1.6.2", "1.3.1", "1.0")] == ["1.9", "1.6", "1.3", "1.0"]
    for text in ("2.0", "1", "1.10", "", "1.9 ", "١.٩", "1.9.x"):
        with pytest.raises(versions.GramineVersionUnknown) as caught:
            versions.parse(text)
        assert caught.value.code == "SR-GRAMINE-VERSION"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x7fELF", LIBPAL[:63], LIBPAL[:100],
        LIBPAL.replace(b"\x7fELF\x02", b"\x7fELF\x01"),
        program(),
        program(CODE, kind=1),
        program(CODE, CODE),
        program(DATA, CODE),
        program(CODE, entry=0x1800),
        program(CODE, DATA, entry=0x2000),
        program((5, 0x1000, 0x1001, 1, 1), entry=0x1001),
        program((5, 0x1000, 0x1000, 0x801, 0x800)),
        program((5, 0x1000, 0x1000, 0x9000, 0x9000)),
        program((5, 1 << 63, 0x1000, 1 << 63, 1 << 63)),
        program((5, 0x1000, 0x1000, 0x10, 1 << 40)),
        program((5, 0x1000, 0x1000, 0, 0)),
        program(CODE, (6, 0x2000, 1 << 40, 1, 1)),
        program((5, 0x1000, (1 << 64) - 0x1000, 1, 1), entry=(1 << 64) - 0x1000),
        program(*[(4, 0x1000, 0x1000 * at, 1, 1) for at in range(65)]),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_loaded_without_doubt_is_refused(data):
    with pytest.raises(elf.ElfMalformed) as caught:
        elf.parse(data)
    assert caught.value.code == "SR-ELF"


def test_a_segment_that_starts_inside_its_page_is_padded_on_both_sides():
    found = elf.parse(program((5, 0x1100, 0x1100, 0x20, 0x2000), entry=0x1100)).segments[0]
    assert found.page(0x1000) == bytes(0x100) + b"\x5a" * 0x20 + bytes(0xEE0)
    assert found.page(0x2000) == bytes(0x1000)
    assert (found.first_page, found.end) == (0x1000, 0x4000)
    assert layout.PAGE == elf.PAGE
