/* densities.importance_weights of log weights [K, N], K samples of each of N rows. */

#include "float_math.h"

enum { BLOCK = 64 }; /* rows at once: neighbours in memory */

/* The largest log weight of each row. A NaN may be passed over here: its exponential is NaN. */
static void largest_of_rows(const float *log_w, int64_t K, int64_t N, int64_t rows, float *largest) {
    for (int64_t i = 0; i < rows; i++) largest[i] = log_w[i];
    for (int64_t k = 1; k < K; k++) {
#pragma omp simd
        for (int64_t i = 0; i < rows; i++) {
            float x = log_w[k * N + i];
            largest[i] = x > largest[i] ? x : largest[i];
        }
    }
}

/* exp(log_w - largest), and their sums. A largest of -inf or inf is not subtracted. */
static void exponentials(const float *log_w, int64_t K, int64_t N, int64_t rows,
                         const float *largest, float *restrict weights, float *restrict sums) {
    for (int64_t i = 0; i < rows; i++) sums[i] = 0.0f;
    for (int64_t k = 0; k < K; k++) {
#pragma omp simd
        for (int64_t i = 0; i < rows; i++) {
            float e = exp_float(log_w[k * N + i] - largest[i]);
            weights[k * N + i] = e;
            sums[i] += e;
        }
    }
}

/* Divides the weights by their sums, and sums their squares. */
static void normalise(int64_t K, int64_t N, int64_t rows, const float *sums,
                      float *restrict weights, float *restrict squares) {
    for (int64_t i = 0; i < rows; i++) squares[i] = 0.0f;
    for (int64_t k = 0; k < K; k++) {
#pragma omp simd
        for (int64_t i = 0; i < rows; i++) {
            float w = weights[k * N + i] / sums[i];
            weights[k * N + i] = w;
            squares[i] = fmaf(w, w, squares[i]);
        }
    }
}

/* log of a sum of exponentials: from 1 on, or 0, infinite or NaN. */
static inline float log_of_sum(float sum) {
    float log_sum = sum == 0.0f ? -INFINITY : sum;
    return sum >= 1.0f && sum < INFINITY ? log_normal(sum) : log_sum;
}

/* bound [N], weights [K, N], ess [N] */
void vaebench_importance_weights(int64_t K, int64_t N, const float *log_w, float *bound,
                                 float *weights, float *ess) {
    float largest[BLOCK], sums[BLOCK], squares[BLOCK], log_K = logf((float)K);
    for (int64_t first = 0; first < N; first += BLOCK) {
        int64_t rows = N - first < BLOCK ? N - first : BLOCK;
        largest_of_rows(log_w + first, K, N, rows, largest);
        for (int64_t i = 0; i < rows; i++) largest[i] = isinf(largest[i]) ? 0.0f : largest[i];
        exponentials(log_w + first, K, N, rows, largest, weights + first, sums);
        normalise(K, N, rows, sums, weights + first, squares);
#pragma omp simd
        for (int64_t i = 0; i < rows; i++) {
            bound[first + i] = log_of_sum(sums[i]) + largest[i] - log_K;
            ess[first + i] = 1.0f / squares[i];
        }
    }
}
