"""A SavedModel without TensorFlow: tags, signatures, defaults, and metadata that equals TensorFlow Serving's."""

import json

import pytest

from strongroom.tfserving import DataType
from strongroom.tfserving.json_models import metadata_json
from strongroom.tfserving.messages import SavedModel, SignatureDefMap
from strongroom.tfserving.saved_model import MAX_SIGNATURES, BadSavedModel, meta_graph, tag_sets
from strongroom.tfserving.signatures import signatures_to_any

SERVE = frozenset({"serve"})
TESTDATA = "tfserving/testdata/servables/tensorflow/testdata"


def saved_model(tags=("serve",), fill=lambda definition: None):
    model = SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.extend(tags)
    fill(graph.signature_def["serving_default"])
    return model


def signature(fill):
    return meta_graph(saved_model(fill=fill).SerializeToString(), SERVE).signatures["serving_default"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("saved_model_half_plus_two_cpu", "half_plus_two_model_metadata.json"),
        ("saved_model_half_plus_two_2_versions", "saved_model_half_plus_two_2_versions_metadata.json"),
    ],
)
def test_metadata_equals_tensorflow_servings(shared_vectors, model, expected):
    folder = shared_vectors / TESTDATA
    graph = meta_graph((folder / model / "00000123" / "saved_model.pb").read_bytes(), SERVE)
    wanted = json.loads((folder / expected).read_text())
    name, version = wanted["model_spec"]["name"], int(wanted["model_spec"]["version"])
    assert json.loads(metadata_json(name, version, graph.signatures)) == wanted


def test_metadata_of_a_newer_model_has_its_defaults_and_its_initialisation(shared_vectors):
    """The vectors' file is older than the model: it lacks the default of x and an empty list of defaults."""
    folder = shared_vectors / TESTDATA
    data = (folder / "saved_model_half_plus_two_tf2_cpu" / "00000123" / "saved_model.pb").read_bytes()
    ours = json.loads(metadata_json("m", 1, meta_graph(data, SERVE).signatures))["metadata"]["signature_def"]
    wanted = json.loads((folder / "saved_model_half_plus_two_tf2_2_versions_metadata.json").read_text())
    assert ours["signature_def"]["serving_default"]["defaults"].pop("x")["float_val"] == [0.0]
    assert ours["signature_def"]["__saved_model_init_op"].pop("defaults") == {}
    assert ours == wanted["metadata"]["signature_def"]


def test_the_graph_is_chosen_by_exactly_its_tags():
    model = saved_model(("serve", "gpu"))
    data = model.SerializeToString()
    assert tag_sets(data) == [{"serve", "gpu"}]
    assert meta_graph(data, {"gpu", "serve"}).tags == {"serve", "gpu"}
    with pytest.raises(BadSavedModel) as caught:
        meta_graph(data, SERVE)
    assert caught.value.code == "SR-SAVED-MODEL"
    assert caught.value.sentence == (
        "Could not find meta graph def matching supplied tags: { serve }. To inspect available tag-sets in the "
        "SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )


def test_shapes_types_and_defaults_become_values():
    def fill(definition):
        definition.method_name = "tensorflow/serving/regress"
        info = definition.inputs["b"]
        info.name, info.dtype = "b:0", 101
        info.tensor_shape.dim.add(size=-1, name="batch")
        info.tensor_shape.dim.add(size=-7)
        definition.inputs["a"].dtype = 7
        definition.inputs["a"].tensor_shape.unknown_rank = True
        definition.defaults["a"].dtype = 7
        definition.defaults["a"].string_val.append(b"x")

    found = signature(fill)
    assert list(found.inputs) == ["a", "b"]
    assert (found.inputs["a"].dtype, found.inputs["a"].shape) == (DataType.DT_STRING, None)
    assert (found.inputs["b"].dtype, found.inputs["b"].shape) == (DataType.DT_FLOAT, (-1, -1))
    assert found.defaults["a"].tolist() == b"x"
    assert found.method == "tensorflow/serving/regress"


def test_what_cannot_be_sent_stays_in_the_metadata():
    def fill(definition):
        definition.inputs["sparse"].coo_sparse.values_tensor_name = "v:0"
        definition.inputs["handle"].dtype = 20
        definition.inputs["many"].composite_tensor.components.add(name="c:0")
        definition.outputs["reference"].dtype = 107

    found = signature(fill)
    assert "handle" not in found.inputs
    packed = signatures_to_any({"serving_default": found})
    listed = SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert listed.inputs["sparse"].coo_sparse.values_tensor_name == "v:0"
    assert listed.inputs["many"].composite_tensor.components[0].name == "c:0"
    shown = json.loads(metadata_json("m", 1, {"serving_default": found}))
    shown = shown["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert shown["inputs"]["handle"]["dtype"] == "DT_RESOURCE"
    assert shown["outputs"]["reference"]["dtype"] == "DT_STRING_REF"


def test_a_default_that_is_no_tensor_is_refused():
    def fill(definition):
        definition.defaults["a"].dtype = 1
        definition.defaults["a"].tensor_content = b"123"

    with pytest.raises(BadSavedModel, match="default of input 'a'"):
        signature(fill)


def test_signatures_are_bounded():
    model = saved_model()
    for number in range(MAX_SIGNATURES):
        model.meta_graphs[0].signature_def[str(number)].method_name = "m"
    with pytest.raises(BadSavedModel, match="at most"):
        meta_graph(model.SerializeToString(), SERVE)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x12\x05ab"])
def test_other_bytes_are_no_saved_model(data):
    with pytest.raises(BadSavedModel):
        meta_graph(data, SERVE)
    with pytest.raises(BadSavedModel):
        tag_sets(data)


def test_a_signature_keeps_nothing_of_the_graph_alive():
    model = saved_model()
    model.meta_graphs[0].graph_def.node.add(name="large").attr["value"].s = bytes(1000)
    found = meta_graph(model.SerializeToString(), SERVE).signatures["serving_default"]
    assert found.definition.ByteSize() < 100
