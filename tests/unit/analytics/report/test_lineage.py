"""Lineage: a chain from inputs over jobs to outputs, which breaks wherever a link is changed (AN-12)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.report import lineage
from strongroom.analytics.report.facts import DataSet, Job
from strongroom.analytics.report.lineage import BadLineage, LineageBroken
from strongroom.cli import main
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import DataManifestForged
from strongroom.errors import StrongroomError

JOB = Job(application="sums", program="sums.py", digest="ab" * 32, ended="2026-01-02T03:04:05+00:00")


def told(manifest):
    return DataSet(
        name=manifest.name, generation=manifest.generation, mac=manifest.mac.hex(), kind="csv", files=1, size=100,
        key_id=str(manifest.key_id), path="p", wrapped=manifest.wrapped_data_key,
    )  # fmt: skip


@pytest.fixture
def chain(manifest, keys):
    """Two jobs: raw -> clean -> model. Return the records and the three manifests."""
    raw, clean, model = manifest("raw"), manifest("clean"), manifest("model")
    first = lineage.records_of(JOB, [told(raw)], [told(clean)], keys)
    second = lineage.records_of(replace(JOB, program="train.py"), [told(clean)], [told(model)], keys)
    return (*first, *second), (raw, clean, model)


def test_a_chain_holds_and_reads_back(chain, keys):
    records, manifests = chain
    assert lineage.parse(lineage.to_bytes(records)) == records
    assert lineage.verify(records, manifests, keys) == 2
    assert lineage.verify(records, [], keys) == 1  # the link between the two records


def test_an_12_a_changed_input_breaks_the_chain(chain, manifest, keys):
    records, (_, clean, model) = chain
    other = manifest("raw")  # of the same name and generation, with its own key and MAC: a good manifest
    with pytest.raises(LineageBroken) as caught:
        lineage.verify(records, [other, clean, model], keys)
    assert caught.value.code == "SR-LINEAGE-BROKEN"
    with pytest.raises(LineageBroken):
        lineage.verify(records, [manifest("clean")], keys)
    with pytest.raises(LineageBroken):
        lineage.verify(records, [manifest("model")], keys)


def test_an_12_a_changed_manifest_breaks_the_chain(chain, keys):
    records, (raw, *rest) = chain
    forged = replace(raw, files=())
    with pytest.raises(DataManifestForged):
        lineage.verify(records, [forged, *rest], keys)


def test_an_12_every_field_of_a_record_is_under_its_mac(chain, keys):
    records, _ = chain
    link = records[0].inputs[0]
    for fields in (
        {"application": "other"}, {"program": "other.py"}, {"digest": "cd" * 32}, {"ended": ""}, {"inputs": ()},
        {"inputs": (replace(link, mac="00" * 32),)}, {"inputs": (replace(link, generation=2),)},
        {"inputs": (replace(link, name="other"),)}, {"output": replace(records[0].output, mac="00" * 32)},
        {"mac": "00" * 32},
    ):  # fmt: skip
        with pytest.raises(LineageBroken):
            lineage.verify([replace(records[0], **fields)], [], keys)


def test_a_record_of_one_output_is_not_another_s(chain, keys):
    first, second = chain[0]
    with pytest.raises(LineageBroken):
        replace(first, key_id=second.key_id, wrapped_data_key=second.wrapped_data_key).check(keys)


def test_a_rewrapped_key_leaves_a_record_as_it_is(manifest):
    ring = KeyRing.fresh("people")
    keys = RingKeys([ring.rotated()])
    old = RingKeys([ring])
    made = old.new_data_key("people")
    found = replace(manifest("clean"), key_id=made.key_id, wrapped_data_key=made.wrapped).authenticated(made.plain)
    (record,) = lineage.records_of(JOB, [], [told(found)], old)
    new = keys.current("people")
    assert new != record.key_id
    replace(record, key_id=new, wrapped_data_key=keys.wrap(new, made.plain)).check(keys)


def test_who_has_no_key_of_the_output_makes_and_checks_nothing(chain):
    nobody = RingKeys([KeyRing.fresh("other")])
    with pytest.raises(KeyNotGranted):
        lineage.verify(chain[0], [], nobody)


def test_a_lineage_of_another_form_is_refused_by_code(chain):
    body = json.loads(lineage.to_bytes(chain[0]))
    record = body["records"][0]
    for wrong in (
        [], {**body, "format": "v0"}, {**body, "more": 1}, {**body, "records": {}}, {**body, "records": [[]]},
        {**body, "records": [{**record, "inputs": "x"}]}, {**body, "records": [{**record, "inputs": [[]]}]},
        {**body, "records": [{**record, "output": {**record["output"], "generation": True}}]},
        {**body, "records": [{**record, "output": {**record["output"], "mac": "xx"}}]},
        {**body, "records": [{**record, "program": 3}]}, {**body, "records": [{**record, "key_id": "no version"}]},
        {**body, "records": [{**record, "mac": "AB" * 32}]},
    ):  # fmt: skip
        with pytest.raises(BadLineage) as caught:
            lineage.parse(json.dumps(wrong).encode())
        assert caught.value.code == "SR-LINEAGE"


@given(st.data())
def test_an_12_no_changed_byte_of_a_lineage_goes_unnoticed(data):
    keys, records, original = _fixed()
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        found = lineage.parse(bytes(changed))
        lineage.verify(found, [], keys)
    except StrongroomError:
        return
    assert found == records  # white space between the fields


_MADE = []


def _fixed():
    if not _MADE:
        keys = RingKeys([KeyRing.fresh("people")])
        made = keys.new_data_key("people")
        wrote = DataSet(
            name="out", generation=1, mac="12" * 32, kind="csv", files=1, size=1, key_id=str(made.key_id), path="p",
            wrapped=made.wrapped,
        )  # fmt: skip
        records = lineage.records_of(JOB, [replace(wrote, name="in", mac="34" * 32)], [wrote], keys)
        _MADE.append((keys, records, lineage.to_bytes(records)))
    return _MADE[0]


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_make_a_lineage_s_reader_fail_otherwise(data):
    try:
        lineage.parse(data)
    except StrongroomError:
        return


@pytest.fixture
def jobs(tmp_path, capsys):
    """Return what runs the verb on the folders of two jobs, raw -> clean -> model, with the owner's keys."""
    from strongroom.analytics.keys.files import FileKeyService, write_ring
    from strongroom.analytics.report.finishing import finish
    from strongroom.analytics.sealing.read import read_manifest
    from strongroom.analytics.session import events

    write_ring(tmp_path / "keys", KeyRing.fresh("people"))
    reference = f"file:{tmp_path / 'keys'}"
    for name in ("raw", "clean", "model"):
        (tmp_path / f"{name}.csv").write_text(f"{name}\n1\n")
        assert main(["data", "seal", str(tmp_path / f"{name}.csv"), "--key", "people", "--name", name,
                     "--out", str(tmp_path / name), "--keys", reference]) == 0  # fmt: skip
    for job, taken, made in (("first", "raw", "clean"), ("second", "clean", "model")):
        (tmp_path / job).mkdir()
        for event, name in (("read", taken), ("written", made)):
            found = events._data_set(read_manifest(tmp_path / name), name)
            events.record(event, found, to=tmp_path / job / "events.jsonl")
        finish(tmp_path / job, FileKeyService(tmp_path / "keys"))
    capsys.readouterr()

    def report(job, *words):
        given = [word if word.startswith("-") else str(tmp_path / word) for word in (job, *words)]
        return main(["spark", "report", *given, "--keys", reference])

    return report


def test_an_12_the_verb_finds_a_changed_input(jobs, tmp_path, capsys):
    assert jobs("first", "--check", "raw", "--check", "clean") == 0
    assert "lineage holds: 1 record, 1 input compared, 2 data sets whole" in capsys.readouterr().out
    (file,) = (tmp_path / "raw").glob("*.csv")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert jobs("first", "--check", "raw", "--check", "clean") == 3


def test_an_12_the_verb_holds_an_input_against_the_job_that_wrote_it(jobs, tmp_path, capsys):
    assert jobs("second", "--check", "model") == 0
    assert "lineage holds: 1 record, 0 inputs compared, 1 data set whole" in capsys.readouterr().out
    assert jobs("second", "--check", "model", "--with", "first") == 0
    assert "lineage holds: 2 records, 1 input compared, 1 data set whole" in capsys.readouterr().out
    before = tmp_path / "first" / "lineage.json"
    before.write_text(before.read_text().replace('"raw"', '"row"'))
    assert jobs("second", "--check", "model", "--with", "first") == 3


def test_an_12_a_folder_that_holds_what_the_job_did_not_write_is_not_said_to_hold(jobs, tmp_path, capsys):
    assert jobs("first", "--check", "model") == 3  # whole, and no record names it
    said = capsys.readouterr().err
    assert "SR-LINEAGE-OTHER" in said
    assert "model is of generation 1, and the records name no data set of this name" in said
    more = tmp_path / "more.csv"
    more.write_text("clean\n2\n")
    assert main(["data", "seal", str(more), "--key", "people", "--name", "clean", "--append",
                 "--out", str(tmp_path / "clean"), "--keys", f"file:{tmp_path / 'keys'}"]) == 0  # fmt: skip
    capsys.readouterr()
    assert jobs("first", "--check", "clean") == 3
    assert "clean is of generation 2, and the records name generation 1 of it" in capsys.readouterr().err
