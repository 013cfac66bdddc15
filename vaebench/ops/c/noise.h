/* The streams of vaebench.ops.noise. */

#ifndef VAEBENCH_NOISE_H
#define VAEBENCH_NOISE_H

#include <stdint.h>

enum { COUNTERS = 64 }; /* in one block: whole vectors, and few enough to stay in the cache */

/* Where to read: a noise.Noise, and the shape [K, S, B, D] of what is read. */
typedef struct {
    const uint64_t *keys; /* of the runs */
    int64_t step, first_sample, first_row;
    int64_t samples, runs, rows, columns;
} Place;

/* Normals of `count` of the K S B rows of D numbers, from the row numbered `first` on. */
__attribute__((visibility("hidden"))) void normals_of_rows(const Place *place, int64_t first, int64_t count, float *out);

/* The words of COUNTERS quads of columns of one stream, each with its own row: four a quad. */
__attribute__((visibility("hidden"))) void words_of_quads(uint64_t key, int64_t step, const uint32_t *rows, const uint32_t *quads, uint32_t *words);

/* noise.uniform: the sign bit folds over. */
static inline float uniform(uint32_t word) {
    int32_t number = (int32_t)word;
    return (float)(number ^ (number >> 31)) * 4.6566127342e-10f;
}

#endif
