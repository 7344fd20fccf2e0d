/* Depthwise convolution: one channel at a time, its plane padded and widened to 16 bits, so that
 * windows are short runs of memory. */
#include "ef_nn.h"

typedef struct {
    int32_t stride;
    int32_t rows;
    int32_t columns;
} plane_shape;

static plane_shape plane_of(const ef_window *window)
{
    plane_shape plane;

    plane.rows = ((window->out.height - 1) * window->stride_h) +
                 ((window->kernel_h - 1) * window->dilation_h) + 1;
    plane.columns = ((window->out.width - 1) * window->stride_w) +
                    ((window->kernel_w - 1) * window->dilation_w) + 1;
    plane.stride = ((plane.columns + 1) & ~1) + 2;
    return plane;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* Copy what windows reach of one channel; the border holds the zero point already. */
static void widen(const ef_window *window, const plane_shape *plane, const int8_t *in,
                  int16_t *to)
{
    const int32_t channels = window->in.channels;
    const int32_t twice = 2 * channels;
    const int32_t thrice = 3 * channels;
    const int32_t lines = smaller(window->in.height, plane->rows - window->pad_top);
    const int32_t width = smaller(window->in.width, plane->columns - window->pad_left);

    for (int32_t y = 0; y < lines; y++) {
        const int8_t *from = &in[y * window->in.width * channels];
        int16_t *cell = &to[((y + window->pad_top) * plane->stride) + window->pad_left];
        int32_t x = width;

        for (; x >= 4; x -= 4) {
            const int16_t a = from[0];
            const int16_t b = from[channels];
            const int16_t c = from[twice];
            const int16_t d = from[thrice];

            cell[0] = a;
            cell[1] = b;
            cell[2] = c;
            cell[3] = d;
            from += 4 * channels;
            cell += 4;
        }
        for (; x > 0; x--) {
            *cell = *from;
            cell++;
            from += channels;
        }
    }
}

#if EF_DSP

/* What the loop below reads by its place: two taps a word, the two left and the two right ones of
 * each row of a window; the start of two sums; bytes to the second and to the third row. */
typedef struct {
    int32_t taps[6];
    int32_t bias[2];
    int32_t addend;
    int32_t shift;
    int32_t multiplier;
    int32_t second;
    int32_t third;
} three_taps;

static inline int32_t pack(int32_t low, int32_t high)
{
    return (int32_t)(((uint32_t)low & 0xFFFFU) | ((uint32_t)high << 16));
}

#define ROW(address, taps)                                                                        \
    "ldrd %[a], %[b], [" address "]\n"                                                            \
    "ldrd %[f], %[l], [%[t], #" taps "]\n"                                                        \
    "smlad %[p], %[a], %[f], %[p]\n"                                                              \
    "smlabt %[p], %[b], %[l], %[p]\n"
#define NEXT(place, taps)                                                                         \
    "ldr %[a], [%[t], #" place "]\n"                                                              \
    "add %[a], %[a], %[r]\n" ROW("%[a]", taps)
#define RIGHT                                                                                     \
    "smlatb %[q], %[a], %[f], %[q]\n"                                                             \
    "smlad %[q], %[b], %[l], %[q]\n"
#define SCALE(x)                                                                                  \
    "lsl %[" x "], %[" x "], #1\n"                                                                \
    "smmulr %[" x "], %[" x "], %[a]\n"                                                           \
    "add %[" x "], %[" x "], %[" x "], asr #31\n"                                                 \
    "add %[" x "], %[" x "], %[f]\n"                                                              \
    "asr %[" x "], %[" x "], %[l]\n"                                                              \
    "ssat %[" x "], #8, %[" x "]\n"                                                               \
    "strb %[" x "], [%[o]]\n"                                                                     \
    "add %[o], %[o], %[s]\n"
#define LAST                                                                                      \
    "ldr %[a], [%[t], #40]\n"                                                                     \
    "ldrd %[f], %[l], [%[t], #32]\n"

/* `count` pairs of windows next to each other. */
static inline int8_t *pairs(const three_taps *taps, const int16_t *row, int32_t count,
                            int32_t step, int8_t *out)
{
    int32_t a;
    int32_t b;
    int32_t f;
    int32_t l;
    int32_t p;
    int32_t q;

    __asm volatile("1:\n"
                   "ldrd %[p], %[q], [%[t], #24]\n" ROW("%[r]", "0")
                       RIGHT NEXT("44", "8") RIGHT NEXT("48", "16") RIGHT
                   "add %[r], %[r], #4\n" LAST SCALE("p") SCALE("q") "subs %[n], %[n], #1\n"
                   "bne 1b\n"
                   : [r] "+r"(row), [n] "+r"(count), [o] "+r"(out), [a] "=&r"(a), [b] "=&r"(b),
                     [f] "=&r"(f), [l] "=&r"(l), [p] "=&r"(p), [q] "=&r"(q)
                   : [t] "r"(taps), [s] "r"(step)
                   : "memory", "cc");
    return out;
}

/* `count` windows, `stride` bytes apart (a multiple of 4). */
static inline int8_t *singles(const three_taps *taps, const int16_t *row, int32_t count,
                              int32_t stride, int32_t step, int8_t *out)
{
    int32_t a;
    int32_t b;
    int32_t f;
    int32_t l;
    int32_t p;

    __asm volatile("1:\n"
                   "ldr %[p], [%[t], #24]\n" ROW("%[r]", "0") NEXT("44", "8") NEXT("48", "16")
                   "add %[r], %[r], %[w]\n" LAST SCALE("p") "subs %[n], %[n], #1\n"
                   "bne 1b\n"
                   : [r] "+r"(row), [n] "+r"(count), [o] "+r"(out), [a] "=&r"(a), [b] "=&r"(b),
                     [f] "=&r"(f), [l] "=&r"(l), [p] "=&r"(p)
                   : [t] "r"(taps), [s] "r"(step), [w] "r"(stride)
                   : "memory", "cc");
    return out;
}

/* Windows of three by three, one or an even number of columns apart, of a channel with the fast
 * scaling. */
static void three_dsp(const ef_window *window, const plane_shape *plane, const int8_t *weights,
                  const ef_channel *channel, const int16_t *from, int8_t *out)
{
    const int32_t step = window->out.channels;
    const int32_t width = window->out.width;
    const int32_t apart = (int32_t)sizeof(int16_t) * window->stride_w;
    three_taps taps;

    for (int32_t i = 0; i < 3; i++) {
        taps.taps[2 * i] = pack(weights[3 * i], weights[(3 * i) + 1]);
        taps.taps[(2 * i) + 1] = pack(weights[(3 * i) + 1], weights[(3 * i) + 2]);
    }
    taps.bias[0] = channel->bias;
    taps.bias[1] = channel->bias;
    taps.addend = channel->addend;
    taps.shift = channel->shift;
    taps.multiplier = channel->multiplier;
    taps.second = (int32_t)sizeof(int16_t) * plane->stride;
    taps.third = 2 * taps.second;
    for (int32_t y = 0; y < window->out.height; y++) {
        const int16_t *row = &from[y * window->stride_h * plane->stride];

        if (window->stride_w == 1) {
            if (width > 1) {
                out = pairs(&taps, row, width / 2, step, out);
            }
            if ((width & 1) != 0) {
                out = singles(&taps, &row[width - 1], 1, 0, step, out);
            }
        } else {
            out = singles(&taps, row, width, apart, step, out);
        }
    }
}

#undef ROW
#undef NEXT
#undef RIGHT
#undef SCALE
#undef LAST

#endif

/* Windows of three by three. */
static void three(const ef_window *window, const plane_shape *plane, const ef_range *given,
                  const int8_t *weights, const ef_channel *its, const int16_t *from, int8_t *out)
{
    const ef_channel channel = *its; /* copies: stores to out cannot change them */
    const ef_range range = *given;
    const int32_t w[9] = {weights[0], weights[1], weights[2], weights[3], weights[4],
                          weights[5], weights[6], weights[7], weights[8]};
    const int32_t columns = window->out.width;
    const int32_t apart = window->stride_w;
    const int32_t step = window->out.channels;

    for (int32_t y = 0; y < window->out.height; y++) {
        const int16_t *first = &from[y * window->stride_h * plane->stride];
        const int16_t *second = &first[plane->stride];
        const int16_t *third = &second[plane->stride];

        for (int32_t x = 0; x < columns; x++) {
            int32_t sum = channel.bias;

            sum += (w[0] * first[0]) + (w[1] * first[1]) + (w[2] * first[2]);
            sum += (w[3] * second[0]) + (w[4] * second[1]) + (w[5] * second[2]);
            sum += (w[6] * third[0]) + (w[7] * third[1]) + (w[8] * third[2]);
            *out = ef_output(sum, &channel, &range);
            out += step;
            first += apart;
            second += apart;
            third += apart;
        }
    }
}

/* Windows of any size. */
static void any(const ef_window *window, const plane_shape *plane, const ef_range *given,
                const int8_t *weights, const ef_channel *its, const int16_t *from, int8_t *out)
{
    const ef_channel channel = *its; /* copies: stores to out cannot change them */
    const ef_range range = *given;
    const int32_t height = window->kernel_h;
    const int32_t width = window->kernel_w;
    const int32_t gap = window->dilation_w;
    const int32_t line = (int32_t)window->dilation_h * plane->stride;
    const int32_t columns = window->out.width;
    const int32_t apart = window->stride_w;
    const int32_t step = window->out.channels;

    for (int32_t y = 0; y < window->out.height; y++) {
        const int16_t *corner = &from[y * window->stride_h * plane->stride];

        for (int32_t x = 0; x < columns; x++) {
            const int8_t *weight = weights;
            const int16_t *row = corner;
            int32_t sum = channel.bias;

            for (int32_t i = 0; i < height; i++) {
                const int16_t *cell = row;

                for (int32_t j = 0; j < width; j++) {
                    sum += (int32_t)*weight * (int32_t)*cell;
                    weight++;
                    cell += gap;
                }
                row += line;
            }
            *out = ef_output(sum, &channel, &range);
            out += step;
            corner += apart;
        }
    }
}

void ef_depthwise(const ef_window *window, const ef_range *range, int32_t multiplier,
                  const int8_t *weights, const ef_channel *channels, const int8_t *in,
                  int8_t *out, int16_t *scratch)
{
    const plane_shape plane = plane_of(window);
    const int32_t size = (int32_t)window->kernel_h * window->kernel_w;
    const int32_t cells = plane.rows * plane.stride;
    const bool nine = (window->kernel_h == 3) && (window->kernel_w == 3) &&
                      (window->dilation_h == 1) && (window->dilation_w == 1);

    for (int32_t i = 0; i < cells; i++) {
        scratch[i] = range->in_zero;
    }
    for (int32_t c = 0; c < window->out.channels; c++) {
        if ((c % multiplier) == 0) {
            widen(window, &plane, &in[c / multiplier], scratch);
        }
#if EF_DSP
        if (nine && (channels[c].shift < EF_FAST) && (range->min == INT8_MIN) &&
            (range->max == INT8_MAX) &&
            ((window->stride_w == 1) || ((window->stride_w & 1) == 0))) {
            three_dsp(window, &plane, &weights[c * size], &channels[c], scratch, &out[c]);
            continue;
        }
#endif
        if (nine) {
            three(window, &plane, range, &weights[c * size], &channels[c], scratch, &out[c]);
        } else {
            any(window, &plane, range, &weights[c * size], &channels[c], scratch, &out[c]);
        }
    }
}
