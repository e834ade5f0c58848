/* Nested JSON lists of numbers to one packed array, in one pass: what `json_fast.py` hands over when this is compiled.
 *
 * Only what is regular is read: every list as long as the first of its level, nothing in them but numbers. Everything
 * else is "not ours" (None), and the exact parser decides and says why; a property test and a fuzzer hold both to the
 * same bits. How a number is read is said in `_json_decimal.h`.
 *
 * Bounds. The text ends with "]" (checked first), and no scan advances over one: only taking a "]" compares with the
 * end. No terminator is assumed, nothing recurses, and the array grows with the numbers that have come.
 */
#define PY_SSIZE_T_CLEAN
#include "_json_decimal.h"

#define MAX_RANK 32 /* as tensors.py */
#define BYTES_A_NUMBER 16 /* a guess, for the first allocation */

enum kind { FLOAT, DOUBLE, SIGNED, UNSIGNED };

/* What has been read; `length` of a level is 0 before its first list has ended. */
typedef struct {
    PyObject *array; /* a bytearray */
    size_t count, room, item;
    size_t length[MAX_RANK];
    int rank;
} numbers;

static int grow(numbers *read, size_t bytes_left)
{
    size_t most = read->count + bytes_left / 2 + 1, room = read->room * 2 + 64;
    read->room = room < most ? room : most;
    return PyByteArray_Resize(read->array, (Py_ssize_t)(read->room * read->item));
}

/* Read one number to its place; return where it ends, or NULL. */
static inline const byte *take(const byte *at, const byte *end, enum kind kind, numbers *read, char *data)
{
    if (kind == FLOAT || kind == DOUBLE) {
        real found = take_real(at, end);
        if (kind == FLOAT)
            ((float *)data)[read->count] = (float)found.value;
        else
            ((double *)data)[read->count] = found.value;
        return found.end;
    }
    int negative = *at == '-';
    digits found = take_magnitude(at + negative, end);
    if (kind == UNSIGNED ? negative && found.number : found.number > (uint64_t)INT64_MAX + (uint64_t)negative)
        return NULL;
    ((uint64_t *)data)[read->count] = negative ? 0 - found.number : found.number; /* two's complement */
    return found.end;
}

/* Read a list that takes up all of the text. Return 1, 0 if it is not ours, -1 with an exception. */
__attribute__((always_inline)) static inline int take_lists(
    const byte *at, const byte *end, enum kind kind, numbers *read)
{
    size_t members[MAX_RANK];
    int depth = 0;
    char *data = PyByteArray_AS_STRING(read->array);
    for (;;) {
        for (at = after_blanks(at); *at == '['; at = after_blanks(at + 1)) {
            if (depth == (read->rank ? read->rank : MAX_RANK))
                return 0;
            members[depth++] = 0;
        }
        if (read->rank == 0)
            read->rank = depth;
        if (depth == 0 || depth != read->rank)
            return 0;
        size_t before = read->count;
        for (;; at = after_blanks(at + 1)) {
            if (read->count == read->room) {
                if (grow(read, (size_t)(end - at)) < 0)
                    return -1;
                data = PyByteArray_AS_STRING(read->array);
            }
            if ((at = take(at, end, kind, read, data)) == NULL)
                return 0;
            read->count++;
            if (*at == ',')
                continue;
            at = after_blanks(at);
            if (*at != ',')
                break;
        }
        members[depth - 1] = read->count - before;
        for (; *at == ']'; at = after_blanks(at)) {
            depth--;
            if (read->length[depth] == 0)
                read->length[depth] = members[depth];
            if (read->length[depth] != members[depth])
                return 0;
            if (++at == end)
                return depth == 0;
            if (depth == 0)
                return 0;
            members[depth - 1]++;
        }
        if (*at++ != ',')
            return 0;
    }
}

/* One loop for each kind. */
static int take_text(const byte *at, const byte *end, enum kind kind, numbers *read)
{
    switch (kind) {
    case FLOAT: return take_lists(at, end, FLOAT, read);
    case DOUBLE: return take_lists(at, end, DOUBLE, read);
    case SIGNED: return take_lists(at, end, SIGNED, read);
    default: return take_lists(at, end, UNSIGNED, read);
    }
}

static PyObject *result(const numbers *read)
{
    PyObject *shape = PyTuple_New(read->rank);
    for (int level = 0; shape != NULL && level < read->rank; level++) {
        PyObject *length = PyLong_FromSize_t(read->length[level]);
        if (length == NULL)
            Py_CLEAR(shape);
        else
            PyTuple_SET_ITEM(shape, level, length);
    }
    if (shape == NULL || PyByteArray_Resize(read->array, (Py_ssize_t)(read->count * read->item)) < 0) {
        Py_XDECREF(shape);
        return NULL;
    }
    return Py_BuildValue("(NO)", shape, read->array);
}

PyDoc_STRVAR(nested_doc, "Return the shape and the packed numbers of raw[start:stop], or None: see the stub.");

static PyObject *nested(PyObject *module, PyObject *arguments)
{
    Py_buffer raw;
    Py_ssize_t start, stop;
    int code;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*nnC:nested", &raw, &start, &stop, &code))
        return NULL;
    PyObject *found = NULL;
    numbers read = {0};
    enum kind kind = code == 'f' ? FLOAT : code == 'd' ? DOUBLE : code == 'q' ? SIGNED : UNSIGNED;
    if (start < 0 || stop > raw.len || (kind == UNSIGNED && code != 'Q')) {
        PyErr_SetString(PyExc_ValueError, "nested(raw, start, stop, kind): 0 <= start, stop <= len(raw), kind f d q Q");
    } else if (start >= stop || ((const byte *)raw.buf)[stop - 1] != ']') {
        found = Py_NewRef(Py_None);
    } else {
        read.item = kind == FLOAT ? sizeof(float) : sizeof(uint64_t);
        read.room = (size_t)(stop - start) / BYTES_A_NUMBER + 1;
        read.array = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(read.room * read.item));
        const byte *text = (const byte *)raw.buf;
        int taken = read.array == NULL ? -1 : take_text(text + start, text + stop, kind, &read);
        found = taken > 0 ? result(&read) : taken == 0 ? Py_NewRef(Py_None) : NULL;
        Py_XDECREF(read.array);
    }
    PyBuffer_Release(&raw);
    return found;
}

static PyMethodDef methods[] = {{"nested", nested, METH_VARARGS, nested_doc}, {NULL, NULL, 0, NULL}};

static int prepare(PyObject *module)
{
    (void)module;
    fill_powers();
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_json_numbers", "Nested JSON lists of numbers, packed.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__json_numbers(void)
{
    return PyModuleDef_Init(&definition);
}
