/* Matrix products of float32 at the sizes of small networks, where a BLAS library spends much of its
   time on dispatch. Blocks of the result are summed in registers (Goto & van de Geijn 2008,
   "Anatomy of high-performance matrix multiplication"). No sum depends on what else is computed, so
   a run has the same bits alone and beside others. */

#include "product.h"

#include <string.h>

#include "lanes.h"

/* The rows and columns of a block of the result: as many sums as the registers hold, beside the
   factors. */
#if defined(__AVX__) && !defined(__AVX512F__)
enum { ROWS = 6 };
#else
enum { ROWS = 12 };
#endif
enum {
    VECTORS = 2,
    COLUMNS = VECTORS * LANES,
    DEPTH = 256, /* rows of b at a time: a panel of their columns stays in the first cache */
    NARROW = LANES / 2,
    FAR = 1 << 14, /* numbers of c: from here on it is in no near cache, and is prefetched */
};

/* c [rows, vectors * LANES] = a b, or c + a b. Callers pass constants, which the compiler propagates:
   rows, vectors, and mostly a step of 1 along the rows or the columns of a. */
INLINE void block(int rows, int vectors, int64_t depth, Matrix a, Matrix b, float *c, int64_t c_row,
                  int adds) {
    Lanes sums[ROWS][VECTORS];
    EACH(i, rows) EACH(j, vectors) sums[i][j] = (Lanes){0};
    if (adds)
        EACH(i, rows) EACH(j, vectors) sums[i][j] = *lanes(c + i * c_row + j * LANES);
    if (depth * c_row > FAR)
        EACH(i, rows) EACH(j, vectors) __builtin_prefetch(c + i * c_row + j * LANES, 1);
    for (int64_t k = 0; k < depth; k++) {
        Lanes row[VECTORS];
        EACH(j, vectors) row[j] = *lanes(b.at + k * b.row + j * LANES);
        EACH(i, rows) {
            Lanes one = a.at[i * a.row + k * a.column] - (Lanes){0};
            EACH(j, vectors) sums[i][j] = plus_product(sums[i][j], one, row[j]);
        }
    }
    EACH(i, rows) EACH(j, vectors) *lanes(c + i * c_row + j * LANES) = sums[i][j];
}

#define CASE(n)                                                                    \
    case n:                                                                        \
        if (n <= ROWS) block(n, vectors, depth, a, b, c, c_row, adds);             \
        break;

INLINE void block_of(int rows, int vectors, int64_t depth, Matrix a, Matrix b, float *c,
                     int64_t c_row, int adds) {
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    }
}

INLINE void rows_of(int rows, int vectors, int64_t depth, Matrix a, Matrix b, float *c,
                    int64_t c_row, int adds) {
    Matrix by_rows = {a.at, a.row, 1}, by_columns = {a.at, 1, a.column};
    if (a.column == 1) block_of(rows, vectors, depth, by_rows, b, c, c_row, adds);
    else if (a.row == 1) block_of(rows, vectors, depth, by_columns, b, c, c_row, adds);
    else
        for (int i = 0; i < rows; i++, a.at += a.row, c += c_row)
            block(1, vectors, depth, a, b, c, c_row, adds);
}

static void one_vector(int rows, int64_t depth, Matrix a, Matrix b, float *c, int64_t c_row, int adds) {
    rows_of(rows, 1, depth, a, b, c, c_row, adds);
}

static void all_vectors(int rows, int64_t depth, Matrix a, Matrix b, float *c, int64_t c_row,
                        int adds) {
    rows_of(rows, VECTORS, depth, a, b, c, c_row, adds);
}

/* Transposes LANES rows of LANES numbers. */
#ifdef __clang__
INLINE void transpose(Lanes *rows) {
    EACH(i, LANES) EACH(j, i) {
        float number = rows[i][j];
        rows[i][j] = rows[j][i];
        rows[j][i] = number;
    }
}
#else
typedef int32_t Places __attribute__((vector_size(4 * LANES)));

/* Interleaves numbers and then pairs of numbers within quads, four rows at a time, so that quads are
   columns; then takes the even quads of two neighbours together, and the odd ones, until those of a
   column are in one row. Shuffles that leave quads whole, or move none, are the fastest. */
INLINE void transpose(Lanes *rows) {
    Places numbers, pairs, quads;
    EACH(i, LANES) {
        numbers[i] = i / 4 * 4 + i % 4 / 2 + i % 2 * LANES;
        pairs[i] = i / 4 * 4 + i % 2 + i % 4 / 2 * LANES;
        quads[i] = i / 4 * 8 + i % 4;
    }
    EACH(g, LANES / 4) {
        Lanes *four = rows + 4 * g, joined[4];
        EACH(i, 2) {
            joined[i] = __builtin_shuffle(four[2 * i], four[2 * i + 1], numbers);
            joined[2 + i] = __builtin_shuffle(four[2 * i], four[2 * i + 1], numbers + 2);
        }
        EACH(i, 2) {
            four[2 * i] = __builtin_shuffle(joined[2 * i], joined[2 * i + 1], pairs);
            four[2 * i + 1] = __builtin_shuffle(joined[2 * i], joined[2 * i + 1], pairs + 2);
        }
    }
    for (int round = 4; round < LANES; round *= 2) {
        Lanes joined[LANES];
        EACH(i, LANES / 2) {
            Lanes *two = rows + i / 4 * 8 + i % 4;
            joined[i] = __builtin_shuffle(two[0], two[4], quads);
            joined[i + LANES / 2] = __builtin_shuffle(two[0], two[4], quads + 4);
        }
        EACH(i, LANES) rows[i] = joined[i];
    }
}
#endif

/* Copies `columns` columns of b to a panel of `width`, which is filled up with zeros. The rows that
   follow are prefetched: the weights of a large layer are in no near cache. */
static void pack(int64_t depth, int64_t columns, int64_t width, Matrix b, float *panel) {
    int64_t k = 0;
    if (b.row == 1)
        for (; k + LANES <= depth; k += LANES)
            for (int64_t j = 0; j < width; j += LANES) {
                Lanes rows[LANES];
                EACH(i, LANES) {
                    const float *from = b.at + k + (j + i) * b.column;
                    __builtin_prefetch(from + 2 * LANES);
                    rows[i] = j + i < columns ? *lanes(from) : (Lanes){0};
                }
                transpose(rows);
                EACH(i, LANES) *lanes(panel + (k + i) * width + j) = rows[i];
            }
    else if (b.column == 1 && columns == COLUMNS)
        for (; k < depth; k++)
            EACH(j, VECTORS) {
                const float *from = b.at + k * b.row + j * LANES;
                __builtin_prefetch(from + 24 * b.row);
                *lanes(panel + k * width + j * LANES) = *lanes(from);
            }
    for (; k < depth; k++)
        for (int64_t j = 0; j < width; j++)
            panel[k * width + j] = j < columns ? b.at[k * b.row + j * b.column] : 0.0f;
}

/* c [M, columns] = a b, or c + a b, for columns <= COLUMNS and depth <= DEPTH. */
static void panel_product(int64_t M, int64_t columns, int64_t depth, Matrix a, Matrix b, float *c,
                          int64_t c_row, int adds) {
    _Alignas(64) float panel[DEPTH * COLUMNS], spare[ROWS * COLUMNS];
    int64_t width = columns <= LANES ? LANES : COLUMNS;
    if (b.column != 1 || columns < width || M > 8 * ROWS) {
        pack(depth, columns, width, b, panel);
        b = (Matrix){panel, width, 1};
    }
    for (int64_t m = 0; m < M;) {
        int64_t left = M - m; /* the last two blocks share what is left */
        int rows = (int)(left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left);
        Matrix of = {a.at + m * a.row, a.row, a.column};
        float *to = c + m * c_row;
        int64_t to_row = c_row;
        if (columns < width) {
            if (adds)
                for (int i = 0; i < rows; i++)
                    memcpy(spare + i * width, to + i * c_row, (size_t)columns * sizeof *to);
            to = spare, to_row = width;
        }
        (width == LANES ? one_vector : all_vectors)(rows, depth, of, b, to, to_row, adds);
        if (to == spare)
            for (int i = 0; i < rows; i++)
                memcpy(c + (m + i) * c_row, spare + i * width, (size_t)columns * sizeof *to);
        m += rows;
    }
}

void dense_product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c, int64_t c_row) {
    for (int64_t n = 0; n < N; n += COLUMNS)
        for (int64_t k = 0; k < K; k += DEPTH)
            panel_product(M, N - n < COLUMNS ? N - n : COLUMNS, K - k < DEPTH ? K - k : DEPTH,
                          (Matrix){a.at + k * a.column, a.row, a.column},
                          (Matrix){b.at + k * b.row + n * b.column, b.row, b.column}, c + n, c_row,
                          k > 0);
}

/* A result of N <= NARROW columns by its transpose, since its columns fill the vectors that its rows do
   not. */
static void narrow_product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c) {
    _Alignas(64) float turned[NARROW * COLUMNS];
    for (int64_t m = 0; m < M; m += COLUMNS) {
        int64_t columns = M - m < COLUMNS ? M - m : COLUMNS;
        dense_product(N, columns, K, (Matrix){b.at, b.column, b.row},
                      (Matrix){a.at + m * a.row, a.column, a.row}, turned, COLUMNS);
        for (int64_t i = 0; i < columns; i++)
            for (int64_t n = 0; n < N; n++) c[(m + i) * N + n] = turned[n * COLUMNS + i];
    }
}

static void product(int64_t M, int64_t N, int64_t K, Matrix a, Matrix b, float *c) {
    if (K == 0) memset(c, 0, (size_t)(M * N) * sizeof *c);
    else if (N <= NARROW && M >= COLUMNS && K >= LANES) narrow_product(M, N, K, a, b, c);
    else (pays_to_skip(M, N, K, a, b) ? sparse_product : dense_product)(M, N, K, a, b, c, N);
}

/* c [S, M, N] = a [S, M, K] b [S, K, N]. steps: from run to run, row to row and column to column, of a
   and then of b; c lies in order. */
void vaebench_products(int64_t S, int64_t M, int64_t N, int64_t K, const int64_t *steps, const float *a,
                       const float *b, float *c) {
    for (int64_t s = 0; s < S; s++)
        product(M, N, K, (Matrix){a + s * steps[0], steps[1], steps[2]},
                (Matrix){b + s * steps[3], steps[4], steps[5]}, c + s * M * N);
}
