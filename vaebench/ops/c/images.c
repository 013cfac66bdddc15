/* Rows of images as the numbers that they are read as: ops/images.py, with the same bits. */

#include "images.h"

#include <string.h>

enum { GREY, THRESHOLD }; /* the rules, by their numbers in ops/images.py */

/* Intensities: a division is exact to the last bit, and faster than a table. */
static void intensities(const Images *images, int64_t row, float *restrict out) {
    int64_t pixels = images->pixels;
    if (!images->is_bytes) {
        memcpy(out, (const float *)images->stored + row * pixels, (size_t)pixels * sizeof *out);
        return;
    }
    const uint8_t *bytes = (const uint8_t *)images->stored + row * pixels;
    float white = (float)images->white;
    for (int64_t i = 0; i < pixels; i++) out[i] = (float)bytes[i] / white;
}

void read_images(const Images *images, const int64_t *rows, int64_t count, float *restrict out) {
    for (int64_t i = 0; i < count; i++) intensities(images, rows[i], out + i * images->pixels);
    if (images->rule == THRESHOLD)
        for (int64_t i = 0; i < count * images->pixels; i++) out[i] = out[i] > 0.5f ? 1.0f : 0.0f;
}

void vaebench_images(const void *images, const int64_t *rows, int64_t count, float *out) {
    read_images(images, rows, count, out);
}
