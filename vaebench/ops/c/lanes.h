/* Vectors of floats, as wide as the processor's, for the products: product.c and sparse.c. */

#ifndef VAEBENCH_LANES_H
#define VAEBENCH_LANES_H

#include <stdint.h>

#ifdef __FMA__
#include <immintrin.h>
#endif

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

/* sum + a b, rounded once where the processor can. Written as a sum, gcc leaves chains of 256 bits and
   less unfused when it tunes for AMD's Zen, in some blocks and not in others. */
INLINE Lanes plus_product(Lanes sum, Lanes a, Lanes b) {
#if defined(__FMA__) && !defined(__AVX512F__)
    return (Lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#else
    return sum + a * b;
#endif
}

INLINE Lanes *lanes(const float *at) { return (Lanes *)at; }

#endif
