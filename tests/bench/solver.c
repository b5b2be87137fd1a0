/* bench_solver NxK [--threads T] [--rounds R] [--nudge SEED] [--dump FOLDER]
 * [--load FOLDER | --astray FOLDER] [SETTING ...]: the solvers on a layer of layers.h,
 * 16,384 inputs. Prints for each setting the weighted relative error
 * tr((W - Q) H (W - Q)^T) / tr(W H W^T), H without damping, and the best time of R (3);
 * one thread: processor time. A setting is a name of the table below, or words: "3 g32
 * all squares early".
 *
 * --nudge makes half of the weights larger by 2^-12: what the errors of other decisions,
 * that are no worse, are. --dump writes W and H as float32 for other programs. --load
 * takes W.f32, inputs X.f32 and others T.f32, rows of K (capture_layers.py), on which the
 * errors |T (W - Q)^T|^2 / |T W^T|^2 are taken; --astray also what the inputs became
 * behind quantised layers, Xc.f32 and Tc.f32: |T W^T - Tc Q^T|^2 / |T W^T|^2.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libprune/solve.h"
#include "libquant/correct.h"
#include "libquant/gptq.h"
#include "tests/bench/bench.h"
#include "tests/bench/layers.h"

#define TOKENS 16384
#define BATCH 1024

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
    double weight; /* tr(W H W^T), or what the outputs' squares add up to */
    float *test;   /* [tests, K], inputs of the figures; NULL: H has them */
    float *right;  /* [tests, N], what outputs should be */
    size_t tests;
    struct pare_cross cross; /* when inputs went astray */
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

static void outputs(const struct layer *layer, const float *inputs, const float *weights,
                    float *Y)
{
    must(pare_gemm(layer->tests, layer->N, layer->K, pare_rows(inputs, layer->K),
                   pare_transposed(weights, layer->K), Y, layer->N, 0, &scratch, &error),
         &error);
}

/* |T Q^T - right|^2 */
static double output_error(const struct layer *layer)
{
    const size_t n = layer->tests * layer->N;
    float *Y = floats(n);
    double sum = 0;
    outputs(layer, layer->test, layer->Q, Y);
    for (size_t i = 0; i < n; i++)
        sum += pow((double)Y[i] - (double)layer->right[i], 2);
    free(Y);
    return sum;
}

static double relative_error(const struct layer *layer)
{
    if (layer->test)
        return output_error(layer) / layer->weight;
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

static void nudge(struct layer *layer, uint64_t seed)
{
    for (size_t i = 0; i < layer->N * layer->K; i++)
        if (pare_rng_keyed(seed, i) % 2)
            layer->W[i] *= 1 + 0x1p-12f;
}

/* NAME.f32 of the folder: rows of K floats. */
static float *load(const char *folder, const char *name, size_t K, size_t *rows)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.f32", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        exit(3);
    *rows = (size_t)ftell(f) / sizeof(float) / K;
    float *data = floats(*rows * K);
    rewind(f);
    if (fread(data, sizeof *data * K, *rows, f) != *rows || fclose(f))
        exit(3);
    return data;
}

/* Inputs that went astray take the place of the original ones. */
static void load_astray(struct layer *layer, const char *folder, float *X, size_t rows)
{
    float *read = load(folder, "Xc", layer->K, &rows);
    must(pare_cross_init(&layer->cross, layer->K, &error), &error);
    for (size_t i = 0; i < rows * layer->K; i++)
        X[i] -= read[i];
    must(pare_cross_add(&layer->cross, X, read, rows, &scratch, &error), &error);
    memcpy(X, read, rows * layer->K * sizeof *X);
    free(read);
    free(layer->test);
    layer->test = load(folder, "Tc", layer->K, &layer->tests);
}

static void load_layer(struct layer *layer, const char *folder, int astray)
{
    const size_t K = layer->K;
    size_t rows;
    layer->W = load(folder, "W", K, &layer->N);
    float *X = load(folder, "X", K, &rows);
    layer->test = load(folder, "T", K, &layer->tests);
    layer->right = floats(layer->tests * layer->N);
    outputs(layer, layer->test, layer->W, layer->right);
    for (size_t i = 0; i < layer->tests * layer->N; i++)
        layer->weight += pow((double)layer->right[i], 2);
    if (astray)
        load_astray(layer, folder, X, rows);
    must(pare_gram_init(&layer->gram, K, &error), &error);
    must(pare_gram_add(&layer->gram, X, rows, K, &scratch, &error), &error);
    free(X);
}

static void make_layer(struct layer *layer, long seed)
{
    layer->W = floats(layer->N * layer->K);
    layer_weights(layer->N, layer->K, layer->W);
    if (seed)
        nudge(layer, (uint64_t)seed);
    accumulate(layer);
    layer->weight = energy(layer, layer->W);
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
    int rtn;   /* without second moments */
    int order; /* enum pare_order; -1: what is best for a pattern */
    double damping;
    float correct; /* strength */
    double ridge;  /* damping of the correction */
    struct pare_gptq_options gptq;
    int prunes;
    struct pare_prune_options prune;
};

/* Settings by name, and in the words that describe any. Names with an anchor are those of
 * the reference's figures. */
static const char *const settings[][2] = {
    {"rtn_g128", "published asym 4 g128 rtn range"},
    {"rtn_g128_mse", "published asym 4 g128 rtn norm c80 s1"},
    {"rtn_perchannel", "published asym 4 rtn range"},
    {"gptq_g128", "published asym 4 g128 natural range p0"},
    {"gptq_g128_actorder", "published asym 4 g128 all range p0"},
    {"gptq_g128_actorder_static", "published asym 4 g128 all range early p0"},
    {"gptq_g128_mse", "published asym 4 g128 natural norm c80 s1 p0"},
    {"gptq_g128_sym", "published 4 g128 natural range p0"},
    {"gptq_g32", "published asym 4 g32 natural range p0"},
    {"gptq_g64", "published asym 4 g64 natural range p0"},
    {"gptq_perchannel", "published asym 4 natural range p0"},
    {"gptq_perchannel_actorder", "published asym 4 all range p0"},
    {"default_g128", "asym 4 g128"},
    {"default_g128_sym", "4 g128"},
    {"magnitude_50", "50% magnitude"},
    {"wanda_50", "50% wanda"},
    {"sparsegpt_50", "50% even natural p0"},
    {"sparsegpt_2:4", "2:4 natural p0"},
    {"sparsegpt_50_4bit", "50% even published asym 4 natural range early p0"},
    {"sparsegpt_2:4_4bit", "2:4 published asym 4 natural range early p0"},
    {"default_50", "50%"},
    {"default_2:4", "2:4"},
    {"one_pass_50", "50% p1"},
    {"one_pass_2:4", "2:4 p1"},
    {"one_pass_50_4bit_row", "50% 4 p1"},
    {"default_50_4bit_row", "50% 4"},
    {"default_2:4_4bit_row", "2:4 4"},
    {"default_50_4bit", "50% 4 g128"},
    {"default_2:4_4bit", "2:4 4 g128"},
};

/* The default search and order, unless words say otherwise: bits, gN groups of N, cN
 * candidates, sN steps of N %, pN passes, dN a damping of N / 1000, wN weights corrected
 * by N %, and names. `early` comes after the search. */
static int apply_word(const char *word, struct setting *setting)
{
    static const char *const searches[] = {"range", "squares", "norm", "cost", "sweep"};
    static const char *const orders[] = {"natural", "groups", "all"};
    static const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0,  PARE_Q4_1, PARE_I8,
                                            PARE_Q2_K, PARE_Q3_K,  PARE_Q4_K, PARE_Q5_K,
                                            PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
    struct pare_gptq_options *gptq = &setting->gptq;
    const char *digits = word + (*word >= 'a');
    const long number = strtol(digits, NULL, 10);
    for (int i = 0; i < 5; i++)
        if (!strcmp(word, searches[i]))
            return gptq->search = (enum pare_search)i, gptq->early = 0, 1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(word, orders[i]))
            return setting->order = i, 1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(word, pare_dtype_name(types[i]))) {
            gptq->target =
                (struct pare_target){.kind = PARE_TARGET_TYPE, .type = types[i]};
            return 1;
        }
    if (strpbrk(word, ":%"))
        return setting->prunes = 1,
               pare_pattern_parse(word, &setting->prune.pattern, NULL) == PARE_OK;
    if (!strcmp(word, "magnitude") || !strcmp(word, "wanda"))
        return setting->prune.criterion =
                   *word == 'm' ? PARE_PRUNE_MAGNITUDE : PARE_PRUNE_WANDA,
               1;
    if (!strcmp(word, "even"))
        return setting->prune.even = 1;
    if (!strcmp(word, "published"))
        return gptq->target.kind = PARE_TARGET_PUBLISHED, 1;
    if (!strcmp(word, "asym"))
        return gptq->target.grid.asymmetric = 1;
    if (!strcmp(word, "ternary"))
        return gptq->target.grid.ternary = 1;
    if (!strcmp(word, "early"))
        return gptq->early = 1;
    if (!strcmp(word, "rtn"))
        return setting->rtn = 1;
    if (*digits < '0' || *digits > '9')
        return 0;
    switch (*word) {
    case 'g': gptq->target.grid.group = (size_t)number; return 1;
    case 'w': setting->correct = 0.01f * (float)number; return 1;
    case 'r': setting->ridge = 0.001 * (double)number; return 1;
    case 'd': setting->damping = 0.001 * (double)number; return 1;
    case 'p': setting->prune.passes = gptq->passes = (int)number; return 1;
    case 'c': gptq->candidates = (int)number; return 1;
    case 's': gptq->step = 0.01f * (float)number; return 1;
    default: gptq->target.grid.bits = (int)number; return digits == word;
    }
}

static void apply_words(const char *words, struct setting *setting)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        if (!apply_word(word, setting)) {
            fprintf(stderr, "unknown word: %s\n", word);
            exit(2);
        }
}

/* Twice: the defaults depend on the target. */
static struct setting setting_of(const char *words)
{
    struct setting setting = {.gptq = {.target = {.kind = PARE_TARGET_GROUPS}}};
    apply_words(words, &setting);
    if (setting.prunes) {
        setting = (struct setting){
            .order = -1,
            .damping = PARE_DAMPING,
            .gptq = pare_prune_codes(&setting.gptq.target),
            .prune = {.criterion = PARE_PRUNE_SPARSEGPT, .passes = PARE_PRUNE_PASSES}};
        apply_words(words, &setting);
        return setting;
    }
    setting = (struct setting){.order = pare_gptq_default_order(&setting.gptq.target),
                               .damping = PARE_DAMPING,
                               .ridge = PARE_CORRECT_DAMPING,
                               .gptq = pare_gptq_defaults(&setting.gptq.target)};
    apply_words(words, &setting);
    return setting;
}

static struct pare_prune_options prune_of(const struct setting *setting)
{
    struct pare_prune_options options = setting->prune;
    if (setting->gptq.target.grid.bits || setting->gptq.target.kind == PARE_TARGET_TYPE)
        options.codes = &setting->gptq;
    return options;
}

static struct pare_factor factor_of(const struct layer *layer,
                                    const struct setting *setting, double damping)
{
    struct pare_factor_options options = {
        .order = (enum pare_order)setting->order,
        .group = setting->prunes ? 1 : pare_target_group(&setting->gptq.target, layer->K),
        .damping = damping};
    if (setting->prunes && setting->order < 0) {
        const struct pare_prune_options prune = prune_of(setting);
        options = pare_prune_order(&prune, layer->K);
    }
    struct pare_factor factor;
    must(pare_factor_init(&factor, setting->rtn ? NULL : &layer->gram, layer->K, &options,
                          &scratch, &error),
         &error);
    return factor;
}

static float *corrected(struct layer *layer, const struct setting *setting)
{
    struct pare_factor factor = factor_of(layer, setting, setting->ridge);
    float *V = floats(layer->N * layer->K);
    const struct pare_cross_source C = pare_cross_in_memory(&layer->cross);
    must(pare_quant_correct(&factor, &C, layer->W, layer->N, setting->correct, V,
                            &scratch, &error),
         &error);
    pare_factor_free(&factor);
    return V;
}

static void solve(struct layer *layer, const struct setting *setting,
                  struct pare_gptq_report *report)
{
    float *V = setting->correct > 0 ? corrected(layer, setting) : NULL;
    const struct pare_quant_rows rows = {V ? V : layer->W, layer->N, layer->K, 0};
    struct pare_factor factor = factor_of(layer, setting, setting->damping);
    *report = (struct pare_gptq_report){0};
    if (setting->prunes) {
        const struct pare_prune_options options = prune_of(setting);
        struct pare_prune_report pruned;
        must(pare_prune(&rows, &factor, &options, layer->Q, NULL, &pruned, &scratch,
                        &error),
             &error);
        pare_factor_free(&factor);
        return;
    }
    must(pare_gptq(&rows, &factor, &setting->gptq, layer->Q, NULL, report, &scratch,
                   &error),
         &error);
    pare_factor_free(&factor);
    free(V);
}

static int rounds = 3;

static void run(struct layer *layer, const char *name, const char *words)
{
    const struct setting setting = setting_of(words);
    struct pare_gptq_report report;
    double best = INFINITY;
    for (int round = 0; round < rounds; round++) {
        double start = now();
        solve(layer, &setting, &report);
        double time = now() - start;
        best = time < best ? time : best;
    }
    printf("%-28s %10.4e %9.4f s\n", name, relative_error(layer), best);
    fflush(stdout);
}

/* The words of a name, or what has spaces itself; NULL: neither. */
static const char *words_of(const char *argument)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!strcmp(settings[i][0], argument))
            return settings[i][1];
    return strchr(argument, ' ') ? argument : NULL;
}

static void run_all(struct layer *layer, int argc, char **argv)
{
    int any = 0;
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-') {
            i++;
            continue;
        }
        const char *words = words_of(argv[i]);
        if (words)
            run(layer, argv[i], words);
        else
            fprintf(stderr, "no such setting: %s\n", argv[i]);
        any = 1;
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && !any; i++)
        run(layer, settings[i][0], settings[i][1]);
}

int main(int argc, char **argv)
{
    struct layer layer = {0};
    const char *folder = NULL, *from = NULL;
    long seed = 0;
    int astray = 0;
    pare_set_threads(1);
    if (argc < 2 || sscanf(argv[1], "%zux%zu", &layer.N, &layer.K) != 2)
        return 2;
    for (int i = 2; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "--threads"))
            pare_set_threads((int)strtol(argv[i + 1], NULL, 10));
        if (!strcmp(argv[i], "--rounds"))
            rounds = (int)strtol(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--nudge"))
            seed = strtol(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--dump"))
            folder = argv[i + 1];
        if (!strcmp(argv[i], "--load") || !strcmp(argv[i], "--astray"))
            from = argv[i + 1];
        if (!strcmp(argv[i], "--astray"))
            astray = 1;
    }
    if (from)
        load_layer(&layer, from, astray);
    else
        make_layer(&layer, seed);
    layer.Q = floats(layer.N * layer.K);
    if (folder && !from) {
        dump(folder, "W", layer.W, layer.N * layer.K);
        dump(folder, "H", layer.H, layer.K * layer.K);
    }
    run_all(&layer, argc, argv);
    return 0;
}
