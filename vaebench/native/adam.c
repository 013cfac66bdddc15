/* One step of Adam with decoupled weight decay, for many tensors and runs in one call. */

#include <math.h>
#include <stdint.h>

/* What a step of one run has in place of Adam's scalars. */
typedef struct {
    float kept;   /* share of a weight that decay leaves */
    float rate;   /* learning rate over the first moment's bias */
    float spread; /* root of the second moment's bias, inverse */
} Step;

static Step step_of(double count, double learning_rate, double weight_decay) {
    double first = 1.0 - pow(0.9, count), second = 1.0 - pow(0.999, count);
    return (Step){(float)(1.0 - learning_rate * weight_decay), (float)(learning_rate / first),
                  (float)(1.0 / sqrt(second))};
}

/* Kingma & Ba 2015, algorithm 1, with the decay of Loshchilov & Hutter 2019, algorithm 2; beta1 is
   0.9, beta2 0.999 and epsilon 1e-8. */
static void move(Step step, int64_t numbers, const float *restrict gradient, float *restrict weight,
                 float *restrict first, float *restrict second) {
#pragma omp simd
    for (int64_t i = 0; i < numbers; i++) {
        float g = gradient[i];
        float m = fmaf(0.1f, g - first[i], first[i]);
        float v = fmaf(0.001f * g, g, 0.999f * second[i]);
        first[i] = m;
        second[i] = v;
        weight[i] = step.kept * weight[i] - step.rate * m / fmaf(sqrtf(v), step.spread, 1e-8f);
    }
}

/* T tensors of S runs, numbers[t] of each run. tensors: where the weights are, the first moments and
   the second; gradients: those of the weights, or null, and that tensor stays. rates: S learning
   rates, then S weight decays. count: of the steps before, and then with this one. */
void vaebench_adam(int64_t T, int64_t S, const int64_t *numbers, const double *rates,
                   float *const *tensors, float *count, const float *const *gradients) {
    *count += 1.0f;
    for (int64_t s = 0; s < S; s++) {
        Step step = step_of(*count, rates[s], rates[S + s]);
        for (int64_t t = 0; t < T; t++) {
            if (!gradients[t]) continue;
            int64_t from = s * numbers[t];
            move(step, numbers[t], gradients[t] + from, tensors[t] + from, tensors[T + t] + from,
                 tensors[2 * T + t] + from);
        }
    }
}
