/* Matrix products of float32. */

#ifndef VAEBENCH_PRODUCT_H
#define VAEBENCH_PRODUCT_H

#include <stdint.h>

/* Where a matrix lies: its first number, and how far apart rows and columns are. */
typedef struct {
    const float *at;
    int64_t row, column;
} Matrix;

/* c [M, N] = a [M, K] b [K, N]; the rows of c are whole. */
__attribute__((visibility("hidden"))) void product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c);

#endif
