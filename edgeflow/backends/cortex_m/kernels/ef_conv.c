/* Convolution and dense layers: windows are laid out side by side, then multiplied by two filters
 * at a time. */
#include "ef_nn.h"

#if EF_MVE
#include <arm_mve.h>
#endif

#define GROUP 4
#define PAIR 2

#if EF_DSP

/* Two filters by two windows: 16 products in 15 instructions. The windows hold inputs 0, 2, 1, 3
 * of each four, as sxtb16 spreads the filters'. Returns where the next filters are. */
static inline const int8_t *products(const int8_t *weights, const ef_patch *x, int32_t groups,
                                     int32_t sum[4])
{
    int32_t s0 = sum[0];
    int32_t s1 = sum[1];
    int32_t s2 = sum[2];
    int32_t s3 = sum[3];
    int32_t w0;
    int32_t w1;
    int32_t v0;
    int32_t v1;
    int32_t x0;
    int32_t x1;

#define STEP                                                                                      \
    "ldrd %[w0], %[w1], [%[w]], #8\n"                                                             \
    "ldrd %[x0], %[x1], [%[x]], #8\n"                                                             \
    "sxtb16 %[v0], %[w0]\n"                                                                       \
    "sxtb16 %[w0], %[w0], ror #8\n"                                                               \
    "sxtb16 %[v1], %[w1]\n"                                                                       \
    "sxtb16 %[w1], %[w1], ror #8\n"                                                               \
    "smlad %[s0], %[v0], %[x0], %[s0]\n"                                                          \
    "smlad %[s1], %[v1], %[x0], %[s1]\n"                                                          \
    "smlad %[s0], %[w0], %[x1], %[s0]\n"                                                          \
    "smlad %[s1], %[w1], %[x1], %[s1]\n"                                                          \
    "ldrd %[x0], %[x1], [%[x]], #8\n"                                                             \
    "smlad %[s2], %[v0], %[x0], %[s2]\n"                                                          \
    "smlad %[s3], %[v1], %[x0], %[s3]\n"                                                          \
    "smlad %[s2], %[w0], %[x1], %[s2]\n"                                                          \
    "smlad %[s3], %[w1], %[x1], %[s3]\n"

    if ((groups & 1) != 0) {
        __asm volatile(STEP
                       : [w] "+r"(weights), [x] "+r"(x), [s0] "+r"(s0), [s1] "+r"(s1),
                         [s2] "+r"(s2), [s3] "+r"(s3), [w0] "=&r"(w0), [w1] "=&r"(w1),
                         [v0] "=&r"(v0), [v1] "=&r"(v1), [x0] "=&r"(x0), [x1] "=&r"(x1)
                       :
                       : "memory");
    }
    groups >>= 1;
    if (groups > 0) {
        __asm volatile("1:\n" STEP STEP "subs %[n], %[n], #1\n"
                                        "bne 1b\n"
                       : [w] "+r"(weights), [x] "+r"(x), [n] "+r"(groups), [s0] "+r"(s0),
                         [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [w0] "=&r"(w0),
                         [w1] "=&r"(w1), [v0] "=&r"(v0), [v1] "=&r"(v1), [x0] "=&r"(x0),
                         [x1] "=&r"(x1)
                       :
                       : "memory", "cc");
    }
#undef STEP
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
    return weights;
}

/* Spread `count` bytes (a multiple of 4) into every second four places of a pair of windows. */
static inline void spread(const int8_t *from, int32_t count, ef_patch *to)
{
    int32_t low;
    int32_t high;

    for (; count > 0; count -= GROUP) {
        __asm volatile("ldr %[a], [%[f]], #4\n"
                       "sxtb16 %[b], %[a], ror #8\n"
                       "sxtb16 %[a], %[a]\n"
                       "strd %[a], %[b], [%[t]], #16\n"
                       : [a] "=&r"(low), [b] "=&r"(high), [f] "+r"(from), [t] "+r"(to)
                       :
                       : "memory");
    }
}

/* Two filters by one window: 8 products in 10 instructions. */
static inline const int8_t *products_of_one(const int8_t *weights, const ef_patch *x,
                                            int32_t groups, int32_t sum[4])
{
    int32_t s0 = sum[0];
    int32_t s1 = sum[1];
    int32_t w0;
    int32_t w1;
    int32_t v0;
    int32_t v1;
    int32_t x0;
    int32_t x1;

    __asm volatile("1:\n"
                   "ldrd %[w0], %[w1], [%[w]], #8\n"
                   "ldrd %[x0], %[x1], [%[x]], #16\n"
                   "sxtb16 %[v0], %[w0]\n"
                   "sxtb16 %[w0], %[w0], ror #8\n"
                   "sxtb16 %[v1], %[w1]\n"
                   "sxtb16 %[w1], %[w1], ror #8\n"
                   "smlad %[s0], %[v0], %[x0], %[s0]\n"
                   "smlad %[s1], %[v1], %[x0], %[s1]\n"
                   "smlad %[s0], %[w0], %[x1], %[s0]\n"
                   "smlad %[s1], %[w1], %[x1], %[s1]\n"
                   "subs %[n], %[n], #1\n"
                   "bne 1b\n"
                   : [w] "+r"(weights), [x] "+r"(x), [n] "+r"(groups), [s0] "+r"(s0),
                     [s1] "+r"(s1), [w0] "=&r"(w0), [w1] "=&r"(w1), [v0] "=&r"(v0),
                     [v1] "=&r"(v1), [x0] "=&r"(x0), [x1] "=&r"(x1)
                   :
                   : "memory", "cc");
    sum[0] = s0;
    sum[1] = s1;
    return weights;
}

#elif EF_MVE

/* A vector holds two times four inputs of each of two filters, another those of two windows: lanes
 * of the one kind are summed with a predicate, the windows change places in between. */
static inline const int8_t *products(const int8_t *weights, const ef_patch *x, int32_t groups,
                                     int32_t sum[4])
{
    const mve_pred16_t first = 0x0F0FU;
    uint32_t others = 0xF0F0U;
    int32_t left = groups * PAIR * GROUP;

    /* GCC 12 writes a constant with bit 15 set in a form that its assembler refuses. */
    __asm("" : "+r"(others));
    const mve_pred16_t second = (mve_pred16_t)others;

    while (left > 0) {
        const mve_pred16_t there = vctp8q((uint32_t)left);
        const int8x16_t w = vldrbq_z_s8(weights, there);
        const int8x16_t here = vldrbq_z_s8(x, there);
        const int8x16_t turned =
            vreinterpretq_s8_s32(vrev64q_s32(vreinterpretq_s32_s8(here)));

        sum[0] = vmladavaq_p_s8(sum[0], w, here, first);
        sum[1] = vmladavaq_p_s8(sum[1], w, turned, second);
        sum[2] = vmladavaq_p_s8(sum[2], w, turned, first);
        sum[3] = vmladavaq_p_s8(sum[3], w, here, second);
        weights += 16;
        x += 16;
        left -= 16;
    }
    return (left < 0) ? (weights - PAIR * GROUP) : weights;
}

#else

static inline const int8_t *products(const int8_t *weights, const ef_patch *x, int32_t groups,
                                     int32_t sum[4])
{
    int32_t s0 = sum[0];
    int32_t s1 = sum[1];
    int32_t s2 = sum[2];
    int32_t s3 = sum[3];

    for (; groups > 0; groups--) {
        for (int32_t i = 0; i < GROUP; i++) {
            const int32_t w0 = weights[i];
            const int32_t w1 = weights[GROUP + i];
            const int32_t x0 = x[i];
            const int32_t x1 = x[GROUP + i];

            s0 += w0 * x0;
            s1 += w1 * x0;
            s2 += w0 * x1;
            s3 += w1 * x1;
        }
        weights += PAIR * GROUP;
        x += PAIR * GROUP;
    }
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
    return weights;
}

#endif

#if !EF_DSP

static inline void spread(const int8_t *from, int32_t count, ef_patch *to)
{
    for (; count > 0; count -= GROUP) {
        (void)memcpy(to, from, GROUP);
        from += GROUP;
        to += PAIR * GROUP;
    }
}

#endif

/* Put `size` bytes into every second four places of a pair of windows, the last four filled up. */
static inline void place(const int8_t *from, int32_t size, ef_patch *to)
{
    const int32_t whole = size & ~(GROUP - 1);

    spread(from, whole, to);
    if (whole != size) {
        int8_t last[GROUP] = {0, 0, 0, 0};

        (void)memcpy(last, &from[whole], (size_t)(size - whole));
        spread(last, GROUP, &to[PAIR * whole]);
    }
}

/* As memcpy, in line: pieces are short. */
static inline void copy(int8_t *to, const int8_t *from, int32_t size)
{
    for (; size >= GROUP; size -= GROUP) {
        (void)memcpy(to, from, GROUP);
        to += GROUP;
        from += GROUP;
    }
    for (; size > 0; size--) {
        *to = *from;
        to++;
        from++;
    }
}

/* Part of a line of the image, `cells` of it from column `left` on; `zero` beyond its ends.
 * Whole fours go straight to their places, others to the row of bytes at `row`. */
static void take(const ef_window *window, const int8_t *line, int32_t left, int8_t zero,
                 int8_t *row, ef_patch *to)
{
    const int32_t channels = window->in.channels;
    const bool fours = (channels & (GROUP - 1)) == 0;

    for (int32_t j = 0; j < window->kernel_w; j++) {
        const int32_t at = left + (j * window->dilation_w);
        const bool inside = (line != NULL) && (at >= 0) && (at < window->in.width);

        if (!fours) {
            if (inside) {
                copy(&row[j * channels], &line[at * channels], channels);
            } else {
                (void)memset(&row[j * channels], zero, (size_t)channels);
            }
        } else if (inside) {
            spread(&line[at * channels], channels, to);
        } else {
            const int8_t four[GROUP] = {zero, zero, zero, zero};

            for (int32_t c = 0; c < channels; c += GROUP) {
                spread(four, GROUP, &to[PAIR * c]);
            }
        }
        to += PAIR * channels;
    }
}

/* One window of the image to its places in a pair. `row` has room for a window's bytes. */
static void gather(const ef_window *window, const int8_t *in, int32_t y, int32_t x, int8_t zero,
                   int8_t *row, ef_patch *to)
{
    const int32_t channels = window->in.channels;
    const int32_t top = (y * window->stride_h) - window->pad_top;
    const int32_t left = (x * window->stride_w) - window->pad_left;
    const int32_t line = (int32_t)window->in.width * channels;
    const int32_t width = (int32_t)window->kernel_w * channels;
    const bool fours = (channels & (GROUP - 1)) == 0;
    const bool within = (window->dilation_w == 1) && (left >= 0) &&
                        ((left + window->kernel_w) <= window->in.width);
    int8_t *cell = row;

    for (int32_t i = 0; i < window->kernel_h; i++) {
        const int32_t at = top + (i * window->dilation_h);
        const bool inside = (at >= 0) && (at < window->in.height);
        const int8_t *from = inside ? &in[at * line] : NULL;

        if (!inside || !within) {
            take(window, from, left, zero, cell, to);
        } else if (fours) {
            spread(&from[left * channels], width, to);
        } else {
            copy(cell, &from[left * channels], width);
        }
        cell += width;
        to += PAIR * width;
    }
    if (!fours) {
        const int32_t size = (int32_t)(cell - row);

        place(row, size, to - (PAIR * size));
    }
}

/* Every filter with a pair of windows; the second may be none (`out1` NULL). */
static void filters(int32_t depth, int32_t outputs, const ef_range *range, const int8_t *weights,
                    const ef_channel *channels, const ef_patch *x, int8_t *out0, int8_t *out1)
{
    for (int32_t f = 0; f < outputs; f += PAIR) {
        const bool both = (f + 1) < outputs;
        const int32_t first = channels[f].bias;
        const int32_t second = both ? channels[f + 1].bias : 0;
        int32_t sum[4] = {first, second, first, second};

#if EF_DSP
        weights = (out1 == NULL) ? products_of_one(weights, x, depth / GROUP, sum)
                                 : products(weights, x, depth / GROUP, sum);
#else
        weights = products(weights, x, depth / GROUP, sum);
#endif
        out0[f] = ef_output(sum[0], &channels[f], range);
        if (out1 != NULL) {
            out1[f] = ef_output(sum[2], &channels[f], range);
        }
        if (both) {
            out0[f + 1] = ef_output(sum[1], &channels[f + 1], range);
            if (out1 != NULL) {
                out1[f + 1] = ef_output(sum[3], &channels[f + 1], range);
            }
        }
    }
}

/* The same where nothing is odd: an even number of filters, two windows, and outputs that end
 * where int8 does. */
static inline void finish(int32_t first, int32_t second, const ef_channel *channel, int8_t *out0,
                          int8_t *out1)
{
    const int32_t multiplier = channel->multiplier;
    const int32_t addend = channel->addend;
    const int32_t shift = channel->shift;

    if (shift < EF_FAST) {
        const int32_t high0 = ef_high2(first, multiplier);
        const int32_t high1 = ef_high2(second, multiplier);

        *out0 = ef_saturate((high0 + (high0 >> 31) + addend) >> shift);
        *out1 = ef_saturate((high1 + (high1 >> 31) + addend) >> shift);
    } else {
        *out0 = ef_saturate(ef_scaled(first, channel));
        *out1 = ef_saturate(ef_scaled(second, channel));
    }
}

static void filters_even(int32_t depth, int32_t outputs, const int8_t *weights,
                         const ef_channel *channels, const ef_patch *x, int8_t *out0,
                         int8_t *out1)
{
    const ef_channel *const end = &channels[outputs];

    while (channels != end) {
        int32_t sum[4] = {channels[0].bias, channels[1].bias, channels[0].bias,
                          channels[1].bias};

        weights = products(weights, x, depth / GROUP, sum);
        finish(sum[0], sum[2], &channels[0], &out0[0], &out1[0]);
        finish(sum[1], sum[3], &channels[1], &out0[1], &out1[1]);
        out0 += PAIR;
        out1 += PAIR;
        channels += PAIR;
    }
}

static void pair(int32_t depth, int32_t outputs, const ef_range *range, const int8_t *weights,
                 const ef_channel *channels, const ef_patch *x, int8_t *out0, int8_t *out1)
{
    if ((range->min == INT8_MIN) && (range->max == INT8_MAX) && (out1 != NULL) &&
        ((outputs & 1) == 0)) {
        filters_even(depth, outputs, weights, channels, x, out0, out1);
        return;
    }
    filters(depth, outputs, range, weights, channels, x, out0, out1);
}

void ef_conv(const ef_window *window, const ef_range *range, const int8_t *weights,
             const ef_channel *channels, const int8_t *in, int8_t *out, ef_patch *scratch)
{
    const int32_t size =
        (int32_t)window->kernel_h * window->kernel_w * window->in.channels;
    const int32_t depth = (size + GROUP - 1) & ~(GROUP - 1);
    const int32_t outputs = window->out.channels;
    const int32_t positions = (int32_t)window->out.height * window->out.width;
    int8_t *row = (int8_t *)&scratch[PAIR * depth];
    int32_t y = 0;
    int32_t x = 0;

    if ((window->kernel_h == 1) && (window->kernel_w == 1) && (window->stride_h == 1) &&
        (window->stride_w == 1)) {
        /* a window is a position: so is a dense layer's row */
        ef_dense(positions, size, outputs, range, weights, channels, in, out, scratch);
        return;
    }
    for (int32_t p = 0; p < positions; p++) {
        const bool odd = (p & 1) != 0;

        gather(window, in, y, x, range->in_zero, row, &scratch[odd ? GROUP : 0]);
        if (odd || (p == (positions - 1))) {
            int8_t *first = &out[(odd ? (p - 1) : p) * outputs];

            pair(depth, outputs, range, weights, channels, scratch, first,
                 odd ? &first[outputs] : NULL);
        }
        x++;
        if (x == window->out.width) {
            x = 0;
            y++;
        }
    }
}

void ef_dense(int32_t rows, int32_t inputs, int32_t outputs, const ef_range *range,
              const int8_t *weights, const ef_channel *channels, const int8_t *in, int8_t *out,
              ef_patch *scratch)
{
    const int32_t depth = (inputs + GROUP - 1) & ~(GROUP - 1);

    for (int32_t r = 0; r < rows; r += PAIR) {
        const bool both = (r + 1) < rows;

        place(&in[r * inputs], inputs, scratch);
        if (both) {
            place(&in[(r + 1) * inputs], inputs, &scratch[GROUP]);
        }
        pair(depth, outputs, range, weights, channels, scratch, &out[r * outputs],
             both ? &out[(r + 1) * outputs] : NULL);
    }
}
