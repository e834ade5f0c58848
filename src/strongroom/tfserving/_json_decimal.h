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

/* What was read, and where it ends: NULL where it is not ours. Handed about in registers. */
typedef struct {
    const byte *end;
    uint64_t number;
} digits;

typedef struct {
    const byte *end;
    double value;
} real;

static const real NOT_OURS = {NULL, 0.0};

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

/* Load eight bytes as digits' values. */
static inline uint64_t load_digits(const byte *at)
{
    uint64_t chunk;
    memcpy(&chunk, at, 8);
    return chunk ^ EACH('0');
}

/* Return the top bits of the bytes that are no digits: right up to the first, and beyond where the first is ASCII. */
static inline uint64_t no_digits(uint64_t chunk)
{
    return ((chunk + EACH(0x76)) | chunk) & EACH(0x80);
}

/* Return the number that the first `count` of 0 to 7 loaded digits spell. */
static inline uint64_t few_digits(uint64_t digits, int count)
{
    return eight_digits(digits << (56 - 8 * count) << 8); /* zeros come first */
}

/* Append the digits at `at` to a number, modulo 2**64. */
static inline digits take_digits(const byte *at, const byte *end, uint64_t number)
{
    while (end - at >= 8) {
        uint64_t chunk = load_digits(at), others = no_digits(chunk);
        if (others) {
            int count = __builtin_ctzll(others) >> 3;
            return (digits){at + count, number * TENS[count] + few_digits(chunk, count)};
        }
        number = number * TENS[8] + eight_digits(chunk);
        at += 8;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    return (digits){at, number};
}

/* Return the product's upper half, near the middle between two doubles, as 64 bits more have it, and at the middle what
 * lies above; 0 where they do not tell. */
static uint64_t refined(uint64_t m, int q)
{
    wide whole = (wide)m * powers[q - LOWEST_POWER].upper + ((wide)m * powers[q - LOWEST_POWER].lower >> 64);
    if ((uint64_t)whole == 0 || (uint64_t)whole >= UINT64_MAX - (1 << 14))
        return 0;
    return (uint64_t)(whole >> 64) | 1; /* the middle is even; what is not the middle may become odd */
}

/* Return m * 10**q, rounded correctly, for any m and q; -1 where that cannot be told here. */
__attribute__((noinline)) static double scaled_with_care(uint64_t m, int q)
{
    if (m == 0)
        return 0.0;
    if (q < LOWEST_POWER || q > HIGHEST_POWER)
        return -1.0;
    int shift = __builtin_clzll(m);
    m <<= shift;
    uint64_t product = (uint64_t)((wide)m * powers[q - LOWEST_POWER].upper >> 64);
    int top = (int)(product >> 63), dropped = 10 + top;
    uint64_t mask = ((uint64_t)1 << dropped) - 1, half = (uint64_t)1 << (dropped - 1);
    int exponent = powers[q - LOWEST_POWER].exponent + 64 - shift + 62 + top + 1023;
    if (exponent < 1 || exponent > 2045)
        return -1.0;
    if ((product & mask) - (half - 2) <= 2 && (product = refined(m, q)) == 0)
        return -1.0;
    uint64_t bits = ((uint64_t)(exponent - 1) << 52) + (product >> dropped) + ((product & mask) > half);
    double value;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* Return m * 10**q, rounded correctly; -1 where that cannot be told here. Far from every middle, which shows in the last
 * nine bits whatever the first one is, the machine's own rounding is right, without the last bit too. */
static inline double scaled(uint64_t m, int q)
{
    if (m == 0 || q < -NEAR_POWER || q > NEAR_POWER)
        return scaled_with_care(m, q);
    int shift = __builtin_clzll(m);
    uint64_t product = (uint64_t)((wide)(m << shift) * powers[q - LOWEST_POWER].upper >> 64);
    if (((product + 2) & 511) <= 3)
        return scaled_with_care(m, q);
    uint64_t bits = (uint64_t)(powers[q - LOWEST_POWER].exponent + 65 - shift + 1023) << 52;
    double unit; /* a power of two */
    memcpy(&unit, &bits, sizeof bits);
    return (double)(int64_t)(product >> 1) * unit;
}

static inline double with_sign(double size, int negative)
{
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(&size, &bits, sizeof bits);
    return size;
}

/* Let dtoa read a number without a sign; return -1 where it is not ours. */
static double by_dtoa(const byte *from, const byte *to)
{
    char text[MAX_SLOW_BYTES + 1];
    size_t size = (size_t)(to - from);
    if (size > MAX_SLOW_BYTES)
        return -1.0;
    memcpy(text, from, size);
    text[size] = 0;
    double value = PyOS_string_to_double(text, NULL, NULL); /* too large: infinite */
    if (value == -1.0)
        PyErr_Clear();
    return value;
}

static real take_word(const byte *at, const byte *end, int negative)
{
    if (!negative && end - at > 3 && !memcmp(at, "NaN", 3))
        return (real){at + 3, Py_NAN};
    if (end - at > 8 && !memcmp(at, "Infinity", 8))
        return (real){at + 8, negative ? -Py_HUGE_VAL : Py_HUGE_VAL};
    return NOT_OURS;
}

/* Read what follows "e"; the number is a small signed one. */
static inline digits take_exponent(const byte *at)
{
    int negative = *++at == '-', exponent = 0;
    at += negative || *at == '+';
    if (*at < '0' || *at > '9')
        return (digits){NULL, 0};
    for (; *at >= '0' && *at <= '9'; at++)
        if (exponent < MAX_EXPONENT)
            exponent = exponent * 10 + (*at - '0');
    return (digits){at, (uint64_t)(int64_t)(negative ? -exponent : exponent)};
}

/* Return whether a number's digits, with zeros before them, are more than 64 bits hold. */
static int too_many(const byte *at, long count)
{
    for (; count > MAX_DIGITS && (*at == '0' || *at == '.'); at++)
        count -= *at == '0';
    return count > MAX_DIGITS;
}

/* Read a number in any form as a double. An integer has no negative zero. */
__attribute__((noinline)) static real take_any_real(const byte *at, const byte *end)
{
    int negative = *at == '-', q = 0;
    const byte *first = at + negative;
    digits read = take_digits(first, end, 0);
    long count = read.end - first;
    if (count == 0)
        return take_word(first, end, negative);
    if (*first == '0' && count > 1)
        return NOT_OURS;
    if (*read.end == '.') {
        const byte *fraction = read.end + 1;
        read = take_digits(fraction, end, read.number);
        if (read.end == fraction || read.end - fraction > MAX_EXPONENT)
            return NOT_OURS;
        q = (int)(fraction - read.end);
        count -= q;
    } else if ((*read.end | 32) != 'e') {
        double value = with_sign((double)read.number, negative && read.number);
        return count > MAX_DIGITS ? NOT_OURS : (real){read.end, value};
    }
    const byte *after = read.end;
    if ((*after | 32) == 'e') {
        digits exponent = take_exponent(after);
        if ((after = exponent.end) == NULL)
            return NOT_OURS;
        q += (int)exponent.number;
    }
    double size = count > MAX_DIGITS && too_many(first, count) ? -1.0 : scaled(read.number, q);
    if (size < 0.0)
        size = by_dtoa(first, after);
    return size < 0.0 ? NOT_OURS : (real){after, with_sign(size, negative)};
}

/* Read a number as a double, as above: the usual form, digits with a point among the first seven bytes, in one go. */
static inline real take_real(const byte *at, const byte *end)
{
    int negative = 0;
    const byte *first = at;
    if (*at == '-') {
        __asm__(""); /* a branch, not arithmetic that all the rest would wait for: most lists have but one sign */
        negative = 1;
        first = at + 1;
    }
    if (end - first < 8)
        return take_any_real(at, end);
    uint64_t chunk = load_digits(first), others = no_digits(chunk);
    if (!others)
        return take_any_real(at, end);
    int whole = __builtin_ctzll(others) >> 3;
    if (first[whole] != '.' || whole == 0 || whole == 7 || (*first == '0' && whole > 1))
        return take_any_real(at, end);
    uint64_t before = ((uint64_t)1 << 8 * whole) - 1;
    chunk = (chunk & before) | (chunk >> 8 & ~before); /* without the point */
    others &= others - 1;
    if (others) {
        int count = (__builtin_ctzll(others) >> 3) - 1; /* digits */
        const byte *after = first + count + 1;
        if (count == whole || (*after | 32) == 'e')
            return take_any_real(at, end);
        double size = (double)(int)few_digits(chunk, count) / (double)(int)TENS[count - whole];
        return (real){after, with_sign(size, negative)};
    }
    digits read = take_digits(first + 8, end, few_digits(chunk, 7));
    if (read.end - first > MAX_DIGITS + 1)
        return take_any_real(at, end);
    digits exponent = {read.end, 0};
    if ((*read.end | 32) == 'e' && (exponent = take_exponent(read.end)).end == NULL)
        return NOT_OURS;
    double size = scaled(read.number, (int)(first + whole + 1 - read.end) + (int)exponent.number);
    return size < 0.0 ? take_any_real(at, end) : (real){exponent.end, with_sign(size, negative)};
}

/* Read an integer's magnitude below 10**19, after its sign. */
static inline digits take_magnitude(const byte *at, const byte *end)
{
    digits read = take_digits(at, end, 0);
    if (read.end == at || read.end - at > MAX_DIGITS || (*at == '0' && read.end - at > 1))
        read.end = NULL;
    return read;
}

#endif
