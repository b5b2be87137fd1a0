/* bench_solver NxK [--threads T] [--dump FOLDER] [SETTING ...]: the solvers on a layer of
 * layers.h, 16,384 inputs. Prints for each setting the weighted relative error
 * tr((W - Q) H (W - Q)^T) / tr(W H W^T), H without damping, and the best time of three.
 * One thread: processor time. --dump writes W and H as float32 for other programs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libquant/gptq.h"
#include "runtime/base/parallel.h"
#include "tests/bench/layers.h"

#define TOKENS 16384
#define BATCH 1024

static double now(void)
{
    struct timespec t;
    clock_gettime(pare_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum pare_status status, const struct pare_error *err)
{
    if (status) {
        fprintf(stderr, "%s\n", err->message);
        exit((int)status);
    }
}

static float *floats(size_t n)
{
    float *p = malloc(n * sizeof *p);
    if (!p)
        exit(4);
    return p;
}

static struct pare_arena scratch;
static struct pare_error error;

struct layer {
    size_t N, K;
    float *W, *Q, *H; /* [N, K], [N, K], [K, K] */
    struct pare_gram gram;
    double weight; /* tr(W H W^T) */
};

/* tr(E H E^T) */
static double energy(const struct layer *layer, const float *E)
{
    float *G = floats(layer->N * layer->K);
    double sum = 0;
    must(pare_gemm(layer->N, layer->K, layer->K, pare_rows(E, layer->K),
                   pare_rows(layer->H, layer->K), G, layer->K, 0, &scratch, &error),
         &error);
    for (size_t i = 0; i < layer->N * layer->K; i++)
        sum += (double)E[i] * (double)G[i];
    free(G);
    return sum;
}

static double relative_error(const struct layer *layer)
{
    float *E = floats(layer->N * layer->K);
    for (size_t i = 0; i < layer->N * layer->K; i++)
        E[i] = layer->W[i] - layer->Q[i];
    double sum = energy(layer, E);
    free(E);
    return sum / layer->weight;
}

static void accumulate(struct layer *layer)
{
    const size_t K = layer->K;
    float *A = floats(K * K), *Z = floats(BATCH * K), *X = floats(BATCH * K);
    double time = 0;
    layer_spectrum(K, A);
    must(pare_gram_init(&layer->gram, K, &error), &error);
    for (size_t t = 0; t < TOKENS; t += BATCH) {
        must(layer_inputs(K, t, BATCH, A, Z, X, &scratch, &error), &error);
        double start = now();
        must(pare_gram_add(&layer->gram, X, BATCH, K, &scratch, &error), &error);
        time += now() - start;
    }
    printf("%-28s %10s %9.4f s\n", "accumulate H", "", time);
    free(A);
    free(Z);
    free(X);
    layer->H = floats(K * K);
    for (size_t i = 0; i < K; i++)
        for (size_t j = i; j < K; j++)
            layer->H[i * K + j] = layer->H[j * K + i] =
                (float)(layer->gram.sum[pare_gram_at(K, i) + j - i] * (2.0 / 128));
}

static void dump(const char *folder, const char *name, const float *data, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.f32", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, sizeof *data, n, f) != n || fclose(f))
        exit(5);
}

struct setting {
    const char *name;
    int rtn; /* without second moments */
    enum pare_order order;
    struct pare_gptq_options gptq;
};

#define PUBLISHED(b, g, asym)                                                            \
    {                                                                                    \
        .kind = PARE_TARGET_PUBLISHED, .grid = {                                         \
            .bits = b,                                                                   \
            .group = g,                                                                  \
            .asymmetric = asym                                                           \
        }                                                                                \
    }
#define GROUPS(b, g, asym)                                                               \
    {                                                                                    \
        .kind = PARE_TARGET_GROUPS, .grid = {.bits = b, .group = g, .asymmetric = asym } \
    }

static const struct setting settings[] = {
    {"rtn_g128", 1, 0, {PUBLISHED(4, 128, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"rtn_g128_mse", 1, 0, {PUBLISHED(4, 128, 1), PARE_SEARCH_NORM, 80, 0.01f, 0}},
    {"rtn_perchannel", 1, 0, {PUBLISHED(4, 0, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_g128",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 128, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_g128_actorder",
     0,
     PARE_ORDER_ALL,
     {PUBLISHED(4, 128, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_g128_actorder_static",
     0,
     PARE_ORDER_ALL,
     {PUBLISHED(4, 128, 1), PARE_SEARCH_RANGE, 0, 0, 1}},
    {"gptq_g128_mse",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 128, 1), PARE_SEARCH_NORM, 80, 0.01f, 0}},
    {"gptq_g128_sym",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 128, 0), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_g32",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 32, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_g64",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 64, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_perchannel",
     0,
     PARE_ORDER_NATURAL,
     {PUBLISHED(4, 0, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"gptq_perchannel_actorder",
     0,
     PARE_ORDER_ALL,
     {PUBLISHED(4, 0, 1), PARE_SEARCH_RANGE, 0, 0, 0}},
    {"default_g128",
     0,
     PARE_ORDER_GROUPS,
     {GROUPS(4, 128, 1), PARE_SEARCH_SWEEP, 9, 0.05f, 0}},
    {"default_g128_sym",
     0,
     PARE_ORDER_GROUPS,
     {GROUPS(4, 128, 0), PARE_SEARCH_SWEEP, 9, 0.05f, 0}},
};

static void solve(const struct layer *layer, const struct setting *setting,
                  struct pare_gptq_report *report)
{
    const struct pare_quant_rows rows = {layer->W, layer->N, layer->K, 0};
    const struct pare_factor_options options = {
        .order = setting->order,
        .group = pare_target_group(&setting->gptq.target, layer->K),
        .damping = PARE_DAMPING};
    struct pare_factor factor;
    must(pare_factor_init(&factor, setting->rtn ? NULL : &layer->gram, layer->K, &options,
                          &scratch, &error),
         &error);
    *report = (struct pare_gptq_report){0};
    must(pare_gptq(&rows, &factor, &setting->gptq, layer->Q, NULL, report, &scratch,
                   &error),
         &error);
    pare_factor_free(&factor);
}

static void run(const struct layer *layer, const struct setting *setting)
{
    struct pare_gptq_report report;
    double best = INFINITY;
    for (int round = 0; round < 3; round++) {
        double start = now();
        solve(layer, setting, &report);
        double time = now() - start;
        best = time < best ? time : best;
    }
    printf("%-28s %10.4e %9.4f s\n", setting->name, relative_error(layer), best);
    fflush(stdout);
}

static int wanted(const char *name, int argc, char **argv)
{
    int any = 0;
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-') {
            i++;
            continue;
        }
        any = 1;
        if (!strcmp(argv[i], name))
            return 1;
    }
    return !any;
}

int main(int argc, char **argv)
{
    struct layer layer = {0};
    const char *folder = NULL;
    pare_set_threads(1);
    if (argc < 2 || sscanf(argv[1], "%zux%zu", &layer.N, &layer.K) != 2)
        return 2;
    for (int i = 2; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "--threads"))
            pare_set_threads((int)strtol(argv[i + 1], NULL, 10));
        if (!strcmp(argv[i], "--dump"))
            folder = argv[i + 1];
    }
    layer.W = floats(layer.N * layer.K);
    layer.Q = floats(layer.N * layer.K);
    layer_weights(layer.N, layer.K, layer.W);
    accumulate(&layer);
    layer.weight = energy(&layer, layer.W);
    if (folder) {
        dump(folder, "W", layer.W, layer.N * layer.K);
        dump(folder, "H", layer.H, layer.K * layer.K);
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (wanted(settings[i].name, argc, argv))
            run(&layer, &settings[i]);
    return 0;
}
