/* Likelihoods of rows of P pixels, forward and backward.

   x has x_rows rows, which the N rows of the parameters go through again and again, one time for
   each sample. Rows of x and of the parameters lie the given strides apart; all else is dense. */

#include "float_math.h"
#include "row_sums.h"

/* densities.bernoulli_log_prob: (1 - x) l + log(1 + exp(-l)) less, the last without overflow. */
static inline void subtract_bernoulli(const float *x, const float *logits, int n, float *sums) {
    for (int i = 0; i < LANES; i++) {
        if (i >= n) continue;
        float l = logits[i], from_0 = l < 0.0f ? -l : 0.0f;
        sums[i] -= (1.0f - x[i]) * l + from_0 + log1p_unit(exp_below_1(-fabsf(l)));
    }
}

static float bernoulli_of_row(const float *x, const float *logits, int64_t P) {
    float sums[LANES] = {0};
    BY_LANES(P, subtract_bernoulli(x + p, logits + p, n, sums));
    return total(sums);
}

/* x - sigmoid(l), times the gradient to the row. */
static void bernoulli_slopes(const float *x, const float *logits, float upstream, int64_t P,
                             float *restrict dlogits) {
#pragma omp simd
    for (int64_t p = 0; p < P; p++)
        dlogits[p] = upstream * (x[p] - 1.0f / (1.0f + exp_float(-logits[p])));
}

/* log_prob [N] */
void vaebench_bernoulli_forward(int64_t N, int64_t P, const float *x, int64_t x_rows,
                                int64_t x_stride, const float *logits, int64_t stride,
                                float *log_prob) {
    for (int64_t i = 0; i < N; i++)
        log_prob[i] = bernoulli_of_row(x + i % x_rows * x_stride, logits + i * stride, P);
}

/* dlogits [N, P] */
void vaebench_bernoulli_backward(int64_t N, int64_t P, const float *x, int64_t x_rows,
                                 int64_t x_stride, const float *logits, int64_t stride,
                                 const float *upstream, float *dlogits) {
    for (int64_t i = 0; i < N; i++)
        bernoulli_slopes(x + i % x_rows * x_stride, logits + i * stride, upstream[i], P,
                         dlogits + i * P);
}

/* ((x - mu) / sigma)^2 + log_var, with a log-variance for each pixel. */
static inline void add_gaussian(const float *x, const float *mu, const float *log_var, int n,
                                float *sums) {
    for (int i = 0; i < LANES; i++) {
        if (i >= n) continue;
        float scaled = (x[i] - mu[i]) * exp_float(-0.5f * log_var[i]);
        sums[i] += fmaf(scaled, scaled, log_var[i]);
    }
}

/* densities.gaussian_log_prob */
static float gaussian_of_row(const float *x, const float *mu, const float *log_var, int64_t P) {
    float sums[LANES] = {0};
    BY_LANES(P, add_gaussian(x + p, mu + p, log_var + p, n, sums));
    return -0.5f * (total(sums) + (float)P * LOG_2PI);
}

/* ((x - mu) / sigma)^2 */
static inline void add_squares(const float *x, const float *mu, float inverse, int n, float *sums) {
    for (int i = 0; i < LANES; i++) {
        if (i >= n) continue;
        float scaled = (x[i] - mu[i]) * inverse;
        sums[i] = fmaf(scaled, scaled, sums[i]);
    }
}

static float scaled_squares(const float *x, const float *mu, float inverse, int64_t P) {
    float sums[LANES] = {0};
    BY_LANES(P, add_squares(x + p, mu + p, inverse, n, sums));
    return total(sums);
}

/* The same, with one log-variance for the row. */
static float narrow_gaussian_of_row(const float *x, const float *mu, float log_var, int64_t P) {
    float squares = scaled_squares(x, mu, exp_float(-0.5f * log_var), P);
    return -0.5f * (squares + (float)P * (log_var + LOG_2PI));
}

/* With d = (x - mu) / sigma: by mu d / sigma, by log_var (d^2 - 1) / 2. */
static void gaussian_slopes(const float *x, const float *mu, const float *log_var, float upstream,
                            int64_t P, float *restrict dmu, float *restrict dlog_var) {
#pragma omp simd
    for (int64_t p = 0; p < P; p++) {
        float inverse = exp_float(-0.5f * log_var[p]), scaled = (x[p] - mu[p]) * inverse;
        dmu[p] = upstream * scaled * inverse;
        dlog_var[p] = 0.5f * upstream * fmaf(scaled, scaled, -1.0f);
    }
}

/* The same with one log-variance for the row, whose gradient is returned. */
static float narrow_gaussian_slopes(const float *x, const float *mu, float log_var, float upstream,
                                    int64_t P, float *restrict dmu) {
    float inverse = exp_float(-0.5f * log_var), factor = upstream * inverse;
#pragma omp simd
    for (int64_t p = 0; p < P; p++) dmu[p] = factor * ((x[p] - mu[p]) * inverse);
    return 0.5f * upstream * (scaled_squares(x, mu, inverse, P) - (float)P);
}

/* log_prob [N]; log_var [N, P], or [N, 1] where narrow. */
void vaebench_gaussian_forward(int64_t N, int64_t P, const float *x, int64_t x_rows,
                               int64_t x_stride, const float *mu, int64_t mu_stride,
                               const float *log_var, int64_t log_var_stride, int64_t narrow,
                               float *log_prob) {
    for (int64_t i = 0; i < N; i++) {
        const float *a = x + i % x_rows * x_stride, *m = mu + i * mu_stride;
        const float *v = log_var + i * log_var_stride;
        log_prob[i] = narrow ? narrow_gaussian_of_row(a, m, *v, P) : gaussian_of_row(a, m, v, P);
    }
}

/* dmu [N, P]; dlog_var as log_var. */
void vaebench_gaussian_backward(int64_t N, int64_t P, const float *x, int64_t x_rows,
                                int64_t x_stride, const float *mu, int64_t mu_stride,
                                const float *log_var, int64_t log_var_stride, int64_t narrow,
                                const float *upstream, float *dmu, float *dlog_var) {
    for (int64_t i = 0; i < N; i++) {
        const float *a = x + i % x_rows * x_stride, *m = mu + i * mu_stride;
        const float *v = log_var + i * log_var_stride;
        if (narrow) dlog_var[i] = narrow_gaussian_slopes(a, m, *v, upstream[i], P, dmu + i * P);
        else gaussian_slopes(a, m, v, upstream[i], P, dmu + i * P, dlog_var + i * P);
    }
}
