/* Vectors of floats, as wide as the processor's, for the products: product.c and sparse.c. */

#ifndef VAEBENCH_LANES_H
#define VAEBENCH_LANES_H

#include <stdint.h>

/* Every number here goes into a sum: the compiler may fuse multiplications with additions. */
#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

INLINE Lanes *lanes(const float *at) { return (Lanes *)at; }

#endif
