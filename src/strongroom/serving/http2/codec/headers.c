/* A header block as it arrives: counted before it is kept, shared with the one before where both are equal.
 *
 * Law: at most max_header_list_bytes are kept of a block and as many of the one before it. `fields` holds records of
 * our own: of a field two sizes (uint32_t; within the limit, which is below 2**31), its name, its value.
 */
#include "codec.h"

#define FIELD_OVERHEAD 32 /* RFC 9113 section 6.5.2 */
#define HEADER_BLOCK_FACTOR 16
#define LENGTH_DIGITS 19 /* so many always fit into 64 bits */

static int
append(bytes_buffer *buffer, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (size > buffer->room - buffer->size) {
        if (size > SIZE_MAX / 4 || buffer->room > SIZE_MAX / 4) {
            PyErr_NoMemory();
            return -1;
        }
        size_t room = 2 * buffer->room > 256 ? 2 * buffer->room : 256;
        room = room > buffer->size + size ? room : buffer->size + size;
        uint8_t *grown = realloc(buffer->data, room);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        buffer->data = grown;
        buffer->room = room;
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return 0;
}

static bool
same(const bytes_buffer *one, const bytes_buffer *other)
{
    return one->size == other->size && (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

static bool
is_name(const uint8_t *name, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

void
begin_block(header_block *block, stream *st)
{
    block->stream = st;
    block->bytes = block->count = 0;
    block->continuations = 0;
    block->content_length = 0;
    block->is_grpc = block->has_authority = false;
    block->method.now.size = block->path.now.size = block->fields.now.size = 0;
}

static uint64_t
decimal(const uint8_t *digits, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size && i < LENGTH_DIGITS && digits[i] >= '0' && digits[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    return number;
}

static int
keep_field(header_block *block, const uint8_t *name, size_t name_size, const uint8_t *value, size_t size)
{
    static const uint8_t host[] = {'h', 'o', 's', 't'};
    if (name[0] == ':') {
        if (is_name(name, name_size, ":method")) {
            return append(&block->method.now, value, size);
        }
        if (is_name(name, name_size, ":path")) {
            return append(&block->path.now, value, size);
        }
        if (!is_name(name, name_size, ":authority")) {
            return 0;
        }
        block->has_authority = true;
        name = host;
        name_size = sizeof host;
    }
    else if (block->has_authority && is_name(name, name_size, "host")) {
        return 0; /* RFC 9113 section 8.3.1: :authority comes first */
    }
    else if (is_name(name, name_size, "content-length")) { /* libnghttp2 has seen that it is a number */
        block->content_length = decimal(value, size);
    }
    const uint32_t sizes[2] = {(uint32_t)name_size, (uint32_t)size};
    return append(&block->fields.now, sizes, sizeof sizes) || append(&block->fields.now, name, name_size) ||
                   append(&block->fields.now, value, size)
               ? -1
               : 0;
}

/* Count a field, and keep it within the limits. */
int
add_field(session *self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t size)
{
    header_block *block = &self->block;
    stream *st = block->stream;
    block->bytes += name_size + size + FIELD_OVERHEAD;
    block->count++;
    if (block->bytes > self->max_header_bytes || block->count > self->max_header_count) {
        st->too_large = true;
        block->fields.now.size = 0;
        if (block->bytes > self->max_header_bytes * HEADER_BLOCK_FACTOR) {
            return fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "a header block is far larger than was announced");
        }
    }
    if (!st->in_headers || st->ignored) {
        return 0;
    }
    if (is_name(name, name_size, "content-type")) {
        block->is_grpc = size >= 16 && memcmp(value, "application/grpc", 16) == 0 &&
                         (size == 16 || value[16] == '+' || value[16] == ';');
    }
    return st->too_large || name_size == 0 ? 0 : keep_field(block, name, name_size, value, size);
}

static PyObject *
make_text(const shared *value)
{
    return PyUnicode_DecodeLatin1((const char *)value->now.data, (Py_ssize_t)value->now.size, NULL);
}

/* The size of the record at `at`. */
static size_t
record(const bytes_buffer *fields, size_t at, uint32_t sizes[2])
{
    memcpy(sizes, fields->data + at, 2 * sizeof *sizes);
    return 2 * sizeof *sizes + sizes[0] + sizes[1];
}

/* Make the tuple of headers; pairs that are equal to the block's before, one by one, are shared. */
static PyObject *
make_headers(const shared *value)
{
    const bytes_buffer *fields = &value->now, *old = &value->before;
    uint32_t sizes[2], old_sizes[2];
    Py_ssize_t count = 0;
    for (size_t at = 0; at < fields->size; count++) {
        at += record(fields, at, sizes);
    }
    PyObject *headers = PyTuple_New(count);
    size_t at = 0, old_at = 0;
    for (Py_ssize_t i = 0; headers != NULL && i < count; i++) {
        PyObject *pair = NULL;
        size_t size = record(fields, at, sizes);
        if (old_at < old->size) {
            size_t old_size = record(old, old_at, old_sizes);
            if (size == old_size && memcmp(fields->data + at, old->data + old_at, size) == 0) {
                pair = Py_NewRef(PyTuple_GetItem(value->made, i));
            }
            old_at += old_size;
        }
        if (pair == NULL) {
            const char *name = (const char *)fields->data + at + sizeof sizes;
            pair = Py_BuildValue("(y#y#)", name, (Py_ssize_t)sizes[0], name + sizes[0], (Py_ssize_t)sizes[1]);
        }
        if (pair == NULL || PyTuple_SetItem(headers, i, pair)) {
            Py_CLEAR(headers);
        }
        at += size;
    }
    return headers;
}

/* See to it that `made` is made of the bytes that came, which lie in `before` after this. */
static int
remember(shared *value, PyObject *(*make)(const shared *))
{
    if (value->made != NULL && same(&value->now, &value->before)) {
        return 0;
    }
    PyObject *made = make(value);
    if (made == NULL) {
        return -1;
    }
    Py_XSETREF(value->made, made);
    bytes_buffer kept = value->now;
    value->now = value->before;
    value->before = kept;
    return 0;
}

/* Complete a stream's headers; what equals the block before is the same object. */
int
give_headers(session *self, stream *st)
{
    header_block *block = &self->block;
    if (remember(&block->method, make_text) || remember(&block->path, make_text) ||
        remember(&block->fields, make_headers)) {
        return -1;
    }
    st->method = Py_NewRef(block->method.made);
    st->path = Py_NewRef(block->path.made);
    st->headers = Py_NewRef(block->fields.made);
    st->is_head = is_name(block->method.before.data, block->method.before.size, "HEAD");
    st->framing = block->is_grpc ? MESSAGE : HTTP;
    st->expected = block->content_length;
    if (block->is_grpc && !st->too_large) {
        int contained = PySet_Contains(self->streaming_paths, st->path);
        if (contained < 0) {
            return -1;
        }
        st->streaming = contained > 0;
    }
    return 0;
}

/* Whether the block given last was of a CONNECT. */
bool
is_connect(const session *self)
{
    return is_name(self->block.method.before.data, self->block.method.before.size, "CONNECT");
}

void
free_block(header_block *block)
{
    shared *const parts[] = {&block->method, &block->path, &block->fields};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        free(parts[i]->now.data);
        free(parts[i]->before.data);
        Py_CLEAR(parts[i]->made);
    }
}
