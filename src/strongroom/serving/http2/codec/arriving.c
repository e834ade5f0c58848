/* What libnghttp2 tells while it reads, and what that does to a connection: streams, budgets, requests.
 *
 * Law: a callback does nothing once the session is over. libnghttp2 has checked frames, states and messages (RFC 9113
 * sections 4 to 8) before it calls; sizes, counts and rates are checked here, before anything is kept.
 */
#include "codec.h"

#define MAX_CONTINUATIONS 16
#define SMALL_DATA_BYTES 256 /* DATA frames below it, which do not end a stream, cost as control frames do */
#define MAX_GOAWAY_TEXT 256
#define STATUS(happened) ((happened) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0)

static int
on_begin_frame(nghttp2_session *native, const nghttp2_frame_hd *hd, void *user)
{
    session *self = user;
    (void)native;
    if (self->over) {
        return 0;
    }
    if (hd->type == NGHTTP2_DATA) {
        if (hd->length >= SMALL_DATA_BYTES || hd->flags & NGHTTP2_FLAG_END_STREAM) {
            return 0;
        }
    }
    else if (hd->type == NGHTTP2_CONTINUATION && ++self->block.continuations > MAX_CONTINUATIONS) {
        return STATUS(fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "a header block has too many frames"));
    }
    else if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) { /* libnghttp2 skips it where priorities are off */
        return STATUS(fail(self, NGHTTP2_PROTOCOL_ERROR, "PRIORITY: stream_id == 0"));
    }
    if (spend(&self->controls)) {
        return 0;
    }
    return STATUS(fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that carry nothing"));
}

static stream *
open_stream(session *self, int32_t number)
{
    stream *st = calloc(1, sizeof *st);
    if (st == NULL || nghttp2_session_set_stream_user_data(self->native, number, st)) {
        free(st);
        PyErr_NoMemory();
        return NULL;
    }
    st->number = number;
    st->began = self->now;
    st->in_headers = true;
    st->previous = self->last;
    *(self->last != NULL ? &self->last->next : &self->first) = st;
    self->last = st;
    self->open_streams++;
    self->arriving++;
    return st;
}

static int
on_begin_headers(nghttp2_session *native, const nghttp2_frame *frame, void *user)
{
    session *self = user;
    (void)native;
    if (self->over) {
        return 0;
    }
    stream *st = find_stream(self, frame->hd.stream_id);
    if (st == NULL && (st = open_stream(self, frame->hd.stream_id)) == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    begin_block(&self->block, st);
    return 0;
}

static int
on_header(nghttp2_session *native, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
          const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    session *self = user;
    (void)native;
    (void)frame;
    (void)flags;
    if (self->over || self->block.stream == NULL) {
        return 0;
    }
    return STATUS(add_field(self, name, name_size, value, size));
}

/* End a stream whose headers are malformed, RFC 9113 section 8.1.1; libnghttp2 alone would skip the field. */
static int
on_invalid_header(nghttp2_session *native, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                  const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    session *self = user;
    stream *st = find_stream(self, frame->hd.stream_id);
    (void)native;
    (void)name;
    (void)name_size;
    (void)value;
    (void)size;
    (void)flags;
    if (st != NULL && !st->ignored && !self->over) {
        drop(self, st);
        submit_reset(self, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
    }
    return 0;
}

/* Tell of a stream; `items` have taken its headers, which it does not need any more. */
static int
hand_out(session *self, stream *st, PyObject *class, PyObject *items)
{
    st->method = st->path = st->headers = NULL;
    st->handed = true;
    return tell(self, class, items);
}

/* Hand out a request whose last byte is here. */
static int
on_end(session *self, stream *st)
{
    if (st->remote_ended) {
        return 0;
    }
    st->remote_ended = true;
    self->arriving--;
    if (st->ignored) {
        return 0;
    }
    earn(&self->controls, REQUEST_EARNS);
    if (st->streaming) {
        return tell(self, ended_class, Py_BuildValue("(i)", (int)st->number));
    }
    enum framing framing = whole(st);
    if (framing == BROKEN) {
        release_body(self, st);
    }
    PyObject *body = take_body(st);
    if (body == NULL) {
        return -1;
    }
    self->handed_bytes += st->body_bytes;
    return hand_out(self, st, request_class, Py_BuildValue("(iNNNNi)", (int)st->number, st->method, st->path,
                                                           st->headers, body, (int)framing));
}

/* Decide on a stream whose headers are whole. */
static int
start(session *self, stream *st)
{
    st->in_headers = false;
    if (give_headers(self, st)) {
        return -1;
    }
    if (st->ignored) {
        return 0;
    }
    if (st->too_large) {
        return refuse(self, st, &TOO_MANY_HEADERS);
    }
    if (is_connect(self)) {
        return refuse(self, st, &NO_TUNNELS);
    }
    if (st->streaming) {
        return hand_out(self, st, opened_class,
                        Py_BuildValue("(iNNN)", (int)st->number, st->method, st->path, st->headers));
    }
    return st->expected > self->max_body + PREFIX_BYTES ? refuse(self, st, &TOO_LARGE) : 0;
}

static int
on_headers(session *self, stream *st, bool end_stream)
{
    if (st->in_headers) {
        if (start(self, st)) {
            return -1;
        }
    }
    else if (st->too_large && !st->ignored && refuse(self, st, &TOO_MANY_HEADERS)) {
        return -1;
    }
    return end_stream ? on_end(self, st) : 0;
}

static int
on_goaway(session *self, const nghttp2_goaway *goaway)
{
    size_t size = goaway->opaque_data_len < MAX_GOAWAY_TEXT ? goaway->opaque_data_len : MAX_GOAWAY_TEXT;
    const char *text = size ? (const char *)goaway->opaque_data : "";
    unsigned long code = goaway->error_code;
    return tell(self, gone_away_class, Py_BuildValue("(ky#)", code, text, (Py_ssize_t)size));
}

static int
on_frame_recv(nghttp2_session *native, const nghttp2_frame *frame, void *user)
{
    session *self = user;
    bool end_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    (void)native;
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        self->greeted = true;
    }
    if (self->over) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        return STATUS(on_goaway(self, &frame->goaway));
    }
    if (frame->hd.type == NGHTTP2_HEADERS || (frame->hd.type == NGHTTP2_DATA && end_stream)) {
        stream *st = find_stream(self, frame->hd.stream_id);
        if (st != NULL) {
            return STATUS(frame->hd.type == NGHTTP2_HEADERS ? on_headers(self, st, end_stream) : on_end(self, st));
        }
    }
    return 0;
}

static int
on_opened_data(session *self, stream *st, const uint8_t *data, size_t size)
{
    note(self, nghttp2_session_consume_connection(self->native, size));
    st->declared += size;
    if (st->declared > self->max_body) {
        return refuse(self, st, &TOO_LARGE);
    }
    return tell(self, data_class, Py_BuildValue("(iy#)", (int)st->number, data, (Py_ssize_t)size));
}

static int
on_data(nghttp2_session *native, uint8_t flags, int32_t number, const uint8_t *data, size_t size, void *user)
{
    session *self = user;
    earn(&self->controls, (double)size * EARNED_PER_BYTE);
    stream *st = find_stream(self, number);
    if (st == NULL || st->ignored || self->over) {
        note(self, nghttp2_session_consume_connection(native, size));
        return 0;
    }
    if (!(flags & NGHTTP2_FLAG_END_STREAM)) {
        note(self, nghttp2_session_consume_stream(native, number, size));
    }
    if (st->streaming) {
        return STATUS(on_opened_data(self, st, data, size));
    }
    int taken = take(self, st, data, size);
    return STATUS(taken < 0 || (taken == 0 && refuse(self, st, &TOO_LARGE)));
}

void
free_stream(stream *st)
{
    Py_CLEAR(st->method);
    Py_CLEAR(st->path);
    Py_CLEAR(st->headers);
    Py_CLEAR(st->body);
    free_answer(st);
    free(st);
}

/* Forget a stream; one that ended badly costs. */
static int
on_stream_close(nghttp2_session *native, int32_t number, uint32_t code, void *user)
{
    session *self = user;
    stream *st = find_stream(self, number);
    int status = 0;
    if (st == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(native, number, NULL);
    *(st->previous != NULL ? &st->previous->next : &self->first) = st->next;
    *(st->next != NULL ? &st->next->previous : &self->last) = st->previous;
    if (self->block.stream == st) {
        self->block.stream = NULL;
    }
    self->open_streams--;
    self->arriving -= !st->remote_ended;
    release_body(self, st);
    self->unsent -= st->unsent;
    if (!self->over && st->handed && !st->answered) {
        status = tell(self, cancelled_class, Py_BuildValue("(ik)", (int)number, (unsigned long)code));
    }
    if (!self->over && !status && code != NGHTTP2_NO_ERROR && !(st->answered && st->ignored) &&
        !spend(&self->resets)) {
        status = fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams were reset or malformed");
    }
    free_stream(st);
    return STATUS(status);
}

void
set_arriving(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
