"""gRPC's own services, health and reflection: a part of the table that `schema` explains.

Source: grpc/health/v1/health.proto and grpc/reflection/v1/reflection.proto (v1alpha has the same messages).
"""

from __future__ import annotations

from typing import Final

_REFLECTION: Final = """
message ServerReflectionRequest
  1 host string
  3 file_by_filename/message_request string
  4 file_containing_symbol/message_request string
  5 file_containing_extension/message_request ExtensionRequest
  6 all_extension_numbers_of_type/message_request string
  7 list_services/message_request string
message ExtensionRequest
  1 containing_type string
  2 extension_number int32
message FileDescriptorResponse
  1 file_descriptor_proto repeated bytes
message ExtensionNumberResponse
  1 base_type_name string
  2 extension_number repeated int32
message ServiceResponse
  1 name string
message ListServiceResponse
  1 service repeated ServiceResponse
message ErrorResponse
  1 error_code int32
  2 error_message string
message ServerReflectionResponse
  1 valid_host string
  2 original_request ServerReflectionRequest
  4 file_descriptor_response/message_response FileDescriptorResponse
  5 all_extension_numbers_response/message_response ExtensionNumberResponse
  6 list_services_response/message_response ListServiceResponse
  7 error_response/message_response ErrorResponse
"""

HEALTH: Final = """
package grpc.health.v1
message HealthCheckRequest
  1 service string
message HealthCheckResponse
  1 status ServingStatus
enum HealthCheckResponse.ServingStatus
  UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3
"""
REFLECTION: Final = f"package grpc.reflection.v1{_REFLECTION}"
REFLECTION_V1ALPHA: Final = f"package grpc.reflection.v1alpha{_REFLECTION}"
