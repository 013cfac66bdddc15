/* Matrix products of float32. */

#ifndef VAEBENCH_PRODUCT_H
#define VAEBENCH_PRODUCT_H

#include <stdint.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* Where a matrix lies: its first number, and how far apart rows and columns are. */
typedef struct {
    const float *at;
    int64_t row, column;
} Matrix;

/* c [M, N] = a [M, K] b [K, N]; rows of c are `c_row` numbers apart. */
HIDDEN void dense_product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c, int64_t c_row);

/* The same, without the numbers of a that are 0. */
HIDDEN void sparse_product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c, int64_t c_row);

/* Whether a has so many zeros that this is faster. */
HIDDEN int pays_to_skip(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b);

#endif
