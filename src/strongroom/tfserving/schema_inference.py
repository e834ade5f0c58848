"""Examples, classification, regression and several at once: a part of the table that `schema` explains.

Source: spec `model-server.md` section 2; tensorflow/core/example and tensorflow_serving/apis.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package tensorflow
message BytesList
  1 value repeated bytes
message FloatList
  1 value repeated float
message Int64List
  1 value repeated int64
message Feature
  1 bytes_list/kind BytesList
  2 float_list/kind FloatList
  3 int64_list/kind Int64List
message Features
  1 feature map<string,Feature>
message Example
  1 features Features

package tensorflow.serving
message ExampleList
  1 examples repeated Example
message ExampleListWithContext
  1 examples repeated Example
  2 context Example
message Input
  1 example_list/kind ExampleList
  2 example_list_with_context/kind ExampleListWithContext
message Class
  1 label string
  2 score float
message Classifications
  1 classes repeated Class
message ClassificationResult
  1 classifications repeated Classifications
message ClassificationRequest
  1 model_spec ModelSpec
  2 input Input
message ClassificationResponse
  1 result ClassificationResult
  2 model_spec ModelSpec
message Regression
  1 value float
message RegressionResult
  1 regressions repeated Regression
message RegressionRequest
  1 model_spec ModelSpec
  2 input Input
message RegressionResponse
  1 result RegressionResult
  2 model_spec ModelSpec
message InferenceTask
  1 model_spec ModelSpec
  2 method_name string
message MultiInferenceRequest
  1 tasks repeated InferenceTask
  2 input Input
message InferenceResult
  1 model_spec ModelSpec
  2 classification_result/result ClassificationResult
  3 regression_result/result RegressionResult
message MultiInferenceResponse
  1 results repeated InferenceResult
"""
