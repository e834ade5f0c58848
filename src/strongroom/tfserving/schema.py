"""The messages of TensorFlow Serving's public interface as one compact table: field numbers and types, nothing else.

Source: spec `model-server.md` section 2. Only what this server and client speak is listed; protobuf keeps and ignores
unknown fields, so requests that carry more (streaming options, variant tensors) still parse.

A line without indentation opens a package or a message (`TensorShapeProto.Dim` is nested); a field is `number name
type`, with `name/oneof` for a member of a oneof. Scalars, messages, enums, `repeated T` and `map<K,V>` are known.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package google.protobuf
message Int64Value
  1 value int64
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
message TensorShapeProto
  2 dim repeated Dim
  3 unknown_rank bool
message TensorShapeProto.Dim
  1 size int64
  2 name string
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
  16 uint32_val repeated uint32
  17 uint64_val repeated uint64
  18 float8_val bytes
message TensorInfo
  1 name/encoding string
  2 dtype DataType
  3 tensor_shape TensorShapeProto
  4 coo_sparse/encoding CooSparse
message TensorInfo.CooSparse
  1 values_tensor_name string
  2 indices_tensor_name string
  3 dense_shape_tensor_name string
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
