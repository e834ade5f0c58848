/* HTTP/2 sessions over libnghttp2, compiled: the twin of nghttp2_cffi.py, function by function.
 *
 * What it does and why is said there and in base.py; here it is done without Python's cost. One contract suite and a
 * differential fuzzer hold both to the same events and the same bytes.
 *
 * Memory: a body is a bytes object that grows with what has come (never with what was declared alone) and is handed out
 * as it is. An answer is held by its buffer and copied once, into the bytes that `send` returns. All sizes that a peer
 * chooses are compared with a limit before they are used. Every call holds the GIL; `busy` refuses re-entry.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 5
#define FIELD_OVERHEAD 32
#define DEFAULT_WINDOW 65535
#define MAX_CONTINUATIONS 16
#define HEADER_BLOCK_FACTOR 16
#define REQUEST_EARNS 8.0
#define EARNED_PER_BYTE (1.0 / 1024.0)
#define SMALL_DATA_BYTES 256
#define MAX_UNSENT_ACKS 1000
#define MAX_WAITING_BYTES 65536 /* of frames made while reading; more stay in the library, which counts them */
#define FREE_START 4096 /* a body may have so many bytes reserved, and FREE_FACTOR times what has come */
#define FREE_FACTOR 16
#define OUT_START 4096
#define MAX_GOAWAY_TEXT 256
#define ERR_TOO_MANY_CONTINUATIONS (-905) /* since 1.61, and in distributions' older versions */
#define SETTINGS_NO_RFC7540_PRIORITIES 9
#define OLDEST_LIBRARY 0x013400 /* 1.52 */

enum framing { HTTP, MESSAGE, COMPRESSED, BROKEN };

typedef struct {
    int status;
    int grpc_code;
    const char *text;
} refusal;

static const refusal TOO_LARGE = {413, 8, "the request's body is larger than this server takes"};
static const refusal TOO_MANY_HEADERS = {431, 8, "the request's headers are more or larger than this server takes"};
static const refusal TOO_MUCH_HELD = {503, 8, "this connection's requests hold more memory than this server gives one"};
static const refusal NO_MEMORY = {503, 8, "the server holds as many requests as it can"};
static const refusal TOO_SLOW = {408, 4, "the request took too long to arrive"};
static const refusal NO_TUNNELS = {405, 12, "CONNECT is not for this server"};

#define RESETS "too many streams were reset or malformed"
#define CONTROLS "too many frames that carry nothing"
#define CONTINUATIONS "a header block has too many frames"
#define HEADER_BLOCK "a header block is far larger than was announced"
#define SLOW_HEADERS "a header block took too long to arrive"
#define BAD_PRIORITY "PRIORITY: stream_id == 0"
#define NO_PREFACE "the peer does not speak HTTP/2"
#define ACKS "the peer does not read what it asks for"
#define LIBRARY "libnghttp2 could not go on"

/* The classes of base.py, kept for the life of the process. */
static PyObject *request_class, *opened_class, *data_class, *ended_class, *cancelled_class, *gone_away_class,
    *failed_class, *tuple_new, *empty_bytes, *empty_text;

typedef struct piece {
    struct piece *next;
    Py_buffer view;
    size_t prefix_left; /* bytes of the prefix that are not sent */
    size_t sent;        /* bytes of the view that are */
    uint8_t prefix[PREFIX_BYTES];
} piece;

typedef struct {
    uint8_t *data;
    size_t size, room;
} bytes_buffer;

typedef struct stream {
    struct stream *next, *previous;
    int32_t number;
    double began;
    PyObject *method, *path, *headers; /* NULL before the headers are whole */
    PyObject *body;                    /* a bytes object that is still written to, or NULL */
    char *body_data;
    size_t body_bytes, body_room; /* held; reserved */
    uint64_t expected;            /* bytes declared by content-length; only a hint */
    uint64_t declared;            /* bytes of the gRPC message; of an opened stream, bytes so far */
    size_t prefix_size;
    uint8_t prefix[PREFIX_BYTES];
    enum framing framing;
    char in_headers, is_head, streaming, too_large, handed, ignored, remote_ended, answered, begun, end_of_answer,
        has_trailers;
    piece *first_piece, *last_piece;
    size_t unsent;
    long trailer_code;
    PyObject *trailer_text; /* encoded, or NULL */
} stream;

typedef struct {
    double level, burst, per_s;
} budget;

typedef struct {
    PyObject_HEAD
    nghttp2_session *native;
    size_t max_header_bytes, max_header_count, max_connection_body;
    uint64_t max_body;
    PyObject *streaming_paths;
    budget resets, controls;
    double now;
    stream *first, *last;
    Py_ssize_t open_streams, arriving;
    size_t pending, unsent, handed_bytes, unconsumed, window;
    PyObject *events;
    /* the header block that arrives, and the one before it */
    stream *block;
    size_t block_bytes, block_count;
    unsigned continuations;
    uint64_t content_length;
    int is_grpc, has_authority;
    bytes_buffer method, path, fields, old_method, old_path, old_fields;
    PyObject *old_method_text, *old_path_text, *old_headers;
    /* what goes out */
    PyObject *out;
    char *out_data;
    size_t out_bytes, out_room, data_limit;
    char over, greeted, busy;
} session;

/* Small tools. */

static int
append(bytes_buffer *buffer, const void *data, size_t size)
{
    if (size > buffer->room - buffer->size) {
        size_t room = buffer->room ? buffer->room : 256;
        while (room - buffer->size < size) {
            if (room > SIZE_MAX / 2) {
                return -1;
            }
            room *= 2;
        }
        uint8_t *grown = realloc(buffer->data, room);
        if (grown == NULL) {
            return -1;
        }
        buffer->data = grown;
        buffer->room = room;
    }
    if (size) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
    return 0;
}

static int
same(const bytes_buffer *one, const bytes_buffer *other)
{
    return one->size == other->size && (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

static void
swap(bytes_buffer *one, bytes_buffer *other)
{
    bytes_buffer kept = *one;
    *one = *other;
    *other = kept;
}

static int
is_name(const uint8_t *name, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

static void
refill(budget *tokens, double before, double now)
{
    if (now > before) {
        double level = tokens->level + (now - before) * tokens->per_s;
        tokens->level = level < tokens->burst ? level : tokens->burst;
    }
}

static void
earn(budget *tokens, double earned)
{
    double level = tokens->level + earned;
    tokens->level = level < tokens->burst ? level : tokens->burst;
}

static int
spend(budget *tokens)
{
    tokens->level -= 1.0;
    return tokens->level >= 0.0;
}

/* Append an event made of a tuple's items, whose references are stolen; an item may be NULL after a failure. */
static int
tell(session *self, PyObject *class, PyObject *items)
{
    if (items == NULL) {
        return -1;
    }
    PyObject *event = PyObject_CallFunctionObjArgs(tuple_new, class, items, NULL);
    Py_DECREF(items);
    if (event == NULL) {
        return -1;
    }
    int status = self->events == NULL ? ((self->events = PyList_New(0)) == NULL ? -1 : 0) : 0;
    status = status ? status : PyList_Append(self->events, event);
    Py_DECREF(event);
    return status;
}

static PyObject *
take_events(session *self)
{
    PyObject *events = self->events;
    self->events = NULL;
    return events != NULL ? events : PyList_New(0);
}

static int
library(session *self, int status)
{
    if (status == NGHTTP2_ERR_NOMEM) { /* every other failure says that the stream is gone */
        self->over = 1;
    }
    return 0;
}

static int
fail(session *self, uint32_t code, const char *reason)
{
    if (self->over) {
        return 0;
    }
    self->over = 1;
    library(self, nghttp2_session_terminate_session(self->native, code));
    return tell(self, failed_class, Py_BuildValue("(ks)", (unsigned long)code, reason));
}

static stream *
find(session *self, int32_t number)
{
    return nghttp2_session_get_stream_user_data(self->native, number);
}

/* Bodies. */

static void
drop_body(stream *st)
{
    Py_CLEAR(st->body);
    st->body_data = NULL;
    st->body_room = 0;
}

static void
release_body(session *self, stream *st)
{
    if (st->body_bytes) {
        self->pending -= st->body_bytes;
        if (st->handed && !st->streaming) {
            self->handed_bytes -= st->body_bytes;
        }
        st->body_bytes = 0;
        drop_body(st);
    }
}

static void
drop(session *self, stream *st)
{
    st->ignored = 1;
    release_body(self, st);
}

/* Bytes to reserve for a body of `size`, of which `expected` are said to come: what is said counts little. */
static size_t
room_for(size_t size, uint64_t expected, size_t room)
{
    size_t earned = FREE_START + (size < SIZE_MAX / (2 * FREE_FACTOR) ? FREE_FACTOR * size : size);
    if (expected > size) {
        return expected < earned ? (size_t)expected : earned;
    }
    return size > room && room > 0 && size < SIZE_MAX / 2 ? (2 * room > size ? 2 * room : size) : size;
}

static int
keep(stream *st, const uint8_t *data, size_t size, uint64_t expected)
{
    size_t needed = st->body_bytes + size;
    if (st->body == NULL || needed > st->body_room) {
        size_t room = room_for(needed, expected, st->body_room);
        if (room > PY_SSIZE_T_MAX) {
            PyErr_NoMemory();
            return -1;
        }
        if (st->body == NULL) {
            st->body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
        }
        else {
            _PyBytes_Resize(&st->body, (Py_ssize_t)room);
        }
        if (st->body == NULL) {
            return -1;
        }
        st->body_room = room;
        st->body_data = PyBytes_AsString(st->body);
    }
    memcpy(st->body_data + st->body_bytes, data, size);
    st->body_bytes = needed;
    return 0;
}

/* Keep a piece of a body: 1 kept, 0 beyond the limit, -1 no memory. */
static int
take(session *self, stream *st, const uint8_t *data, size_t size)
{
    if (st->framing == BROKEN) {
        return 1;
    }
    if (st->framing == HTTP) {
        if (keep(st, data, size, st->expected)) {
            return -1;
        }
        return st->body_bytes <= self->max_body;
    }
    if (st->prefix_size < PREFIX_BYTES) {
        size_t missing = PREFIX_BYTES - st->prefix_size;
        size_t part = size < missing ? size : missing;
        memcpy(st->prefix + st->prefix_size, data, part);
        st->prefix_size += part;
        data += part;
        size -= part;
        if (st->prefix_size < PREFIX_BYTES) {
            return 1;
        }
        st->declared = (uint64_t)st->prefix[1] << 24 | (uint64_t)st->prefix[2] << 16 | (uint64_t)st->prefix[3] << 8 |
                       (uint64_t)st->prefix[4];
        if (st->prefix[0] > 1) {
            st->framing = BROKEN;
            return 1;
        }
        if (st->declared > self->max_body) {
            return 0;
        }
    }
    if (st->body_bytes + size > st->declared) {
        st->framing = BROKEN;
    }
    else if (size && keep(st, data, size, st->declared)) {
        return -1;
    }
    return 1;
}

/* Answers. */

static void
free_pieces(stream *st)
{
    for (piece *one = st->first_piece; one != NULL;) {
        piece *next = one->next;
        PyBuffer_Release(&one->view);
        free(one);
        one = next;
    }
    st->first_piece = st->last_piece = NULL;
    st->unsent = 0;
}

static int
push(session *self, stream *st, PyObject *message, int with_prefix)
{
    piece *one = calloc(1, sizeof *one);
    if (one == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyObject_GetBuffer(message, &one->view, PyBUF_SIMPLE)) {
        free(one);
        return -1;
    }
    size_t size = (size_t)one->view.len;
    if (with_prefix) {
        if (size > UINT32_MAX) {
            PyBuffer_Release(&one->view);
            free(one);
            PyErr_SetString(PyExc_OverflowError, "a gRPC message has at most 2**32 - 1 bytes");
            return -1;
        }
        one->prefix_left = PREFIX_BYTES;
        one->prefix[1] = (uint8_t)(size >> 24);
        one->prefix[2] = (uint8_t)(size >> 16);
        one->prefix[3] = (uint8_t)(size >> 8);
        one->prefix[4] = (uint8_t)size;
    }
    if (st->last_piece != NULL) {
        st->last_piece->next = one;
    }
    else {
        st->first_piece = one;
    }
    st->last_piece = one;
    st->unsent += size + one->prefix_left;
    self->unsent += size + one->prefix_left;
    return 0;
}

#define FIELD(n, v, nl, vl) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), (nl), (vl), NGHTTP2_NV_FLAG_NONE}
#define CONSTANT(n, v) FIELD(n, v, sizeof(n) - 1, sizeof(v) - 1)

static ssize_t
on_read_answer(nghttp2_session *native, int32_t number, uint8_t *buffer, size_t length, uint32_t *flags,
               nghttp2_data_source *source, void *user)
{
    session *self = user;
    stream *st = find(self, number);
    (void)buffer;
    (void)source;
    if (st == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t size = length < st->unsent ? length : st->unsent;
    if (size < st->unsent || !st->end_of_answer) {
        *flags = NGHTTP2_DATA_FLAG_NO_COPY;
        return size ? (ssize_t)size : NGHTTP2_ERR_DEFERRED;
    }
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF;
    if (st->has_trailers) {
        char digits[24];
        int size_of_digits = PyOS_snprintf(digits, sizeof digits, "%ld", st->trailer_code);
        nghttp2_nv trailers[2] = {FIELD("grpc-status", digits, 11, (size_t)size_of_digits), CONSTANT("grpc-message", "")};
        if (st->trailer_text != NULL) {
            trailers[1].value = (uint8_t *)PyBytes_AsString(st->trailer_text);
            trailers[1].valuelen = (size_t)PyBytes_Size(st->trailer_text);
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        library(self, nghttp2_submit_trailer(native, number, trailers, st->trailer_text != NULL ? 2 : 1));
    }
    return (ssize_t)size;
}

static const nghttp2_data_provider ANSWER = {{0}, on_read_answer};

/* Make room in what goes out; returns where to write, or NULL. */
static char *
reserve(session *self, size_t size)
{
    size_t needed = self->out_bytes + size;
    if (self->out == NULL || needed > self->out_room) {
        size_t coming = self->unsent < self->data_limit ? self->unsent : self->data_limit;
        size_t room = needed + coming + coming / 256; /* frame headers */
        room = room > 2 * self->out_room ? room : 2 * self->out_room;
        room = room > OUT_START ? room : OUT_START;
        if (room > PY_SSIZE_T_MAX || needed < size) {
            PyErr_NoMemory();
            return NULL;
        }
        if (self->out == NULL) {
            self->out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
        }
        else {
            _PyBytes_Resize(&self->out, (Py_ssize_t)room);
        }
        if (self->out == NULL) {
            self->out_bytes = self->out_room = 0;
            return NULL;
        }
        self->out_room = room;
        self->out_data = PyBytes_AsString(self->out);
    }
    char *at = self->out_data + self->out_bytes;
    self->out_bytes = needed;
    return at;
}

/* Ask a peer that sends on after its answer to stop, RFC 9113 section 8.1. */
static int
on_answered(session *self, int32_t number)
{
    stream *st = find(self, number);
    if (st == NULL || st->remote_ended) {
        return 0;
    }
    return library(self, nghttp2_submit_rst_stream(self->native, NGHTTP2_FLAG_NONE, number, NGHTTP2_NO_ERROR));
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
    stream *st = find(self, frame->hd.stream_id);
    if (st == NULL || length > st->unsent) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    char *to = reserve(self, 9 + length);
    if (to == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(to, header, 9);
    to += 9;
    st->unsent -= length;
    self->unsent -= length;
    earn(&self->controls, (double)length * EARNED_PER_BYTE);
    while (length) {
        piece *one = st->first_piece;
        size_t part = one->prefix_left < length ? one->prefix_left : length;
        memcpy(to, one->prefix + (PREFIX_BYTES - one->prefix_left), part);
        one->prefix_left -= part;
        to += part;
        length -= part;
        size_t left = (size_t)one->view.len - one->sent;
        part = left < length ? left : length;
        if (part) {
            memcpy(to, (const char *)one->view.buf + one->sent, part);
        }
        one->sent += part;
        to += part;
        length -= part;
        if (one->prefix_left == 0 && one->sent == (size_t)one->view.len) {
            st->first_piece = one->next;
            if (one->next == NULL) {
                st->last_piece = NULL;
            }
            PyBuffer_Release(&one->view);
            free(one);
        }
    }
    return header[4] & NGHTTP2_FLAG_END_STREAM ? on_answered(self, frame->hd.stream_id) : 0;
}

static int
submit(session *self, int32_t number, const nghttp2_nv *fields, size_t count, int has_body)
{
    return library(self, nghttp2_submit_response(self->native, number, fields, count, has_body ? &ANSWER : NULL));
}

static int
submit_reset(session *self, int32_t number, uint32_t code)
{
    return library(self, nghttp2_submit_rst_stream(self->native, NGHTTP2_FLAG_NONE, number, code));
}

static void
submit_failure(session *self, int32_t number, long code, const char *text, size_t size)
{
    char digits[24];
    int size_of_digits = PyOS_snprintf(digits, sizeof digits, "%ld", code);
    const nghttp2_nv fields[5] = {
        CONSTANT(":status", "200"),
        CONSTANT("content-type", "application/grpc"),
        CONSTANT("grpc-accept-encoding", "identity,gzip"),
        FIELD("grpc-status", digits, 11, (size_t)size_of_digits),
        FIELD("grpc-message", text, 12, size),
    };
    submit(self, number, fields, size ? 5 : 4, 0);
}

/* Answer without the application, and take no more of the body (RFC 9113 section 8.1). */
static int
refuse(session *self, stream *st, const refusal *why)
{
    if (st->handed && !st->answered &&
        tell(self, cancelled_class, Py_BuildValue("(ii)", (int)st->number, (int)NGHTTP2_NO_ERROR))) {
        return -1;
    }
    drop(self, st);
    if (st->answered) {
        return 0;
    }
    st->answered = 1;
    if (st->streaming || st->framing != HTTP) {
        submit_failure(self, st->number, why->grpc_code, why->text, strlen(why->text));
    }
    else {
        char digits[24];
        int size = PyOS_snprintf(digits, sizeof digits, "%d", why->status);
        const nghttp2_nv fields[2] = {FIELD(":status", digits, 7, (size_t)size), CONSTANT("content-length", "0")};
        submit(self, st->number, fields, 2, 0);
    }
    return 0;
}

/* See nghttp2_cffi.py: open the window as far as the limit allows; where all stand still, refuse the largest body. */
static int
balance(session *self)
{
    while (self->unconsumed * 4 >= self->window && !self->over) {
        size_t coming = self->window > self->unconsumed ? self->window - self->unconsumed : 0;
        size_t held = self->pending + coming;
        size_t room = held < self->max_connection_body ? self->max_connection_body - held : 0;
        size_t give = self->unconsumed < room ? self->unconsumed : room;
        if (give) {
            library(self, nghttp2_session_consume_connection(self->native, give));
            self->unconsumed -= give;
        }
        if (self->handed_bytes || nghttp2_session_get_effective_recv_data_length(self->native) <
                                      nghttp2_session_get_effective_local_window_size(self->native)) {
            return 0;
        }
        stream *largest = NULL;
        for (stream *st = self->first; st != NULL; st = st->next) {
            if (st->body_bytes && (largest == NULL || st->body_bytes > largest->body_bytes ||
                                   (st->body_bytes == largest->body_bytes && st->number < largest->number))) {
                largest = st;
            }
        }
        if (largest == NULL) {
            return 0;
        }
        if (refuse(self, largest, &TOO_MUCH_HELD)) {
            return -1;
        }
    }
    return 0;
}

/* What libnghttp2 calls while it reads. A failure of Python's is left set and ends the call. */

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
    else if (hd->type == NGHTTP2_CONTINUATION && ++self->continuations > MAX_CONTINUATIONS) {
        return STATUS(fail(self, NGHTTP2_ENHANCE_YOUR_CALM, CONTINUATIONS));
    }
    else if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) { /* libnghttp2 skips it where priorities are off */
        return STATUS(fail(self, NGHTTP2_PROTOCOL_ERROR, BAD_PRIORITY));
    }
    return spend(&self->controls) ? 0 : STATUS(fail(self, NGHTTP2_ENHANCE_YOUR_CALM, CONTROLS));
}

static int
on_begin_headers(nghttp2_session *native, const nghttp2_frame *frame, void *user)
{
    session *self = user;
    if (self->over) {
        return 0;
    }
    stream *st = find(self, frame->hd.stream_id);
    if (st == NULL) {
        st = calloc(1, sizeof *st);
        if (st == NULL || nghttp2_session_set_stream_user_data(native, frame->hd.stream_id, st)) {
            free(st);
            PyErr_NoMemory();
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        st->number = frame->hd.stream_id;
        st->began = self->now;
        st->in_headers = 1;
        st->previous = self->last;
        if (self->last != NULL) {
            self->last->next = st;
        }
        else {
            self->first = st;
        }
        self->last = st;
        self->open_streams++;
        self->arriving++;
    }
    self->block = st;
    self->block_bytes = self->block_count = self->continuations = 0;
    self->content_length = 0;
    self->is_grpc = self->has_authority = 0;
    self->method.size = self->path.size = self->fields.size = 0;
    return 0;
}

static int
keep_field(session *self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t size)
{
    static const char host[] = "host";
    if (name[0] == ':') {
        if (is_name(name, name_size, ":method")) {
            return append(&self->method, value, size);
        }
        if (is_name(name, name_size, ":path")) {
            return append(&self->path, value, size);
        }
        if (!is_name(name, name_size, ":authority")) {
            return 0;
        }
        self->has_authority = 1;
        name = (const uint8_t *)host;
        name_size = sizeof host - 1;
    }
    else if (name_size == 4 && self->has_authority && is_name(name, name_size, host)) {
        return 0; /* RFC 9113 section 8.3.1: :authority comes first */
    }
    else if (name_size == 14 && is_name(name, name_size, "content-length")) {
        uint64_t length = 0;
        for (size_t i = 0; i < size && i < 19 && value[i] >= '0' && value[i] <= '9'; i++) {
            length = length * 10 + (uint64_t)(value[i] - '0');
        }
        self->content_length = length;
    }
    const uint32_t sizes[2] = {(uint32_t)name_size, (uint32_t)size};
    return append(&self->fields, sizes, sizeof sizes) || append(&self->fields, name, name_size) ||
           append(&self->fields, value, size);
}

static int
on_header(nghttp2_session *native, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
          const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    session *self = user;
    stream *st = self->block;
    (void)native;
    (void)frame;
    (void)flags;
    if (self->over || st == NULL) {
        return 0;
    }
    self->block_bytes += name_size + size + FIELD_OVERHEAD;
    self->block_count++;
    if (self->block_bytes > self->max_header_bytes || self->block_count > self->max_header_count) {
        st->too_large = 1;
        self->fields.size = 0;
        if (self->block_bytes > self->max_header_bytes * HEADER_BLOCK_FACTOR) {
            return STATUS(fail(self, NGHTTP2_ENHANCE_YOUR_CALM, HEADER_BLOCK));
        }
    }
    if (!st->in_headers || st->ignored) {
        return 0;
    }
    if (name_size == 12 && is_name(name, name_size, "content-type")) {
        self->is_grpc = size >= 16 && memcmp(value, "application/grpc", 16) == 0 &&
                        (size == 16 || value[16] == '+' || value[16] == ';');
    }
    if (!st->too_large && name_size && keep_field(self, name, name_size, value, size)) {
        PyErr_NoMemory();
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int
on_invalid_header(nghttp2_session *native, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                  const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    session *self = user;
    stream *st = find(self, frame->hd.stream_id);
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

static PyObject *
latin1(const bytes_buffer *from)
{
    if (from->size == 0) {
        return Py_NewRef(empty_text);
    }
    return PyUnicode_DecodeLatin1((const char *)from->data, (Py_ssize_t)from->size, NULL);
}

/* Make the tuple of headers; pairs that are equal to the block's before, one by one, are shared. */
static PyObject *
make_headers(session *self)
{
    const bytes_buffer *fields = &self->fields, *old = &self->old_fields;
    Py_ssize_t count = 0, old_count = self->old_headers != NULL ? PyTuple_Size(self->old_headers) : 0;
    uint32_t sizes[2], old_sizes[2];
    for (size_t at = 0; at < fields->size; count++) {
        memcpy(sizes, fields->data + at, sizeof sizes);
        at += sizeof sizes + sizes[0] + sizes[1];
    }
    PyObject *headers = PyTuple_New(count);
    size_t at = 0, old_at = 0;
    for (Py_ssize_t i = 0; headers != NULL && i < count; i++) {
        PyObject *pair = NULL;
        memcpy(sizes, fields->data + at, sizeof sizes);
        const char *text = (const char *)fields->data + at + sizeof sizes;
        size_t size = sizeof sizes + sizes[0] + sizes[1];
        if (i < old_count) {
            memcpy(old_sizes, old->data + old_at, sizeof old_sizes);
            size_t old_size = sizeof sizes + old_sizes[0] + old_sizes[1];
            if (size == old_size && memcmp(fields->data + at, old->data + old_at, size) == 0) {
                pair = Py_NewRef(PyTuple_GetItem(self->old_headers, i));
            }
            old_at += old_size;
        }
        if (pair == NULL) {
            pair = Py_BuildValue("(y#y#)", text, (Py_ssize_t)sizes[0], text + sizes[0], (Py_ssize_t)sizes[1]);
        }
        if (pair == NULL || PyTuple_SetItem(headers, i, pair)) {
            Py_CLEAR(headers);
        }
        at += size;
    }
    return headers;
}

/* Complete a stream's headers; what equals the block before is the same object. */
static int
give_headers(session *self, stream *st)
{
    if (self->old_method_text == NULL || !same(&self->method, &self->old_method)) {
        PyObject *text = latin1(&self->method);
        if (text == NULL) {
            return -1;
        }
        Py_XSETREF(self->old_method_text, text);
        swap(&self->method, &self->old_method);
    }
    if (self->old_path_text == NULL || !same(&self->path, &self->old_path)) {
        PyObject *text = latin1(&self->path);
        if (text == NULL) {
            return -1;
        }
        Py_XSETREF(self->old_path_text, text);
        swap(&self->path, &self->old_path);
    }
    if (self->old_headers == NULL || !same(&self->fields, &self->old_fields)) {
        PyObject *headers = make_headers(self);
        if (headers == NULL) {
            return -1;
        }
        Py_XSETREF(self->old_headers, headers);
        swap(&self->fields, &self->old_fields);
    }
    st->method = Py_NewRef(self->old_method_text);
    st->path = Py_NewRef(self->old_path_text);
    st->headers = Py_NewRef(self->old_headers);
    st->is_head = is_name(self->old_method.data, self->old_method.size, "HEAD");
    st->framing = self->is_grpc ? MESSAGE : HTTP;
    st->expected = self->content_length;
    if (self->is_grpc && !st->too_large) {
        int contained = PySet_Contains(self->streaming_paths, st->path);
        if (contained < 0) {
            return -1;
        }
        st->streaming = (char)contained;
    }
    return 0;
}

static int
on_end(session *self, stream *st)
{
    if (st->remote_ended) {
        return 0;
    }
    st->remote_ended = 1;
    self->arriving--;
    if (st->ignored) {
        return 0;
    }
    earn(&self->controls, REQUEST_EARNS);
    if (st->streaming) {
        return tell(self, ended_class, Py_BuildValue("(i)", (int)st->number));
    }
    enum framing framing = st->framing;
    if (framing != HTTP) {
        int complete = st->prefix_size == PREFIX_BYTES && st->body_bytes == st->declared;
        framing = framing == BROKEN || !complete ? BROKEN : st->prefix[0] ? COMPRESSED : MESSAGE;
    }
    if (framing == BROKEN) {
        release_body(self, st);
    }
    PyObject *body = st->body;
    size_t size = st->body_bytes;
    st->body = NULL;
    st->body_data = NULL;
    if (body == NULL) {
        body = Py_NewRef(empty_bytes);
    }
    else if (size < st->body_room && _PyBytes_Resize(&body, (Py_ssize_t)size)) {
        return -1;
    }
    st->body_room = 0;
    st->handed = 1;
    self->handed_bytes += size;
    return tell(self, request_class, Py_BuildValue("(iOOONi)", (int)st->number, st->method, st->path, st->headers, body,
                                                   (int)framing));
}

static int
on_headers(session *self, stream *st, int end_stream)
{
    if (st->in_headers) {
        st->in_headers = 0;
        if (give_headers(self, st)) {
            return -1;
        }
        int status = 0;
        if (st->ignored) {
        }
        else if (st->too_large) {
            status = refuse(self, st, &TOO_MANY_HEADERS);
        }
        else if (is_name(self->old_method.data, self->old_method.size, "CONNECT")) {
            status = refuse(self, st, &NO_TUNNELS);
        }
        else if (st->streaming) {
            st->handed = 1;
            status = tell(self, opened_class,
                          Py_BuildValue("(iOOO)", (int)st->number, st->method, st->path, st->headers));
        }
        else if (self->content_length > self->max_body + PREFIX_BYTES) {
            status = refuse(self, st, &TOO_LARGE);
        }
        if (status) {
            return status;
        }
    }
    else if (st->too_large && !st->ignored && refuse(self, st, &TOO_MANY_HEADERS)) {
        return -1;
    }
    return end_stream ? on_end(self, st) : 0;
}

static int
on_frame_recv(nghttp2_session *native, const nghttp2_frame *frame, void *user)
{
    session *self = user;
    (void)native;
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        self->greeted = 1;
        return 0;
    }
    if (self->over) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        stream *st = find(self, frame->hd.stream_id);
        return st == NULL ? 0 : STATUS(on_headers(self, st, frame->hd.flags & NGHTTP2_FLAG_END_STREAM));
    }
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        stream *st = find(self, frame->hd.stream_id);
        return st == NULL ? 0 : STATUS(on_end(self, st));
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        size_t size = frame->goaway.opaque_data_len;
        size = size < MAX_GOAWAY_TEXT ? size : MAX_GOAWAY_TEXT;
        const char *text = size ? (const char *)frame->goaway.opaque_data : "";
        return STATUS(tell(self, gone_away_class, Py_BuildValue("(ky#)", (unsigned long)frame->goaway.error_code, text,
                                                                (Py_ssize_t)size)));
    }
    return 0;
}

static int
on_data(nghttp2_session *native, uint8_t flags, int32_t number, const uint8_t *data, size_t size, void *user)
{
    session *self = user;
    earn(&self->controls, (double)size * EARNED_PER_BYTE);
    stream *st = find(self, number);
    if (st == NULL || st->ignored || self->over) {
        return library(self, nghttp2_session_consume_connection(native, size));
    }
    if (!(flags & NGHTTP2_FLAG_END_STREAM)) {
        library(self, nghttp2_session_consume_stream(native, number, size));
    }
    if (st->streaming) {
        library(self, nghttp2_session_consume_connection(native, size));
        st->declared += size;
        if (st->declared > self->max_body) {
            return STATUS(refuse(self, st, &TOO_LARGE));
        }
        return STATUS(tell(self, data_class, Py_BuildValue("(iy#)", (int)number, data, (Py_ssize_t)size)));
    }
    size_t before = st->body_bytes;
    int fits = take(self, st, data, size);
    self->pending += st->body_bytes - before;
    self->unconsumed += size;
    if (fits < 0) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!fits) {
        return STATUS(refuse(self, st, &TOO_LARGE));
    }
    if (st->framing == BROKEN) {
        release_body(self, st);
    }
    return 0;
}

static void
free_stream(stream *st)
{
    Py_XDECREF(st->method);
    Py_XDECREF(st->path);
    Py_XDECREF(st->headers);
    Py_XDECREF(st->trailer_text);
    drop_body(st);
    free_pieces(st);
    free(st);
}

static int
on_stream_close(nghttp2_session *native, int32_t number, uint32_t code, void *user)
{
    session *self = user;
    stream *st = find(self, number);
    int status = 0;
    if (st == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(native, number, NULL);
    *(st->previous != NULL ? &st->previous->next : &self->first) = st->next;
    *(st->next != NULL ? &st->next->previous : &self->last) = st->previous;
    if (self->block == st) {
        self->block = NULL;
    }
    self->open_streams--;
    if (!st->remote_ended) {
        self->arriving--;
    }
    release_body(self, st);
    self->unsent -= st->unsent;
    if (!self->over) {
        if (st->handed && !st->answered) {
            status = tell(self, cancelled_class, Py_BuildValue("(ik)", (int)number, (unsigned long)code));
        }
        if (!status && code != NGHTTP2_NO_ERROR && !(st->answered && st->ignored) && !spend(&self->resets)) {
            status = fail(self, NGHTTP2_ENHANCE_YOUR_CALM, RESETS);
        }
    }
    free_stream(st);
    return STATUS(status);
}

/* The session's methods. */

static int
enter(session *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the session is in use");
        return -1;
    }
    self->busy = 1;
    return 0;
}

static PyObject *
leave(session *self, int status)
{
    self->busy = 0;
    if (status) {
        self->over = 1;
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Take frames from the library until `limit` bytes wait; of bodies, until `data_limit` do. */
static int
drain(session *self, size_t limit, size_t data_limit)
{
    self->data_limit = data_limit;
    while (self->out_bytes < limit) {
        const uint8_t *frame = NULL;
        ssize_t size = nghttp2_session_mem_send(self->native, &frame);
        if (size <= 0) {
            if (size < 0) {
                self->over = 1;
            }
            break;
        }
        if (size >= 17 && frame[3] == NGHTTP2_GOAWAY && !self->over) {
            unsigned long code = (unsigned long)frame[13] << 24 | (unsigned long)frame[14] << 16 |
                                 (unsigned long)frame[15] << 8 | (unsigned long)frame[16];
            if (code) {
                self->over = 1;
                PyObject *text = PyUnicode_DecodeLatin1((const char *)frame + 17, size - 17, NULL);
                if (tell(self, failed_class, text != NULL ? Py_BuildValue("(kN)", code, text) : NULL)) {
                    return -1;
                }
            }
        }
        char *to = reserve(self, (size_t)size);
        if (to == NULL) {
            return -1;
        }
        memcpy(to, frame, (size_t)size);
        if (frame[3] == NGHTTP2_HEADERS && frame[4] & NGHTTP2_FLAG_END_STREAM) {
            on_answered(self, (int32_t)((uint32_t)frame[5] << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 |
                                        (uint32_t)frame[8]));
        }
    }
    return PyErr_Occurred() != NULL ? -1 : 0;
}

static int
library_failed(session *self, ssize_t problem)
{
    switch (problem) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        return fail(self, NGHTTP2_PROTOCOL_ERROR, NO_PREFACE);
    case NGHTTP2_ERR_FLOODED:
        return fail(self, NGHTTP2_ENHANCE_YOUR_CALM, ACKS);
    case ERR_TOO_MANY_CONTINUATIONS:
        return fail(self, NGHTTP2_ENHANCE_YOUR_CALM, CONTINUATIONS);
    default:
        return fail(self, NGHTTP2_INTERNAL_ERROR, LIBRARY);
    }
}

static int
received(session *self, const Py_buffer *data, double now)
{
    refill(&self->resets, self->now, now);
    refill(&self->controls, self->now, now);
    self->now = now;
    ssize_t taken = nghttp2_session_mem_recv(self->native, data->buf, (size_t)data->len);
    if (PyErr_Occurred() != NULL) {
        return -1;
    }
    if (taken < 0 && library_failed(self, taken)) {
        return -1;
    }
    return balance(self) || drain(self, MAX_WAITING_BYTES, 0);
}

static PyObject *
session_receive(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    Py_buffer data;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "receive(data, now)");
        return NULL;
    }
    double now = PyFloat_AsDouble(args[1]);
    if ((now == -1.0 && PyErr_Occurred() != NULL) || PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE)) {
        return NULL;
    }
    if (enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    int status = self->over ? 0 : received(self, &data, now);
    PyBuffer_Release(&data);
    self->busy = 0;
    if (status) {
        self->over = 1;
        return NULL;
    }
    return take_events(self);
}

static PyObject *
session_send(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    Py_ssize_t limit = PyLong_AsSsize_t(argument);
    if ((limit == -1 && PyErr_Occurred() != NULL) || enter(self)) {
        return NULL;
    }
    size_t bytes = limit < 0 ? 0 : (size_t)limit;
    int status = drain(self, bytes, bytes);
    self->busy = 0;
    if (status) {
        self->over = 1;
        return NULL;
    }
    if (self->out_bytes == 0) {
        return Py_NewRef(empty_bytes);
    }
    PyObject *out = self->out;
    Py_ssize_t size = (Py_ssize_t)self->out_bytes;
    int exact = self->out_bytes == self->out_room;
    self->out = NULL;
    self->out_bytes = self->out_room = 0;
    if (!exact) {
        _PyBytes_Resize(&out, size);
    }
    return out;
}

/* Find a handed-out stream that waits for its answer; its body is not held any more after this. NULL: none, or error */
static stream *
answerable(session *self, int32_t number)
{
    stream *st = number > 0 ? find(self, number) : NULL;
    if (st == NULL || self->over || st->answered || !st->handed) {
        return NULL;
    }
    release_body(self, st);
    return balance(self) ? NULL : st;
}

static int
number_of(PyObject *argument, int32_t *number)
{
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    *number = value > 0 && value <= INT32_MAX ? (int32_t)value : -1;
    return 0;
}

static int
grpc_begin(session *self, int32_t number)
{
    static const nghttp2_nv fields[2] = {CONSTANT(":status", "200"), CONSTANT("content-type", "application/grpc")};
    return submit(self, number, fields, 2, 1);
}

static PyObject *
session_grpc_reply(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    int32_t number;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "grpc_reply(stream, message)");
        return NULL;
    }
    if (number_of(args[0], &number) || enter(self)) {
        return NULL;
    }
    stream *st = answerable(self, number);
    int status = PyErr_Occurred() != NULL;
    if (st != NULL && !st->begun && !(status = push(self, st, args[1], 1))) {
        st->answered = st->end_of_answer = st->has_trailers = 1;
        status = grpc_begin(self, number);
    }
    return leave(self, status);
}

static PyObject *
session_begin_stream(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    int32_t number;
    if (number_of(argument, &number) || enter(self)) {
        return NULL;
    }
    stream *st = answerable(self, number);
    if (st != NULL && !st->begun) {
        st->begun = 1;
        grpc_begin(self, number);
    }
    return leave(self, PyErr_Occurred() != NULL);
}

static PyObject *
session_write(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    int32_t number;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write(stream, message)");
        return NULL;
    }
    if (number_of(args[0], &number) || enter(self)) {
        return NULL;
    }
    stream *st = answerable(self, number);
    int status = PyErr_Occurred() != NULL;
    if (st != NULL && st->begun && !(status = push(self, st, args[1], 1))) {
        library(self, nghttp2_session_resume_data(self->native, number));
    }
    return leave(self, status);
}

/* Percent-encode the value of grpc-message: printable ASCII but "%" stays, other bytes of UTF-8 become %XX. */
static PyObject *
percent_encoded(PyObject *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *raw;
    Py_ssize_t size;
    PyObject *encoded = NULL;
    PyObject *utf8 = PyUnicode_AsEncodedString(text, "utf-8", "replace");
    if (utf8 == NULL || PyBytes_AsStringAndSize(utf8, &raw, &size)) {
        Py_XDECREF(utf8);
        return NULL;
    }
    if (size > PY_SSIZE_T_MAX / 3) {
        Py_DECREF(utf8);
        return PyErr_NoMemory();
    }
    char *made = malloc((size_t)size * 3 + 1);
    if (made == NULL) {
        Py_DECREF(utf8);
        return PyErr_NoMemory();
    }
    Py_ssize_t length = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)raw[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            made[length++] = (char)byte;
        }
        else {
            made[length++] = '%';
            made[length++] = hex[byte >> 4];
            made[length++] = hex[byte & 15];
        }
    }
    encoded = PyBytes_FromStringAndSize(made, length);
    free(made);
    Py_DECREF(utf8);
    return encoded;
}

static void
finish(session *self, stream *st, long code, PyObject *text)
{
    st->answered = st->end_of_answer = st->has_trailers = 1;
    st->trailer_code = code;
    st->trailer_text = PyBytes_Size(text) ? Py_NewRef(text) : NULL;
    library(self, nghttp2_session_resume_data(self->native, st->number));
}

static PyObject *
end_with_status(session *self, PyObject *const *args, Py_ssize_t count, int only_begun)
{
    int32_t number;
    if (count != 3 || !PyUnicode_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "wanted: stream, code, text");
        return NULL;
    }
    long code = PyLong_AsLong(args[1]);
    if ((code == -1 && PyErr_Occurred() != NULL) || number_of(args[0], &number)) {
        return NULL;
    }
    PyObject *text = percent_encoded(args[2]);
    if (text == NULL || enter(self)) {
        Py_XDECREF(text);
        return NULL;
    }
    stream *st = answerable(self, number);
    if (st != NULL && st->begun) {
        finish(self, st, code, text);
    }
    else if (st != NULL && !only_begun) {
        st->answered = 1;
        submit_failure(self, number, code, PyBytes_AsString(text), (size_t)PyBytes_Size(text));
    }
    Py_DECREF(text);
    return leave(self, PyErr_Occurred() != NULL);
}

static PyObject *
session_grpc_fail(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return end_with_status((session *)object, args, count, 0);
}

static PyObject *
session_finish(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return end_with_status((session *)object, args, count, 1);
}

/* Fill libnghttp2's fields from pairs of bytes, which the tuple keeps alive. */
static int
fill_fields(nghttp2_nv *fields, PyObject *pairs)
{
    Py_ssize_t count = PyTuple_Size(pairs);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyTuple_GetItem(pairs, i);
        PyObject *parts[2];
        if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a header is a tuple of two bytes objects");
            return -1;
        }
        for (Py_ssize_t k = 0; k < 2; k++) {
            parts[k] = PyTuple_GetItem(pair, k);
            if (!PyBytes_Check(parts[k])) {
                PyErr_SetString(PyExc_TypeError, "a header is a tuple of two bytes objects");
                return -1;
            }
        }
        fields[i].name = (uint8_t *)PyBytes_AsString(parts[0]);
        fields[i].namelen = (size_t)PyBytes_Size(parts[0]);
        fields[i].value = (uint8_t *)PyBytes_AsString(parts[1]);
        fields[i].valuelen = (size_t)PyBytes_Size(parts[1]);
    }
    return 0;
}

static int
respond(session *self, stream *st, nghttp2_nv *fields, size_t count, PyObject *body)
{
    if (!st->is_head && push(self, st, body, 0)) {
        return -1;
    }
    if (st->unsent == 0) {
        free_pieces(st);
    }
    st->answered = st->end_of_answer = 1;
    return submit(self, st->number, fields, count, st->unsent > 0);
}

static PyObject *
session_respond(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    int32_t number;
    char digits[24];
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "respond(stream, status, headers, body)");
        return NULL;
    }
    long code = PyLong_AsLong(args[1]);
    if ((code == -1 && PyErr_Occurred() != NULL) || number_of(args[0], &number)) {
        return NULL;
    }
    PyObject *pairs = PySequence_Tuple(args[2]);
    if (pairs == NULL) {
        return NULL;
    }
    size_t fields_count = (size_t)PyTuple_Size(pairs) + 1;
    nghttp2_nv *fields = calloc(fields_count, sizeof *fields);
    if (fields == NULL || fill_fields(fields + 1, pairs) || enter(self)) {
        if (fields == NULL) {
            PyErr_NoMemory();
        }
        free(fields);
        Py_DECREF(pairs);
        return NULL;
    }
    int size = PyOS_snprintf(digits, sizeof digits, "%ld", code);
    fields[0] = (nghttp2_nv)FIELD(":status", digits, 7, (size_t)size);
    stream *st = answerable(self, number);
    int status = PyErr_Occurred() != NULL;
    if (st != NULL && !st->begun) {
        status = respond(self, st, fields, fields_count, args[3]);
    }
    free(fields);
    Py_DECREF(pairs);
    return leave(self, status);
}

static PyObject *
session_reset(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    int32_t number;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "reset(stream, error_code)");
        return NULL;
    }
    unsigned long code = PyLong_AsUnsignedLong(args[1]);
    if ((code == (unsigned long)-1 && PyErr_Occurred() != NULL) || number_of(args[0], &number) || enter(self)) {
        return NULL;
    }
    int status = 0;
    stream *st = number > 0 ? find(self, number) : NULL;
    if (st != NULL && !self->over && !(st->ignored && st->answered)) {
        st->answered = 1;
        drop(self, st);
        status = balance(self) || submit_reset(self, number, (uint32_t)code);
    }
    return leave(self, status);
}

static PyObject *
session_expire(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    double before = PyFloat_AsDouble(argument);
    if ((before == -1.0 && PyErr_Occurred() != NULL) || enter(self)) {
        return NULL;
    }
    int status = 0;
    for (stream *st = self->first; st != NULL && !status; st = st->next) {
        if (st->remote_ended || st->ignored || st->streaming || st->began >= before || self->over) {
            continue;
        }
        status = st->in_headers ? fail(self, NGHTTP2_ENHANCE_YOUR_CALM, SLOW_HEADERS) : refuse(self, st, &TOO_SLOW);
    }
    status = status || balance(self);
    self->busy = 0;
    return status ? NULL : take_events(self);
}

static PyObject *
session_shed(PyObject *object, PyObject *unused)
{
    session *self = (session *)object;
    (void)unused;
    if (enter(self)) {
        return NULL;
    }
    int status = 0;
    for (stream *st = self->first; st != NULL && !status; st = st->next) {
        if (!(st->remote_ended || st->ignored || st->streaming || st->in_headers || self->over)) {
            status = refuse(self, st, &NO_MEMORY);
        }
    }
    status = status || balance(self);
    self->busy = 0;
    return status ? NULL : take_events(self);
}

static PyObject *
session_ping(PyObject *object, PyObject *unused)
{
    session *self = (session *)object;
    (void)unused;
    if (enter(self)) {
        return NULL;
    }
    library(self, nghttp2_submit_ping(self->native, NGHTTP2_FLAG_NONE, NULL));
    return leave(self, 0);
}

static PyObject *
session_goaway(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    int last = PyObject_IsTrue(argument);
    if (last < 0 || enter(self)) {
        return NULL;
    }
    if (!self->over && last) {
        int32_t number = nghttp2_session_get_last_proc_stream_id(self->native);
        library(self, nghttp2_submit_goaway(self->native, NGHTTP2_FLAG_NONE, number, NGHTTP2_NO_ERROR, NULL, 0));
    }
    else if (!self->over) {
        library(self, nghttp2_submit_shutdown_notice(self->native));
    }
    return leave(self, 0);
}

static PyObject *
session_terminate(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    unsigned long code = PyLong_AsUnsignedLong(argument);
    if ((code == (unsigned long)-1 && PyErr_Occurred() != NULL) || enter(self)) {
        return NULL;
    }
    if (!self->over) {
        self->over = 1;
        library(self, nghttp2_session_terminate_session(self->native, (uint32_t)code));
    }
    return leave(self, 0);
}

static int
wants_write(const session *self)
{
    return self->out_bytes > 0 || nghttp2_session_want_write(self->native);
}

static PyObject *
get_wants_write(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(wants_write((session *)object));
}

static PyObject *
get_ended(PyObject *object, void *closure)
{
    session *self = (session *)object;
    (void)closure;
    return PyBool_FromLong(!wants_write(self) && (self->over || !nghttp2_session_want_read(self->native)));
}

static PyObject *
get_greeted(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((session *)object)->greeted);
}

static PyObject *
get_open_streams(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((session *)object)->open_streams);
}

static PyObject *
get_arriving(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((session *)object)->arriving);
}

static PyObject *
get_pending_body_bytes(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(((session *)object)->pending);
}

static PyObject *
get_unsent_bytes(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(((session *)object)->unsent);
}

/* Making and freeing sessions. */

static int
read_size(PyObject *settings, const char *name, size_t limit, size_t *size)
{
    PyObject *value = PyObject_GetAttrString(settings, name);
    if (value == NULL) {
        return -1;
    }
    *size = PyLong_AsSize_t(value);
    Py_DECREF(value);
    if (*size == (size_t)-1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    if (*size > limit) {
        PyErr_Format(PyExc_ValueError, "%s is larger than %zu", name, limit);
        return -1;
    }
    return 0;
}

static int
read_budget(PyObject *settings, const char *burst, const char *per_s, budget *tokens)
{
    PyObject *first = PyObject_GetAttrString(settings, burst), *second = PyObject_GetAttrString(settings, per_s);
    if (first != NULL && second != NULL) {
        tokens->burst = tokens->level = PyFloat_AsDouble(first);
        tokens->per_s = PyFloat_AsDouble(second);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return PyErr_Occurred() != NULL ? -1 : 0;
}

static nghttp2_session_callbacks *callbacks;

static int
open_native(session *self)
{
    nghttp2_option *option = NULL;
    if (nghttp2_option_new(&option)) {
        return -1;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, MAX_UNSENT_ACKS);
    int status = nghttp2_session_server_new2(&self->native, callbacks, self, option);
    nghttp2_option_del(option);
    return status;
}

static int
configure(session *self, PyObject *settings)
{
    size_t streams, initial_window, connection_window, frame_size, body;
    if (read_size(settings, "max_concurrent_streams", INT32_MAX, &streams) ||
        read_size(settings, "max_header_list_bytes", INT32_MAX, &self->max_header_bytes) ||
        read_size(settings, "max_header_count", INT32_MAX, &self->max_header_count) ||
        read_size(settings, "max_body_bytes", PY_SSIZE_T_MAX / 4, &body) ||
        read_size(settings, "max_connection_body_bytes", PY_SSIZE_T_MAX / 4, &self->max_connection_body) ||
        read_size(settings, "initial_window", INT32_MAX, &initial_window) ||
        read_size(settings, "connection_window", INT32_MAX, &connection_window) ||
        read_size(settings, "max_frame_size", (1 << 24) - 1, &frame_size) ||
        read_budget(settings, "reset_burst", "resets_per_s", &self->resets) ||
        read_budget(settings, "control_burst", "controls_per_s", &self->controls) ||
        (self->streaming_paths = PyObject_GetAttrString(settings, "streaming_paths")) == NULL) {
        return -1;
    }
    if (!PyFrozenSet_Check(self->streaming_paths)) {
        PyErr_SetString(PyExc_TypeError, "streaming_paths is a frozenset");
        return -1;
    }
    self->max_body = body;
    size_t held = self->max_connection_body > DEFAULT_WINDOW ? self->max_connection_body : DEFAULT_WINDOW;
    self->window = connection_window < held ? connection_window : held;
    self->window = self->window > DEFAULT_WINDOW ? self->window : DEFAULT_WINDOW;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)initial_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, (uint32_t)frame_size},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)self->max_header_bytes},
        {SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (open_native(self) || nghttp2_submit_settings(self->native, NGHTTP2_FLAG_NONE, entries, 5) ||
        nghttp2_session_set_local_window_size(self->native, NGHTTP2_FLAG_NONE, 0, (int32_t)self->window)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *settings;
    if (keywords != NULL && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "CodecSession(settings)");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:CodecSession", &settings)) {
        return NULL;
    }
    PyObject *object = PyType_GenericAlloc(type, 0); /* all zero */
    if (object == NULL) {
        return NULL;
    }
    if (configure((session *)object, settings)) {
        Py_DECREF(object);
        return NULL;
    }
    return object;
}

static void
session_dealloc(PyObject *object)
{
    session *self = (session *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->native != NULL) {
        nghttp2_session_del(self->native);
    }
    for (stream *st = self->first; st != NULL;) {
        stream *next = st->next;
        free_stream(st);
        st = next;
    }
    bytes_buffer *const buffers[] = {&self->method,     &self->path,     &self->fields,
                                     &self->old_method, &self->old_path, &self->old_fields};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        free(buffers[i]->data);
    }
    Py_XDECREF(self->streaming_paths);
    Py_XDECREF(self->events);
    Py_XDECREF(self->old_method_text);
    Py_XDECREF(self->old_path_text);
    Py_XDECREF(self->old_headers);
    Py_XDECREF(self->out);
    PyObject_Free(object);
    Py_DECREF(type);
}

#define METHOD(name, flags) {#name, (PyCFunction)(void (*)(void))session_##name, flags, NULL}

static PyMethodDef methods[] = {
    METHOD(receive, METH_FASTCALL),
    METHOD(send, METH_O),
    METHOD(respond, METH_FASTCALL),
    METHOD(grpc_reply, METH_FASTCALL),
    METHOD(grpc_fail, METH_FASTCALL),
    METHOD(begin_stream, METH_O),
    METHOD(write, METH_FASTCALL),
    METHOD(finish, METH_FASTCALL),
    METHOD(reset, METH_FASTCALL),
    METHOD(expire, METH_O),
    METHOD(shed, METH_NOARGS),
    METHOD(ping, METH_NOARGS),
    METHOD(goaway, METH_O),
    METHOD(terminate, METH_O),
    {NULL, NULL, 0, NULL},
};

#define PROPERTY(name) {#name, get_##name, NULL, NULL, NULL}

static PyGetSetDef properties[] = {
    PROPERTY(greeted),
    PROPERTY(wants_write),
    PROPERTY(ended),
    PROPERTY(open_streams),
    PROPERTY(arriving),
    PROPERTY(pending_body_bytes),
    PROPERTY(unsent_bytes),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One server-side HTTP/2 connection; see strongroom.serving.http2.base.Session."},
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "strongroom.serving.http2._codec.CodecSession",
    .basicsize = sizeof(session),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_codec", "HTTP/2 sessions over libnghttp2, compiled.", -1, NULL, NULL, NULL, NULL, NULL,
};

static int
import_classes(void)
{
    PyObject *base = PyImport_ImportModule("strongroom.serving.http2.base");
    if (base == NULL) {
        return -1;
    }
    const struct {
        const char *name;
        PyObject **class;
    } wanted[] = {
        {"Request", &request_class},     {"Opened", &opened_class},      {"Data", &data_class},
        {"Ended", &ended_class},         {"Cancelled", &cancelled_class}, {"GoneAway", &gone_away_class},
        {"ConnectionFailed", &failed_class},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].class = PyObject_GetAttrString(base, wanted[i].name);
        if (*wanted[i].class == NULL) {
            break;
        }
    }
    Py_DECREF(base);
    empty_bytes = PyBytes_FromStringAndSize("", 0);
    empty_text = PyUnicode_FromString("");
    tuple_new = PyObject_GetAttrString((PyObject *)&PyTuple_Type, "__new__");
    return PyErr_Occurred() != NULL ? -1 : 0;
}

static int
make_callbacks(void)
{
    if (nghttp2_session_callbacks_new(&callbacks)) {
        PyErr_NoMemory();
        return -1;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    return 0;
}

PyMODINIT_FUNC
PyInit__codec(void)
{
    if (nghttp2_version(OLDEST_LIBRARY) == NULL) {
        PyErr_SetString(PyExc_ImportError, "libnghttp2 is older than 1.52");
        return NULL;
    }
    if (import_classes() || make_callbacks()) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module != NULL ? PyType_FromSpec(&session_spec) : NULL;
    if (type == NULL || PyModule_AddObjectRef(module, "CodecSession", type)) {
        Py_XDECREF(type);
        Py_XDECREF(module);
        return NULL;
    }
    Py_DECREF(type);
    return module;
}
