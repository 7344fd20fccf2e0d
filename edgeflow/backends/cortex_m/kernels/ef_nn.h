/* Integer kernels of neural networks for Cortex-M, and for any C99 compiler.
 *
 * They compute what TensorFlow Lite's reference kernels compute, to the bit. No heap, no global
 * state, no library but memcpy and memset. Tensors are int8, channels last, one image at a time.
 * EF_DSP is 1 on cores with the DSP extension (Cortex-M4, M7, M33, …): there two 16-bit products
 * are summed by one instruction. EF_MVE is 1 on cores with Helium (Cortex-M55, M85).
 */
#ifndef EF_NN_H
#define EF_NN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define EF_MVE 1
#else
#define EF_MVE 0
#endif
#if defined(__ARM_FEATURE_DSP) && (__ARM_FEATURE_DSP == 1) && !EF_MVE
#define EF_DSP 1
#else
#define EF_DSP 0
#endif

/* How one output channel is scaled: out = zero + round(acc * multiplier * 2^(shift - 31)), rounded
 * twice as TensorFlow Lite does. `bias` has the input's zero point folded in.
 * Where `shift` is below EF_FAST: out = (h + (h >> 31) + addend) >> shift, with
 * h = round(2 acc multiplier / 2^32); else `addend` is the zero point, and shift - 64 TensorFlow
 * Lite's own (left where positive). */
#define EF_FAST 32
#define EF_SLOW 64

typedef struct {
    int32_t bias;
    int32_t multiplier;
    int32_t addend;
    int32_t shift;
} ef_channel;

typedef struct {
    int16_t height;
    int16_t width;
    int16_t channels;
} ef_shape;

/* A window that slides: convolutions and pools. */
typedef struct {
    ef_shape in;
    ef_shape out;
    int16_t kernel_h;
    int16_t kernel_w;
    int16_t stride_h;
    int16_t stride_w;
    int16_t dilation_h;
    int16_t dilation_w;
    int16_t pad_top;
    int16_t pad_left;
} ef_window;

typedef struct {
    int8_t in_zero;
    int8_t min;
    int8_t max;
} ef_range;

/* Weights of `ef_conv` and `ef_dense`: filters in pairs, four inputs of the one, four of the
 * other; the inputs padded with 0 to a multiple of 4, the filters to an even number.
 * Scratch: 3 * depth elements of ef_patch, depth = the padded inputs of a filter, at an
 * address that 4 divides. */
#if EF_DSP
typedef int16_t ef_patch;
#else
typedef int8_t ef_patch;
#endif

void ef_conv(const ef_window *window, const ef_range *range, const int8_t *weights,
             const ef_channel *channels, const int8_t *in, int8_t *out, ef_patch *scratch);
void ef_dense(int32_t rows, int32_t inputs, int32_t outputs, const ef_range *range,
              const int8_t *weights, const ef_channel *channels, const int8_t *in, int8_t *out,
              ef_patch *scratch);
/* Weights: for each output channel its window, row by row. Scratch: the padded plane of one
 * channel, (rows that windows reach) * (columns, rounded up to even, + 2) elements of int16. */
void ef_depthwise(const ef_window *window, const ef_range *range, int32_t multiplier,
                  const int8_t *weights, const ef_channel *channels, const int8_t *in,
                  int8_t *out, int16_t *scratch);

void ef_average_pool(const ef_window *window, const ef_range *range, const int8_t *in,
                     int8_t *out);
void ef_max_pool(const ef_window *window, const ef_range *range, const int8_t *in, int8_t *out);

/* Mean over `count` positions of `channels`, `outer` times; the scale holds the division. */
typedef struct {
    int32_t in_zero;
    int32_t out_zero;
    int32_t multiplier;
    int32_t shift;
} ef_scale;
void ef_mean(int32_t outer, int32_t count, int32_t channels, const ef_scale *scale,
             const int8_t *in, int8_t *out);

typedef struct {
    int32_t zero[2];
    int32_t multiplier[2];
    int32_t shift[2];
    int32_t left;
    int32_t out_zero;
    int32_t out_multiplier;
    int32_t out_shift;
    int8_t min;
    int8_t max;
    /* Elements of each operand that are used again and again (broadcast): the size where not. */
    int32_t period[2];
} ef_binary;
void ef_add(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out);
void ef_sub(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out);
void ef_mul(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b, int8_t *out);
void ef_maximum(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b,
                int8_t *out);
void ef_minimum(int32_t size, const ef_binary *how, const int8_t *a, const int8_t *b,
                int8_t *out);

/* Any function of one element: `table[in + 128]`. */
void ef_table(int32_t size, const int8_t *table, const int8_t *in, int8_t *out);
void ef_requantize(int32_t size, const ef_scale *scale, const int8_t *in, int8_t *out);
void ef_quantize(int32_t size, float scale, int32_t zero, const float *in, int8_t *out);
void ef_dequantize(int32_t size, float scale, int32_t zero, const int8_t *in, float *out);

typedef struct {
    int32_t multiplier;
    int32_t left;
    int32_t least;
} ef_softmax_scale;
void ef_softmax(int32_t rows, int32_t size, const ef_softmax_scale *scale, const int8_t *in,
                int8_t *out);

/* Up to five axes; a shorter tensor has 1s in front. */
typedef struct {
    int32_t in[5];
    int32_t out[5];
    int32_t before[5];
} ef_pad_shape;
void ef_pad(const ef_pad_shape *shape, int8_t value, const int8_t *in, int8_t *out);
/* `step` is the input's stride of each output axis. */
typedef struct {
    int32_t out[5];
    int32_t step[5];
} ef_transpose_shape;
void ef_transpose(const ef_transpose_shape *shape, const int8_t *in, int8_t *out);
/* One operand of a concatenation: `rows` pieces of `size` into rows of `stride`. */
void ef_copy_rows(int32_t rows, int32_t size, int32_t stride, const int8_t *in, int8_t *out);

/* ---- arithmetic ---- */

/* round(a * b / 2^31), half up; a * b must not be (-2^31)^2. */
static inline int32_t ef_high(int32_t a, int32_t b)
{
    return (int32_t)((((int64_t)a * (int64_t)b) + ((int64_t)1 << 30)) >> 31);
}

/* round(2 a b / 2^32), half up: ef_high for |a| < 2^30. */
static inline int32_t ef_high2(int32_t a, int32_t b)
{
#if EF_DSP
    int32_t high;
    __asm("smmulr %0, %1, %2" : "=r"(high) : "r"((int32_t)((uint32_t)a << 1)), "r"(b));
    return high;
#else
    return ef_high(a, b);
#endif
}

/* x / 2^places, rounded half away from 0. */
static inline int32_t ef_divide(int32_t x, int32_t places)
{
    const int32_t mask = (int32_t)((1U << (uint32_t)places) - 1U);
    const int32_t half = (mask >> 1) + ((x < 0) ? 1 : 0);

    return (x >> places) + (((x & mask) > half) ? 1 : 0);
}

/* x * multiplier * 2^(shift - 31), rounded as TensorFlow Lite's reference kernels do. */
static inline int32_t ef_multiply(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = (shift > 0) ? shift : 0;
    const int32_t right = (shift > 0) ? 0 : -shift;

    return ef_divide(ef_high((int32_t)((uint32_t)x << (uint32_t)left), multiplier), right);
}

static inline int32_t ef_clamp(int32_t x, int32_t low, int32_t high)
{
    if (x < low) {
        return low;
    }
    return (x > high) ? high : x;
}

static inline int8_t ef_saturate(int32_t x)
{
#if EF_DSP
    int32_t low;
    __asm("ssat %0, #8, %1" : "=r"(low) : "r"(x));
    return (int8_t)low;
#else
    return (int8_t)ef_clamp(x, INT8_MIN, INT8_MAX);
#endif
}

static inline int32_t ef_scaled(int32_t acc, const ef_channel *channel)
{
    if (channel->shift < EF_FAST) {
        const int32_t high = ef_high2(acc, channel->multiplier);

        return (high + (high >> 31) + channel->addend) >> channel->shift;
    }
    return ef_multiply(acc, channel->multiplier, channel->shift - EF_SLOW) + channel->addend;
}

static inline int8_t ef_output(int32_t acc, const ef_channel *channel, const ef_range *range)
{
    return (int8_t)ef_clamp(ef_scaled(acc, channel), range->min, range->max);
}

#endif
