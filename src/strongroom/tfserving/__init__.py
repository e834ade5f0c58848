"""TensorFlow Serving's messages and tensors, to and from numpy and JSON.

Law of this room: pure; bytes and values in, values out. It knows the interface's formats and error texts, and neither
models nor connections. Its message classes live in a private pool, so that they coexist with the real stubs.

`schema` the table of messages · `messages` their classes · `tensors` TensorProto · `predict_wire` requests without
copies · `json_request`, `json_response`, `json_models` the REST forms · `signatures`, `status`, `codes` values.
"""

from strongroom.tfserving.codes import Code
from strongroom.tfserving.datatypes import Array, DataType, UnsupportedType, type_of_array
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.json_values import BadJson
from strongroom.tfserving.messages import (
    GET_MODEL_METADATA,
    GET_MODEL_STATUS,
    PREDICT,
    BadMessage,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    TensorProto,
    parse,
)
from strongroom.tfserving.predict_wire import encode_predict_request, encode_predict_response, parse_predict
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec, signatures_from_any
from strongroom.tfserving.status import State, VersionStatus, statuses_of
from strongroom.tfserving.tensors import BadTensor, Limits, array_to_tensor, tensor_to_array

__all__ = [
    "DEFAULT_SIGNATURE",
    "GET_MODEL_METADATA",
    "GET_MODEL_STATUS",
    "PREDICT",
    "Array",
    "BadJson",
    "BadMessage",
    "BadTensor",
    "Code",
    "DataType",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "Limits",
    "ModelSpec",
    "PredictRequest",
    "PredictResponse",
    "ProtoMessage",
    "Signature",
    "SignatureDefMap",
    "State",
    "TensorProto",
    "TensorSpec",
    "UnsupportedType",
    "VersionStatus",
    "array_to_tensor",
    "encode_predict_request",
    "encode_predict_response",
    "parse",
    "parse_predict",
    "signatures_from_any",
    "statuses_of",
    "tensor_to_array",
    "type_of_array",
]
