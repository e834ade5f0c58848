"""Two launches share a measurement exactly when they are the same launch: no framing can be played."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gramine.manifest import EnvValue, Manifest, TrustedFile
from strongroom.platforms.simulated import measure

TEXT = st.text(st.sampled_from("ab=\n/ é"), max_size=4)
NAMES = st.sampled_from(["A", "B", "AB", "A_B"])
FILES = ("one", "two", "folder/one", "folder/two")
LAUNCHES = st.builds(
    lambda argv, env, files, entrypoint: (tuple(argv), tuple(sorted(env.items())), frozenset(files), entrypoint),
    st.lists(TEXT, min_size=1, max_size=4),
    st.dictionaries(NAMES, TEXT, max_size=3),
    st.sets(st.sampled_from(FILES), max_size=4),
    st.sampled_from(["one", "two"]),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "folder").mkdir()
    for name in FILES:
        (folder / name).write_bytes(b"same content in every file")
    return folder


def mr_enclave(base, launch, *, passthrough=False, debug=False):
    argv, env, files, entrypoint = launch
    values = {name: EnvValue(passthrough=True) if passthrough else EnvValue(value=value) for name, value in env}
    manifest = Manifest(
        entrypoint=entrypoint, argv=argv, env=values, debug=debug, isvprodid=0, isvsvn=0, remote_attestation="dcap",
        trusted_files=tuple(TrustedFile(f"file:{name}") for name in files),
    )  # fmt: skip
    return measure(manifest, base, dict(env) if passthrough else {}, mr_signer=bytes(32)).mr_enclave


@given(LAUNCHES, LAUNCHES)
def test_equal_measurement_means_equal_launch(base, first, second):
    assert (mr_enclave(base, first) == mr_enclave(base, second)) == (first == second)


@given(LAUNCHES)
def test_where_a_value_comes_from_makes_no_difference_and_neither_does_debug(base, launch):
    assert mr_enclave(base, launch, passthrough=True, debug=True) == mr_enclave(base, launch)


@given(st.sets(st.sampled_from(FILES), min_size=1), st.sampled_from(FILES), st.integers(0, 25))
def test_a_flipped_byte_shows_exactly_where_the_file_is_measured(tmp_path_factory, files, name, position):
    folder = tmp_path_factory.mktemp("copy")
    (folder / "folder").mkdir()
    for each in (*FILES, "app"):
        (folder / each).write_bytes(b"same content in every file")
    launch = (("app",), (), frozenset(files), "app")
    before = mr_enclave(folder, launch)
    with (folder / name).open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x40]))
    assert (mr_enclave(folder, launch) == before) == (name not in files)
