/* Element by element: sums, products, tables, changes of scale. */
#include "ef_nn.h"

/* x * multiplier / 2^(31 + places) for |x| < 2^30, rounded twice as ef_multiply does; `half` and
 * `sign` are 0 where nothing is left to divide by. */
typedef struct {
    int32_t multiplier;
    int32_t places;
    int32_t half;
    int32_t sign;
} quick;

static quick quick_of(int32_t multiplier, int32_t shift)
{
    quick found = {multiplier, -shift, 0, 0};

    if (shift < 0) {
        found.half = (int32_t)(1U << (uint32_t)(-shift - 1));
        found.sign = -1;
    }
    return found;
}

static inline int32_t quickly(int32_t x, const quick *how)
{
    const int32_t high = ef_high2(x, how->multiplier);

    return (high + ((high >> 31) & how->sign) + how->half) >> how->places;
}

typedef enum { SUM, DIFFERENCE, PRODUCT } kind;

/* What `ef_binary` says, in registers: a copy, which stores to out cannot change. */
typedef struct {
    ef_binary how;
    quick first;
    quick second;
    quick last;
} plan;

/* `size` elements, where neither operand starts anew. */
static inline void run(kind what, int32_t size, const plan *given, const int8_t *a,
                       const int8_t *b, int8_t *out)
{
    const quick first = given->first;
    const quick second = given->second;
    const quick last = given->last;
    const int32_t zero0 = given->how.zero[0];
    const int32_t zero1 = given->how.zero[1];
    const int32_t zero = given->how.out_zero;
    const int32_t low = given->how.min;
    const int32_t high = given->how.max;
    const uint32_t left = (uint32_t)given->how.left;

    for (int32_t i = 0; i < size; i++) {
        const int32_t x = (int32_t)a[i] - zero0;
        const int32_t y = (int32_t)b[i] - zero1;
        int32_t both;

        if (what == PRODUCT) {
            both = x * y;
        } else {
            const int32_t p = quickly((int32_t)((uint32_t)x << left), &first);
            const int32_t q = quickly((int32_t)((uint32_t)y << left), &second);

            both = (what == SUM) ? (p + q) : (p - q);
        }
        out[i] = (int8_t)ef_clamp(quickly(both, &last) + zero, low, high);
    }
}

/* One element, whatever the scales. */
static int8_t one(kind what, const ef_binary *how, int8_t a, int8_t b)
{
    const int32_t x = (int32_t)a - how->zero[0];
    const int32_t y = (int32_t)b - how->zero[1];
    int32_t both = x * y;

    if (what != PRODUCT) {
        const uint32_t left = (uint32_t)how->left;
        const int32_t p =
            ef_multiply((int32_t)((uint32_t)x << left), how->multiplier[0], how->shift[0]);
        const int32_t q =
            ef_multiply((int32_t)((uint32_t)y << left), how->multiplier[1], how->shift[1]);

        both = (what == SUM) ? (p + q) : (p - q);
    }
    both = ef_multiply(both, how->out_multiplier, how->out_shift) + how->out_zero;
    return (int8_t)ef_clamp(both, how->min, how->max);
}

#define LEFT 20
#define LONGEST 22

/* The operand of a sum whose scale is the larger is halved, and no more than shifted: its number,
 * where the rest is as quick as `sum` wants it; else -1. */
static int32_t exact_operand(const ef_binary *how)
{
    const bool whole = (how->min == INT8_MIN) && (how->max == INT8_MAX);

    if (whole && (how->left == LEFT) && (how->out_shift < 0) && (how->out_shift >= -LONGEST)) {
        for (int32_t i = 0; i < 2; i++) {
            if ((how->shift[i] == 0) && (how->multiplier[i] == (1 << 30)) &&
                (how->shift[1 - i] < 0)) {
                return i;
            }
        }
    }
    return -1;
}

/* `size` elements of a sum, `a` being those of operand `exact`. */
static void sum(int32_t size, const ef_binary *how, int32_t exact, const int8_t *a,
                const int8_t *b, int8_t *out)
{
    const int32_t other = 1 - exact;
    const int32_t zero_a = how->zero[exact] * (1 << (LEFT - 1));
    const int32_t zero_b = how->zero[other] * (1 << LEFT);
    const int32_t multiplier = how->multiplier[other];
    const int32_t places = -how->shift[other];
    const int32_t half = (int32_t)(1U << (uint32_t)(places - 1));
    const int32_t last = how->out_multiplier;
    const int32_t end = -how->out_shift;
    const int32_t addend = (1 << (end - 1)) + (how->out_zero * (1 << end));

    for (int32_t i = 0; i < size; i++) {
        const int32_t p = ((int32_t)a[i] * (1 << (LEFT - 1))) - zero_a;
        const int32_t q = ef_high2(((int32_t)b[i] * (1 << LEFT)) - zero_b, multiplier);
        const int32_t high = ef_high2(p + ((q + (q >> 31) + half) >> places), last);

        out[i] = ef_saturate((high + (high >> 31) + addend) >> end);
    }
}

static inline int32_t least(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* The next element of an operand that starts anew every `period` elements. */
static inline int32_t next(int32_t at, int32_t period)
{
    return ((at + 1) == period) ? 0 : (at + 1);
}

static inline void all(kind what, int32_t size, const ef_binary *how, const int8_t *a,
                       const int8_t *b, int8_t *out)
{
    int32_t i = 0;
    int32_t j = 0;

    if ((how->shift[0] > 0) || (how->shift[1] > 0) || (how->out_shift > 0)) {
        for (int32_t at = 0; at < size; at++) {
            out[at] = one(what, how, a[i], b[j]);
            i = next(i, how->period[0]);
            j = next(j, how->period[1]);
        }
    } else {
        const plan made = {*how, quick_of(how->multiplier[0], how->shift[0]),
                           quick_of(how->multiplier[1], how->shift[1]),
                           quick_of(how->out_multiplier, how->out_shift)};
        const int32_t exact = (what == SUM) ? exact_operand(how) : -1;

        for (int32_t at = 0; at < size;) {
            const int32_t count =
                least(size - at, least(how->period[0] - i, how->period[1] - j));

            if (exact == 0) {
                sum(count, how, exact, &a[i], &b[j], &out[at]);
            } else if (exact == 1) {
                sum(count, how, exact, &b[j], &a[i], &out[at]);
            } else {
                run(what, count, &made, &a[i], &b[j], &out[at]);
            }
            at += count;
            i = ((i + count) == how->period[0]) ? 0 : (i + count);
            j = ((j + count) == how->period[1]) ? 0 : (j + count);
        }
    }
}

void ef_add(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out)
{
    all(SUM, size, how, a, b, out);
}

void ef_sub(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out)
{
    all(DIFFERENCE, size, how, a, b, out);
}

void ef_mul(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out)
{
    all(PRODUCT, size, how, a, b, out);
}

void ef_maximum(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out)
{
    int32_t i = 0;
    int32_t j = 0;

    for (int32_t at = 0; at < size; at++) {
        out[at] = (a[i] > b[j]) ? a[i] : b[j];
        i = next(i, how->period[0]);
        j = next(j, how->period[1]);
    }
}

void ef_minimum(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out)
{
    int32_t i = 0;
    int32_t j = 0;

    for (int32_t at = 0; at < size; at++) {
        out[at] = (a[i] < b[j]) ? a[i] : b[j];
        i = next(i, how->period[0]);
        j = next(j, how->period[1]);
    }
}

void ef_table(int32_t size, const int8_t *table, const int8_t *in, int8_t *out)
{
    for (int32_t at = 0; at < size; at++) {
        out[at] = table[(int32_t)in[at] + 128];
    }
}

void ef_requantize(int32_t size, const ef_scale *given, const int8_t *in, int8_t *out)
{
    const ef_scale scale = *given;

    for (int32_t at = 0; at < size; at++) {
        const int32_t x = (int32_t)in[at] - scale.in_zero;
        const int32_t y = ef_multiply(x, scale.multiplier, scale.shift) + scale.out_zero;

        out[at] = (int8_t)ef_clamp(y, INT8_MIN, INT8_MAX);
    }
}

/* round(x / scale) + zero, half away from 0; what int8 cannot hold saturates. */
void ef_quantize(int32_t size, float scale, int32_t zero, const float *in, int8_t *out)
{
    for (int32_t at = 0; at < size; at++) {
        const float x = in[at] / scale;
        int32_t whole;

        if (x >= 512.0F) {
            whole = 512;
        } else if (x <= -512.0F) {
            whole = -512;
        } else if (x != x) {
            whole = 0;
        } else {
            float rest;

            whole = (int32_t)x;
            rest = x - (float)whole;
            if (rest >= 0.5F) {
                whole++;
            } else if (rest <= -0.5F) {
                whole--;
            } else {
                /* the nearest already */
            }
        }
        out[at] = (int8_t)ef_clamp(whole + zero, INT8_MIN, INT8_MAX);
    }
}

void ef_dequantize(int32_t size, float scale, int32_t zero, const int8_t *in, float *out)
{
    for (int32_t at = 0; at < size; at++) {
        out[at] = scale * (float)((int32_t)in[at] - zero);
    }
}
