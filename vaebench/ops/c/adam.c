/* One step of Adam with decoupled weight decay, for many tensors and runs in one call. */

#include "adam.h"

#include <math.h>

AdamStep adam_step(double count, double learning_rate, double weight_decay) {
    double first = 1.0 - pow(0.9, count), second = 1.0 - pow(0.999, count);
    return (AdamStep){(float)(1.0 - learning_rate * weight_decay), (float)(learning_rate / first),
                      (float)(1.0 / sqrt(second)), 1.0f};
}

void adam_move(AdamStep step, int64_t numbers, const float *restrict gradient,
               float *restrict weight, float *restrict first, float *restrict second) {
#pragma omp simd
    for (int64_t i = 0; i < numbers; i++) {
        float g = step.share * gradient[i];
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
        AdamStep step = adam_step(*count, rates[s], rates[S + s]);
        for (int64_t t = 0; t < T; t++) {
            if (!gradients[t]) continue;
            int64_t from = s * numbers[t];
            adam_move(step, numbers[t], gradients[t] + from, tensors[t] + from,
                      tensors[T + t] + from, tensors[2 * T + t] + from);
        }
    }
}
