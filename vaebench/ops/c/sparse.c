/* Matrix products that leave out the zeros of the left factor: the black pixels of images, and what
   a ReLU has cut off. The sums are those of product.c, number by number in the same order: a product
   with 0 changes none, unless the other factor is infinite or no number. */

#include "product.h"

#include "lanes.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum {
    TILE = 64,   /* rows and columns of the left factor that are looked at together: bits of a word */
    VECTORS = 8, /* sums of a row of the result that are in registers at a time */
    LEAST = 4 * LANES, /* columns of the result from which on looking for zeros can pay */
    EVERY = 4,
};

/* A bit for each of at most 64 numbers side by side: whether it is not 0. */
static uint64_t marks(const float *at, int64_t count) {
    uint64_t bits = 0;
#ifdef __AVX512F__
    for (int64_t i = 0; i < count; i += LANES) {
        __mmask16 there = count - i < LANES ? (__mmask16)((1 << (count - i)) - 1) : 0xFFFF;
        __m512 numbers = _mm512_maskz_loadu_ps(there, at + i);
        bits |= (uint64_t)_mm512_cmp_ps_mask(numbers, _mm512_setzero_ps(), _CMP_NEQ_UQ) << i;
    }
#else
    for (int64_t i = 0; i < count; i++) bits |= (uint64_t)(at[i] != 0.0f) << i;
#endif
    return bits;
}

/* Looks at every fourth example: the share of zeros need not be exact. It pays below four fifths of
   nonzeros where a row of the result fills all registers, else below seven tenths: at 64 x 128 x 64 and
   64 x 64 x 128 it then takes 0.91 and 0.94 to 0.98 of the time. */
int pays_to_skip(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b) {
    if (N < LEAST || b.column != 1 || (a.row != 1 && a.column != 1)) return 0;
    int64_t lines = a.column == 1 ? M : K, step = a.column == 1 ? a.row : a.column;
    int64_t length = a.column == 1 ? K : M, numbers = 0, nonzero = 0;
    for (int64_t line = 0; line < lines; line += EVERY, numbers += length)
        for (int64_t i = 0; i < length; i += TILE)
            nonzero += __builtin_popcountll(
                marks(a.at + line * step + i, length - i < TILE ? length - i : TILE));
    return N < VECTORS * LANES ? 10 * nonzero < 7 * numbers : 5 * nonzero < 4 * numbers;
}

/* In every pair of words that are `width` apart, exchanges groups of so many bits: the upper ones of
   the first with the lower ones of the second, which `low` has. */
#define EXCHANGE(width, low)                                                         \
    for (int i = 0; i < TILE; i += 2 * (width))                                      \
        for (int j = i; j < i + (width); j++) {                                      \
            uint64_t changed = ((words[j] >> (width)) ^ words[j + (width)]) & (low); \
            words[j] ^= changed << (width);                                          \
            words[j + (width)] ^= changed;                                           \
        }

/* Makes columns of rows: bit j of word i becomes bit i of word j (Warren 2012, "Hacker's Delight",
   section 7-3). The widths are constants, so that words side by side are exchanged together. */
static void transpose_bits(uint64_t *words) {
    EXCHANGE(32, 0x00000000FFFFFFFFu)
    EXCHANGE(16, 0x0000FFFF0000FFFFu)
    EXCHANGE(8, 0x00FF00FF00FF00FFu)
    EXCHANGE(4, 0x0F0F0F0F0F0F0F0Fu)
    EXCHANGE(2, 0x3333333333333333u)
    EXCHANGE(1, 0x5555555555555555u)
}

/* The marks of each row of a tile. */
static void marks_of_rows(int64_t rows, int64_t columns, Matrix a, uint64_t *words) {
    if (a.column == 1) {
        for (int64_t i = 0; i < rows; i++) words[i] = marks(a.at + i * a.row, columns);
        return;
    }
    for (int64_t k = 0; k < TILE; k++) words[k] = k < columns ? marks(a.at + k * a.column, rows) : 0;
    transpose_bits(words);
}

/* Adds the next marked number of a row of a, times its row of b. */
INLINE void add_next(int vectors, uint64_t *marked, const float *a, int64_t a_column, const float *b,
                     int64_t b_row, Lanes *sums) {
    int64_t k = __builtin_ctzll(*marked);
    *marked &= *marked - 1;
    Lanes one = a[k * a_column] - (Lanes){0};
    EACH(j, vectors) sums[j] = plus_product(sums[j], one, *lanes(b + k * b_row + j * LANES));
}

/* c [rows, vectors * LANES] = the marked numbers of one row of a, or of two, times b, or c + that. While
   the sums of one row wait for their last addition, those of the other go on. Callers pass rows and
   vectors as constants. */
INLINE void rows_of(int rows, int vectors, const uint64_t *marked, Matrix a, const float *b,
                    int64_t b_row, float *c, int64_t c_row, int adds) {
    Lanes sums[2][VECTORS];
    uint64_t left[2] = {0};
    EACH(i, rows) {
        left[i] = marked[i];
        EACH(j, vectors) sums[i][j] = adds ? *lanes(c + i * c_row + j * LANES) : (Lanes){0};
    }
    while (left[0] && left[1])
        EACH(i, 2) add_next(vectors, left + i, a.at + i * a.row, a.column, b, b_row, sums[i]);
    EACH(i, rows) while (left[i])
        add_next(vectors, left + i, a.at + i * a.row, a.column, b, b_row, sums[i]);
    EACH(i, rows) EACH(j, vectors) *lanes(c + i * c_row + j * LANES) = sums[i][j];
}

#define ROWS_OF(rows, vectors)                                                                      \
    rows_of(rows, vectors, marked + i, (Matrix){a.at + i * a.row, a.row, a.column}, b, b_row,       \
            c + i * c_row, c_row, adds)
#define CASE(n)                                       \
    case n:                                           \
        for (; i + 1 < rows; i += 2) ROWS_OF(2, n);   \
        if (i < rows) ROWS_OF(1, n);                  \
        break;

static void tile_of(int vectors, int64_t rows, const uint64_t *marked, Matrix a, const float *b,
                    int64_t b_row, float *c, int64_t c_row, int adds) {
    int64_t i = 0;
    switch (vectors) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) }
}

void sparse_product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c, int64_t c_row) {
    int64_t whole = N / LANES * LANES;
    for (int64_t k = 0; k < K; k += TILE)
        for (int64_t m = 0; m < M; m += TILE) {
            uint64_t marked[TILE];
            int64_t rows = M - m < TILE ? M - m : TILE, columns = K - k < TILE ? K - k : TILE;
            Matrix of = {a.at + m * a.row + k * a.column, a.row, a.column};
            marks_of_rows(rows, columns, of, marked);
            for (int64_t n = 0; n < whole; n += VECTORS * LANES) {
                int64_t left = (whole - n) / LANES;
                tile_of(left < VECTORS ? (int)left : VECTORS, rows, marked, of, b.at + k * b.row + n,
                        b.row, c + m * c_row + n, c_row, k > 0);
            }
        }
    dense_product(M, N - whole, K, a, (Matrix){b.at + whole, b.row, 1}, c + whole, c_row);
}
