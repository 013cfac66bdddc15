/* Images as they are stored, and the numbers that they are read as. */

#ifndef VAEBENCH_IMAGES_H
#define VAEBENCH_IMAGES_H

#include <stdint.h>

/* Images [N, P], and how they are read: ops/images.py. */
typedef struct {
    const void *stored;
    int64_t type; /* of a number: TYPES in images.py */
    int64_t pixels;
    int64_t rule;
    int64_t key, epoch; /* of what is drawn: the stream, and the step in it */
    double white;
    const int64_t *order; /* the stored row of each image, or NULL: its own */
    const float *shift, *scale; /* of each pixel, or NULL: pixels as they are stored */
} Images;

/* Some images as numbers, one after the other. */
__attribute__((visibility("hidden"))) void read_images(const Images *images, const int64_t *rows, int64_t count, float *out);

#endif
