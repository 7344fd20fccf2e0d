/* Softmax in fixed point: exponentials by a polynomial and a table of powers, the reciprocal by
 * Newton's method, as in gemmlowp (Q5.26 in, sums in Q12.19, Q0.31 out). */
#include "ef_nn.h"

#define ONE INT32_MAX

static int32_t times(int32_t a, int32_t b)
{
    if ((a == INT32_MIN) && (b == INT32_MIN)) {
        return INT32_MAX;
    }
    return ef_high(a, b);
}

static int32_t shift_left(int32_t x, int32_t places)
{
    const int64_t wide = (int64_t)x * ((int64_t)1 << places);

    if (wide > INT32_MAX) {
        return INT32_MAX;
    }
    return (wide < INT32_MIN) ? INT32_MIN : (int32_t)wide;
}

/* exp(x) for x in [-1/4, 0), Q0.31. */
static int32_t exp_of_quarter(int32_t x)
{
    const int32_t exp_of_eighth = 1895147668;
    const int32_t third = 715827883;
    const int32_t a = x + (1 << 28);
    const int32_t a2 = times(a, a);
    const int32_t a3 = times(a2, a);
    const int32_t a4 = times(a2, a2);
    const int32_t rest = ef_divide(times(ef_divide(a4, 2) + a3, third) + a2, 1);

    return exp_of_eighth + times(exp_of_eighth, a + rest);
}

/* exp(x) for x <= 0 in Q5.26; Q0.31. */
static int32_t exp_of_negative(int32_t x)
{
    /* exp(-2^i) for i from -2 to 4 */
    static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308,
                                      39332535,   720401,     242};
    const int32_t quarter = 1 << 24;
    const int32_t part = (x & (quarter - 1)) - quarter;
    const int32_t rest = part - x;
    int32_t result = exp_of_quarter(shift_left(part, 5));

    if (x == 0) {
        return ONE;
    }
    for (int32_t i = 0; i < 7; i++) {
        if ((rest & (int32_t)(1U << (uint32_t)(24 + i))) != 0) {
            result = times(result, powers[i]);
        }
    }
    return result;
}

static int32_t leading_zeros(uint32_t x)
{
    int32_t count = 0;

    for (uint32_t bit = 1U << 31; (bit != 0U) && ((x & bit) == 0U); bit >>= 1) {
        count++;
    }
    return count;
}

/* 1 / (1 + x) for x in [0, 1], both Q0.31: three steps of Newton's from 48/17 - 32/17 d. */
static int32_t reciprocal(int32_t x)
{
    const int64_t both = (int64_t)x + (int64_t)ONE;
    const int32_t half = (int32_t)((both + ((both >= 0) ? 1 : -1)) / 2);
    int32_t found = 1515870810 + times(half, -1010580540);

    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - times(half, found);

        found += shift_left(times(found, error), 2);
    }
    return shift_left(found, 1);
}

void ef_softmax(int32_t rows, int32_t size, const ef_softmax_scale *scale, const int8_t *in,
                int8_t *out)
{
    for (int32_t r = 0; r < rows; r++) {
        int32_t most = INT8_MIN;
        int32_t sum = 0;
        int32_t zeros;
        int32_t inverse;

        for (int32_t i = 0; i < size; i++) {
            most = (in[i] > most) ? in[i] : most;
        }
        for (int32_t i = 0; i < size; i++) {
            const int32_t difference = in[i] - most;

            if (difference >= scale->least) {
                const int32_t x = ef_multiply(difference, scale->multiplier, scale->left);

                sum += ef_divide(exp_of_negative(x), 12);
            }
        }
        zeros = leading_zeros((uint32_t)sum);
        inverse = reciprocal((int32_t)(((uint32_t)sum << (uint32_t)zeros) - (1U << 31)));
        for (int32_t i = 0; i < size; i++) {
            const int32_t difference = in[i] - most;
            int32_t value = INT8_MIN;

            if (difference >= scale->least) {
                const int32_t x = ef_multiply(difference, scale->multiplier, scale->left);
                const int32_t share = times(inverse, exp_of_negative(x));

                value += ef_divide(share, 12 - zeros + 31 - 8);
            }
            out[i] = (int8_t)ef_clamp(value, INT8_MIN, INT8_MAX);
        }
        in += size;
        out += size;
    }
}
