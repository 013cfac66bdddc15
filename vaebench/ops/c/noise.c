/* Counter-based normals and uniforms: the numbers of vaebench/ops/noise.py, to a few roundings. */

#include "noise.h"

#include "float_math.h"

/* Counter words of each Philox call, and the two halves of its key; then the four output words. */
typedef struct {
    uint32_t a[COUNTERS], b[COUNTERS], c[COUNTERS], d[COUNTERS];
    uint32_t key_low[COUNTERS], key_high[COUNTERS];
} Block;

/* The place of a row of numbers on each axis, and the next of its quads to be made. */
typedef struct {
    int64_t sample, run, row, quad;
} Position;

typedef void Finish(const Block *block, float *out);

/* Philox4x32-10: Salmon et al. 2011, section 3.4. */
static void philox(Block *w) {
    for (uint32_t round = 0; round < 10; round++) {
        for (int i = 0; i < COUNTERS; i++) {
            uint64_t p = (uint64_t)w->a[i] * 0xD2511F53u;
            uint64_t q = (uint64_t)w->c[i] * 0xCD9E8D57u;
            w->a[i] = (uint32_t)(q >> 32) ^ w->b[i] ^ (w->key_low[i] + round * 0x9E3779B9u);
            w->c[i] = (uint32_t)(p >> 32) ^ w->d[i] ^ (w->key_high[i] + round * 0xBB67AE85u);
            w->b[i] = (uint32_t)q;
            w->d[i] = (uint32_t)p;
        }
    }
}

/* noise.normal_pair (Box & Muller 1958), with the angle in turns and folded to a quarter turn. */
static inline void normal_pair(float u, float v, float *first, float *second) {
    float radius = sqrtf(-2.0f * log_normal(u > 1e-7f ? u : 1e-7f));
    float turn = v - 0.5f; /* the opposite point of the circle */
    float away = fabsf(turn);
    float cosine = sin_turns(away - 0.25f);
    float sine = sin_turns(away < 0.25f ? away : 0.5f - away);
    *first = radius * cosine;
    *second = radius * (turn < 0.0f ? sine : -sine);
}

static void to_normals(const Block *w, float *restrict out) {
    for (int i = 0; i < COUNTERS; i++) {
        float *quad = out + 4 * i;
        normal_pair(uniform(w->a[i]), uniform(w->b[i]), quad, quad + 1);
        normal_pair(uniform(w->c[i]), uniform(w->d[i]), quad + 2, quad + 3);
    }
}

static void to_uniforms(const Block *w, float *restrict out) {
    for (int i = 0; i < COUNTERS; i++) {
        out[4 * i] = uniform(w->a[i]);
        out[4 * i + 1] = uniform(w->b[i]);
        out[4 * i + 2] = uniform(w->c[i]);
        out[4 * i + 3] = uniform(w->d[i]);
    }
}

/* The words themselves, in the place of as many floats. */
static void to_words(const Block *w, float *restrict out) {
    for (int i = 0; i < COUNTERS; i++) {
        uint32_t quad[4] = {w->a[i], w->b[i], w->c[i], w->d[i]};
        memcpy(out + 4 * i, quad, sizeof quad);
    }
}

void words_of_quads(uint64_t key, int64_t step, const uint32_t *rows, const uint32_t *quads,
                    uint32_t *words) {
    Block w;
    for (int i = 0; i < COUNTERS; i++) {
        w.a[i] = quads[i];
        w.b[i] = rows[i];
        w.c[i] = 0;
        w.d[i] = (uint32_t)step;
        w.key_low[i] = (uint32_t)key;
        w.key_high[i] = (uint32_t)(key >> 32);
    }
    philox(&w);
    for (int i = 0; i < COUNTERS; i++) {
        words[4 * i] = w.a[i];
        words[4 * i + 1] = w.b[i];
        words[4 * i + 2] = w.c[i];
        words[4 * i + 3] = w.d[i];
    }
}

static Position position_of(const Place *place, int64_t flat_row) {
    int64_t run = flat_row / place->rows;
    return (Position){run / place->runs, run % place->runs, flat_row % place->rows, 0};
}

static void next_row(const Place *place, Position *at) {
    at->quad = 0;
    if (++at->row < place->rows) return;
    at->row = 0;
    if (++at->run < place->runs) return;
    at->run = 0;
    at->sample++;
}

/* The counters (column / 4, row, sample, step) of the quads that follow, row after row. Those
   behind the last row are computed and not used. */
static void count(const Place *place, Position *at, Block *w) {
    int64_t quads = (place->columns + 3) / 4;
    for (int i = 0; i < COUNTERS;) {
        uint64_t key = place->keys[at->run];
        uint32_t row = (uint32_t)(place->first_row + at->row);
        uint32_t sample = (uint32_t)(place->first_sample + at->sample);
        int64_t left = quads - at->quad;
        int end = left < COUNTERS - i ? i + (int)left : COUNTERS;
        for (; i < end; i++) {
            w->a[i] = (uint32_t)at->quad++;
            w->b[i] = row;
            w->c[i] = sample;
            w->d[i] = (uint32_t)place->step;
            w->key_low[i] = (uint32_t)key;
            w->key_high[i] = (uint32_t)(key >> 32);
        }
        if (at->quad == quads) next_row(place, at);
    }
}

/* Copies quads to rows whose width need not be a multiple of 4, from `column` on, and says where
   the next one goes. */
static float *lay_out(const float *numbers, int64_t quads, int64_t columns, int64_t *column,
                      float *out) {
    for (int64_t quad = 0; quad < quads; quad++) {
        int64_t left = columns - *column, width = left < 4 ? left : 4;
        for (int64_t i = 0; i < width; i++) *out++ = numbers[4 * quad + i];
        *column = width == left ? 0 : *column + width;
    }
    return out;
}

static void fill_rows(const Place *place, int64_t first, int64_t rows, Finish *finish, float *out) {
    int64_t total = rows * ((place->columns + 3) / 4), column = 0;
    if (total == 0) return;
    Position at = position_of(place, first);
    for (int64_t done = 0; done < total; done += COUNTERS) {
        Block block;
        float numbers[4 * COUNTERS];
        int64_t quads = total - done < COUNTERS ? total - done : COUNTERS;
        int direct = place->columns % 4 == 0 && quads == COUNTERS;
        count(place, &at, &block);
        philox(&block);
        finish(&block, direct ? out : numbers);
        out = direct ? out + 4 * COUNTERS : lay_out(numbers, quads, place->columns, &column, out);
    }
}

void normals_of_rows(const Place *place, int64_t first, int64_t count, float *out) {
    fill_rows(place, first, count, to_normals, out);
}

/* Numbers of T steps from that of `place` on: [T, K, S, B, D]. */
static void fill_steps(int64_t T, Place place, Finish *finish, float *out) {
    int64_t rows = place.samples * place.runs * place.rows;
    for (int64_t t = 0; t < T; t++, place.step++, out += rows * place.columns)
        fill_rows(&place, 0, rows, finish, out);
}

/* noise.normals: [T, K, S, B, D]. */
void vaebench_normals(int64_t T, const uint64_t *keys, int64_t step, int64_t first_sample,
                      int64_t first_row, int64_t samples, int64_t runs, int64_t rows, int64_t columns,
                      float *out) {
    fill_steps(T, (Place){keys, step, first_sample, first_row, samples, runs, rows, columns}, to_normals,
               out);
}

/* Uniforms in [0, 1): [T, K, S, B, D]. */
void vaebench_uniforms(int64_t T, const uint64_t *keys, int64_t step, int64_t first_sample,
                       int64_t first_row, int64_t samples, int64_t runs, int64_t rows, int64_t columns,
                       float *out) {
    fill_steps(T, (Place){keys, step, first_sample, first_row, samples, runs, rows, columns}, to_uniforms,
               out);
}

/* The 32-bit words that numbers are made of: [T, K, S, B, D]. */
void vaebench_words(int64_t T, const uint64_t *keys, int64_t step, int64_t first_sample,
                    int64_t first_row, int64_t samples, int64_t runs, int64_t rows, int64_t columns,
                    float *out) {
    fill_steps(T, (Place){keys, step, first_sample, first_row, samples, runs, rows, columns}, to_words,
               out);
}
