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

static inline float total(float *sums) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

#endif
