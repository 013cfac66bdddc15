/* Some training steps of each run: minibatch, loss and gradients by a compiled graph, clipping, Adam.

   The graph comes from PyTorch's ahead-of-time compiler. It is called through the interface that it
   exports for C (torch/csrc/inductor/aoti_runtime/interface.h), on tensors that are made, and read,
   through PyTorch's (torch/csrc/inductor/aoti_torch/c/shim.h): `Handle` is a tensor of PyTorch. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adam.h"
#include "images.h"
#include "product.h"

typedef void *Handle;
enum { CPU = 0, FLOAT32 = 6 };

/* Functions of PyTorch, in the order of TORCH in block.py: each returns 0 on success. */
typedef struct {
    int (*from_blob)(void *, int64_t, const int64_t *, const int64_t *, int64_t, int32_t, int32_t,
                     int32_t, Handle *);
    int (*empty)(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t, Handle *);
    int (*free)(Handle);
    int (*data)(Handle, void **);
    int (*sizes)(Handle, int64_t **);
    int (*strides)(Handle, int64_t **);
} Torch;

static Torch torch;

/* Takes PyTorch's functions, which are the same for all graphs. */
void vaebench_use_torch(const void *functions) { memcpy(&torch, functions, sizeof torch); }

/* The function that a graph calls for its products: a [S, M, K] b [S, K, N]. */
int aoti_torch_cpu_product(Handle a, Handle b, Handle *c) {
    int64_t *of_a, *of_b, *from_a, *from_b;
    void *at_a, *at_b, *at_c;
    if (torch.sizes(a, &of_a) || torch.sizes(b, &of_b)) return 1;
    if (torch.strides(a, &from_a) || torch.strides(b, &from_b)) return 1;
    int64_t S = of_a[0], M = of_a[1], K = of_a[2], N = of_b[2];
    int64_t sizes[] = {S, M, N}, strides[] = {M * N, N, 1};
    if (torch.empty(3, sizes, strides, FLOAT32, CPU, 0, c)) return 1;
    if (torch.data(a, &at_a) || torch.data(b, &at_b) || torch.data(*c, &at_c)) return 1;
    for (int64_t s = 0; s < S; s++)
        product(M, N, K, (Matrix){(float *)at_a + s * from_a[0], from_a[1], from_a[2]},
                (Matrix){(float *)at_b + s * from_b[0], from_b[1], from_b[2]},
                (float *)at_c + s * M * N);
    return 0;
}

/* An input of the graph, for one run at one step. */
typedef struct {
    char *at;
    int64_t step_bytes, run_bytes; /* from one to the next; 0 where there is one for all */
    int64_t dims, type;
    const int64_t *sizes, *strides;
} Input;

/* A parameter with its two moments. */
typedef struct {
    float *weight, *first, *second;
    int64_t numbers; /* of one run */
    int64_t is_main; /* so its gradient counts for the norm, and is clipped */
} Parameter;

typedef struct {
    int (*run)(void *model, Handle *inputs, size_t, Handle *outputs, size_t, void *, void *);
    void *model;
    int64_t num_steps, num_runs, num_inputs, num_outputs, num_parameters, num_states;
    const Input *inputs;
    const Parameter *parameters; /* those that have gradients */
    const int64_t *states;       /* the inputs that the last output goes into, number by number */
    int64_t minibatch;           /* the input */
    const Images *images;
    const int64_t *rows; /* [T, S, B] */
    int64_t batch;
    const double *rates;  /* S learning rates, then S weight decays */
    const double *limits; /* [S] of norms of gradients */
    double count;         /* of the steps before */
    float *losses;        /* [T, S] */
    float *norms;         /* [S] of the last step, before clipping */
    float *measured[2];   /* [S, B] each, of the last step: kl_or_estimate, distortion */
    int64_t *problem;     /* 0 where all went well */
} Work;

/* The outputs of a graph: loss, what is measured, gradients, all states in one. */
enum { LOSS, KL, DISTORTION, GRADIENTS };

static int gather(const Work *w, const int64_t *rows, Handle *input) {
    float *x;
    if (torch.data(*input, (void **)&x)) return 1;
    read_images(w->images, rows, w->batch, x);
    return 0;
}

/* Makes the handles of a step's inputs: the graph takes them over, so each step needs new ones. */
static int inputs_of(const Work *w, int64_t t, int64_t s, Handle *made) {
    for (int64_t i = 0; i < w->num_inputs; i++) {
        const Input *of = &w->inputs[i];
        char *at = of->at + t * of->step_bytes + s * of->run_bytes;
        if (torch.from_blob(at, of->dims, of->sizes, of->strides, 0, (int32_t)of->type, CPU, 0, &made[i]))
            return 1;
    }
    return gather(w, w->rows + (t * w->num_runs + s) * w->batch, &made[w->minibatch]);
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
    AdamStep all = adam_step(w->count + (double)(t + 1), w->rates[s], w->rates[w->num_runs + s]);
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
    }
}

/* Keeps what the outputs of a step are needed for: losses, measurements, gradients, states. */
static void keep(const Work *w, int64_t t, int64_t s, float *const *outputs) {
    w->losses[t * w->num_runs + s] = *outputs[LOSS];
    if (t == w->num_steps - 1)
        for (int i = 0; i < 2; i++)
            memcpy(w->measured[i] + s * w->batch, outputs[KL + i], (size_t)w->batch * sizeof(float));
    descend(w, t, s, outputs + GRADIENTS);
    for (int64_t i = 0; i < w->num_states; i++) {
        const Input *of = &w->inputs[w->states[i]];
        memcpy(of->at + s * of->run_bytes, outputs[GRADIENTS + w->num_parameters] + i, sizeof(float));
    }
}

static int step(const Work *w, int64_t t, int64_t s, Handle *inputs, Handle *made, float **outputs) {
    if (inputs_of(w, t, s, inputs)) return 1;
    if (w->run(w->model, inputs, (size_t)w->num_inputs, made, (size_t)w->num_outputs, NULL, NULL))
        return 1;
    for (int64_t i = 0; i < w->num_outputs; i++)
        if (!made[i] || torch.data(made[i], (void **)&outputs[i])) return 1;
    keep(w, t, s, outputs);
    for (int64_t i = 0; i < w->num_outputs; i++) torch.free(made[i]);
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
    Handle *made = room + w->num_inputs;
    float **outputs = (float **)(made + w->num_outputs);
    for (int64_t s = 0; s < w->num_runs && !*w->problem; s++)
        for (int64_t t = 0; t < w->num_steps && !*w->problem; t++)
            *w->problem = step(w, t, s, room, made, outputs);
    free(room);
}
