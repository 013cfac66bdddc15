/* Elementary functions of floats that a compiler can vectorise.

   They add, multiply, divide and take roots, and fuse where fmaf says so; with -ffp-contract=off
   every compiler and every CPU then gives the same bits. NaN in gives NaN out. */

#ifndef VAEBENCH_FLOAT_MATH_H
#define VAEBENCH_FLOAT_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
#error "a CPU that multiplies and adds in one instruction is needed"
#endif

static const float LOG_2PI = 1.83787707f;

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float power_of_2(int32_t n) { return float_of((uint32_t)(n + 127) << 23); }

/* exp x = 2^n exp r with the whole n nearest to x / log 2. Added to this number, a float leaves its
   nearest whole number in its lowest bits. */
static const float ROUNDER = 0x1.8p23f;

static inline float rounded_log2(float x) { return fmaf(x, 1.44269504f, ROUNDER); }

/* exp r, off by 1 ulp. The polynomial is that of expf in Cephes (Moshier 1992). */
static inline float exp_of_rest(float x, float rounded) {
    float n = rounded - ROUNDER;
    float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
    float p = fmaf(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    return fmaf(p, r * r, r) + 1.0f;
}

/* exp x; 2^n comes as two factors: below 2^-126 and at 2^128 it is no float. */
static inline float exp_float(float x) {
    float bounded = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x; /* beyond: 0 and infinity */
    float rounded = rounded_log2(bounded);
    uint32_t n = bits_of(rounded) - bits_of(ROUNDER);
    int32_t half = (int32_t)n >> 1;
    return exp_of_rest(bounded, rounded) * power_of_2(half) * power_of_2((int32_t)n - half);
}

/* exp x for x <= 0; below -87 it is 1e-38, although exp x is less. */
static inline float exp_below_1(float x) {
    float bounded = x < -87.0f ? -87.0f : x;
    float rounded = rounded_log2(bounded);
    return exp_of_rest(bounded, rounded) * float_of((bits_of(rounded) << 23) + bits_of(1.0f));
}

/* exp x - 1 - x from x and exp x: by Taylor near 0, where the difference would lose its digits. */
static inline float exp_rest(float x, float exp_x) {
    float p = fmaf(x, 1.0f / 40320, 1.0f / 5040);
    p = fmaf(x, p, 1.0f / 720);
    p = fmaf(x, p, 1.0f / 120);
    p = fmaf(x, p, 1.0f / 24);
    p = fmaf(x, p, 1.0f / 6);
    p = fmaf(x, p, 0.5f);
    return fabsf(x) < 0.5f ? x * x * p : exp_x - 1.0f - x;
}

/* log x for x from 2^-126 up to, and without, infinity; off by 1 ulp. Polynomial of logf in Cephes. */
static inline float log_normal(float x) {
    const uint32_t sqrt_half = 0x3F3504F3;
    uint32_t above = bits_of(x) - sqrt_half;
    float n = (float)((int32_t)above >> 23);
    float f = float_of((above & 0x007FFFFF) + sqrt_half) - 1.0f; /* x = 2^n (1 + f) */
    float p = fmaf(7.0376836292e-2f, f, -1.1514610310e-1f);
    p = fmaf(p, f, 1.1676998740e-1f);
    p = fmaf(p, f, -1.2420140846e-1f);
    p = fmaf(p, f, 1.4249322787e-1f);
    p = fmaf(p, f, -1.6668057665e-1f);
    p = fmaf(p, f, 2.0000714765e-1f);
    p = fmaf(p, f, -2.4999993993e-1f);
    p = fmaf(p, f, 3.3333331174e-1f);
    float square = f * f;
    float rest = fmaf(p * f, square, n * -2.12194440e-4f);
    return fmaf(n, 0.693359375f, f + fmaf(-0.5f, square, rest));
}

/* log(1 + x) for x from 0 to 1: a polynomial of least relative error, 2e-7 with rounding. */
static inline float log1p_unit(float x) {
    float p = fmaf(x, 0.00523269363f, -0.0295052398f);
    p = fmaf(x, p, 0.0782259628f);
    p = fmaf(x, p, -0.136632472f);
    p = fmaf(x, p, 0.191060081f);
    p = fmaf(x, p, -0.24842982f);
    p = fmaf(x, p, 0.333190978f);
    p = fmaf(x, p, -0.499994934f);
    p = fmaf(x, p, 0.99999994f);
    return x * p;
}

/* sin(2 pi x), |x| <= 1/4, as in ops/gpu/device.py: Taylor, off by 6e-8. */
static inline float sin_turns(float x) {
    float y = x * x;
    float p = fmaf(y, -15.0946426f, 42.0586939f);
    p = fmaf(y, p, -76.7058598f);
    p = fmaf(y, p, 81.6052493f);
    p = fmaf(y, p, -41.3417022f);
    p = fmaf(y, p, 6.28318531f);
    return x * p;
}

#endif
