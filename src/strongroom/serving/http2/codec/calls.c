/* The methods and properties that Python sees; base.Session says what each is for.
 *
 * Law: arguments are made sure of first, which may run code of others; then `enter` refuses a session that is in use,
 * so that a callback's Python code, or another thread, cannot change what runs. Each call that entered leaves. An error
 * in between (there is no memory) ends the session.
 */
#include "codec.h"

#define MAX_WAITING_BYTES 65536 /* of frames made while reading; more stay in the library, which counts them */

/* Entering and leaving. */

static int
enter(session *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the session is in use");
        return -1;
    }
    self->busy = true;
    return 0;
}

static PyObject *
leave(session *self, int status)
{
    self->busy = false;
    if (status) {
        self->over = true;
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
leave_with_events(session *self, int status)
{
    PyObject *events = status ? NULL : take_events(self);
    self->over = self->over || events == NULL;
    self->busy = false;
    return events;
}

/* Bytes in, bytes out. */

static void
refill(budget *tokens, double before, double now)
{
    if (now > before) { /* a clock that goes backwards gives nothing */
        earn(tokens, (now - before) * tokens->per_s);
    }
}

static int
received(session *self, const Py_buffer *data, double now)
{
    refill(&self->resets, self->now, now);
    refill(&self->controls, self->now, now);
    self->now = now;
    ssize_t taken = nghttp2_session_mem_recv(self->native, data->buf, (size_t)data->len);
    if (PyErr_Occurred() != NULL || (taken < 0 && library_failed(self, taken))) {
        return -1;
    }
    return balance(self) || drain(self, MAX_WAITING_BYTES, 0) ? -1 : 0;
}

static PyObject *
session_receive(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    Py_buffer data;
    double now;
    if (wanted(count, 2, "receive(data, now)") || time_of(args[1], &now) ||
        PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE)) {
        return NULL;
    }
    PyObject *events = NULL;
    if (!enter(self)) {
        events = leave_with_events(self, self->over ? 0 : received(self, &data, now));
    }
    PyBuffer_Release(&data);
    return events;
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
    PyObject *out = drain(self, bytes, bytes) ? NULL : take_output(self);
    self->over = self->over || out == NULL;
    self->busy = false;
    return out;
}

/* Answers. */

/* Find a handed-out stream that waits for its answer (NULL: none); its body is not held any more after this. */
static int
answerable(session *self, int32_t number, stream **found)
{
    stream *st = find_stream(self, number);
    *found = NULL;
    if (st == NULL || self->over || st->answered || !st->handed) {
        return 0;
    }
    release_body(self, st);
    if (balance(self)) {
        return -1;
    }
    *found = st;
    return 0;
}

/* Send a message: the only one of a call, or one more of an answer that was begun. */
static PyObject *
send_message(session *self, PyObject *const *args, bool begun)
{
    stream *st;
    int32_t number;
    piece *message;
    if (number_of(args[0], &number) || (message = make_piece(args[1], true)) == NULL) {
        return NULL;
    }
    if (enter(self)) {
        free_piece(message);
        return NULL;
    }
    int status = answerable(self, number, &st);
    if (st == NULL || st->begun != begun) {
        free_piece(message);
        return leave(self, status);
    }
    queue_piece(self, st, message);
    if (begun) {
        note(self, nghttp2_session_resume_data(self->native, number));
    }
    else {
        st->answered = st->end_of_answer = st->has_trailers = true;
        submit_grpc(self, number);
    }
    return leave(self, status);
}

static PyObject *
session_grpc_reply(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return wanted(count, 2, "grpc_reply(stream, message)") ? NULL : send_message((session *)object, args, false);
}

static PyObject *
session_write(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return wanted(count, 2, "write(stream, message)") ? NULL : send_message((session *)object, args, true);
}

static PyObject *
session_begin_stream(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    stream *st;
    int32_t number;
    if (number_of(argument, &number) || enter(self)) {
        return NULL;
    }
    int status = answerable(self, number, &st);
    if (st != NULL && !st->begun) {
        st->begun = true;
        submit_grpc(self, number);
    }
    return leave(self, status);
}

static PyObject *
end_call(session *self, PyObject *const *args, Py_ssize_t count, bool only_begun)
{
    stream *st;
    int32_t number;
    if (wanted(count, 3, "wanted: stream, code, text") || number_of(args[0], &number)) {
        return NULL;
    }
    long code = PyLong_AsLong(args[1]);
    if (code == -1 && PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (!PyUnicode_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "the text of a status is a str");
        return NULL;
    }
    PyObject *text = percent_encoded(args[2]);
    if (text == NULL || enter(self)) {
        Py_XDECREF(text);
        return NULL;
    }
    int status = answerable(self, number, &st);
    if (st != NULL && (st->begun || !only_begun)) {
        end_by_status(self, st, code, text);
    }
    Py_DECREF(text);
    return leave(self, status);
}

static PyObject *
session_grpc_fail(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return end_call((session *)object, args, count, false);
}

static PyObject *
session_finish(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return end_call((session *)object, args, count, true);
}

/* Answer with fields that are made sure of, and a body that it takes over. */
static PyObject *
respond(session *self, int32_t number, const nghttp2_nv *fields, size_t count, piece *body)
{
    stream *st;
    if (enter(self)) {
        free_piece(body);
        return NULL;
    }
    int status = answerable(self, number, &st);
    if (st != NULL && !st->begun) {
        st->answered = st->end_of_answer = true;
        if (!st->is_head && body->view.len > 0) {
            queue_piece(self, st, body);
            body = NULL;
        }
        submit(self, number, fields, count, st->unsent > 0);
    }
    free_piece(body);
    return leave(self, status);
}

static PyObject *
session_respond(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    int32_t number;
    char digits[DIGITS];
    if (wanted(count, 4, "respond(stream, status, headers, body)") || number_of(args[0], &number)) {
        return NULL;
    }
    long code = PyLong_AsLong(args[1]);
    if (code == -1 && PyErr_Occurred() != NULL) {
        return NULL;
    }
    PyObject *pairs = PySequence_Tuple(args[2]), *answered = NULL;
    size_t pair_count = pairs != NULL ? (size_t)PyTuple_GET_SIZE(pairs) : 0;
    nghttp2_nv *fields = pairs != NULL ? calloc(pair_count + 1, sizeof *fields) : NULL;
    if (pairs != NULL && fields == NULL) {
        PyErr_NoMemory();
    }
    else if (pairs != NULL && !fill_fields(fields + 1, pairs)) {
        int size = PyOS_snprintf(digits, DIGITS, "%ld", code);
        fields[0] = (nghttp2_nv)FIELD(":status", digits, 7, (size_t)size);
        piece *body = make_piece(args[3], false);
        answered = body == NULL ? NULL : respond((session *)object, number, fields, pair_count + 1, body);
    }
    free(fields);
    Py_XDECREF(pairs);
    return answered;
}

static PyObject *
session_reset(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    session *self = (session *)object;
    int32_t number;
    uint32_t code;
    if (wanted(count, 2, "reset(stream, error_code)") || number_of(args[0], &number) ||
        error_code_of(args[1], &code) || enter(self)) {
        return NULL;
    }
    int status = 0;
    stream *st = find_stream(self, number);
    if (st != NULL && !self->over && !(st->ignored && st->answered)) {
        st->answered = true;
        drop(self, st);
        status = balance(self);
        submit_reset(self, number, code);
    }
    return leave(self, status);
}

/* The connection. */

/* Refuse requests that began before a time and have not wholly arrived; header blocks end the connection, or stay. */
static PyObject *
refuse_arriving(session *self, double before, const refusal *why, bool blocks_too)
{
    int status = 0;
    if (enter(self)) {
        return NULL;
    }
    for (stream *st = self->first; st != NULL && !status && !self->over; st = st->next) {
        if (st->remote_ended || st->ignored || st->streaming || st->began >= before) {
            continue;
        }
        if (!st->in_headers) {
            status = refuse(self, st, why);
        }
        else if (blocks_too) {
            status = fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "a header block took too long to arrive");
        }
    }
    return leave_with_events(self, status ? status : balance(self));
}

static PyObject *
session_expire(PyObject *object, PyObject *argument)
{
    double before;
    return time_of(argument, &before) ? NULL : refuse_arriving((session *)object, before, &TOO_SLOW, true);
}

static PyObject *
session_shed(PyObject *object, PyObject *unused)
{
    (void)unused;
    return refuse_arriving((session *)object, Py_HUGE_VAL, &NO_MEMORY, false);
}

static PyObject *
session_ping(PyObject *object, PyObject *unused)
{
    session *self = (session *)object;
    (void)unused;
    if (enter(self)) {
        return NULL;
    }
    note(self, nghttp2_submit_ping(self->native, NGHTTP2_FLAG_NONE, NULL));
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
        note(self, nghttp2_submit_goaway(self->native, NGHTTP2_FLAG_NONE, number, NGHTTP2_NO_ERROR, NULL, 0));
    }
    else if (!self->over) {
        note(self, nghttp2_submit_shutdown_notice(self->native));
    }
    return leave(self, 0);
}

static PyObject *
session_terminate(PyObject *object, PyObject *argument)
{
    session *self = (session *)object;
    uint32_t code;
    if (error_code_of(argument, &code) || enter(self)) {
        return NULL;
    }
    if (!self->over) {
        self->over = true;
        note(self, nghttp2_session_terminate_session(self->native, code));
    }
    return leave(self, 0);
}

#define METHOD(name, flags) {#name, (PyCFunction)(void (*)(void))session_##name, flags, NULL}

PyMethodDef session_methods[] = {
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
