"""The drop-in for gramine-sgx-pf-crypt: its modes, flags, messages and exit status."""

import os
import stat

import pytest

from strongroom import sealing
from strongroom.cli import pf_crypt
from strongroom.secret import Secret

KEY = bytes(range(1, 17))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "plain").write_bytes(b"content" * 1000)
    return tmp_path


@pytest.fixture
def run(capsys):
    def run_(line):
        capsys.readouterr()
        status = pf_crypt.main(line.split())
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_


def test_the_normalised_output_path_is_stored_and_told(here, run):
    status, out, _ = run("encrypt -w key -i plain -o ./x/../e")
    assert status == 0
    assert "Encrypting: plain -> e\n" in out
    assert 'Gramine\'s encrypted files must contain this exact path: "e"' in out
    assert sealing.unseal_bytes((here / "e").read_bytes(), Secret(KEY), stored_path="e") == b"content" * 1000
    assert (here / "e").read_bytes()[8] == 1
    assert run("encrypt -w key -i plain -o e --format v2")[0] == 0
    assert (here / "e").read_bytes()[8] == 2


@pytest.mark.parametrize(
    "line",
    [
        "decrypt -w key -i e -o out",
        "-w key -i e -o out decrypt",
        "decrypt --wrap-key key --input e --output out --verify --verbose",
        "decrypt --wrap-key=key --input=e --output=out -V -v",
        "decrypt -wkey -ie -oout",
    ],
)
def test_flags_are_the_originals_in_any_place(here, run, line):
    run("encrypt -w key -i plain -o e")
    status, out, _ = run(line)
    assert status == 0
    assert "Decrypting: e -> out\n" in out
    assert (here / "out").read_bytes() == b"content" * 1000
    assert stat.S_IMODE((here / "out").stat().st_mode) == 0o600


def test_the_path_is_checked_only_with_verify(here, run):
    run("encrypt -w key -i plain -o e")
    (here / "e").rename(here / "moved")
    assert run("decrypt -w key -i moved -o out")[0] == 0
    (here / "out").unlink()
    status, _, err = run("decrypt -V -w key -i moved -o out")
    assert status == 255
    assert "pf_decrypt_file: Opening protected input file failed: Invalid path" in err
    assert "SR-SEALED-PATH" in err
    assert not (here / "out").exists()


def test_gen_key_makes_a_key_and_never_replaces_one(here, run):
    status, out, _ = run("gen-key -w fresh")
    assert (status, out) == (0, "Wrap key saved to: fresh\n")
    assert len((here / "fresh").read_bytes()) == 16
    assert stat.S_IMODE((here / "fresh").stat().st_mode) == 0o600
    assert run("gen-key -w key")[0] == 255
    assert (here / "key").read_bytes() == KEY


def test_folders_are_converted_whole(here, run):
    (here / "in" / "deep").mkdir(parents=True)
    (here / "in" / "one").write_bytes(b"1")
    (here / "in" / "deep" / "two").write_bytes(b"2" * 5000)
    os.mkfifo(here / "in" / "pipe")
    status, out, _ = run("encrypt -w key -i in -o sealed")
    assert status == 0
    assert "Skipping non-regular file in/pipe" in out
    data = (here / "sealed" / "deep" / "two").read_bytes()
    assert sealing.unseal_bytes(data, Secret(KEY), stored_path="sealed/deep/two") == b"2" * 5000
    assert run("decrypt -V -w key -i sealed -o back")[0] == 0
    assert (here / "back" / "one").read_bytes() == b"1"
    assert (here / "back" / "deep" / "two").read_bytes() == b"2" * 5000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "Mode not specified"),
        ("frobnicate -w key -i a -o b", "no such mode"),
        ("encrypt -i plain -o e", "Wrap key path not specified"),
        ("encrypt -w key -o e", "Input or output path not specified"),
        ("encrypt -w key -i plain", "Input or output path not specified"),
        ("encrypt -w key -i plain -o e --format v3", "--format is v1 or v2"),
        ("encrypt -w key -i plain -o e --nonsense", "nonsense"),
        ("encrypt -w plain -i plain -o e", "SR-WRAP-KEY"),
        ("encrypt -w key -i nothing -o e", "no such file"),
        ("encrypt -w zero -i plain -o e", "SR-WEAK-KEY"),
        ("decrypt -w key -i plain -o e", "Invalid header"),
        ("decrypt -w key -i empty -o e", "File is corrupted"),
    ],
)
def test_any_failure_is_255_and_leaves_nothing(here, run, line, said):
    (here / "zero").write_bytes(bytes(16))
    (here / "empty").touch()
    status, _, err = run(line)
    assert status == 255
    assert said in err
    assert not (here / "e").exists()


@pytest.mark.parametrize("given", ["./e", ".//e", "e"])
def test_verify_takes_a_path_that_an_older_tool_stored_as_it_was_given(here, run, seal_raw, given):
    """gramine-sgx-pf-crypt 1.3 stores `./e` as it is, later ones store `e`."""
    (here / "e").write_bytes(seal_raw(given))
    status, _, err = run(f"decrypt -V -w key -i {given} -o out")
    assert (status, err) == (0, "")
    assert run("decrypt -V -w key -i ../e -o out2")[0] == 255


@pytest.fixture
def seal_raw():
    """Return a function that seals a file with a stored path as it stands, not normalised."""
    from strongroom.sealing.node0 import NO_ROOT, Metadata, seal_metadata

    def seal(path):
        metadata = Metadata(path=path.encode(), size=7, root=NO_ROOT, head=b"content")
        return seal_metadata(metadata, Secret(KEY), nonce=bytes(range(32)), version=1)

    return seal


def test_kd_02_a_file_under_a_public_key_opens_with_a_notice_and_none_is_made(here, run):
    public = bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")
    (here / "public").write_bytes(public)
    run("encrypt -w key -i plain -o e")
    old = Secret(KEY)
    sealed = bytearray((here / "e").read_bytes())
    from strongroom.sealing.node0 import open_metadata, parse_header, seal_metadata

    metadata = open_metadata(parse_header(bytes(sealed[:4096]), length=len(sealed)), old)
    sealed[:4096] = seal_metadata(metadata, Secret(public), nonce=bytes(range(32)), version=1)
    (here / "e").write_bytes(sealed)
    status, _, err = run("decrypt -w public -i e -o out")
    assert status == 0
    assert "notice: the wrap key is the sample key" in err
    assert (here / "out").read_bytes() == b"content" * 1000
    assert run("encrypt -w public -i plain -o made")[0] == 255
    assert not (here / "made").exists()


def test_a_folder_is_converted_once_even_into_itself(here, run):
    (here / "models").mkdir()
    (here / "models" / "m").write_bytes(b"content")
    assert run("encrypt -w key -i models -o models/sealed")[0] == 0
    assert sorted(path.name for path in (here / "models").rglob("*")) == ["m", "m", "sealed"]


def test_help_is_help(run):
    for line in ("-h", "--help", "encrypt --help"):
        status, out, err = run(line)
        assert (status, err) == (0, "")
        assert "gen-key" in out


def test_the_vectors_fail_in_the_words_of_the_original(here, run, shared_vectors):
    folder = shared_vectors / "gramine"
    import json

    for vector in json.loads((folder / "index.json").read_text())["vectors"]:
        if vector.get("real_tool") != "fails":
            continue
        (here / "vector_key").write_bytes(bytes.fromhex(vector["wrap_key_hex"]))
        status, _, err = run(f"decrypt -w vector_key -i {folder / vector['file']} -o out")
        assert status == 255
        if vector["case"] != "empty":  # an empty file is "Callback failed" there: its read callback saw the end
            assert vector["real_tool_message"][-1].rpartition(": ")[2] in err
        assert not (here / "out").exists()
