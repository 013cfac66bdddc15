/* One step of Adam with decoupled weight decay, for many tensors and runs in one call. */

#include "adam.h"

#include <math.h>

AdamStep adam_step(double count, const AdamScalars *of) {
    double first = 1.0 - pow(of->beta1, count), second = 1.0 - pow(of->beta2, count);
    return (AdamStep){.kept = (float)(1.0 - of->learning_rate * of->weight_decay),
                      .rate = (float)(of->learning_rate / first),
                      .spread = (float)(1.0 / sqrt(second)),
                      .share = 1.0f,
                      .new_first = (float)(1.0 - of->beta1),
                      .new_second = (float)(1.0 - of->beta2),
                      .old_second = (float)of->beta2,
                      .epsilon = (float)of->epsilon,
                      .old_average = (float)of->ema,
                      .new_average = (float)(1.0 - of->ema)};
}

void adam_move(AdamStep step, int64_t numbers, const float *restrict gradient,
               float *restrict weight, float *restrict first, float *restrict second) {
#pragma omp simd
    for (int64_t i = 0; i < numbers; i++) {
        float g = step.share * gradient[i];
        float m = fmaf(step.new_first, g - first[i], first[i]);
        float v = fmaf(step.new_second * g, g, step.old_second * second[i]);
        first[i] = m;
        second[i] = v;
        weight[i] = step.kept * weight[i] - step.rate * m / fmaf(sqrtf(v), step.spread, step.epsilon);
    }
}

void average_move(AdamStep step, int64_t numbers, const float *restrict weight,
                  float *restrict average) {
#pragma omp simd
    for (int64_t i = 0; i < numbers; i++)
        average[i] = fmaf(step.new_average, weight[i], step.old_average * average[i]);
}

/* T tensors of S runs, numbers[t] of each run. tensors: where the weights are, the first moments and
   the second, the averages of weights or null; gradients: those of the weights, or null, and that
   tensor stays. scalars: of each run.
   count: of the steps before, and then with this one. */
void vaebench_adam(int64_t T, int64_t S, const int64_t *numbers, const AdamScalars *scalars,
                   float *const *tensors, float *count, const float *const *gradients) {
    *count += 1.0f;
    for (int64_t s = 0; s < S; s++) {
        AdamStep step = adam_step(*count, &scalars[s]);
        for (int64_t t = 0; t < T; t++) {
            if (!gradients[t]) continue;
            int64_t from = s * numbers[t];
            adam_move(step, numbers[t], gradients[t] + from, tensors[t] + from,
                      tensors[T + t] + from, tensors[2 * T + t] + from);
            if (tensors[3 * T + t])
                average_move(step, numbers[t], tensors[t] + from, tensors[3 * T + t] + from);
        }
    }
}
