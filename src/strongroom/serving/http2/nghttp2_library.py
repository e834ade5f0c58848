"""libnghttp2 by cffi's ABI mode: the declarations this room uses, and the library opened.

Declarations follow nghttp2's public header; its ABI (soname 14) has been stable since 1.0. Bytes that are read are
`char`, which cffi makes Python's bytes of in one step.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

LIBRARIES: Final = ("libnghttp2.so.14", "libnghttp2.14.dylib", "nghttp2.dll")
OLDEST: Final = 0x013400  # 1.52, the first release that RFC 9218 and all calls below are tested with

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 9  # frame types
END_STREAM: Final = 1
ACK: Final = 1

FLAG_EOF: Final = 1
FLAG_NO_END_STREAM: Final = 2
FLAG_NO_COPY: Final = 4

WOULDBLOCK: Final = -504
DEFERRED: Final = -508
CALLBACK_FAILURE: Final = -902
BAD_PREFACE: Final = -903
FLOODED: Final = -904
FRAME_SIZE_ERROR: Final = -522
TOO_MANY_CONTINUATIONS: Final = -905

DECLARATIONS: Final = """
typedef struct nghttp2_session nghttp2_session;
typedef struct nghttp2_option nghttp2_option;
typedef struct nghttp2_session_callbacks nghttp2_session_callbacks;
typedef struct { int age; int version_num; const char *version_str; const char *proto_str; } nghttp2_info;
typedef struct { int32_t settings_id; uint32_t value; } nghttp2_settings_entry;
typedef struct { uint8_t *name; uint8_t *value; size_t namelen; size_t valuelen; uint8_t flags; } nghttp2_nv;
typedef struct { size_t length; int32_t stream_id; uint8_t type; uint8_t flags; uint8_t reserved; } nghttp2_frame_hd;
typedef struct {
    nghttp2_frame_hd hd; int32_t last_stream_id; uint32_t error_code; uint8_t *opaque_data; size_t opaque_data_len;
    uint8_t reserved;
} nghttp2_goaway;
typedef struct { union { int fd; void *ptr; } source; void *read_callback; } nghttp2_data_provider;

nghttp2_info *nghttp2_version(int least_version);
const char *nghttp2_strerror(int lib_error_code);
int nghttp2_option_new(nghttp2_option **option_ptr);
void nghttp2_option_del(nghttp2_option *option);
void nghttp2_option_set_no_auto_window_update(nghttp2_option *option, int val);
void nghttp2_option_set_no_closed_streams(nghttp2_option *option, int val);
void nghttp2_option_set_max_outbound_ack(nghttp2_option *option, size_t val);
int nghttp2_session_callbacks_new(nghttp2_session_callbacks **callbacks_ptr);
void nghttp2_session_callbacks_set_on_begin_frame_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_begin_headers_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_header_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_invalid_header_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_frame_recv_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_data_chunk_recv_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_stream_close_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_send_data_callback(nghttp2_session_callbacks *cbs, void *cb);
void nghttp2_session_callbacks_set_on_frame_not_send_callback(nghttp2_session_callbacks *cbs, void *cb);
int nghttp2_session_server_new2(
    nghttp2_session **session_ptr, const nghttp2_session_callbacks *callbacks, void *user_data,
    const nghttp2_option *option);
void nghttp2_session_del(nghttp2_session *session);
ssize_t nghttp2_session_mem_recv(nghttp2_session *session, const uint8_t *in, size_t inlen);
ssize_t nghttp2_session_mem_send(nghttp2_session *session, const char **data_ptr);
int nghttp2_session_want_read(nghttp2_session *session);
int nghttp2_session_want_write(nghttp2_session *session);
int nghttp2_session_consume_connection(nghttp2_session *session, size_t size);
int nghttp2_session_consume_stream(nghttp2_session *session, int32_t stream_id, size_t size);
int32_t nghttp2_session_get_effective_recv_data_length(nghttp2_session *session);
int32_t nghttp2_session_get_effective_local_window_size(nghttp2_session *session);
int nghttp2_session_set_local_window_size(
    nghttp2_session *session, uint8_t flags, int32_t stream_id, int32_t window_size);
int nghttp2_session_terminate_session(nghttp2_session *session, uint32_t error_code);
int nghttp2_session_resume_data(nghttp2_session *session, int32_t stream_id);
int32_t nghttp2_session_get_last_proc_stream_id(nghttp2_session *session);
int nghttp2_submit_shutdown_notice(nghttp2_session *session);
int nghttp2_submit_goaway(
    nghttp2_session *session, uint8_t flags, int32_t last_stream_id, uint32_t error_code,
    const uint8_t *opaque_data, size_t opaque_data_len);
int nghttp2_submit_ping(nghttp2_session *session, uint8_t flags, const uint8_t *opaque_data);
int nghttp2_submit_rst_stream(nghttp2_session *session, uint8_t flags, int32_t stream_id, uint32_t error_code);
int nghttp2_submit_settings(
    nghttp2_session *session, uint8_t flags, const nghttp2_settings_entry *iv, size_t niv);
int nghttp2_submit_response(
    nghttp2_session *session, int32_t stream_id, const nghttp2_nv *nva, size_t nvlen,
    const nghttp2_data_provider *data_prd);
int nghttp2_submit_trailer(nghttp2_session *session, int32_t stream_id, const nghttp2_nv *nva, size_t nvlen);
"""


@cache
def opened() -> tuple[Any, Any] | None:
    """Return cffi's FFI and the library, or None where it is missing or older than 1.52."""
    try:
        from cffi import FFI

        ffi = FFI()
    except (ImportError, OSError):
        return None
    ffi.cdef(DECLARATIONS)
    for name in LIBRARIES:
        try:
            library = ffi.dlopen(name)
        except OSError:
            continue
        return (ffi, library) if library.nghttp2_version(OLDEST) else None
    return None
