/* Adam (Kingma & Ba 2015, algorithm 1) with the weight decay of Loshchilov & Hutter 2019, algorithm
   2. */

#ifndef VAEBENCH_ADAM_H
#define VAEBENCH_ADAM_H

#include <stdint.h>

/* What may differ between runs and steps: the fields of AdamScalars in ops/adam.py, in their order. */
typedef struct {
    double learning_rate, weight_decay, beta1, beta2, epsilon, ema;
} AdamScalars;

/* The factors of one step of one run, computed from Adam's scalars. */
typedef struct {
    float kept;   /* share of a weight that decay leaves */
    float rate;   /* learning rate over the first moment's bias */
    float spread; /* root of the second moment's bias, inverse */
    float share;  /* of the gradient that clipping leaves: 1 */
    float new_first, new_second, old_second; /* shares of new and old values in the moments */
    float epsilon;
    float old_average, new_average; /* shares in the moving average of weights */
} AdamStep;

__attribute__((visibility("hidden"))) AdamStep adam_step(double count, const AdamScalars *of);

__attribute__((visibility("hidden"))) void adam_move(AdamStep step, int64_t numbers, const float *restrict gradient,
               float *restrict weight, float *restrict first, float *restrict second);

__attribute__((visibility("hidden"))) void average_move(AdamStep step, int64_t numbers, const float *restrict weight,
                  float *restrict average);

#endif
