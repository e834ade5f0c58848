/* Answers: what is to be sent of one, and the answers this server gives by itself.
 *
 * Law: an answer is held by its buffers, never copied before it goes out (output.c); what a stream and the session
 * count as unsent is what their pieces hold. libnghttp2 copies header fields when they are submitted. Every stream that
 * was answered or refused gets one end: trailers, END_STREAM, or RST_STREAM.
 */
#include "codec.h"

const refusal TOO_LARGE = {413, 8, "the request's body is larger than this server takes"};
const refusal TOO_MANY_HEADERS = {431, 8, "the request's headers are more or larger than this server takes"};
const refusal TOO_MUCH_HELD = {503, 8, "this connection's requests hold more memory than this server gives one"};
const refusal NO_MEMORY = {503, 8, "the server holds as many requests as it can"};
const refusal TOO_SLOW = {408, 4, "the request took too long to arrive"};
const refusal NO_TUNNELS = {405, 12, "CONNECT is not for this server"};

/* Pieces. */

/* Hold a buffer of the application's; NULL with Python's error. */
piece *
make_piece(PyObject *message, bool with_prefix)
{
    piece *one = calloc(1, sizeof *one);
    if (one == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (PyObject_GetBuffer(message, &one->view, PyBUF_SIMPLE)) {
        free(one);
        return NULL;
    }
    if (with_prefix) {
        size_t size = (size_t)one->view.len;
        if (size > UINT32_MAX) {
            free_piece(one);
            PyErr_SetString(PyExc_OverflowError, "a gRPC message has at most 2**32 - 1 bytes");
            return NULL;
        }
        one->prefix_left = PREFIX_BYTES;
        one->prefix[1] = (uint8_t)(size >> 24);
        one->prefix[2] = (uint8_t)(size >> 16);
        one->prefix[3] = (uint8_t)(size >> 8);
        one->prefix[4] = (uint8_t)size;
    }
    return one;
}

void
free_piece(piece *one)
{
    if (one != NULL) {
        PyBuffer_Release(&one->view);
        free(one);
    }
}

void
queue_piece(session *self, stream *st, piece *one)
{
    size_t size = (size_t)one->view.len + one->prefix_left;
    *(st->last_piece != NULL ? &st->last_piece->next : &st->first_piece) = one;
    st->last_piece = one;
    st->unsent += size;
    self->unsent += size;
}

/* Move `length` bytes, not more than are unsent, to where they go out. */
void
copy_pieces(stream *st, char *to, size_t length)
{
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
            st->last_piece = one->next != NULL ? st->last_piece : NULL;
            free_piece(one);
        }
    }
}

/* Forget what is not sent, when the stream is gone. */
void
free_answer(stream *st)
{
    while (st->first_piece != NULL) {
        piece *one = st->first_piece;
        st->first_piece = one->next;
        free_piece(one);
    }
    st->last_piece = NULL;
    st->unsent = 0;
    Py_CLEAR(st->trailer_text);
}

/* Submissions. */

static size_t
status_fields(nghttp2_nv fields[2], char digits[DIGITS], long code, const char *text, size_t size)
{
    int length = PyOS_snprintf(digits, DIGITS, "%ld", code);
    fields[0] = (nghttp2_nv)FIELD("grpc-status", digits, sizeof "grpc-status" - 1, (size_t)length);
    fields[1] = (nghttp2_nv)FIELD("grpc-message", text, sizeof "grpc-message" - 1, size);
    return size ? 2 : 1;
}

static size_t
text_of(PyObject *text, const char **start)
{
    *start = text != NULL ? PyBytes_AS_STRING(text) : "";
    return text != NULL ? (size_t)PyBytes_GET_SIZE(text) : 0;
}

/* libnghttp2 asks how much of an answer the next DATA frame takes; on_send_data brings it. */
static ssize_t
on_read_answer(nghttp2_session *native, int32_t number, uint8_t *buffer, size_t length, uint32_t *flags,
               nghttp2_data_source *source, void *user)
{
    session *self = user;
    stream *st = find_stream(self, number);
    (void)buffer;
    (void)source;
    if (st == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t size = length < st->unsent ? length : st->unsent;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (size < st->unsent || !st->end_of_answer) {
        return size ? (ssize_t)size : NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->has_trailers) {
        char digits[DIGITS];
        nghttp2_nv trailers[2];
        const char *text;
        size_t text_size = text_of(st->trailer_text, &text);
        size_t count = status_fields(trailers, digits, st->trailer_code, text, text_size);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        note(self, nghttp2_submit_trailer(native, number, trailers, count));
    }
    return (ssize_t)size;
}

void
submit(session *self, int32_t number, const nghttp2_nv *fields, size_t count, bool has_body)
{
    static const nghttp2_data_provider answer = {{0}, on_read_answer};
    note(self, nghttp2_submit_response(self->native, number, fields, count, has_body ? &answer : NULL));
}

/* Begin a gRPC answer whose messages come from pieces. */
void
submit_grpc(session *self, int32_t number)
{
    static const nghttp2_nv fields[] = {CONSTANT(":status", "200"), CONSTANT("content-type", "application/grpc")};
    submit(self, number, fields, sizeof fields / sizeof *fields, true);
}

void
submit_reset(session *self, int32_t number, uint32_t code)
{
    note(self, nghttp2_submit_rst_stream(self->native, NGHTTP2_FLAG_NONE, number, code));
}

/* End a call by its status: in trailers where an answer was begun, else as the whole answer. `text` is encoded. */
void
end_by_status(session *self, stream *st, long code, PyObject *text)
{
    st->answered = true;
    if (st->begun) {
        st->end_of_answer = st->has_trailers = true;
        st->trailer_code = code;
        st->trailer_text = Py_NewRef(text);
        note(self, nghttp2_session_resume_data(self->native, st->number));
        return;
    }
    char digits[DIGITS];
    nghttp2_nv fields[5] = {
        CONSTANT(":status", "200"),
        CONSTANT("content-type", "application/grpc"),
        CONSTANT("grpc-accept-encoding", "identity,gzip"),
    };
    const char *start;
    size_t size = text_of(text, &start);
    size_t count = status_fields(fields + 3, digits, code, start, size);
    submit(self, st->number, fields, 3 + count, false);
}

/* Answer without the application, and take no more of the body (RFC 9113 section 8.1). */
int
refuse(session *self, stream *st, const refusal *why)
{
    bool is_grpc = st->streaming || st->framing != HTTP;
    PyObject *text = is_grpc ? PyBytes_FromString(why->text) : NULL;
    if (is_grpc && text == NULL) {
        return -1;
    }
    int status = 0;
    if (st->handed && !st->answered) {
        status = tell(self, cancelled_class, Py_BuildValue("(ii)", (int)st->number, (int)NGHTTP2_NO_ERROR));
    }
    drop(self, st);
    if (!st->answered && is_grpc) {
        end_by_status(self, st, why->grpc_code, text);
    }
    else if (!st->answered) {
        char digits[DIGITS];
        int size = PyOS_snprintf(digits, DIGITS, "%d", why->status);
        const nghttp2_nv fields[] = {FIELD(":status", digits, 7, (size_t)size), CONSTANT("content-length", "0")};
        st->answered = true;
        submit(self, st->number, fields, sizeof fields / sizeof *fields, false);
    }
    Py_XDECREF(text);
    return status;
}
