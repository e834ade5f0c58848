"""Every path of the REST interface, its texts, and Strongroom's own health and evidence."""

import asyncio
import base64
import gzip
import json
from types import SimpleNamespace

import pytest

from strongroom.attestation.binding import report_data_for
from strongroom.platforms import QuoteUnavailable
from strongroom.serving.engines import EngineOptions
from strongroom.serving.http1 import Request
from strongroom.serving.models.loading import PlainLoader
from strongroom.serving.models.registry import ModelVersions
from strongroom.serving.models.versions import latest, list_versions
from strongroom.serving.operations.evidence import MAX_WAITING, Evidence
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.operator_routes import Operations
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rest_routes import RestRoutes
from strongroom.tfserving.json_response import NonFinite

NONCE = "ab" * 32
SPKI = b"a public key"


class SomePlatform:
    name = "some"

    def __init__(self, fail=False):
        self.asked, self.fail = [], fail

    def quote(self, report_data):
        self.asked.append(report_data)
        if self.fail:
            raise QuoteUnavailable("the launcher is gone, says /the/operators/log")
        return b"quote over " + report_data


@pytest.fixture
def ask(base, models):
    """Ask a served half_plus_two (version 123) and a model with several inputs; return the answer."""
    base.put(123)
    other = base.folder.parent / "several" / "7"
    other.mkdir(parents=True)
    (other / "model.onnx").write_bytes(models.many().SerializeToString())

    async def run(method, target, body, headers, options):
        loader = PlainLoader(EngineOptions(intra_op_threads=1))
        names = ("default", "several")
        plane = Dataplane(
            models={name: ModelVersions(name, loader) for name in names}, accepting=options.pop("accepting", True)
        )
        await plane.models["default"].settle(latest(list_versions(base.folder, model="m").candidates))
        await plane.models["several"].settle(latest(list_versions(other.parent, model="m").candidates))
        if options.pop("gone", False):
            await plane.models["default"].settle([])
        platform = options.pop("platform", None)
        evidence = Evidence(platform, SPKI) if platform else None
        readiness = Readiness()
        readiness.check(lambda: plane.not_ready_reason)
        operations = Operations(readiness=readiness, models=plane.catalogue, metrics_text=Metrics().text)
        values = {"timeout_s": 30, "max_body_bytes": 10**6, **options}
        routes = RestRoutes(dataplane=plane, operations=operations, evidence=evidence, **values)
        answer = await routes.answer(
            Request(method=method, target=target.encode("latin-1"), headers=headers, body=body, keep_alive=True)
        )
        for model in plane.models.values():
            await model.close()
        return answer

    def ask(method, target, body=b"", *, headers=None, **options):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = asyncio.run(run(method, target, body, headers or {}, options))
        content = json.loads(answer.body) if answer.content_type == "application/json" and answer.body else answer.body
        return SimpleNamespace(status=answer.status, body=content, type=answer.content_type, headers=answer.headers)

    return ask


def predict(ask, body, model="default", **options):
    return ask("POST", f"/v1/models/{model}:predict", body, **options)


def test_rows_and_columns_are_answered_in_their_form(ask):
    assert predict(ask, {"instances": [2.0, 3.0]}).body == {"predictions": [3.0, 3.5]}
    assert predict(ask, {"inputs": 5.0}).body == {"outputs": 4.5}
    assert predict(ask, {"signature_name": "serving_default", "inputs": {"x": [1]}}).body == {"outputs": [2.5]}


def test_several_inputs_and_outputs_go_by_name(ask):
    answer = predict(ask, {"inputs": {"a": [1.5], "s": ["ä"]}}, model="several")
    assert answer.body == {"outputs": {"double": [1.5], "same": ["ä"], "n": [1]}}
    rows = predict(ask, {"instances": [{"a": 1.5, "s": {"b64": "YQ=="}}]}, model="several")
    assert rows.body == {"predictions": [{"double": 1.5, "same": "a", "n": 1}]}


@pytest.mark.parametrize("path", ["/v1/models/default", "/V1/MODELS/default", "/v1/models/default/versions/123?x=1",
                                  "/v1/models/default/versions/000123", "/v1/models/default/labels/any",
                                  "/v1/models/%64efault", "/v1/models/default/METADATA"])  # fmt: skip
def test_status_has_many_spellings(ask, path):
    answer = ask("GET", path)
    assert answer.status == 200
    assert [row["state"] for row in answer.body["model_version_status"]] == ["AVAILABLE"]


def test_metadata_names_signature_and_version(ask):
    answer = ask("GET", "/v1/models/default/versions/123/metadata")
    assert answer.body["model_spec"] == {"name": "default", "signature_name": "", "version": "123"}
    signature = answer.body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [], "unknown_rank": True}


REFUSED = [
    ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
    ("GET", "/v1/models/foo:predict", 400, "Malformed request: GET /v1/models/foo:predict"),
    ("POST", "/v1/models/default:PREDICT", 400, "Malformed request: POST /v1/models/default:PREDICT"),
    ("PUT", "/v1/models/default", 400, "Malformed request: PUT /v1/models/default"),
    ("OPTIONS", "/v1/models/default", 400, "Malformed request: OPTIONS /v1/models/default"),
    ("GET", "/v1/models/default/versions/x", 400, "Malformed request: GET /v1/models/default/versions/x"),
    ("GET", "/v1/models", 400, "Missing model name in request."),
    ("GET", f"/v1/models/m/versions/{2**63}", 400, f"Failed to convert version: {2**63} to numeric."),
    ("GET", "/v1/models/m/versions/" + "9" * 6000, 400, None),
    ("GET", "/v1/models/%zz", 400, "Failed to decode model name:%zz"),
    ("GET", "/v1/models/%ff", 400, "Failed to decode model name:%ff"),
    ("POST", "/v1/models/m/labels/%f:predict", 400, "Failed to decode model version label:%f"),
    ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
    ("GET", "/v1/models/default/versions/99", 404, "Could not find version 99 of model default"),
    ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
    ("GET", "/v1/models/default/versions/9/metadata", 404, "Servable not found for request: Specific(default, 9)"),
    ("POST", "/v1/models/default:classify", 400, "JSON Parse error: The document is empty"),
    (
        "POST",
        "/v1/models/m/versions/99999999999999999999:PREDICT",
        400,
        "Failed to convert version: 99999999999999999999 to numeric.",
    ),
    (
        "GET",
        "/v1/models/versions/99999999999999999999",
        400,
        "Failed to convert version: 99999999999999999999 to numeric.",
    ),
    ("POST", "/v1/models/default:predict", 400, "JSON Parse error: The document is empty"),
]


@pytest.mark.parametrize(("method", "path", "status", "text"), REFUSED, ids=[f"{m} {p[:50]}" for m, p, *_ in REFUSED])
def test_paths_are_refused_word_for_word(ask, method, path, status, text):
    answer = ask(method, path.encode("utf-8").decode("latin-1"))
    assert answer.status == status
    assert answer.type == "application/json"
    assert text is None or answer.body == {"error": text}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [("half:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(half)"),
     ("half:predict", {"signature_name": 1}, 400,
      ('JSON Value: {\n    "signature_name": 1\n} not formatted correctly. '
       "'signature_name' key must be a string value.")),
     ("default/labels/nope:predict", {"instances": [1]}, 400, "Unrecognized servable version label: nope"),
     ("default:predict", {"signature_name": "nope", "instances": [1]}, 400,
      'Serving signature name: "nope" not found in signature def'),
     ("default:predict", {"signature_name": "serving_default"}, 400, "Missing 'inputs' or 'instances' key")],
)  # fmt: skip
def test_predict_is_refused_word_for_word(ask, path, body, status, text):
    answer = ask("POST", f"/v1/models/{path}", body)
    assert (answer.status, answer.body) == (status, {"error": text})


@pytest.mark.parametrize(
    "path", ["/", "/statuspage", "/v2/models", "/v1", "*", "http://[", "/healthz/", "/strongroom/v1/evidence"]
)
def test_other_paths_are_a_bare_404(ask, path):
    answer = ask("GET", path)
    assert (answer.status, answer.type) == (404, "text/plain")


def test_gzip_bodies_are_taken_within_limits(ask):
    headers = {"content-encoding": "gzip"}
    packed = gzip.compress(json.dumps({"instances": [2.0]}).encode())
    assert predict(ask, packed, headers=headers).body == {"predictions": [3.0]}
    assert predict(ask, b"junk", headers=headers).status == 400
    assert predict(ask, gzip.compress(b" " * 2000), headers=headers, max_body_bytes=1000).status == 413
    assert predict(ask, b"", headers={"content-encoding": "br"}).status == 415


def test_cors_is_on_every_answer_where_it_was_asked_for(ask):
    assert "Access-Control-Allow-Origin" not in ask("GET", "/v1/models/default").headers
    for answer in (ask("GET", "/v1/foo", cors=True), predict(ask, {"inputs": 1}, cors=True)):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    preflight = ask("OPTIONS", "/v1/models/default:predict", headers={"origin": "http://x.example"}, cors=True)
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST, GET"
    assert ask("OPTIONS", "/v1/models/default:predict", cors=True).status == 400


def test_sv_19_health_is_one_thing_and_readiness_another(ask):
    assert ask("GET", "/healthz").status == 200
    assert ask("GET", "/readyz").body == b"ready\n"
    for missing in ({"accepting": False}, {"gone": True}):
        answer = ask("GET", "/readyz", **missing)
        assert answer.status == 503
        assert answer.body in {b"the server does not take requests\n", b"default has no version that is AVAILABLE\n"}, (
            answer.body
        )
        assert ask("GET", "/healthz", **missing).status == 200


def test_evidence_binds_key_and_nonce(ask):
    platform = SomePlatform()
    answer = ask("GET", f"/strongroom/v1/evidence?nonce={NONCE}", platform=platform)
    wanted = report_data_for("serve", SPKI, bytes.fromhex(NONCE), "")
    assert answer.status == 200
    assert answer.body["form"] == "serve-v1"
    assert base64.b64decode(answer.body["quote"]) == b"quote over " + wanted
    assert platform.asked == [wanted]


@pytest.mark.parametrize(
    "query",
    ["", "?nonce=", "?nonce=ab", f"?{NONCE}", f"?nonce={NONCE}ab", f"?nonce={'zz' * 32}", f"?n={NONCE}",
     f"?nonce={NONCE}&nonce={NONCE}"],
)  # fmt: skip
def test_evidence_needs_one_nonce_of_32_bytes(ask, query):
    platform = SomePlatform()
    answer = ask("GET", f"/strongroom/v1/evidence{query}", platform=platform)
    assert answer.status == 400
    assert platform.asked == []


def test_sv_10_a_platform_that_fails_is_unavailable(ask):
    answer = ask("GET", f"/strongroom/v1/evidence?nonce={NONCE}", platform=SomePlatform(fail=True))
    assert answer.status == 503


def test_evidence_is_not_queued_without_end():
    async def story():
        evidence = Evidence(SomePlatform(), SPKI)
        answers = await asyncio.gather(
            *(evidence.answer(NONCE) for _ in range(MAX_WAITING + 3)), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        assert [error.code for error in refused] == ["SR-SERVE-BUSY"] * 3
        assert (await evidence.answer(NONCE))["form"] == "serve-v1"

    asyncio.run(story())


def test_a_defect_of_ours_is_one_line_for_the_peer(ask, caplog, monkeypatch):
    monkeypatch.setattr(Dataplane, "statuses", lambda self, query: 1 / 0)
    answer = ask("GET", "/v1/models/default")
    assert (answer.status, answer.body) == (500, {"error": "internal error"})
    assert "ZeroDivisionError" in caplog.text


def test_requests_are_counted_under_their_model_and_verb(ask):
    metrics = Metrics()
    metrics.set_models(["default"])
    predict(ask, {"instances": [1.0]}, metrics=metrics)
    predict(ask, {"instances": ["a"]}, metrics=metrics)
    ask("GET", "/v1/models/default", metrics=metrics)
    ask("GET", "/v1/foo", metrics=metrics)
    ask("POST", "/v1/models/default:predict", b"x", headers={"content-encoding": "gzip"}, metrics=metrics)
    text = metrics.text()
    assert 'request_count{model_name="default",status="OK"} 2' in text
    assert 'request_count{model_name="default",status="INVALID_ARGUMENT"} 2' in text
    assert 'request_count{model_name="",status="INVALID_ARGUMENT"} 1' in text
    assert 'request_latency_count{model_name="default",API="predict",entrypoint="REST"} 1' in text


def test_a_defect_of_ours_is_counted_and_one_line_for_the_peer(ask, caplog, monkeypatch):
    monkeypatch.setattr(Dataplane, "statuses", lambda self, query: 1 / 0)
    metrics = Metrics()
    metrics.set_models(["default"])
    answer = ask("GET", "/v1/models/default", metrics=metrics)
    assert (answer.status, answer.body) == (500, {"error": "internal error"})
    assert 'request_count{model_name="default",status="INTERNAL"} 1' in metrics.text()
    assert "ZeroDivisionError" in caplog.text


def test_nan_is_null_or_an_error_where_one_wants_that(ask):
    body = b'{"instances": [NaN, 1.0]}'
    assert ask("POST", "/v1/models/default:predict", body, nan=NonFinite.NULL).body == {"predictions": [None, 2.5]}
    answer = ask("POST", "/v1/models/default:predict", body, nan=NonFinite.ERROR)
    assert (answer.status, answer.body) == (500, {"error": "the answer holds NaN or Infinity"})


def test_a_preflight_needs_an_origin_and_the_flag(ask):
    path, origin = "/v1/models/default:predict", {"origin": "http://x.example"}
    assert ask("OPTIONS", path, headers=origin).status == 400
    assert ask("OPTIONS", path, headers=origin, cors=True).status == 200
    assert ask("OPTIONS", path, headers={"origin": "null"}, cors=True).status == 400
    assert ask("OPTIONS", path, cors=True).headers["Access-Control-Allow-Methods"] == "POST, GET"


@pytest.mark.parametrize(("verb", "kind"), [("classify", "classification"), ("regress", "regression")])
def test_a_predict_signature_does_not_classify_or_regress(ask, verb, kind):
    answer = ask("POST", f"/v1/models/default:{verb}", {"examples": [{"x": 1.0}]})
    assert answer.status == 400
    assert answer.body["error"].startswith(f"No {kind} inputs found in SignatureDef: ")
