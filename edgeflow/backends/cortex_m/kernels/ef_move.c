/* Kernels that only move elements. */
#include "ef_nn.h"

void ef_pad(const ef_pad_shape *shape, int8_t value, const int8_t *in, int8_t *out)
{
    int32_t size = 1;

    for (int32_t axis = 0; axis < 5; axis++) {
        size *= shape->out[axis];
    }
    (void)memset(out, value, (size_t)size);
    for (int32_t a = 0; a < shape->in[0]; a++) {
        for (int32_t b = 0; b < shape->in[1]; b++) {
            for (int32_t c = 0; c < shape->in[2]; c++) {
                for (int32_t d = 0; d < shape->in[3]; d++) {
                    int32_t at = a + shape->before[0];

                    at = (at * shape->out[1]) + b + shape->before[1];
                    at = (at * shape->out[2]) + c + shape->before[2];
                    at = (at * shape->out[3]) + d + shape->before[3];
                    at = (at * shape->out[4]) + shape->before[4];
                    (void)memcpy(&out[at], in, (size_t)shape->in[4]);
                    in += shape->in[4];
                }
            }
        }
    }
}

void ef_transpose(const ef_transpose_shape *shape, const int8_t *in, int8_t *out)
{
    for (int32_t a = 0; a < shape->out[0]; a++) {
        for (int32_t b = 0; b < shape->out[1]; b++) {
            for (int32_t c = 0; c < shape->out[2]; c++) {
                for (int32_t d = 0; d < shape->out[3]; d++) {
                    const int8_t *from = &in[(a * shape->step[0]) + (b * shape->step[1]) +
                                             (c * shape->step[2]) + (d * shape->step[3])];

                    for (int32_t e = 0; e < shape->out[4]; e++) {
                        *out = from[e * shape->step[4]];
                        out++;
                    }
                }
            }
        }
    }
}

void ef_copy_rows(int32_t rows, int32_t size, int32_t stride, const int8_t *in, int8_t *out)
{
    for (int32_t r = 0; r < rows; r++) {
        (void)memcpy(&out[r * stride], &in[r * size], (size_t)size);
    }
}
