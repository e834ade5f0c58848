"""The message classes of TensorFlow Serving's interface, and the paths of its methods.

They live in a private pool and coexist with the real `tensorflow_serving` stubs in one process. Their instances are
wire compatible; `parse` is the one door for bytes from elsewhere.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError

from strongroom.errors import BadInput
from strongroom.tfserving import schema, schema_config, schema_grpc, schema_inference, schema_logs, schema_saved_model
from strongroom.tfserving.descriptors import ProtoMessage, message_classes

_message_class: Final = message_classes(
    "\n".join(part.TABLE for part in (schema, schema_inference, schema_config, schema_logs, schema_saved_model))
)
_health_class: Final = message_classes(schema_grpc.HEALTH)

Int64Value: Any = _message_class("google.protobuf.Int64Value")
AnyMessage: Any = _message_class("google.protobuf.Any")
TensorShapeProto: Any = _message_class("tensorflow.TensorShapeProto")
TensorProto: Any = _message_class("tensorflow.TensorProto")
TensorInfo: Any = _message_class("tensorflow.TensorInfo")
SignatureDef: Any = _message_class("tensorflow.SignatureDef")
ModelSpec: Any = _message_class("tensorflow.serving.ModelSpec")
PredictRequest: Any = _message_class("tensorflow.serving.PredictRequest")
PredictResponse: Any = _message_class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest: Any = _message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse: Any = _message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap: Any = _message_class("tensorflow.serving.SignatureDefMap")
StatusProto: Any = _message_class("tensorflow.serving.StatusProto")
GetModelStatusRequest: Any = _message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse: Any = _message_class("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus: Any = _message_class("tensorflow.serving.ModelVersionStatus")

Example: Any = _message_class("tensorflow.Example")
Input: Any = _message_class("tensorflow.serving.Input")
ClassificationRequest: Any = _message_class("tensorflow.serving.ClassificationRequest")
ClassificationResponse: Any = _message_class("tensorflow.serving.ClassificationResponse")
ClassificationResult: Any = _message_class("tensorflow.serving.ClassificationResult")
RegressionRequest: Any = _message_class("tensorflow.serving.RegressionRequest")
RegressionResponse: Any = _message_class("tensorflow.serving.RegressionResponse")
RegressionResult: Any = _message_class("tensorflow.serving.RegressionResult")
MultiInferenceRequest: Any = _message_class("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse: Any = _message_class("tensorflow.serving.MultiInferenceResponse")
ModelServerConfig: Any = _message_class("tensorflow.serving.ModelServerConfig")
BatchingParameters: Any = _message_class("tensorflow.serving.BatchingParameters")
MonitoringConfig: Any = _message_class("tensorflow.serving.MonitoringConfig")
SSLConfig: Any = _message_class("tensorflow.serving.SSLConfig")
ConfigProto: Any = _message_class("tensorflow.ConfigProto")
ReloadConfigRequest: Any = _message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse: Any = _message_class("tensorflow.serving.ReloadConfigResponse")
PredictionLog: Any = _message_class("tensorflow.serving.PredictionLog")
SavedModel: Any = _message_class("tensorflow.SavedModel")
MetaGraphDef: Any = _message_class("tensorflow.MetaGraphDef")
GraphDef: Any = _message_class("tensorflow.GraphDef")
HealthCheckRequest: Any = _health_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Any = _health_class("grpc.health.v1.HealthCheckResponse")

PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
PREDICT: Final = f"/{PREDICTION_SERVICE}/Predict"
GET_MODEL_METADATA: Final = f"/{PREDICTION_SERVICE}/GetModelMetadata"
CLASSIFY: Final = f"/{PREDICTION_SERVICE}/Classify"
REGRESS: Final = f"/{PREDICTION_SERVICE}/Regress"
MULTI_INFERENCE: Final = f"/{PREDICTION_SERVICE}/MultiInference"
HANDLE_RELOAD_CONFIG: Final = f"/{MODEL_SERVICE}/HandleReloadConfigRequest"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"
GET_MODEL_STATUS: Final = f"/{MODEL_SERVICE}/GetModelStatus"
SIGNATURE_DEF_TYPE_URL: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class BadMessage(BadInput):
    """Bytes are not the protobuf message that was expected."""

    code = "SR-MESSAGE"
    fix = "Use TensorFlow Serving's messages, or stubs generated from its published .proto files."


def parse(message_class: Any, data: bytes) -> ProtoMessage:  # noqa: ANN401  # a class of this module
    """Return `data` as a message. Raises BadMessage."""
    try:
        return message_class.FromString(data)
    except DecodeError:
        raise BadMessage(f"the request is not a {message_class.DESCRIPTOR.name}") from None
