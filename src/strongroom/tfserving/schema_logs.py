"""Prediction logs, the records of warm-up files: a part of the table that `schema` explains.

Source: spec `model-server.md` sections 2 and 8; tensorflow_serving/apis/prediction_log.proto and core/logging.proto.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package tensorflow.serving
message LogMetadata
  1 model_spec ModelSpec
  2 sampling_config SamplingConfig
  3 saved_model_tags repeated string
  4 timestamp_secs int64
  5 dc string
  6 request_origin string
  7 request_criticality string
message ClassifyLog
  1 request ClassificationRequest
  2 response ClassificationResponse
message RegressLog
  1 request RegressionRequest
  2 response RegressionResponse
message PredictLog
  1 request PredictRequest
  2 response PredictResponse
message MultiInferenceLog
  1 request MultiInferenceRequest
  2 response MultiInferenceResponse
message SessionRunLog
message PredictStreamedLog
  1 request repeated PredictRequest
  2 response repeated PredictResponse
message PredictionLog
  1 log_metadata LogMetadata
  2 classify_log/log_type ClassifyLog
  3 regress_log/log_type RegressLog
  4 multi_inference_log/log_type MultiInferenceLog
  5 session_run_log/log_type SessionRunLog
  6 predict_log/log_type PredictLog
  7 predict_streamed_log/log_type PredictStreamedLog
"""
