"""`strongroom predict`: top classes, the card of what was proved, and refusals."""

import json

import pytest
from PIL import Image

from strongroom.cli import main

DIMENSIONS = {"dim": [], "unknown_rank": True}
TENSOR = {"dtype": "DT_FLOAT", "tensor_shape": DIMENSIONS}


def classifier(inputs=("input",), outputs=("predict",)):
    """Return a REST model of three classes that always prefers the second."""
    signature = {"inputs": dict.fromkeys(inputs, TENSOR), "outputs": dict.fromkeys(outputs, TENSOR), "method_name": ""}

    def reply(handler, _body):
        if handler.path.endswith("/metadata"):
            listed = {"signature_def": {"signature_def": {"serving_default": signature}}}
            return 200, json.dumps({"model_spec": {"name": "pets", "version": "4"}, "metadata": listed}).encode()
        scores = [[0.1, 0.7, 0.2]]
        value = scores if len(outputs) == 1 else dict.fromkeys(outputs, scores)
        return 200, json.dumps({"outputs": value}).encode()

    return reply


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (300, 300), (255, 0, 0)).save(path)
    return path


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\nfish\n", encoding="utf-8")
    return path


@pytest.fixture
def predict(serve, tls, photo, labels, capsys):
    """Return a function that runs the command against a model and gives (status, stdout, stderr, server)."""

    def run(*words, model=None, **options):
        server = serve(model or classifier(), **options)
        common = ["--url", server.url, "--model", "pets", "--image", str(photo), "--labels", str(labels)]
        status = main(["predict", *common, "--ca", str(tls.ca), *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err, server

    return run


def test_the_top_classes_are_printed_with_probabilities_and_what_was_proved(predict):
    status, out, err, _ = predict()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("photo.png: pets version 4, ")
    assert lines[1:4] == ["   70.0 %  dog", "   20.0 %  fish", "   10.0 %  cat"]
    assert any("certificate for localhost that chains to CN=Test CA" in line for line in lines)


def test_fb_11_without_evidence_the_card_says_that_no_program_was_proved(predict):
    _, out, _, _ = predict()
    gaps = out[out.index("NOT proved") :]
    assert "no evidence was asked for (--trust)" in gaps


def test_json_has_classes_and_proof(predict):
    status, out, _, _ = predict("--json", "--top", "1")
    body = json.loads(out)
    assert status == 0
    assert body["images"][0]["classes"] == [{"index": 1, "name": "dog", "probability": 0.7}]
    assert body["trust_domain"] is None
    assert body["not_proved"][0]["topic"] == "program"


def test_several_photographs_go_one_after_the_other(predict, photo):
    status, out, _, server = predict("--image", str(photo), str(photo))
    assert status == 0
    assert out.count("photo.png:") == 2
    assert [path for _, path, _ in server.seen].count("/v1/models/pets:predict") == 2


def test_a_version_is_asked_for_by_number_or_label(predict):
    assert predict("--version", "4")[3].seen[-1][1] == "/v1/models/pets/versions/4:predict"
    assert predict("--version-label", "stable")[3].seen[-1][1] == "/v1/models/pets/labels/stable:predict"


def test_a_model_with_several_inputs_needs_a_name(predict):
    status, _, err, _ = predict(model=classifier(inputs=("image", "mask")))
    assert status == 2
    assert "the model has the inputs image, mask: name one of them with --input" in err
    assert predict("--input", "image", model=classifier(inputs=("image", "mask")))[0] == 0
    assert predict("--output", "b", model=classifier(outputs=("a", "b")))[0] == 0


def test_a_trust_folder_makes_a_server_without_evidence_a_refusal(predict, tmp_path):
    (tmp_path / "policy.toml").write_text("version = 1\n", encoding="utf-8")
    status, out, err, server = predict(
        "--trust",
        str(tmp_path),
        model=lambda handler, body: (404, b"{}") if "evidence" in handler.path else (200, b"{}"),
    )
    assert (status, out) == (3, "")
    assert "SR-NO-EVIDENCE" in err
    assert [path for _, path, _ in server.seen if path.startswith("/v1")] == []


def test_a_pinned_certificate_is_said_to_be_pinned(serve, tls, photo, capsys):
    server = serve(classifier())
    assert (
        main(["predict", "--url", server.url, "--model", "pets", "--image", str(photo), "--crt", str(tls.server)]) == 0
    )
    assert "exactly the certificate you pinned" in capsys.readouterr().out


def test_what_cannot_be_used_is_one_sentence_and_a_status(predict, tls, labels, tmp_path):
    assert predict("--ca", str(tls.stranger_ca))[0] == 3
    assert predict("--image", str(labels))[0] == 2
    assert predict("--image", str(tmp_path / "absent.png"))[0] == 2


def test_addresses_are_checked_before_anything_is_opened(photo, capsys):
    asked = ["--model", "pets", "--image", str(photo)]
    assert main(["predict", "--url", "http://localhost:1", *asked]) == 3
    assert "SR-PLAINTEXT" in capsys.readouterr().err
    assert main(["predict", "--url", "nonsense", *asked]) == 2
    assert main(["predict", *asked]) == 1


def test_several_connections_and_repetitions_may_be_asked_for(predict):
    answers = classifier()
    asked = []

    def reply(handler, body):
        asked.append(handler.client_address)
        return (503, b'{"error": "busy"}') if len(asked) == 1 else answers(handler, body)

    status, _, err, _ = predict("--connections", "2", "--retries", "1", model=reply)
    assert (status, err) == (0, "")
    assert len(set(asked)) > 1


@pytest.mark.parametrize(
    ("option", "code"), [("--connections", "SR-CLIENT-CONNECTIONS"), ("--retries", "SR-CLIENT-RETRIES")]
)
def test_numbers_of_them_that_make_no_sense_are_refused(predict, option, code):
    status, _, err, server = predict(option, "-1")
    assert status == 2
    assert code in err
    assert server.seen == []
