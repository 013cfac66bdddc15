/* Rows of images as the numbers that they are read as: ops/images.py, with the same bits. */

#include "images.h"

#include <math.h>
#include <string.h>

#include "noise.h"

enum { GREY, THRESHOLD, BINARISED, DEQUANTISED }; /* the rules, by their numbers in ops/images.py */

enum { UINT8, INT8, INT16, INT32, INT64, FLOAT32 = 6, FLOAT64 }; /* TYPES in images.py */

#define CONVERTED(type)                                                                            \
    for (int64_t i = 0; i < pixels; i++) out[i] = (float)((const type *)images->stored)[first + i]; \
    break

/* Stored numbers: a division is exact to the last bit, and faster than a table. */
static void numbers(const Images *images, int64_t row, float *restrict out) {
    int64_t pixels = images->pixels, first = row * pixels;
    float white = (float)images->white;
    switch (images->type) {
    case UINT8: {
        const uint8_t *bytes = (const uint8_t *)images->stored + first;
        for (int64_t i = 0; i < pixels; i++) out[i] = (float)bytes[i] / white;
        break;
    }
    case INT8: CONVERTED(int8_t);
    case INT16: CONVERTED(int16_t);
    case INT32: CONVERTED(int32_t);
    case INT64: CONVERTED(int64_t);
    case FLOAT64: CONVERTED(double);
    default: memcpy(out, (const float *)images->stored + first, (size_t)pixels * sizeof *out);
    }
}

/* An image before anything is drawn. */
static void intensities(const Images *images, int64_t row, float *restrict out) {
    numbers(images, images->order ? images->order[row] : row, out);
    if (!images->shift) return;
    for (int64_t i = 0; i < images->pixels; i++) out[i] = (out[i] - images->shift[i]) / images->scale[i];
}

enum { PIXELS = 512 }; /* looked at together, whole quads */

/* Quads of pixels that wait for their random words. */
typedef struct {
    int count;
    uint32_t rows[COUNTERS], quads[COUNTERS];
    float *pixels[COUNTERS];
    int widths[COUNTERS]; /* 4, or fewer at the end of a row */
} Waiting;

/* 1 with the probability x: a word is below 2^32 x, exactly; so 0 stays 0, and 1 stays 1. */
static inline float binarised(float x, uint32_t word) {
    return (double)word < (double)x * 0x1p32 ? 1.0f : 0.0f;
}

/* (k + u) / 256 of the level k nearest to x, in the open (0, 1) also after rounding. */
static inline float dequantised(float x, uint32_t word) {
    float y = (rintf(255.0f * x) + uniform(word)) / 256.0f;
    return fminf(fmaxf(y, 0x1p-40f), 1.0f - 0x1p-24f);
}

static void move(float *to, const float *from, int width) {
    if (width == 4)
        memcpy(to, from, 4 * sizeof *to); /* of a known size: one instruction */
    else
        memcpy(to, from, (size_t)width * sizeof *to);
}

static void draw(const Images *images, Waiting *waiting) {
    uint32_t words[4 * COUNTERS];
    float x[4 * COUNTERS] = {0};
    words_of_quads((uint64_t)images->key, images->epoch, waiting->rows, waiting->quads, words);
    for (int i = 0; i < waiting->count; i++) move(x + 4 * i, waiting->pixels[i], waiting->widths[i]);
    if (images->rule == BINARISED)
        for (int i = 0; i < 4 * COUNTERS; i++) x[i] = binarised(x[i], words[i]);
    else
        for (int i = 0; i < 4 * COUNTERS; i++) x[i] = dequantised(x[i], words[i]);
    for (int i = 0; i < waiting->count; i++) move(waiting->pixels[i], x + 4 * i, waiting->widths[i]);
    waiting->count = 0;
}

/* Whether each quad of up to PIXELS intensities has a pixel that a draw can change. */
static void find_open(const Images *images, const float *x, int64_t pixels, uint32_t *open) {
    uint8_t each[PIXELS] = {0};
    int all = images->rule != BINARISED;
    for (int64_t i = 0; i < pixels; i++) each[i] = all | ((x[i] != 0.0f) & (x[i] != 1.0f));
    memcpy(open, each, sizeof each);
}

/* What is observed of one image's intensities. A quad of 0 and 1 alone, as most are of black and
   white images, is what it was whatever is drawn: nothing is. */
static void observe(const Images *images, int64_t row, float *x, Waiting *waiting) {
    for (int64_t start = 0; start < images->pixels; start += PIXELS) {
        uint32_t open[PIXELS / 4];
        int64_t left = images->pixels - start, pixels = left < PIXELS ? left : PIXELS;
        find_open(images, x + start, pixels, open);
        for (int64_t i = 0; i < pixels; i += 4) {
            int at = waiting->count; /* written in any case, kept where it is open: no branch */
            waiting->rows[at] = (uint32_t)row;
            waiting->quads[at] = (uint32_t)((start + i) / 4);
            waiting->pixels[at] = x + start + i;
            waiting->widths[at] = pixels - i < 4 ? (int)(pixels - i) : 4;
            waiting->count += open[i / 4] != 0;
            if (waiting->count == COUNTERS) draw(images, waiting);
        }
    }
}

void read_images(const Images *images, const int64_t *rows, int64_t count, float *restrict out) {
    Waiting waiting = {0};
    for (int64_t i = 0; i < count; i++) {
        float *x = out + i * images->pixels;
        intensities(images, rows[i], x);
        if (images->rule == THRESHOLD)
            for (int64_t p = 0; p < images->pixels; p++) x[p] = x[p] > 0.5f ? 1.0f : 0.0f;
        else if (images->rule != GREY)
            observe(images, rows[i], x, &waiting);
    }
    if (waiting.count) draw(images, &waiting);
}

void vaebench_images(const void *images, const int64_t *rows, int64_t count, float *out) {
    read_images(images, rows, count, out);
}
