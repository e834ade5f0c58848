"""Examples on encrypted data: sealed before they run, nothing left in clear, each by the keys that were named."""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.analytics.examples import EXAMPLES, Asked, find, fresh_keys, run
from strongroom.analytics.examples.entry import Form, Prepared, Sealing
from strongroom.analytics.examples.sealed import seal
from strongroom.analytics.keys.files import FileKeyService
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.cli import main
from strongroom.datasets.manifest import Kind

PLAIN = (sys.executable,)


@pytest.fixture
def encryption(tmp_path):
    with fresh_keys(tmp_path) as lent:
        yield lent


def contents(folder, keys):
    with OpenDataset(folder, keys) as opened:
        return opened.manifest.kind, {entry.path: opened.open(entry.path).read() for entry in opened.files}


@pytest.fixture
def own(tmp_path):
    """The folder of a run, with generated data in it."""
    folder = tmp_path / "0"
    folder.mkdir()
    (folder / "people.json").write_bytes(b'{"name":"canary"}\n')
    (folder / "people.txt").write_bytes(b"canary, 30\n")
    return folder


def test_each_part_becomes_a_data_set_and_nothing_stays_in_clear(own, tmp_path, encryption):
    prepared = Prepared((str(own), "--seed", "1"), lambda output, asked: [])
    how = Sealing(parts=("people.json", "people.txt"))
    found = seal(prepared, how, tmp_path / "sealed", encryption, own=own)
    assert found.arguments == (str(tmp_path / "sealed"), "--seed", "1", "--format", "sealed")
    json_kind, files = contents(tmp_path / "sealed" / "people.json", encryption.keys)
    assert (json_kind, files) == (Kind.JSON, {"people.json": b'{"name":"canary"}\n'})
    assert contents(tmp_path / "sealed" / "people.txt", encryption.keys)[0] is Kind.TEXT
    assert not own.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]


def test_data_of_ones_own_stay(tmp_path, encryption):
    (tmp_path / "mine.csv").write_bytes(b"timestamp,value\n")
    (tmp_path / "0").mkdir()
    prepared = Prepared((str(tmp_path / "mine.csv"),), lambda output, asked: [])
    seal(prepared, Sealing(), tmp_path / "sealed", encryption, own=tmp_path / "0")
    assert (tmp_path / "mine.csv").exists()
    assert contents(tmp_path / "sealed", encryption.keys) == (Kind.CSV, {"mine.csv": b"timestamp,value\n"})


def test_parquet_is_encrypted_by_itself_and_the_program_is_told_nothing(own, tmp_path, encryption):
    from strongroom.analytics.parquet.arrow import read_dataset

    table = pa.table({"n": list(range(100))})
    (own / "orders.parquet").mkdir()
    for name in ("a", "b"):
        pq.write_table(table, own / "orders.parquet" / f"{name}.parquet")
    how = Sealing(parts=("orders.parquet",), form=Form.PARQUET)
    found = seal(Prepared((str(own),), lambda output, asked: []), how, tmp_path / "sealed", encryption, own=own)
    assert found.arguments == (str(tmp_path / "sealed"),)
    assert read_dataset(tmp_path / "sealed" / "orders.parquet", encryption.keys).num_rows == 200
    files = list((tmp_path / "sealed" / "orders.parquet").glob("*.parquet"))
    assert {path.read_bytes()[:4] for path in files} == {b"PARE"}


def test_a_fresh_key_lies_in_a_folder_that_does_not_stay(tmp_path):
    with fresh_keys(tmp_path) as lent:
        (folder,) = (word.removeprefix("file:") for word in lent.words if word.startswith("file:"))
        assert FileKeyService(folder).names() == (lent.key,)
    assert not list(tmp_path.iterdir())


def test_the_submitted_program_gets_sealed_data_and_the_keys(monkeypatch, tmp_path, encryption):
    """What stands for spark submit here takes its words, and looks at the data as it is on disk."""
    submit = tmp_path / "submit.py"
    submit.write_text(
        "import pathlib, sys\nprint(sys.argv[1:-4], sys.argv[-2:])\n"
        "print([path.name for path in sorted(pathlib.Path(sys.argv[-3]).iterdir())])\n"
    )
    (outcome,) = run([(find("time-series"), Asked(size=48))], submit=(*PLAIN, str(submit)), say=[].append,
                     encryption=encryption)  # fmt: skip
    words, listed = outcome.output.splitlines()
    assert words == f"{list(encryption.words)} ['--format', 'sealed']"
    assert listed == "['_strongroom.json', 'half_hours.csv']"


def test_an_example_without_data_is_run_as_it_is(encryption):
    (outcome,) = run([(find("helloworld"), Asked())], submit=PLAIN, say=[].append, encryption=encryption)
    assert outcome.as_expected


def test_every_example_with_data_of_its_own_can_be_encrypted():
    assert {each.name for each in EXAMPLES if each.data != "none"} == {each.name for each in EXAMPLES if each.sealing}


def test_keys_that_are_named_are_used_and_the_owners_with_a_broker(monkeypatch, tmp_path):
    from strongroom.analytics import examples

    seen = []

    def instead(chosen, *, encryption, submit, **_):
        seen.append((encryption.key, encryption.words, encryption.keys.names(), submit[submit.index("--key") :]))
        return []

    monkeypatch.setattr(examples, "run", instead)
    monkeypatch.chdir(tmp_path)
    for words in (["init"], ["data", "key", "people"], ["data", "key", "others", "--file", "keys"]):
        assert main(words) == 0
    assert main(["spark", "example", "sql", "--encrypted", "--keys", "file:keys", "--key", "others"]) == 0
    assert main(["spark", "example", "sql", "--encrypted", "--key", "people", "--broker", "https://b:1"]) == 0
    assert seen == [
        ("others", (), ("others",), ("--key", "others", "--keys", "file:keys")),
        ("people", (), ("people",), ("--key", "people", "--broker", "https://b:1")),
    ]


@pytest.mark.parametrize(
    "words",
    [["sql", "--insecure"], ["sql", "--key", "people"], ["sql", "--keys", "file:keys"], ["helloworld"]],
    ids=["insecure", "no source", "no name", "no data"],
)
def test_words_that_do_not_fit_encryption_are_misuse(words, capsys):
    assert main(["spark", "example", *words, "--encrypted"]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


def test_the_list_says_which_can_be_encrypted(capsys):
    assert main(["spark", "example", "--list", "--json"]) == 0
    found = {each["name"]: each["encrypted"] for each in json.loads(capsys.readouterr().out)}
    assert (found["tpch"], found["pi"]) == (True, False)
