/* Adam (Kingma & Ba 2015, algorithm 1) with the weight decay of Loshchilov & Hutter 2019, algorithm
   2; beta1 is 0.9, beta2 0.999 and epsilon 1e-8. */

#ifndef VAEBENCH_ADAM_H
#define VAEBENCH_ADAM_H

#include <stdint.h>

/* The factors of one step of one run, computed from Adam's scalars. */
typedef struct {
    float kept;   /* share of a weight that decay leaves */
    float rate;   /* learning rate over the first moment's bias */
    float spread; /* root of the second moment's bias, inverse */
    float share;  /* of the gradient that clipping leaves: 1 */
} AdamStep;

__attribute__((visibility("hidden"))) AdamStep adam_step(double count, double learning_rate, double weight_decay);

__attribute__((visibility("hidden"))) void adam_move(AdamStep step, int64_t numbers, const float *restrict gradient,
               float *restrict weight, float *restrict first, float *restrict second);

#endif
