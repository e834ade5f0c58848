"""REST bodies of predict, classify and regress to answers, over the dataplane.

Source: spec `model-server.md` sections 4.1 to 4.3; the order of checks is part of the interface: predict looks for the
model after the signature's name was read, classify and regress after the whole body was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.errors import StrongroomError
from strongroom.serving.models.registry import Served
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.dataplane import Dataplane, Query
from strongroom.serving.requests.inference import Inference
from strongroom.serving.status import BadRequest
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.json_examples import input_of
from strongroom.tfserving.json_fast import FastJson, quick_body, regular_body
from strongroom.tfserving.json_request import arrays_of, is_row_form, signature_name
from strongroom.tfserving.json_response import (
    NonFinite,
    classifications_text,
    columns_text,
    regressions_text,
    rows_text,
)
from strongroom.tfserving.json_values import Json, parse_body
from strongroom.tfserving.messages import ClassificationRequest, ModelSpec, RegressionRequest
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class RestInference:
    """Answers bodies with JSON; `timeout_s` is the run deadline. Every method raises what the dataplane raises."""

    dataplane: Dataplane
    metrics: Metrics
    timeout_s: float
    nan: NonFinite
    fast: FastJson

    async def answer(self, verb: str, query: Query, body: bytes | memoryview) -> str:
        """Answer one of predict, classify, regress. Raises BadJson as well."""
        if verb == "predict":
            return await self._predict(query, body)
        asked, given = _inference_request(query, body)
        inference = Inference(dataplane=self.dataplane, metrics=self.metrics)
        if verb == "classify":
            request = ClassificationRequest(model_spec=asked, input=given)
            made = await inference.classify(request, timeout_s=self.timeout_s)
            return classifications_text(made.result, self.nan)
        made = await inference.regress(RegressionRequest(model_spec=asked, input=given), timeout_s=self.timeout_s)
        return regressions_text(made.result, self.nan)

    async def _predict(self, query: Query, raw: bytes | memoryview) -> str:
        asked = self._quickly(query, raw) or self._asked(query, parse_body(bytes(raw)))
        del raw
        self.dataplane.check_signature(asked.signature)
        prediction = await self.dataplane.run(
            asked.served, asked.name, asked.inputs, list(asked.signature.outputs), timeout_s=self.timeout_s
        )
        return rows_text(prediction.outputs, self.nan) if asked.by_row else columns_text(prediction.outputs, self.nan)

    def _quickly(self, query: Query, raw: bytes | memoryview) -> _Asked | None:
        """Return what the fast parsers make of a body; None for all that the exact one has to read, or to refuse."""
        try:
            frame = regular_body(raw)
            if frame is not None:
                served = self.dataplane.choose(query)
                name = frame.signature_name or DEFAULT_SIGNATURE
                signature = served.signatures.get(name)
                inputs = self.fast.array(raw, frame, signature.inputs) if signature is not None else None
                if signature is not None and inputs is not None:
                    return _Asked(served, name, signature, inputs, frame.by_row)
            body = quick_body(bytes(raw))
            return None if body is None else self._asked(query, body)
        except StrongroomError:
            return None

    def _asked(self, query: Query, body: dict[str, Json]) -> _Asked:
        asked = signature_name(body)
        name = asked or DEFAULT_SIGNATURE
        served = self.dataplane.choose(query)
        signature = served.signatures.get(name)
        if signature is None:
            raise BadRequest(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise BadRequest(f"Failed to get input map for signature: {asked or 'DEFAULT'}")
        by_row = is_row_form(body)
        return _Asked(served, name, signature, arrays_of(body, signature.inputs), by_row)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a predict body asks for."""

    served: Served
    name: str
    signature: Signature
    inputs: Mapping[str, Array]
    by_row: bool


def _inference_request(query: Query, raw: bytes | memoryview) -> tuple[ProtoMessage, ProtoMessage]:
    """Return the ModelSpec and the Input of a classify or regress body."""
    body = parse_body(bytes(raw))
    spec = ModelSpec(name=query.name, signature_name=signature_name(body))
    if query.version is not None:
        spec.version.value = query.version
    elif query.label is not None:
        spec.version_label = query.label
    return spec, input_of(body)
