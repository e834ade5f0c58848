/* Bodies that arrive: what they cost in memory, and how far the peer's windows open for them.
 *
 * Law: a body is a bytes object that grows with what has come and is handed out as it is, or as a view of all but its
 * first bytes, which are nobody's (below ALIGNMENT of them, zero). Never more is reserved for what comes than 4 KiB and
 * four times what has come, whatever was declared. (To reserve all that a prefix declares was measured: it
 * saves nothing, since large blocks mostly grow in place.) A connection's window opens only as far as what is held plus
 * what may still come stays within the limit.
 */
#include "codec.h"

#define FREE_START 4096
#define FREE_FACTOR 4
#define ALIGNED_FROM_BYTES (64 * 1024) /* of a message; base.py */

/* Bytes to reserve for a body of which `needed` are here and `expected` are said to come (0: nothing is said). */
static size_t
room_for(size_t needed, uint64_t expected, size_t room)
{
    if (expected >= needed) {
        size_t earned = FREE_START + FREE_FACTOR * needed;
        return expected < earned ? (size_t)expected : earned;
    }
    return room > 0 ? 2 * needed : needed; /* at first: it is mostly the whole */
}

/* Bytes to leave free before a message, so that its tensor need not be copied: base.Session.align says where that is.
 * The memory of a large object begins at a multiple of ALIGNMENT, and does so still when it has moved. */
static size_t
lead_for(const session *self, const stream *st)
{
    if (st->framing == HTTP || st->prefix[0] || st->declared < ALIGNED_FROM_BYTES) {
        return 0;
    }
    return (0 - (offsetof(PyBytesObject, ob_sval) + self->align)) % ALIGNMENT;
}

static int
keep(const session *self, stream *st, const uint8_t *data, size_t size, uint64_t expected)
{
    size_t needed = st->body_bytes + size; /* at most max_body, which is far below 2**62 */
    if (st->body == NULL || needed > st->body_room) {
        size_t room = room_for(needed, expected, st->body_room);
        if (st->body == NULL) {
            st->body_lead = lead_for(self, st);
            st->body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(st->body_lead + room));
            if (st->body != NULL) {
                memset(PyBytes_AS_STRING(st->body), 0, st->body_lead);
            }
        }
        else {
            _PyBytes_Resize(&st->body, (Py_ssize_t)(st->body_lead + room)); /* NULL where it fails */
        }
        if (st->body == NULL) {
            return -1;
        }
        st->body_room = room;
    }
    memcpy(PyBytes_AS_STRING(st->body) + st->body_lead + st->body_bytes, data, size);
    st->body_bytes = needed;
    return 0;
}

/* Take the gRPC prefix off a piece; returns the bytes that were of it. */
static size_t
take_prefix(stream *st, const uint8_t *data, size_t size)
{
    size_t missing = PREFIX_BYTES - st->prefix_size;
    size_t part = size < missing ? size : missing;
    memcpy(st->prefix + st->prefix_size, data, part);
    st->prefix_size += part;
    if (part && st->prefix_size == PREFIX_BYTES) {
        st->declared = (uint64_t)st->prefix[1] << 24 | (uint64_t)st->prefix[2] << 16 | (uint64_t)st->prefix[3] << 8 |
                       (uint64_t)st->prefix[4];
        if (st->prefix[0] > 1) {
            st->framing = BROKEN;
        }
    }
    return part;
}

/* Keep a piece of a body: 1 kept or dropped as broken, 0 it is or will be beyond the limit, -1 no memory. */
static int
take_bytes(session *self, stream *st, const uint8_t *data, size_t size)
{
    size_t limit = self->max_body;
    uint64_t expected = st->expected;
    if (st->framing != HTTP) {
        size_t part = take_prefix(st, data, size);
        if (st->framing == BROKEN || st->prefix_size < PREFIX_BYTES) {
            return 1;
        }
        if (st->declared > limit) {
            return 0;
        }
        data += part;
        size -= part;
        if (size > st->declared - st->body_bytes) {
            st->framing = BROKEN;
            return 1;
        }
        expected = st->declared;
    }
    else if (size > limit - st->body_bytes) {
        return 0;
    }
    return size && keep(self, st, data, size, expected) ? -1 : 1;
}

int
take(session *self, stream *st, const uint8_t *data, size_t size)
{
    size_t before = st->body_bytes;
    int fits = take_bytes(self, st, data, size);
    self->pending += st->body_bytes - before;
    self->unconsumed += size;
    if (st->framing == BROKEN) {
        release_body(self, st);
    }
    return fits;
}

/* What a body is, now that all of it is here. */
enum framing
whole(const stream *st)
{
    if (st->framing == HTTP) {
        return HTTP;
    }
    if (st->framing == BROKEN || st->prefix_size < PREFIX_BYTES || st->body_bytes != st->declared) {
        return BROKEN;
    }
    return st->prefix[0] ? COMPRESSED : MESSAGE;
}

/* Return a read-only view of a bytes object without its first `lead` bytes. Steals the object. */
static PyObject *
without_lead(PyObject *whole, size_t lead, size_t size)
{
    PyObject *view = PyMemoryView_FromObject(whole);
    PyObject *body = view != NULL ? PySequence_GetSlice(view, (Py_ssize_t)lead, (Py_ssize_t)(lead + size)) : NULL;
    Py_XDECREF(view);
    Py_DECREF(whole);
    return body;
}

/* Give the body away, at its size; it is still counted. */
PyObject *
take_body(stream *st)
{
    PyObject *body = st->body != NULL ? st->body : Py_NewRef(empty_bytes);
    bool exact = st->body == NULL || st->body_room == st->body_bytes;
    size_t lead = st->body_lead;
    st->body = NULL;
    st->body_room = st->body_lead = 0;
    if (!exact) {
        _PyBytes_Resize(&body, (Py_ssize_t)(lead + st->body_bytes)); /* NULL where it fails */
    }
    return body != NULL && lead ? without_lead(body, lead, st->body_bytes) : body;
}

/* Stop holding a stream's body. */
void
release_body(session *self, stream *st)
{
    self->pending -= st->body_bytes;
    if (st->handed && !st->streaming) {
        self->handed_bytes -= st->body_bytes;
    }
    st->body_bytes = st->body_room = st->body_lead = 0;
    Py_CLEAR(st->body);
}

/* Take no more of a stream. */
void
drop(session *self, stream *st)
{
    st->ignored = true;
    release_body(self, st);
}

static stream *
largest_body(const session *self)
{
    stream *largest = NULL;
    for (stream *st = self->first; st != NULL; st = st->next) {
        if (st->body_bytes && (largest == NULL || st->body_bytes > largest->body_bytes ||
                               (st->body_bytes == largest->body_bytes && st->number < largest->number))) {
            largest = st;
        }
    }
    return largest;
}

/* Open the connection's window as far as the limit allows. Where the peer stands still for that, and no answer of the
 * application will free anything, refuse the largest arriving body. */
int
balance(session *self)
{
    while (self->unconsumed * 4 >= self->window && !self->over) {
        size_t coming = self->window > self->unconsumed ? self->window - self->unconsumed : 0;
        size_t held = self->pending + coming;
        size_t room = held < self->max_connection_body ? self->max_connection_body - held : 0;
        size_t give = self->unconsumed < room ? self->unconsumed : room;
        if (give) {
            note(self, nghttp2_session_consume_connection(self->native, give));
            self->unconsumed -= give;
        }
        if (self->handed_bytes || nghttp2_session_get_effective_recv_data_length(self->native) <
                                      nghttp2_session_get_effective_local_window_size(self->native)) {
            return 0;
        }
        stream *largest = largest_body(self);
        if (largest == NULL) {
            return 0;
        }
        if (refuse(self, largest, &TOO_MUCH_HELD)) {
            return -1;
        }
    }
    return 0;
}
