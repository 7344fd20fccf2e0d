/* Element by element: sums, products, tables, changes of scale. */
#include "ef_nn.h"

static inline int32_t scaled(const ef_binary *how, int32_t which, int8_t x)
{
    const int32_t shifted = (int32_t)((uint32_t)(x - how->zero[which]) << (uint32_t)how->left);

    return ef_multiply(shifted, how->multiplier[which], how->shift[which]);
}

static inline int8_t finished(const ef_binary *how, int32_t x)
{
    const int32_t value = ef_multiply(x, how->out_multiplier, how->out_shift) + how->out_zero;

    return (int8_t)ef_clamp(value, how->min, how->max);
}

/* The next element of an operand that starts anew every `period` elements. */
static inline int32_t next(int32_t at, int32_t period)
{
    return ((at + 1) == period) ? 0 : (at + 1);
}

void ef_add(int32_t size, const ef_binary *given, const int8_t *a, const int8_t *b, int8_t *out)
{
    const ef_binary how = *given; /* a copy: stores to out cannot change it */
    int32_t i = 0;
    int32_t j = 0;

    for (int32_t at = 0; at < size; at++) {
        out[at] = finished(&how, scaled(&how, 0, a[i]) + scaled(&how, 1, b[j]));
        i = next(i, how.period[0]);
        j = next(j, how.period[1]);
    }
}

void ef_sub(int32_t size, const ef_binary *given, const int8_t *a, const int8_t *b, int8_t *out)
{
    const ef_binary how = *given; /* a copy: stores to out cannot change it */
    int32_t i = 0;
    int32_t j = 0;

    for (int32_t at = 0; at < size; at++) {
        out[at] = finished(&how, scaled(&how, 0, a[i]) - scaled(&how, 1, b[j]));
        i = next(i, how.period[0]);
        j = next(j, how.period[1]);
    }
}

void ef_mul(int32_t size, const ef_binary *given, const int8_t *a, const int8_t *b, int8_t *out)
{
    const ef_binary how = *given; /* a copy: stores to out cannot change it */
    int32_t i = 0;
    int32_t j = 0;

    for (int32_t at = 0; at < size; at++) {
        out[at] = finished(&how, (a[i] - how.zero[0]) * (b[j] - how.zero[1]));
        i = next(i, how.period[0]);
        j = next(j, how.period[1]);
    }
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
