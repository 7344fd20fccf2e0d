/* Pools: averages and maxima over windows, means over all positions. */
#include "ef_nn.h"

typedef struct {
    int32_t top;
    int32_t bottom;
    int32_t left;
    int32_t right;
} cells;

static int32_t at_least(int32_t a, int32_t b)
{
    return (a > b) ? a : b;
}

static int32_t at_most(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* The part of a window that lies in the image. */
static cells inside(const ef_window *window, int32_t y, int32_t x)
{
    const int32_t top = (y * window->stride_h) - window->pad_top;
    const int32_t left = (x * window->stride_w) - window->pad_left;
    cells found;

    found.top = at_least(top, 0);
    found.bottom = at_most(top + window->kernel_h, window->in.height);
    found.left = at_least(left, 0);
    found.right = at_most(left + window->kernel_w, window->in.width);
    return found;
}

/* sum / count, rounded half away from 0. */
static int32_t average(int32_t sum, int32_t count)
{
    return (sum > 0) ? ((sum + (count / 2)) / count) : ((sum - (count / 2)) / count);
}

void ef_average_pool(const ef_window *window, const ef_range *range, const int8_t *in,
                     int8_t *out)
{
    const int32_t channels = window->in.channels;

    for (int32_t y = 0; y < window->out.height; y++) {
        for (int32_t x = 0; x < window->out.width; x++) {
            const cells cell = inside(window, y, x);
            const int32_t count = (cell.bottom - cell.top) * (cell.right - cell.left);

            for (int32_t c = 0; c < channels; c++) {
                int32_t sum = 0;

                for (int32_t i = cell.top; i < cell.bottom; i++) {
                    const int8_t *from =
                        &in[(((i * window->in.width) + cell.left) * channels) + c];

                    for (int32_t j = cell.left; j < cell.right; j++) {
                        sum += *from;
                        from += channels;
                    }
                }
                *out = (int8_t)ef_clamp(average(sum, count), range->min, range->max);
                out++;
            }
        }
    }
}

void ef_max_pool(const ef_window *window, const ef_range *range, const int8_t *in, int8_t *out)
{
    const int32_t channels = window->in.channels;

    for (int32_t y = 0; y < window->out.height; y++) {
        for (int32_t x = 0; x < window->out.width; x++) {
            const cells cell = inside(window, y, x);

            for (int32_t c = 0; c < channels; c++) {
                int32_t most = INT8_MIN;

                for (int32_t i = cell.top; i < cell.bottom; i++) {
                    const int8_t *from =
                        &in[(((i * window->in.width) + cell.left) * channels) + c];

                    for (int32_t j = cell.left; j < cell.right; j++) {
                        most = at_least(most, *from);
                        from += channels;
                    }
                }
                *out = (int8_t)ef_clamp(most, range->min, range->max);
                out++;
            }
        }
    }
}

void ef_mean(int32_t outer, int32_t count, int32_t channels, const ef_scale *scale,
             const int8_t *in, int8_t *out)
{
    for (int32_t o = 0; o < outer; o++) {
        for (int32_t c = 0; c < channels; c++) {
            const int8_t *from = &in[(o * count * channels) + c];
            int32_t sum = 0;

            for (int32_t i = 0; i < count; i++) {
                sum += *from - scale->in_zero;
                from += channels;
            }
            sum = ef_multiply(sum, scale->multiplier, scale->shift);
            sum += scale->out_zero;
            *out = (int8_t)ef_clamp(sum, INT8_MIN, INT8_MAX);
            out++;
        }
    }
}
