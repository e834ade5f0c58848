"""Which model lies in a folder: exactly one, or an error that lists what is there."""

import pytest

from strongroom.streaming.model.folder import Form, FormNotServed, NotOneModel, find_model

KNOWN = [
    ({"net.onnx": b"1"}, Form.ONNX, {"model.onnx": "net.onnx"}),
    ({"a.xml": b"1", "a.bin": b"2"}, Form.OPENVINO, {"model.xml": "a.xml", "model.bin": "a.bin"}),
    ({"saved_model.pb": b"1", "variables/variables.index": b"2"}, Form.SAVED_MODEL,
     {"saved_model.pb": "saved_model.pb"}),
    ({"saved_model.pb": b"1"}, Form.SAVED_MODEL, {"saved_model.pb": "saved_model.pb"}),
    ({"bundle.json": b"{}", "bundle.sig": b"", "model.onnx": b"1"}, Form.SEALED, {}),
]  # fmt: skip
CONVERTED = [
    ({"frozen.pb": b"1", "graph_meta.json": b"{}"}, "strongroom model convert"),
    ({"net.keras": b"1"}, "strongroom model convert"),
    ({"net.h5": b"1"}, "strongroom model convert"),
    ({"net.pt": b"1"}, "torch.onnx.export"),
    ({"net.pth": b"1"}, "torch.onnx.export"),
    ({"net.model": b"1"}, "saveTF"),
    ({"net.caffemodel": b"1", "net.prototxt": b"2"}, "caffe2onnx"),
]
WRONG = [
    ({}, "holds no model; there is nothing"),
    ({"labels.txt": b"1"}, "there is labels.txt"),
    ({"xpb": b"1", "modelonnx": b"2"}, "holds no model"),
    ({"a.onnx": b"1", "b.onnx": b"2"}, "more than one model: a.onnx, b.onnx"),
    ({"a.onnx": b"1", "b.pt": b"2"}, "more than one model"),
    ({"a.xml": b"1", "a.bin": b"2", "b.onnx": b"3"}, "more than one model: a.bin, a.xml, b.onnx"),
    ({"a.xml": b"1"}, "half of a pair: OpenVINO"),
    ({"a.bin": b"1"}, "half of a pair: OpenVINO"),
    ({"a.prototxt": b"1"}, "half of a pair: Caffe"),
    ({"graph.pb": b"1", "variables/variables.index": b"2"}, "is called saved_model.pb"),
]


@pytest.mark.parametrize(("files", "form", "names"), KNOWN)
def test_a_model_is_seen_from_its_files_names(folder, files, form, names):
    found = find_model(folder(files))
    assert (found.form, dict(found.names)) == (form, names)


@pytest.mark.parametrize(("files", "route"), CONVERTED)
def test_other_forms_are_refused_with_the_way_to_convert_them(folder, files, route):
    with pytest.raises(FormNotServed) as refused:
        find_model(folder(files))
    assert refused.value.code == "SR-QUEUE-MODEL-FORM"
    assert route in refused.value.fix


@pytest.mark.parametrize(("files", "words"), WRONG)
def test_two_models_or_half_a_pair_or_none_list_what_is_there(folder, files, words):
    with pytest.raises(NotOneModel, match=words) as wrong:
        find_model(folder(files))
    assert wrong.value.code == "SR-QUEUE-MODEL-FOLDER"


def test_a_folder_that_is_not_there_or_too_full_is_refused(folder, tmp_path):
    with pytest.raises(NotOneModel, match="no such file"):
        find_model(tmp_path / "none")
    with pytest.raises(NotOneModel, match="more than 1000"):
        find_model(folder({f"{number}.txt": b"" for number in range(1001)}))


def test_engines_read_the_files_under_the_names_that_they_know(folder):
    files = find_model(folder({"net.xml": b"graph", "net.bin": b"weights"})).files()
    assert (files.folder, files.paths) == (None, ["model.bin", "model.xml"])
    assert (files.read("model.xml"), b"".join(files.chunks("model.bin"))) == (b"graph", b"weights")
    with pytest.raises(FileNotFoundError):
        files.read("net.xml")


def test_the_digest_is_of_names_and_contents_of_the_model_alone(folder):
    one = find_model(folder({"net.onnx": b"1", "notes.txt": b"a"}, "one")).digest()
    assert one == find_model(folder({"net.onnx": b"1"}, "two")).digest()
    assert one != find_model(folder({"net.onnx": b"2"}, "three")).digest()
    assert one != find_model(folder({"other.onnx": b"1"}, "four")).digest()
    assert len(one) == 64
