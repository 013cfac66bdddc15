/* The latent step, forward and backward: densities.reparameterise_kl,
   reparameterise_kl_per_dimension and reparameterise_log_probs.

   mu, log_var [S, B, D] and dz [K, S, B, D] have rows that lie the given strides apart; all else is
   dense. step = exp(log_var / 2) eps [K, S, B, D] is kept for the way back; where there is none it
   may be z itself. Noise is made where step will be, in pieces that stay in the cache. */

#include "float_math.h"
#include "noise.h"
#include "row_sums.h"

enum { PIECE = 4096 }; /* numbers: 16 KiB */

static void std_of_row(const float *log_var, int64_t D, float *restrict std) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) std[d] = exp_float(0.5f * log_var[d]);
}

/* z = mu + std eps: eps comes in `step`. */
static void reparameterise_row(const float *mu, const float *restrict std, int64_t D, float *step,
                               float *z) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        step[d] *= std[d];
        z[d] = mu[d] + step[d];
    }
}

/* densities.gaussian_kl_per_dimension */
static inline float kl_to_prior(float mu, float log_var) {
    return 0.5f * fmaf(mu, mu, exp_rest(log_var, exp_float(log_var)));
}

static void kl_per_dimension(const float *mu, const float *log_var, int64_t D, float *restrict kl) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) kl[d] = kl_to_prior(mu[d], log_var[d]);
}

static inline void add_kl(const float *mu, const float *log_var, int n, float *sums) {
    for (int i = 0; i < LANES; i++)
        if (i < n) sums[i] += kl_to_prior(mu[i], log_var[i]);
}

static float kl_of_row(const float *mu, const float *log_var, int64_t D) {
    float sums[LANES] = {0};
    BY_LANES(D, add_kl(mu + p, log_var + p, n, sums));
    return total(sums);
}

static inline void add(const float *x, int n, float *sums) {
    for (int i = 0; i < LANES; i++)
        if (i < n) sums[i] += x[i];
}

static float sum_of_row(const float *x, int64_t D) {
    float sums[LANES] = {0};
    BY_LANES(D, add(x + p, n, sums));
    return total(sums);
}

static inline void add_squares(const float *x, int n, float *sums) {
    for (int i = 0; i < LANES; i++)
        if (i < n) sums[i] = fmaf(x[i], x[i], sums[i]);
}

/* densities.standard_normal_log_prob */
static float log_normal_density(const float *x, int64_t D) {
    float sums[LANES] = {0};
    BY_LANES(D, add_squares(x + p, n, sums));
    return -0.5f * (total(sums) + (float)D * LOG_2PI);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t rows_of_piece(int64_t D) { return D && D < PIECE ? PIECE / D : 1; }

/* Fills z and step [K, S, B, D] and what is asked for, not NULL: kl [S, B], or [S, B, D] where
   per_dimension; log_q and log_p [K, S, B]. */
void vaebench_latent_forward(const uint64_t *keys, int64_t first_step, int64_t first_sample,
                             int64_t first_row, int64_t K, int64_t S, int64_t B, int64_t D,
                             const float *mu, int64_t mu_stride, const float *log_var,
                             int64_t log_var_stride, float *z, float *step, float *kl,
                             int64_t per_dimension, float *log_q, float *log_p) {
    Place place = {keys, first_step, first_sample, first_row, K, S, B, D};
    int64_t rows = S * B, piece = rows_of_piece(D);
    int64_t width = smaller(rows, piece), samples = width < rows ? 1 : piece / (width ? width : 1);
    float std[width * D + 1], half_log_det[width + 1]; /* which all samples of a row share */
    for (int64_t from = 0; from < rows; from += width) {
        int64_t n = smaller(width, rows - from);
        for (int64_t r = 0; r < n; r++) {
            const float *m = mu + (from + r) * mu_stride, *v = log_var + (from + r) * log_var_stride;
            std_of_row(v, D, std + r * D);
            if (log_q) half_log_det[r] = 0.5f * sum_of_row(v, D);
            if (kl && per_dimension) kl_per_dimension(m, v, D, kl + (from + r) * D);
            if (kl && !per_dimension) kl[from + r] = kl_of_row(m, v, D);
        }
        for (int64_t k = 0; k < K; k += samples) {
            int64_t first = k * rows + from, count = smaller(samples, K - k) * n;
            normals_of_rows(&place, first, count, step + first * D);
            for (int64_t i = first, r = 0; i < first + count; i++, r = r + 1 < n ? r + 1 : 0) {
                if (log_q) log_q[i] = log_normal_density(step + i * D, D) - half_log_det[r];
                reparameterise_row(mu + (from + r) * mu_stride, std + r * D, D, step + i * D, z + i * D);
                if (log_p) log_p[i] = log_normal_density(z + i * D, D);
            }
        }
    }
}

/* Starts both gradients with those of the KL; dkl has a number for each dimension, or one: stride 0. */
static inline void begin_with_kl(const float *mu, const float *log_var, const float *dkl,
                                 int64_t stride, int64_t D, float *restrict dmu,
                                 float *restrict dlog_var) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        float var_minus_1 = exp_rest(log_var[d], exp_float(log_var[d])) + log_var[d];
        dmu[d] = dkl[d * stride] * mu[d];
        dlog_var[d] = 0.5f * dkl[d * stride] * var_minus_1;
    }
}

static void begin_with(float value, int64_t D, float *restrict dmu, float *restrict dlog_var) {
    for (int64_t d = 0; d < D; d++) {
        dmu[d] = 0.0f;
        dlog_var[d] = value;
    }
}

/* Adds the gradients of one sample, without densities. */
static void add_sample(const float *dz, const float *step, int64_t D, float *restrict dmu,
                       float *restrict dlog_var) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        dmu[d] += dz[d];
        dlog_var[d] = fmaf(0.5f * dz[d], step[d], dlog_var[d]);
    }
}

/* Adds the gradients of one sample with g = dz - dp z: those of log q through z and through mu cancel. */
static void add_densities(const float *dz, const float *step, const float *mu, float dp, int64_t D,
                          float *restrict dmu, float *restrict dlog_var) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        float g = fmaf(-dp, mu[d] + step[d], dz[d]);
        dmu[d] += g;
        dlog_var[d] = fmaf(0.5f * g, step[d], dlog_var[d]);
    }
}

/* Adds the gradients of one sample with g = dz - dp z - dq eps / std: in log q the parameters of q
   are held fixed. */
static void add_path(const float *dz, const float *step, const float *mu, const float *log_var,
                     float dq, float dp, int64_t D, float *restrict dmu,
                     float *restrict dlog_var) {
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        float g = fmaf(-dp, mu[d] + step[d], dz[d]) - dq * step[d] * exp_float(-log_var[d]);
        dmu[d] += g;
        dlog_var[d] = fmaf(0.5f * g, step[d], dlog_var[d]);
    }
}

static float sum_over_samples(const float *x, int64_t K, int64_t rows) {
    float sum = 0.0f;
    for (int64_t k = 0; k < K; k++) sum += x[k * rows];
    return sum;
}

/* Fills dmu and dlog_var [S, B, D] from the gradients to z and to what was asked for: dkl, or dq
   and dp, the others NULL. The formulas stand in ops/gpu/latent_kl.py and latent_log_probs.py. */
void vaebench_latent_backward(int64_t K, int64_t rows, int64_t D, const float *mu,
                              int64_t mu_stride, const float *log_var, int64_t log_var_stride,
                              const float *step, const float *dz, int64_t dz_stride,
                              const float *dkl, int64_t per_dimension, const float *dq,
                              const float *dp, int64_t path, float *dmu, float *dlog_var) {
    for (int64_t i = 0; i < rows; i++) {
        const float *m = mu + i * mu_stride, *v = log_var + i * log_var_stride;
        float *a = dmu + i * D, *b = dlog_var + i * D;
        if (dkl && per_dimension) begin_with_kl(m, v, dkl + i * D, 1, D, a, b);
        else if (dkl) begin_with_kl(m, v, dkl + i, 0, D, a, b);
        else begin_with(path ? 0.0f : -0.5f * sum_over_samples(dq + i, K, rows), D, a, b);
        for (int64_t k = 0; k < K; k++) {
            int64_t at = k * rows + i;
            const float *up = dz + at * dz_stride, *s = step + at * D;
            if (dkl) add_sample(up, s, D, a, b);
            else if (path) add_path(up, s, m, v, dq[at], dp[at], D, a, b);
            else add_densities(up, s, m, dp[at], D, a, b);
        }
    }
}
