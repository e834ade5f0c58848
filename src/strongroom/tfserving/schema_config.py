"""Configuration files and the reload of a configuration: a part of the table that `schema` explains.

Source: spec `model-server.md` sections 2 and 6; tensorflow_serving/config and tensorflow_serving/apis.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package tensorflow
message ConfigProto
  2 intra_op_parallelism_threads int32
  5 inter_op_parallelism_threads int32

package tensorflow.serving
enum ModelType
  MODEL_TYPE_UNSPECIFIED 0, TENSORFLOW 1, OTHER 2
message LogCollectorConfig
  1 type string
  2 filename_prefix string
message PerTaskSamplingConfig
  1 dc string
  2 task_index int32
  3 sampling_rate double
message SamplingConfig
  1 sampling_rate double
  2 attributes int32
  3 per_task_sampling_configs repeated PerTaskSamplingConfig
enum SamplingConfig.Attributes
  ATTR_DEFAULT 0, ATTR_REQUEST_ORIGIN 1, ATTR_REQUEST_CRITICALITY 2
message LoggingConfig
  1 log_collector_config LogCollectorConfig
  2 sampling_config SamplingConfig
  3 custom_logging_config Any
message ServableVersionPolicy
  100 latest/policy_choice Latest
  101 all/policy_choice All
  102 specific/policy_choice Specific
message ServableVersionPolicy.Latest
  1 num_versions uint32
message ServableVersionPolicy.All
message ServableVersionPolicy.Specific
  1 versions repeated int64
message ModelConfig
  1 name string
  2 base_path string
  3 model_type ModelType
  4 model_platform string
  6 logging_config LoggingConfig
  7 model_version_policy ServableVersionPolicy
  8 version_labels map<string,int64>
message ModelConfigList
  1 config repeated ModelConfig
message ModelServerConfig
  1 model_config_list/config ModelConfigList
  2 custom_model_config/config Any
message BatchingParameters
  1 max_batch_size Int64Value
  2 batch_timeout_micros Int64Value
  3 max_enqueued_batches Int64Value
  4 num_batch_threads Int64Value
  5 thread_pool_name StringValue
  6 allowed_batch_sizes repeated int64
  7 pad_variable_length_inputs bool
  8 enable_large_batch_splitting BoolValue
  9 max_execution_batch_size Int64Value
message PrometheusConfig
  1 enable bool
  2 path string
message MonitoringConfig
  1 prometheus_config PrometheusConfig
message SSLConfig
  1 server_key string
  2 server_cert string
  3 custom_ca string
  4 client_verify bool
message Metric
  1 name string
  2 int64_value_increase/value_increase int64
message ReloadConfigRequest
  1 config ModelServerConfig
  2 metric_names repeated string
message ReloadConfigResponse
  1 status StatusProto
  2 metric repeated Metric
"""
