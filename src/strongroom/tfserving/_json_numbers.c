/* Nested JSON lists of numbers to one packed array, in one pass: what `json_fast.py` hands over when this is compiled.
 *
 * Only what is regular is read: every list as long as the first of its level, nothing in them but numbers. Everything
 * else is "not ours" (None), and the exact parser decides and says why; a property test and a fuzzer hold both to the
 * same bits.
 *
 * Bounds. The text ends with "]" (checked first), and no scan advances over one: only taking a "]" compares with the
 * end. Eight bytes are loaded at once only where eight are left. No terminator is assumed, nothing recurses, and the
 * array grows with the numbers that have come.
 *
 * Numbers are correctly rounded. The digits, up to 19 of them, are an integer m; a table has 64 bits of every power of
 * ten, too small by less than 1 + 2**-50 units. So the upper half h of the product is too small by less than 3 units:
 * where these cannot reach the middle between two doubles, h rounds as the true value does. That leaves one number in
 * some hundreds, and ties, to CPython's dtoa, which knows no locale.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_INT128__)
#error "written for little-endian machines with 128-bit products"
#endif

#define MAX_RANK 32 /* as tensors.py */
#define MAX_DIGITS 19
#define MAX_SLOW_BYTES 128 /* of a number that dtoa reads; a longer one is not ours */
#define MAX_EXPONENT 100000
#define LOWEST_POWER (-308)
#define HIGHEST_POWER 308
#define BYTES_A_NUMBER 16 /* a guess, for the first allocation */
#define EACH(byte) (0x0101010101010101u * (byte))

typedef unsigned char byte;
typedef unsigned __int128 wide;
enum kind { FLOAT, DOUBLE, SIGNED, UNSIGNED };

static const uint64_t TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static struct {
    uint64_t upper; /* 64 bits, the first of them set */
    int exponent;   /* 10**q is about upper * 2**exponent */
} powers[HIGHEST_POWER - LOWEST_POWER + 1];

/* Step from power to power with 128 bits: each step loses less than 2**-123 of the value. */
static void fill_powers(void)
{
    wide x = (wide)1 << 127;
    int exponent = -63;
    for (int q = 0; q <= HIGHEST_POWER; q++) {
        powers[q - LOWEST_POWER].upper = (uint64_t)(x >> 64);
        powers[q - LOWEST_POWER].exponent = exponent + q;
        x = (x >> 1) + (x >> 3);
        exponent += 3;
        if (!(x >> 127)) {
            x <<= 1;
            exponent--;
        }
    }
    x = (wide)1 << 127;
    exponent = -63;
    for (int q = -1; q >= LOWEST_POWER; q--) {
        for (x /= 5; !(x >> 127); exponent--)
            x <<= 1;
        powers[q - LOWEST_POWER].upper = (uint64_t)(x >> 64);
        powers[q - LOWEST_POWER].exponent = exponent + q;
    }
}

static inline const byte *after_blanks(const byte *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* Return the number that eight digits (values 0 to 9, the first in the lowest byte) spell. */
static inline uint64_t eight_digits(uint64_t digits)
{
    digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ffu;
    digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffffu;
    return (digits * 10000 + (digits >> 32)) & 0xffffffffu;
}

/* Append the digits at `at` to `*number`, modulo 2**64; return where they end. */
static inline const byte *take_digits(const byte *at, const byte *end, uint64_t *number)
{
    while (end - at >= 8) {
        uint64_t chunk;
        memcpy(&chunk, at, 8);
        chunk ^= EACH('0');
        uint64_t others = ((chunk + EACH(0x76)) | chunk) & EACH(0x80); /* right up to the first that is no digit */
        if (others) {
            int count = __builtin_ctzll(others) >> 3;
            *number = *number * TENS[count] + eight_digits(chunk << (56 - 8 * count) << 8); /* zeros come first */
            return at + count;
        }
        *number = *number * TENS[8] + eight_digits(chunk);
        at += 8;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (uint64_t)(*at - '0');
    return at;
}

/* Set `*value` to m * 10**q, rounded correctly; return 0 where that cannot be told here. */
static inline int scaled(uint64_t m, int q, double *value)
{
    if (m == 0) {
        *value = 0.0;
        return 1;
    }
    if (q < LOWEST_POWER || q > HIGHEST_POWER)
        return 0;
    int shift = __builtin_clzll(m);
    uint64_t product = (uint64_t)((wide)(m << shift) * powers[q - LOWEST_POWER].upper >> 64);
    int top = (int)(product >> 63), dropped = 10 + top;
    uint64_t rest = product & (((uint64_t)1 << dropped) - 1), half = (uint64_t)1 << (dropped - 1);
    int exponent = powers[q - LOWEST_POWER].exponent + 64 - shift + 62 + top + 1023;
    if (rest - (half - 2) <= 2 || exponent < 1 || exponent > 2045)
        return 0;
    uint64_t bits = ((uint64_t)(exponent - 1) << 52) + (product >> dropped) + (rest > half);
    memcpy(value, &bits, sizeof bits);
    return 1;
}

/* Let dtoa read a number without a sign; return 0 where it is not ours. */
__attribute__((noinline)) static int by_dtoa(const byte *from, const byte *to, double *value)
{
    char text[MAX_SLOW_BYTES + 1];
    size_t size = (size_t)(to - from);
    if (size > MAX_SLOW_BYTES)
        return 0;
    memcpy(text, from, size);
    text[size] = 0;
    *value = PyOS_string_to_double(text, NULL, NULL); /* too large: infinite */
    if (*value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

__attribute__((noinline)) static const byte *word(const byte *at, const byte *end, int negative, double *value)
{
    static const char nan[] = "NaN", infinity[] = "Infinity";
    if (!negative && end - at > 3 && !memcmp(at, nan, 3)) {
        *value = Py_NAN;
        return at + 3;
    }
    if (end - at > 8 && !memcmp(at, infinity, 8)) {
        *value = negative ? -Py_HUGE_VAL : Py_HUGE_VAL;
        return at + 8;
    }
    return NULL;
}

static inline const byte *take_exponent(const byte *at, int *q)
{
    int negative = *++at == '-', exponent = 0;
    at += negative || *at == '+';
    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++)
        if (exponent < MAX_EXPONENT)
            exponent = exponent * 10 + (*at - '0');
    *q += negative ? -exponent : exponent;
    return at;
}

/* Return whether a number's digits, with zeros before them, are more than 64 bits hold. */
__attribute__((noinline)) static int too_many(const byte *at, long digits)
{
    for (; digits > MAX_DIGITS && (*at == '0' || *at == '.'); at++)
        digits -= *at == '0';
    return digits > MAX_DIGITS;
}

/* Read a number as a double; return where it ends, or NULL. An integer has no negative zero. */
static inline const byte *take_real(const byte *at, const byte *end, double *value)
{
    int negative = *at == '-', q = 0;
    uint64_t m = 0;
    const byte *first = at + negative;
    at = take_digits(first, end, &m);
    long digits = at - first;
    if (digits == 0)
        return word(first, end, negative, value);
    if (*first == '0' && digits > 1)
        return NULL;
    if (*at == '.') {
        const byte *fraction = at + 1;
        at = take_digits(fraction, end, &m);
        if (at == fraction || at - fraction > MAX_EXPONENT)
            return NULL;
        q = (int)(fraction - at);
        digits -= q;
    } else if ((*at | 32) != 'e') {
        *value = negative && m ? -(double)m : (double)m;
        return digits > MAX_DIGITS ? NULL : at;
    }
    if ((*at | 32) == 'e' && (at = take_exponent(at, &q)) == NULL)
        return NULL;
    if (((digits > MAX_DIGITS && too_many(first, digits)) || !scaled(m, q, value)) && !by_dtoa(first, at, value))
        return NULL;
    *value = negative ? -*value : *value;
    return at;
}

/* Read an integer's magnitude below 10**19; return where it ends, or NULL. */
static inline const byte *take_integer(const byte *at, const byte *end, int *negative, uint64_t *m)
{
    *negative = *at == '-';
    const byte *first = at + *negative;
    *m = 0;
    at = take_digits(first, end, m);
    return at == first || at - first > MAX_DIGITS || (*first == '0' && at - first > 1) ? NULL : at;
}

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
    double real;
    uint64_t m;
    int negative;
    if (kind == FLOAT || kind == DOUBLE) {
        at = take_real(at, end, &real);
        if (at != NULL && kind == FLOAT)
            ((float *)data)[read->count] = (float)real;
        else if (at != NULL)
            ((double *)data)[read->count] = real;
        return at;
    }
    at = take_integer(at, end, &negative, &m);
    if (at == NULL || (kind == UNSIGNED ? negative && m : m > (uint64_t)INT64_MAX + (uint64_t)negative))
        return NULL;
    ((uint64_t *)data)[read->count] = negative ? 0 - m : m; /* two's complement */
    return at;
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
