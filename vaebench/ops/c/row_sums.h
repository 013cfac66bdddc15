/* Sums over rows, in one order whatever vectors a compiler and a CPU have: number p of a row goes to
   partial sum p % LANES, and those are added in pairs. A sum has the same bits wherever it is made. */

#ifndef VAEBENCH_ROW_SUMS_H
#define VAEBENCH_ROW_SUMS_H

#include <stdint.h>

enum { LANES = 16 };

/* Does `step` for the numbers p to p + n of a row, again and again: n is LANES, a constant, until
   the last time. A step is a loop over LANES that leaves out what is not below n. */
#define BY_LANES(length, step)                                           \
    do {                                                                 \
        int64_t p = 0;                                                   \
        for (const int n = LANES; p + n <= (length); p += n) step;       \
        const int n = (int)((length) - p);                               \
        if (n > 0) step;                                                 \
    } while (0)

static inline __attribute__((always_inline)) void fold(float *sums, const int half) {
    for (int i = 0; i < half; i++) sums[i] += sums[i + half];
}

/* Written out, so that each fold has a constant length: it is one addition of vectors then. */
static inline float total(float *sums) {
    _Static_assert(LANES == 16, "there is a fold for each power of 2 below");
    fold(sums, 8);
    fold(sums, 4);
    fold(sums, 2);
    return sums[0] + sums[1];
}

#endif
