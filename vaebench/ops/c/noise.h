/* The streams of vaebench.ops.noise. */

#ifndef VAEBENCH_NOISE_H
#define VAEBENCH_NOISE_H

#include <stdint.h>

/* Where to read: a noise.Noise, and the shape [K, S, B, D] of what is read. */
typedef struct {
    const uint64_t *keys; /* of the runs */
    int64_t step, first_sample, first_row;
    int64_t samples, runs, rows, columns;
} Place;

/* Normals of `count` of the K S B rows of D numbers, from the row numbered `first` on. */
__attribute__((visibility("hidden"))) void normals_of_rows(const Place *place, int64_t first, int64_t count, float *out);

#endif
