"""The messages of TensorFlow Serving's public interface as one compact table: field numbers and types, nothing else.

Source: spec `model-server.md` section 2. Only what this server and client speak is listed; protobuf keeps and ignores
unknown fields, so requests that carry more still parse. `TABLE` is the prediction and status part; `schema_inference`,
`schema_config`, `schema_logs`, `schema_saved_model` and `schema_grpc` continue it.

A line without indentation opens a package or a message (`TensorShapeProto.Dim` is nested); a field is `number name
type`, with `name/oneof` for a member of a oneof. Scalars, messages, enums, `repeated T` and `map<K,V>` are known.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package google.protobuf
message Int64Value
  1 value int64
message BoolValue
  1 value bool
message StringValue
  1 value string
message Any
  1 type_url string
  2 value bytes

package tensorflow
enum DataType
  DT_INVALID 0, DT_FLOAT 1, DT_DOUBLE 2, DT_INT32 3, DT_UINT8 4, DT_INT16 5, DT_INT8 6, DT_STRING 7, DT_COMPLEX64 8
  DT_INT64 9, DT_BOOL 10, DT_QINT8 11, DT_QUINT8 12, DT_QINT32 13, DT_BFLOAT16 14, DT_QINT16 15, DT_QUINT16 16
  DT_UINT16 17, DT_COMPLEX128 18, DT_HALF 19, DT_RESOURCE 20, DT_VARIANT 21, DT_UINT32 22, DT_UINT64 23
  DT_FLOAT8_E5M2 24, DT_FLOAT8_E4M3FN 25, DT_FLOAT8_E4M3FNUZ 26, DT_FLOAT8_E4M3B11FNUZ 27, DT_FLOAT8_E5M2FNUZ 28
  DT_INT4 29, DT_UINT4 30, DT_INT2 31, DT_UINT2 32, DT_FLOAT4_E2M1FN 33
  DT_FLOAT_REF 101, DT_DOUBLE_REF 102, DT_INT32_REF 103, DT_UINT8_REF 104, DT_INT16_REF 105, DT_INT8_REF 106
  DT_STRING_REF 107, DT_COMPLEX64_REF 108, DT_INT64_REF 109, DT_BOOL_REF 110, DT_QINT8_REF 111, DT_QUINT8_REF 112
  DT_QINT32_REF 113, DT_BFLOAT16_REF 114, DT_QINT16_REF 115, DT_QUINT16_REF 116, DT_UINT16_REF 117
  DT_COMPLEX128_REF 118, DT_HALF_REF 119, DT_RESOURCE_REF 120, DT_VARIANT_REF 121, DT_UINT32_REF 122
  DT_UINT64_REF 123, DT_FLOAT8_E5M2_REF 124, DT_FLOAT8_E4M3FN_REF 125, DT_FLOAT8_E4M3FNUZ_REF 126
  DT_FLOAT8_E4M3B11FNUZ_REF 127, DT_FLOAT8_E5M2FNUZ_REF 128, DT_INT4_REF 129, DT_UINT4_REF 130, DT_INT2_REF 131
  DT_UINT2_REF 132, DT_FLOAT4_E2M1FN_REF 133
message TensorShapeProto
  2 dim repeated Dim
  3 unknown_rank bool
message TensorShapeProto.Dim
  1 size int64
  2 name string
message VariantTensorDataProto
  1 type_name string
  2 metadata bytes
  3 tensors repeated TensorProto
message ResourceHandleProto
  1 device string
  2 container string
  3 name string
  4 hash_code uint64
  5 maybe_type_name string
  6 dtypes_and_shapes repeated DtypeAndShape
message ResourceHandleProto.DtypeAndShape
  1 dtype DataType
  2 shape TensorShapeProto
message TensorProto
  1 dtype DataType
  2 tensor_shape TensorShapeProto
  3 version_number int32
  4 tensor_content bytes
  5 float_val repeated float
  6 double_val repeated double
  7 int_val repeated int32
  8 string_val repeated bytes
  9 scomplex_val repeated float
  10 int64_val repeated int64
  11 bool_val repeated bool
  12 dcomplex_val repeated double
  13 half_val repeated int32
  14 resource_handle_val repeated ResourceHandleProto
  15 variant_val repeated VariantTensorDataProto
  16 uint32_val repeated uint32
  17 uint64_val repeated uint64
  18 float8_val bytes
message TensorInfo
  1 name/encoding string
  2 dtype DataType
  3 tensor_shape TensorShapeProto
  4 coo_sparse/encoding CooSparse
  5 composite_tensor/encoding CompositeTensor
message TensorInfo.CooSparse
  1 values_tensor_name string
  2 indices_tensor_name string
  3 dense_shape_tensor_name string
message TensorInfo.CompositeTensor
  2 components repeated TensorInfo
message SignatureDef
  1 inputs map<string,TensorInfo>
  2 outputs map<string,TensorInfo>
  3 method_name string
  4 defaults map<string,TensorProto>

package tensorflow.error
enum Code
  OK 0, CANCELLED 1, UNKNOWN 2, INVALID_ARGUMENT 3, DEADLINE_EXCEEDED 4, NOT_FOUND 5, ALREADY_EXISTS 6
  PERMISSION_DENIED 7, RESOURCE_EXHAUSTED 8, FAILED_PRECONDITION 9, ABORTED 10, OUT_OF_RANGE 11, UNIMPLEMENTED 12
  INTERNAL 13, UNAVAILABLE 14, DATA_LOSS 15, UNAUTHENTICATED 16

package tensorflow.serving
message ModelSpec
  1 name string
  2 version/version_choice Int64Value
  3 signature_name string
  4 version_label/version_choice string
message PredictRequest
  1 model_spec ModelSpec
  2 inputs map<string,TensorProto>
  3 output_filter repeated string
  5 predict_streamed_options PredictStreamedOptions
  6 client_id bytes
  7 request_options RequestOptions
message PredictRequest.RequestOptions
  1 client_id bytes
  3 return_additional_arrays_from_prefill bool
  4 return_stoptokens repeated int64
  6 max_cache_length int64
  9 return_all_stoptokens bool
message PredictStreamedOptions
  1 request_state RequestState
  2 split_dimensions map<string,int32>
  3 return_single_response bool
enum PredictStreamedOptions.RequestState
  NONE 0, SPLIT 1, END_SPLIT 2, CANCEL 3
message PredictResponse
  1 outputs map<string,TensorProto>
  2 model_spec ModelSpec
message GetModelMetadataRequest
  1 model_spec ModelSpec
  2 metadata_field repeated string
message GetModelMetadataResponse
  1 model_spec ModelSpec
  2 metadata map<string,Any>
message SignatureDefMap
  1 signature_def map<string,SignatureDef>
message StatusProto
  1 error_code Code
  2 error_message string
message GetModelStatusRequest
  1 model_spec ModelSpec
message ModelVersionStatus
  1 version int64
  2 state State
  3 status StatusProto
enum ModelVersionStatus.State
  UNKNOWN 0, START 10, LOADING 20, AVAILABLE 30, UNLOADING 40, END 50
message GetModelStatusResponse
  1 model_version_status repeated ModelVersionStatus
"""
