/* bench_sparse [TIER [THREADS [MEGABYTES [M [N K]]]]]: sparse linear layers beside dense
 * ones of the same type, in turns; megabytes of I8 weights (default 24): see turns.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/turns.h"

static const struct form {
    const char *name;
    int bits, dense; /* dense: number of the form it is measured against */
    size_t group;    /* 0: I8 */
    struct pare_sparse pattern;
    int percent; /* of blocks that are kept */
} forms[] = {{"I8", 8, 0, 0, {0}, 0},
             {"I8/1x4 80%", 8, 0, 0, {.rows = 1, .columns = 4}, 20},
             {"I8/4x4 80%", 8, 0, 0, {.rows = 4, .columns = 4}, 20},
             {"I8/mask 50%", 8, 0, 0, {.rows = 1, .columns = 1}, 50},
             {"I8/2:4", 8, 0, 0, {.rows = 1, .columns = 1, .n = 2, .m = 4}, 0},
             {"int4", 4, 5, 128, {0}, 0},
             {"int4/mask 50%", 4, 5, 128, {.rows = 1, .columns = 1}, 50},
             {"int4/2:4", 4, 5, 128, {.rows = 1, .columns = 1, .n = 2, .m = 4}, 0}};
#define FORMS (sizeof forms / sizeof *forms)

/* What is kept of a strip; of every four, two. */
static void draw_bits(const struct form *form, size_t K, struct pare_rng *rng,
                      uint8_t *bits)
{
    const size_t columns = form->pattern.columns, blocks = K / columns;
    memset(bits, 0, blocks / 8 + 1);
    for (size_t b = 0; b < blocks; b += form->pattern.m ? 4 : 1) {
        const uint32_t r = (uint32_t)pare_rng_next(rng);
        if (form->pattern.m) {
            const size_t one = r % 4, other = (one + 1 + r / 4 % 3) % 4;
            bits[b / 8] |= (uint8_t)((1 << one | 1 << other) << b % 8);
        } else if (r % 100 < (uint32_t)form->percent) {
            bits[b / 8] |= (uint8_t)(1 << b % 8);
        }
    }
}

/* Random bytes, and what the pattern keeps of them. */
static void make_sparse(struct pare_weight *w, const struct form *form,
                        struct pare_arena *arena)
{
    struct pare_sparse *sparse = &w->sparse;
    struct pare_error err;
    *sparse = form->pattern;
    const size_t rows = sparse->rows, strips = w->N / rows, K = w->K;
    const size_t kept_bytes = pare_sparse_kept_bytes(sparse, K);
    uint8_t *kept = memory(arena, strips * kept_bytes), *bits = memory(arena, K / 8 + 1);
    unsigned char *values = memory(arena, w->N * K + 64), *out = values;
    uint64_t *start = memory(arena, (strips + 1) * sizeof *start);
    uint8_t *elements = memory(arena, rows * K);
    const uint8_t zero = form->group ? 1 << (form->bits - 1) : 0; /* is not kept */
    struct pare_rng rng = {.seed = 5};
    for (size_t strip = 0; strip < strips; strip++) {
        for (size_t i = 0; i < rows * K; i++) {
            elements[i] = (uint8_t)(pare_rng_next(&rng) & ((1u << form->bits) - 1));
            elements[i] |= elements[i] == zero;
        }
        draw_bits(form, K, &rng, bits);
        out += pare_sparse_store_strip(sparse, K, bits, elements, form->bits,
                                       kept + strip * kept_bytes, out);
    }
    uint32_t *sets = memory(arena, 256 * sizeof *sets);
    if (sparse->m)
        pare_sparse_list_sets(sparse->n, sparse->m, sets);
    sparse->kept = kept;
    sparse->sets = sparse->m ? sets : NULL;
    sparse->start = start;
    w->data = values;
    must(pare_sparse_index(sparse, w->N, K, form->bits, start, &err), &err);
}

static struct pare_weight make_weight(const struct form *form, size_t N, size_t K,
                                      struct pare_arena *arena)
{
    struct pare_weight w = {.type = PARE_I8, .N = N, .K = K};
    struct pare_rng rng = {.seed = N + K};
    float *scale = memory(arena, N * sizeof *scale);
    for (size_t n = 0; n < N; n++)
        scale[n] = pare_rng_uniform(&rng) * 0.001f;
    if (form->group) {
        uint16_t *halves = memory(arena, N * (K / form->group) * 2);
        for (size_t i = 0; i < N * (K / form->group); i++)
            halves[i] = pare_f32_to_f16(pare_rng_uniform(&rng) * 0.01f);
        w.groups = (struct pare_groups){form->bits, form->group,
                                        (const unsigned char *)halves, NULL};
    } else {
        w.scale = scale;
    }
    if (form->pattern.rows) {
        make_sparse(&w, form, arena);
        return w;
    }
    const size_t bytes = N * K * (size_t)form->bits / 8;
    unsigned char *data = memory(arena, bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)pare_rng_next(&rng);
    w.data = data;
    return w;
}

static void print_times(const struct stack *stacks, const struct pare_weight *weights,
                        size_t M, const double *times)
{
    const size_t N = weights[0].N, K = weights[0].K;
    printf("%5zu x %4zu, M %3zu:", N, K, M);
    for (size_t f = 0; f < FORMS; f++) {
        const double bits =
            8.0 * (double)stacks[f].layers[0].packed_bytes / ((double)N * (double)K);
        printf("  %s %.1f us", forms[f].name, 1e6 * times[f]);
        if (forms[f].pattern.rows)
            printf(" (%.2f%s, %.2f bits)", times[forms[f].dense] / times[f],
                   pare_linear_sparse_pays(
                       &weights[f], forms[f].percent ? forms[f].percent / 100.0 : 0.5, M)
                       ? " pays"
                       : "",
                   bits);
    }
    printf("\n");
    fflush(stdout);
}

static void bench_shape(size_t N, size_t K, size_t megabytes, size_t only)
{
    static const size_t rows[] = {1, 2, 4, 8, 32, 128};
    static struct stack stacks[FORMS];
    struct pare_weight weights[FORMS];
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_error err;
    must(pare_arena_reserve(&scratch, (size_t)64 << 20, &err), &err);
    for (size_t f = 0; f < FORMS; f++) {
        weights[f] = make_weight(&forms[f], N, K, &arena);
        stack_layers(&stacks[f], &weights[f], layers_of(N, K, megabytes));
    }
    struct pare_rng rng = {.seed = 1};
    float *x = memory(&arena, 128 * K * sizeof *x), *y = memory(&arena, 128 * N * 4);
    for (size_t i = 0; i < 128 * K; i++)
        x[i] = pare_rng_normal(&rng);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double times[FORMS];
        if (only && rows[r] != only)
            continue;
        time_stacks(stacks, FORMS, x, rows[r], y, &scratch, times);
        print_times(stacks, weights, rows[r], times);
    }
    for (size_t f = 0; f < FORMS; f++)
        pare_arena_free(&stacks[f].arena);
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    must(pare_cpu_select(argc > 1 ? argv[1] : NULL, &err), &err);
    size_t numbers[5] = {1, 24, 0, 0, 0}; /* threads, megabytes, M, N, K */
    for (int i = 0; i < 5 && i + 2 < argc; i++)
        numbers[i] = (size_t)strtol(argv[i + 2], NULL, 10);
    pare_set_threads((int)numbers[0]);
    printf(
        "tier %s, %d threads; time of a layer, median of %d turns (speed, dense = 1)\n",
        pare_kernels()->tier, pare_threads(), ROUNDS);
    if (numbers[3] && numbers[4]) {
        bench_shape(numbers[3], numbers[4], numbers[1], numbers[2]);
        return 0;
    }
    bench_shape(768, 768, numbers[1], numbers[2]);
    bench_shape(3072, 768, numbers[1], numbers[2]);
    bench_shape(768, 3072, numbers[1], numbers[2]);
    return 0;
}
