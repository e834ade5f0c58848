/* Arguments of Python's calls, made into C's. All raise before anything has changed.
 *
 * Law: these come from the application, not from a peer, yet nothing is taken on trust: types and ranges are checked,
 * and what is pointed to is kept alive by the caller.
 */
#include "codec.h"

#define MAX_TEXT 4096 /* characters of a grpc-message: the same number is in grpc_frames.py */

int
wanted(Py_ssize_t count, Py_ssize_t expected, const char *usage)
{
    if (count != expected) {
        PyErr_SetString(PyExc_TypeError, usage);
        return -1;
    }
    return 0;
}

/* A stream's number; -1 for one that cannot be. */
int
number_of(PyObject *argument, int32_t *number)
{
    int overflow;
    long value = PyLong_AsLongAndOverflow(argument, &overflow);
    if (value == -1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    *number = value > 0 && value <= INT32_MAX ? (int32_t)value : -1;
    return 0;
}

int
error_code_of(PyObject *argument, uint32_t *code)
{
    unsigned long value = PyLong_AsUnsignedLong(argument);
    if (value == (unsigned long)-1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    if (value > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "an error code has 32 bits");
        return -1;
    }
    *code = (uint32_t)value;
    return 0;
}

int
time_of(PyObject *argument, double *time)
{
    *time = PyFloat_AsDouble(argument);
    return *time == -1.0 && PyErr_Occurred() != NULL ? -1 : 0;
}

static bool
is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte <= 0x7e && byte != '%';
}

/* Encode the value of grpc-message: printable ASCII but "%" stays, other bytes of UTF-8 become %XX. */
PyObject *
percent_encoded(PyObject *text)
{
    static const char hex[] = "0123456789ABCDEF";
    PyObject *cut = PyUnicode_Substring(text, 0, MAX_TEXT);
    PyObject *utf8 = cut != NULL ? PyUnicode_AsEncodedString(cut, "utf-8", "replace") : NULL;
    Py_XDECREF(cut);
    if (utf8 == NULL) {
        return NULL;
    }
    const unsigned char *raw = (const unsigned char *)PyBytes_AS_STRING(utf8);
    Py_ssize_t size = PyBytes_GET_SIZE(utf8), length = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        length += is_plain(raw[i]) ? 1 : 3;
    }
    PyObject *encoded = length == size ? Py_NewRef(utf8) : PyBytes_FromStringAndSize(NULL, length);
    if (encoded != NULL && length != size) {
        char *to = PyBytes_AS_STRING(encoded);
        for (Py_ssize_t i = 0; i < size; i++) {
            if (is_plain(raw[i])) {
                *to++ = (char)raw[i];
            }
            else {
                *to++ = '%';
                *to++ = hex[raw[i] >> 4];
                *to++ = hex[raw[i] & 15];
            }
        }
    }
    Py_DECREF(utf8);
    return encoded;
}

/* Fill libnghttp2's fields from pairs of bytes, which the tuple keeps alive. */
int
fill_fields(nghttp2_nv *fields, PyObject *pairs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_Check(PyTuple_GET_ITEM(pair, 1))) {
            PyErr_SetString(PyExc_TypeError, "a header is a tuple of two bytes objects");
            return -1;
        }
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        fields[i] = (nghttp2_nv)FIELD(PyBytes_AS_STRING(name), PyBytes_AS_STRING(value),
                                      (size_t)PyBytes_GET_SIZE(name), (size_t)PyBytes_GET_SIZE(value));
    }
    return 0;
}
