/* The bytes that go out: frames of libnghttp2's and DATA frames of ours, in one bytes object that `send` hands out.
 *
 * Law: it is written only while nobody else knows it, and handed out at its size: no byte of it was not written. What
 * is reserved ahead is what answers hold, and at most what the caller asked for and the peer's window takes.
 */
#include "codec.h"

#define OUT_START 4096

/* Make room for a frame; returns where to write it, or NULL. */
static char *
reserve(session *self, size_t size)
{
    size_t needed = self->out_bytes + size; /* a frame is below 2**24 bytes, and frames end at the caller's limit */
    if (self->out == NULL || needed > self->out_room) {
        int32_t peer = nghttp2_session_get_remote_window_size(self->native);
        size_t window = peer > 0 ? (size_t)peer : 0;
        size_t coming = self->unsent < self->data_limit ? self->unsent : self->data_limit;
        coming = coming < window ? coming : window;
        size_t room = needed + coming + coming / 256; /* frame headers */
        room = room > 2 * self->out_room ? room : 2 * self->out_room;
        room = room > OUT_START ? room : OUT_START;
        if (room > PY_SSIZE_T_MAX) {
            PyErr_NoMemory();
            return NULL;
        }
        if (self->out == NULL) {
            self->out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
        }
        else {
            _PyBytes_Resize(&self->out, (Py_ssize_t)room); /* NULL where it fails */
        }
        if (self->out == NULL) {
            self->out_bytes = self->out_room = 0;
            return NULL;
        }
        self->out_room = room;
    }
    char *at = PyBytes_AS_STRING(self->out) + self->out_bytes;
    self->out_bytes = needed;
    return at;
}

/* Ask a peer that sends on after its answer to stop, RFC 9113 section 8.1. */
static void
on_answered(session *self, int32_t number)
{
    stream *st = find_stream(self, number);
    if (st != NULL && !st->remote_ended) {
        submit_reset(self, number, NGHTTP2_NO_ERROR);
    }
}

static int
on_send_data(nghttp2_session *native, nghttp2_frame *frame, const uint8_t *header, size_t length,
             nghttp2_data_source *source, void *user)
{
    session *self = user;
    (void)native;
    (void)source;
    if (self->out_bytes >= self->data_limit) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    stream *st = find_stream(self, frame->hd.stream_id);
    if (st == NULL || length > st->unsent) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    char *to = reserve(self, FRAME_HEADER_BYTES + length);
    if (to == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(to, header, FRAME_HEADER_BYTES);
    st->unsent -= length;
    self->unsent -= length;
    earn(&self->controls, (double)length * EARNED_PER_BYTE);
    copy_pieces(st, to + FRAME_HEADER_BYTES, length);
    if (header[4] & NGHTTP2_FLAG_END_STREAM) {
        on_answered(self, frame->hd.stream_id);
    }
    return 0;
}

/* End a stream whose answer's header block is larger than libnghttp2 sends: its peer would hear nothing. */
static int
on_frame_not_send(nghttp2_session *native, const nghttp2_frame *frame, int problem, void *user)
{
    (void)native;
    if (frame->hd.type == NGHTTP2_HEADERS && problem == NGHTTP2_ERR_FRAME_SIZE_ERROR) {
        submit_reset(user, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

void
set_output(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
}

static uint32_t
number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

/* Tell of a GOAWAY by which libnghttp2 itself ends the connection. */
static int
tell_goaway(session *self, const uint8_t *frame, size_t size)
{
    const size_t text_at = FRAME_HEADER_BYTES + 8;
    if (size < text_at || self->over || number_at(frame + 13) == NGHTTP2_NO_ERROR) {
        return 0;
    }
    self->over = true;
    PyObject *text = PyUnicode_DecodeLatin1((const char *)frame + text_at, (Py_ssize_t)(size - text_at), NULL);
    unsigned long code = number_at(frame + 13);
    return text == NULL ? -1 : tell(self, failed_class, Py_BuildValue("(kN)", code, text));
}

/* Take frames from the library until `limit` bytes wait; of bodies, until `data_limit` do. */
int
drain(session *self, size_t limit, size_t data_limit)
{
    self->data_limit = data_limit;
    while (self->out_bytes < limit) {
        const uint8_t *frame = NULL;
        ssize_t taken = nghttp2_session_mem_send(self->native, &frame);
        if (taken < 0) {
            self->over = true;
        }
        if (taken < FRAME_HEADER_BYTES) {
            break;
        }
        size_t size = (size_t)taken;
        char *to = reserve(self, size);
        if (to == NULL) {
            return -1;
        }
        memcpy(to, frame, size);
        if (frame[3] == NGHTTP2_GOAWAY && tell_goaway(self, frame, size)) {
            return -1;
        }
        if (frame[3] == NGHTTP2_HEADERS && frame[4] & NGHTTP2_FLAG_END_STREAM) {
            on_answered(self, (int32_t)number_at(frame + 5));
        }
    }
    return PyErr_Occurred() != NULL ? -1 : 0; /* of a callback */
}

/* Hand out what waits. */
PyObject *
take_output(session *self)
{
    if (self->out_bytes == 0) {
        return Py_NewRef(empty_bytes);
    }
    PyObject *out = self->out;
    size_t size = self->out_bytes;
    bool exact = size == self->out_room;
    self->out = NULL;
    self->out_bytes = self->out_room = 0;
    if (!exact) {
        _PyBytes_Resize(&out, (Py_ssize_t)size); /* NULL where it fails */
    }
    return out;
}
