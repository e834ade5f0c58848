/* One JSON number to a double or an integer, for `_json_numbers.c`: rounded correctly, never reading past the end.
 *
 * A caller gives `end` and promises that end[-1] is a closing bracket: no scan advances over one. Eight bytes are loaded
 * at once only where eight are left.
 *
 * The digits, up to 19 of them, are an integer m; a table has 64 bits of every power of ten, too small by less than
 * 1 + 2**-50 units. So the upper half of the product is too small by less than 3 units: where these cannot reach the
 * middle between two doubles, it rounds as the true value does. Of the other numbers, one in some hundreds, 64 bits
 * more decide; ties are left to CPython's dtoa, which knows no locale. A short number is one division of integers that
 * doubles hold exactly.
 */
#ifndef STRONGROOM_JSON_DECIMAL_H
#define STRONGROOM_JSON_DECIMAL_H
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_INT128__)
#error "written for little-endian machines with 128-bit products"
#endif

#define MAX_DIGITS 19
#define MAX_SLOW_BYTES 128 /* of a number that dtoa reads; a longer one is not ours */
#define MAX_EXPONENT 100000
#define LOWEST_POWER (-308)
#define HIGHEST_POWER 308
#define NEAR_POWER 64 /* with any m, far from the smallest and largest doubles */
#define EACH(byte) (0x0101010101010101u * (byte))

typedef unsigned char byte;
typedef unsigned __int128 wide;

static const uint64_t TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static struct {
    uint64_t upper, lower; /* 128 bits, the first of them set; too small by less than 2**12 */
    int exponent;          /* 10**q is about upper * 2**exponent */
} powers[HIGHEST_POWER - LOWEST_POWER + 1];

static void keep_power(int q, wide x, int exponent)
{
    powers[q - LOWEST_POWER].upper = (uint64_t)(x >> 64);
    powers[q - LOWEST_POWER].lower = (uint64_t)x;
    powers[q - LOWEST_POWER].exponent = exponent + q;
}

/* Step from power to power with 128 bits: each step loses less than 2**-124.6 of the value. */
static void fill_powers(void)
{
    wide x = (wide)1 << 127;
    int exponent = -63;
    for (int q = 0; q <= HIGHEST_POWER; q++) {
        keep_power(q, x, exponent);
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
        keep_power(q, x, exponent);
    }
}

static inline const byte *after_blanks(const byte *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* Return the number that eight digits (values 0 to 9, the first in the lowest byte) spell: pairs, fours, all. */
static inline uint64_t eight_digits(uint64_t digits)
{
    digits = digits * (1 + (10 << 8)) >> 8 & 0x00ff00ff00ff00ffu;
    digits = digits * (1 + (100 << 16)) >> 16 & 0x0000ffff0000ffffu;
    return digits * (1 + ((uint64_t)10000 << 32)) >> 32;
}

/* Load eight bytes as digits' values, and set `*others` to the top bits of those that are none: right up to the first,
 * and beyond where the first is ASCII. */
static inline uint64_t load_digits(const byte *at, uint64_t *others)
{
    uint64_t chunk;
    memcpy(&chunk, at, 8);
    chunk ^= EACH('0');
    *others = ((chunk + EACH(0x76)) | chunk) & EACH(0x80);
    return chunk;
}

/* Return the number that the first `count` of 0 to 7 loaded digits spell. */
static inline uint64_t few_digits(uint64_t digits, int count)
{
    return eight_digits(digits << (56 - 8 * count) << 8); /* zeros come first */
}

/* Append the digits at `at` to `*number`, modulo 2**64; return where they end. */
static inline const byte *take_digits(const byte *at, const byte *end, uint64_t *number)
{
    while (end - at >= 8) {
        uint64_t others, chunk = load_digits(at, &others);
        if (others) {
            int count = __builtin_ctzll(others) >> 3;
            *number = *number * TENS[count] + few_digits(chunk, count);
            return at + count;
        }
        *number = *number * TENS[8] + eight_digits(chunk);
        at += 8;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (uint64_t)(*at - '0');
    return at;
}

/* Set the product's upper half, near the middle between two doubles, as 64 bits more have it, and at the middle to what
 * lies above; return 0 where they do not tell. */
__attribute__((noinline)) static int refined(uint64_t m, int q, uint64_t *product)
{
    wide whole = (wide)m * powers[q - LOWEST_POWER].upper + ((wide)m * powers[q - LOWEST_POWER].lower >> 64);
    *product = (uint64_t)(whole >> 64) | 1; /* the middle is even; what is not the middle may become odd */
    return (uint64_t)whole != 0 && (uint64_t)whole < UINT64_MAX - (1 << 14);
}

/* Set `*value` to m * 10**q, rounded correctly, for any m and q; return 0 where that cannot be told here. */
__attribute__((noinline)) static int scaled_with_care(uint64_t m, int q, double *value)
{
    if (m == 0) {
        *value = 0.0;
        return 1;
    }
    if (q < LOWEST_POWER || q > HIGHEST_POWER)
        return 0;
    int shift = __builtin_clzll(m);
    m <<= shift;
    uint64_t product = (uint64_t)((wide)m * powers[q - LOWEST_POWER].upper >> 64);
    int top = (int)(product >> 63), dropped = 10 + top;
    uint64_t rest = product & (((uint64_t)1 << dropped) - 1), half = (uint64_t)1 << (dropped - 1);
    int exponent = powers[q - LOWEST_POWER].exponent + 64 - shift + 62 + top + 1023;
    if (exponent < 1 || exponent > 2045)
        return 0;
    if (rest - (half - 2) <= 2) {
        if (!refined(m, q, &product))
            return 0;
        rest = product & (((uint64_t)1 << dropped) - 1);
    }
    uint64_t bits = ((uint64_t)(exponent - 1) << 52) + (product >> dropped) + (rest > half);
    memcpy(value, &bits, sizeof bits);
    return 1;
}

/* Set `*value` to m * 10**q, rounded correctly; return 0 where that cannot be told here. Far from every middle, which
 * shows in the last nine bits whatever the first one is, the machine's own rounding is right, without the last bit too. */
static inline int scaled(uint64_t m, int q, double *value)
{
    if (m == 0 || q < -NEAR_POWER || q > NEAR_POWER)
        return scaled_with_care(m, q, value);
    int shift = __builtin_clzll(m);
    uint64_t product = (uint64_t)((wide)(m << shift) * powers[q - LOWEST_POWER].upper >> 64);
    if (((product + 2) & 511) <= 3)
        return scaled_with_care(m, q, value);
    uint64_t bits = (uint64_t)(powers[q - LOWEST_POWER].exponent + 65 - shift + 1023) << 52;
    double unit; /* a power of two */
    memcpy(&unit, &bits, sizeof bits);
    *value = (double)(int64_t)(product >> 1) * unit;
    return 1;
}

static inline double with_sign(double size, int negative)
{
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(&size, &bits, sizeof bits);
    return size;
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

/* Read a number in any form as a double; return where it ends, or NULL. An integer has no negative zero. */
__attribute__((noinline)) static const byte *take_any_real(const byte *at, const byte *end, double *value)
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
        *value = with_sign((double)m, negative && m);
        return digits > MAX_DIGITS ? NULL : at;
    }
    if ((*at | 32) == 'e' && (at = take_exponent(at, &q)) == NULL)
        return NULL;
    if (((digits > MAX_DIGITS && too_many(first, digits)) || !scaled(m, q, value)) && !by_dtoa(first, at, value))
        return NULL;
    *value = with_sign(*value, negative);
    return at;
}

/* Read a number as a double, as above: the usual form, digits with a point among the first seven bytes, in one go. */
static inline const byte *take_real(const byte *at, const byte *end, double *value)
{
    int negative = *at == '-';
    const byte *first = at + negative;
    if (end - first < 8)
        return take_any_real(at, end, value);
    uint64_t others, chunk = load_digits(first, &others);
    if (!others)
        return take_any_real(at, end, value);
    int whole = __builtin_ctzll(others) >> 3;
    if (first[whole] != '.' || whole == 0 || whole == 7 || (*first == '0' && whole > 1))
        return take_any_real(at, end, value);
    uint64_t before = ((uint64_t)1 << 8 * whole) - 1;
    chunk = (chunk & before) | (chunk >> 8 & ~before); /* without the point */
    others &= others - 1;
    if (others) {
        int count = (__builtin_ctzll(others) >> 3) - 1; /* digits */
        const byte *after = first + count + 1;
        if (count == whole || (*after | 32) == 'e')
            return take_any_real(at, end, value);
        *value = with_sign((double)(int)few_digits(chunk, count) / (double)(int)TENS[count - whole], negative);
        return after;
    }
    uint64_t m = few_digits(chunk, 7);
    const byte *after = take_digits(first + 8, end, &m);
    if (after - first > MAX_DIGITS + 1)
        return take_any_real(at, end, value);
    int q = (int)(first + whole + 1 - after);
    if ((*after | 32) == 'e' && (after = take_exponent(after, &q)) == NULL)
        return NULL;
    if (!scaled(m, q, value))
        return take_any_real(at, end, value);
    *value = with_sign(*value, negative);
    return after;
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

#endif
