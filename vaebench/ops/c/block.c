/* Some training steps of each run: minibatch, loss and gradients by a compiled graph, clipping, Adam.

   The graph is a library of its own: graph_step.hpp says what it exports. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adam.h"
#include "images.h"

/* An input of the graph, for one run at one step. */
typedef struct {
    char *at;
    int64_t step_bytes, part_bytes, run_bytes; /* to the next; 0 where there is one for all */
} Input;

/* A parameter with its two moments, and its moving average or null; `sum` has room for the gradients
   of a step in parts. */
typedef struct {
    float *weight, *first, *second, *average, *sum;
    int64_t numbers; /* of one run */
    int64_t is_main; /* so its gradient counts for the norm, and is clipped */
} Parameter;

typedef struct {
    int (*step)(void *const *inputs, float **outputs, void **kept);
    void (*done)(void **kept);
    int64_t num_steps, num_parts, num_runs, num_inputs, num_outputs, num_parameters, num_states;
    const Input *inputs;
    const Parameter *parameters; /* those that have gradients */
    const int64_t *states;       /* the inputs that the last output goes into, number by number */
    int64_t minibatch;           /* the input */
    const Images *images;
    const int64_t *rows; /* [T, S, A, B], A being num_parts: a step averages their gradients */
    int64_t batch;
    const AdamScalars *adam; /* [T, S] */
    int64_t adam_per_step;   /* S, or 0 where those of the first step are those of all */
    const double *limits; /* [S] of norms of gradients */
    double count;         /* of the steps before */
    float *losses;        /* [T, S] */
    float *norms;         /* [S] of the last step, before clipping */
    float *measured[2];   /* [S, A, B] each, of the last step: kl_or_estimate, distortion */
    int64_t *problem;     /* 0 where all went well */
} Work;

/* The outputs of a graph: loss, what is measured, gradients, all states in one. */
enum { LOSS, KL, DISTORTION, GRADIENTS };

/* Looks up where the inputs of a part of a step lie, and fills the minibatch. */
static void inputs_of(const Work *w, int64_t t, int64_t a, int64_t s, void **inputs) {
    for (int64_t i = 0; i < w->num_inputs; i++) {
        const Input *of = &w->inputs[i];
        inputs[i] = of->at + t * of->step_bytes + a * of->part_bytes + s * of->run_bytes;
    }
    const int64_t *rows = w->rows + ((t * w->num_runs + s) * w->num_parts + a) * w->batch;
    read_images(w->images, rows, w->batch, inputs[w->minibatch]);
}

static double norm_of(const Work *w, float *const *gradients) {
    double sum = 0.0;
    for (int64_t p = 0; p < w->num_parameters; p++) {
        if (!w->parameters[p].is_main) continue;
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < w->parameters[p].numbers; i++)
            squares += gradients[p][i] * gradients[p][i];
        sum += (double)squares;
    }
    return sqrt(sum);
}

static void descend(const Work *w, int64_t t, int64_t s, float *const *gradients) {
    AdamStep all = adam_step(w->count + (double)(t + 1), &w->adam[t * w->adam_per_step + s]);
    AdamStep clipped = all;
    int last = t == w->num_steps - 1;
    if (last || isfinite(w->limits[s])) {
        double norm = norm_of(w, gradients);
        if (norm > w->limits[s]) clipped.share = (float)(w->limits[s] / norm);
        w->norms[s] = (float)norm;
    }
    for (int64_t p = 0; p < w->num_parameters; p++) {
        const Parameter *of = &w->parameters[p];
        int64_t from = s * of->numbers;
        adam_move(of->is_main ? clipped : all, of->numbers, gradients[p], of->weight + from,
                  of->first + from, of->second + from);
        if (of->average) average_move(all, of->numbers, of->weight + from, of->average + from);
    }
}

/* Adds the gradients of a part to those before, and puts the sums, after the last part the means, in
   their place. */
static void add(const Work *w, int64_t a, float **gradients) {
    float share = a == w->num_parts - 1 ? 1.0f / (float)w->num_parts : 1.0f;
    for (int64_t p = 0; p < w->num_parameters; p++) {
        const float *of_part = gradients[p];
        float *sum = w->parameters[p].sum;
        int64_t numbers = w->parameters[p].numbers;
        if (a == 0) memcpy(sum, of_part, (size_t)numbers * sizeof(float));
        for (int64_t i = 0; a && i < numbers; i++) sum[i] = (sum[i] + of_part[i]) * share;
        gradients[p] = sum;
    }
}

/* Keeps what the outputs of a part are needed for: losses, measurements, gradients, states. */
static void keep(const Work *w, int64_t t, int64_t a, int64_t s, float **outputs) {
    float *loss = w->losses + t * w->num_runs + s;
    *loss = (a ? *loss : 0.0f) + *outputs[LOSS] / (float)w->num_parts;
    if (t == w->num_steps - 1)
        for (int i = 0; i < 2; i++)
            memcpy(w->measured[i] + (s * w->num_parts + a) * w->batch, outputs[KL + i],
                   (size_t)w->batch * sizeof(float));
    if (w->num_parts > 1) add(w, a, outputs + GRADIENTS);
    if (a == w->num_parts - 1) descend(w, t, s, outputs + GRADIENTS);
    for (int64_t i = 0; i < w->num_states; i++) {
        const Input *of = &w->inputs[w->states[i]];
        memcpy(of->at + s * of->run_bytes, outputs[GRADIENTS + w->num_parameters] + i, sizeof(float));
    }
}

static int step(const Work *w, int64_t t, int64_t s, void **inputs, float **outputs, void **kept) {
    for (int64_t a = 0; a < w->num_parts; a++) {
        inputs_of(w, t, a, s, inputs);
        if (w->step(inputs, outputs, kept)) return 1;
        keep(w, t, a, s, outputs);
        w->done(kept);
    }
    return 0;
}

/* All steps of one run before the next one's: what they use stays in the cache. */
void vaebench_block(const void *block) {
    const Work *w = block;
    void **room = malloc((size_t)(w->num_inputs + 2 * w->num_outputs) * sizeof *room);
    if (!room) {
        *w->problem = 1;
        return;
    }
    void **kept = room + w->num_inputs;
    float **outputs = (float **)(kept + w->num_outputs);
    for (int64_t s = 0; s < w->num_runs && !*w->problem; s++)
        for (int64_t t = 0; t < w->num_steps && !*w->problem; t++)
            *w->problem = step(w, t, s, room, outputs, kept);
    free(room);
}
