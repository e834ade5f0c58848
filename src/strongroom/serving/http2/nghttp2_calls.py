"""The calls between a session and libnghttp2, with C's types: everything of cffi is in this module."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple, Protocol

from strongroom.serving.http2 import nghttp2_library as n
from strongroom.serving.http2.base import Buffer, Headers, SessionSettings
from strongroom.serving.http2.refusals import MAX_UNSENT_ACKS

# SETTINGS, RFC 9113 section 6.5.2 and RFC 9218 section 2.1
_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE, _MAX_HEADER_LIST_SIZE = 3, 4, 5, 6
_NO_RFC7540_PRIORITIES: Final = 9  # the tree of priorities, and its churn, are not kept
_OK: Final[Headers] = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_DONE: Final[Headers] = ((b"grpc-status", b"0"),)


class Listener(Protocol):
    """What libnghttp2 tells a session."""

    def on_begin_frame(self, kind: int, flags: int, number: int, length: int) -> None: ...  # noqa: D102  # a name says it
    def on_begin_headers(self, number: int) -> None: ...  # noqa: D102  # a name says it
    def on_header(self, name: bytes, value: bytes) -> None: ...  # noqa: D102  # a name says it
    def on_invalid_header(self, number: int) -> None: ...  # noqa: D102  # a name says it
    def on_headers(self, number: int, *, end_stream: bool) -> None: ...  # noqa: D102  # a name says it
    def on_data(self, number: int, chunk: bytes, *, end_stream: bool) -> None: ...  # noqa: D102  # a name says it
    def on_end(self, number: int) -> None: ...  # noqa: D102  # a name says it
    def on_goaway(self, code: int, reason: bytes) -> None: ...  # noqa: D102  # a name says it
    def on_stream_close(self, number: int, code: int) -> None: ...  # noqa: D102  # a name says it
    def on_read_answer(self, number: int, length: int) -> tuple[int, int]: ...  # noqa: D102  # a name says it
    def on_send_data(self, number: int, frame_header: bytes, length: int) -> bool: ...  # noqa: D102  # a name says it
    def on_answer_too_large(self, number: int) -> None: ...  # noqa: D102  # a name says it
    def on_library_failure(self) -> None: ...  # noqa: D102  # a name says it

    greeted: bool


class _Bound(NamedTuple):
    """The library with our callbacks made, once a process."""

    ffi: Any
    lib: Any
    callbacks: Any
    read_answer: Any
    kept: tuple[Any, ...]


class _Callbacks:
    """What C calls: each finds the session by its handle. Pointers to frames are pointers to their headers."""

    def __init__(self, ffi: Any) -> None:  # noqa: ANN401  # cffi has no types
        self._ffi, self._listener, self._unpack = ffi, ffi.from_handle, ffi.unpack

    def begin_frame(self, _session: Any, hd: Any, user: Any) -> int:  # noqa: ANN401  # C's pointers
        self._listener(user).on_begin_frame(hd.type, hd.flags, hd.stream_id, hd.length)
        return 0

    def begin_headers(self, _session: Any, frame: Any, user: Any) -> int:  # noqa: ANN401  # C's pointers
        self._listener(user).on_begin_headers(frame.stream_id)
        return 0

    def header(self, _s: Any, _f: Any, name: Any, n_len: int, value: Any, v_len: int, _x: int, user: Any) -> int:  # noqa: ANN401
        unpack = self._unpack
        self._listener(user).on_header(unpack(name, n_len), unpack(value, v_len))
        return 0

    def invalid_header(self, _s: Any, frame: Any, _n: Any, _l: int, _v: Any, _m: int, _x: int, user: Any) -> int:  # noqa: ANN401
        self._listener(user).on_invalid_header(frame.stream_id)
        return 0

    def frame_recv(self, _session: Any, frame: Any, user: Any) -> int:  # noqa: ANN401  # C's pointers
        kind, listener = frame.type, self._listener(user)
        if kind == n.HEADERS:
            listener.on_headers(frame.stream_id, end_stream=bool(frame.flags & n.END_STREAM))
        elif kind == n.DATA:
            if frame.flags & n.END_STREAM:
                listener.on_end(frame.stream_id)
        elif kind == n.SETTINGS:
            listener.greeted = True
        elif kind == n.GOAWAY:
            goaway = self._ffi.cast("nghttp2_goaway *", frame)
            size = min(goaway.opaque_data_len, 256)
            listener.on_goaway(goaway.error_code, self._ffi.buffer(goaway.opaque_data, size)[:] if size else b"")
        return 0

    def data_chunk(self, _session: Any, flags: int, number: int, data: Any, size: int, user: Any) -> int:  # noqa: ANN401
        self._listener(user).on_data(number, self._unpack(data, size), end_stream=bool(flags & n.END_STREAM))
        return 0

    def stream_close(self, _session: Any, number: int, code: int, user: Any) -> int:  # noqa: ANN401  # C's pointers
        self._listener(user).on_stream_close(number, code)
        return 0

    def read_answer(self, _s: Any, number: int, _buf: Any, length: int, flags: Any, _src: Any, user: Any) -> int:  # noqa: ANN401
        size, flags[0] = self._listener(user).on_read_answer(number, length)
        return int(size)

    def send_data(self, _session: Any, frame: Any, hd: Any, length: int, _source: Any, user: Any) -> int:  # noqa: ANN401
        taken = self._listener(user).on_send_data(frame.stream_id, self._unpack(hd, 9), length)
        return 0 if taken else n.WOULDBLOCK

    def frame_not_send(self, _session: Any, frame: Any, problem: int, user: Any) -> int:  # noqa: ANN401  # C's pointers
        if frame.type == n.HEADERS and problem == n.FRAME_SIZE_ERROR:
            self._listener(user).on_answer_too_large(frame.stream_id)
        return 0

    def table(self) -> dict[str, tuple[str, Any]]:
        """Return C's name and signature of each."""
        start, frame, end = "int(nghttp2_session *, ", "nghttp2_frame_hd *, ", "void *)"
        field = frame + "const char *, size_t, const char *, size_t, uint8_t, "
        return {
            "on_begin_frame": (start + frame + end, self.begin_frame),
            "on_begin_headers": (start + frame + end, self.begin_headers),
            "on_header": (start + field + end, self.header),
            "on_invalid_header": (start + field + end, self.invalid_header),
            "on_frame_recv": (start + frame + end, self.frame_recv),
            "on_data_chunk_recv": (start + "uint8_t, int32_t, const char *, size_t, " + end, self.data_chunk),
            "on_stream_close": (start + "int32_t, uint32_t, " + end, self.stream_close),
            "on_frame_not_send": (start + frame + "int, " + end, self.frame_not_send),
            "send_data": (start + frame + "const char *, size_t, void *, " + end, self.send_data),
        }


@cache
def _bound() -> _Bound:
    found = n.opened()
    if found is None:  # choice.implementations() asks before
        raise OSError("libnghttp2 is not here")
    ffi, lib = found
    calls = _Callbacks(ffi)
    pointer = ffi.new("nghttp2_session_callbacks **")
    if lib.nghttp2_session_callbacks_new(pointer):
        raise MemoryError
    kept = [pointer]
    for name, (signature, function) in calls.table().items():
        callback = ffi.callback(signature, function, error=n.CALLBACK_FAILURE)
        getattr(lib, f"nghttp2_session_callbacks_set_{name}_callback")(pointer[0], callback)
        kept.append(callback)
    source = "ssize_t(nghttp2_session *, int32_t, uint8_t *, size_t, uint32_t *, void *, void *)"
    read_answer = ffi.callback(source, calls.read_answer, error=n.CALLBACK_FAILURE)
    return _Bound(ffi, lib, pointer[0], read_answer, tuple(kept))


class Fields(NamedTuple):
    """Headers as C wants them, and what keeps them alive."""

    array: Any
    kept: list[Any]


class Native:
    """One libnghttp2 session for the server's side."""

    def __init__(self, listener: Listener, settings: SessionSettings, *, window: int) -> None:
        self._bound = bound = _bound()
        self._ffi, self._lib, self._listener = bound.ffi, bound.lib, listener
        self._handle = self._ffi.new_handle(listener)
        self._frame = self._ffi.new("char **")
        self._session = self._open()
        self._grpc_answer, self._grpc_done = self.fields(_OK), self.fields(_DONE)
        self._provider = self._ffi.new("nghttp2_data_provider *")
        self._provider.read_callback = bound.read_answer
        self._announce(settings, window)

    def _open(self) -> Any:  # noqa: ANN401  # C's pointer
        ffi, lib = self._ffi, self._lib
        option, session = ffi.new("nghttp2_option **"), ffi.new("nghttp2_session **")
        self._check(lib.nghttp2_option_new(option))
        lib.nghttp2_option_set_no_auto_window_update(option[0], 1)
        lib.nghttp2_option_set_no_closed_streams(option[0], 1)
        lib.nghttp2_option_set_max_outbound_ack(option[0], MAX_UNSENT_ACKS)
        status = lib.nghttp2_session_server_new2(session, self._bound.callbacks, self._handle, option[0])
        lib.nghttp2_option_del(option[0])
        self._check(status)
        return ffi.gc(session[0], lib.nghttp2_session_del)

    def _announce(self, settings: SessionSettings, window: int) -> None:
        entries = self._ffi.new(
            "nghttp2_settings_entry[]",
            [
                (_MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams),
                (_INITIAL_WINDOW_SIZE, settings.initial_window),
                (_MAX_FRAME_SIZE, settings.max_frame_size),
                (_MAX_HEADER_LIST_SIZE, settings.max_header_list_bytes),
                (_NO_RFC7540_PRIORITIES, 1),
            ],
        )
        self._check(self._lib.nghttp2_submit_settings(self._session, 0, entries, len(entries)))
        self._check(self._lib.nghttp2_session_set_local_window_size(self._session, 0, 0, window))

    @staticmethod
    def _check(status: int) -> None:
        if status:
            raise MemoryError(f"libnghttp2 answers {status}")

    def _done(self, status: int) -> None:
        if status == -901:  # NGHTTP2_ERR_NOMEM; every other failure says that the stream is gone
            self._listener.on_library_failure()

    def fields(self, headers: Headers) -> Fields:
        """Make headers ready to be submitted. Raises TypeError where one is not bytes."""
        ffi = self._ffi
        kept = [(ffi.from_buffer("uint8_t[]", name), ffi.from_buffer("uint8_t[]", value)) for name, value in headers]
        pairs = [(name, value, len(name), len(value), 0) for name, value in kept]
        return Fields(ffi.new("nghttp2_nv[]", pairs), kept)

    def receive(self, data: Buffer) -> int:
        """Give bytes to the library; return how many it took, or its error."""
        return int(
            self._lib.nghttp2_session_mem_recv(self._session, self._ffi.from_buffer("uint8_t[]", data), len(data))
        )

    def next_frame(self) -> bytes:
        """Return the next frame to send, or nothing; DATA frames go to `on_send_data`."""
        size = self._lib.nghttp2_session_mem_send(self._session, self._frame)
        if size < 0:
            self._listener.on_library_failure()
        return self._ffi.unpack(self._frame[0], size) if size > 0 else b""

    def submit(self, number: int, fields: Fields | None, *, has_body: bool) -> None:
        """Begin an answer; None stands for the headers of a gRPC answer."""
        array, kept = fields or self._grpc_answer
        provider = self._provider if has_body else self._ffi.NULL
        self._done(self._lib.nghttp2_submit_response(self._session, number, array, len(kept), provider))

    def submit_trailer(self, number: int, trailers: Headers) -> None:
        """End an answer."""
        array, kept = self._grpc_done if trailers == _DONE else self.fields(trailers)
        self._done(self._lib.nghttp2_submit_trailer(self._session, number, array, len(kept)))

    def submit_reset(self, number: int, code: int) -> None:
        """End a stream."""
        self._done(self._lib.nghttp2_submit_rst_stream(self._session, 0, number, code))

    def resume(self, number: int) -> None:
        """Ask for more of an answer that had nothing to send."""
        self._done(self._lib.nghttp2_session_resume_data(self._session, number))

    def consume_connection(self, size: int) -> None:
        """Let the peer send so much more on the connection."""
        self._done(self._lib.nghttp2_session_consume_connection(self._session, size))

    def consume_stream(self, number: int, size: int) -> None:
        """Let the peer send so much more on a stream."""
        self._done(self._lib.nghttp2_session_consume_stream(self._session, number, size))

    def peer_is_stopped(self) -> bool:
        """Whether the connection's window is used up."""
        held = self._lib.nghttp2_session_get_effective_recv_data_length(self._session)
        return bool(held >= self._lib.nghttp2_session_get_effective_local_window_size(self._session))

    def terminate(self, code: int) -> None:
        """Say GOAWAY and read no more."""
        self._done(self._lib.nghttp2_session_terminate_session(self._session, code))

    def goaway(self, *, last: bool) -> None:
        """Say GOAWAY and finish what runs."""
        if not last:
            self._done(self._lib.nghttp2_submit_shutdown_notice(self._session))
            return
        number = self._lib.nghttp2_session_get_last_proc_stream_id(self._session)
        self._done(self._lib.nghttp2_submit_goaway(self._session, 0, number, 0, self._ffi.NULL, 0))

    def ping(self) -> None:
        """Say PING."""
        self._done(self._lib.nghttp2_submit_ping(self._session, 0, self._ffi.NULL))

    def wants_read(self) -> bool:
        """Whether the library reads on."""
        return bool(self._lib.nghttp2_session_want_read(self._session))

    def wants_write(self) -> bool:
        """Whether the library has frames to send."""
        return bool(self._lib.nghttp2_session_want_write(self._session))
