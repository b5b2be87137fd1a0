/* Students with a narrower hidden state: the subspace they keep against numpy's, and
 * their weights against the definition in double precision. */
#include "libdistill/student_narrow.h"

#include "libdistill/student.h"
#include "tests/support/golden_training.h"
#include "tests/support/toy_training.h"

/* --- The subspace ------------------------------------------------------------------- */

static void expect_orthonormal(const float *P, size_t n, size_t C)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t c = 0; c < C; c++)
                dot += (double)P[i * C + c] * (double)P[j * C + c];
            cr_assert_float_eq(dot, i == j, 1e-6, "rows %zu and %zu: %g", i, j, dot);
        }
    }
}

static void find(const float *E, size_t V, size_t C, size_t n, uint64_t seed, float *P)
{
    struct pare_arena scratch = {0};
    GOLDEN_OK(pare_leading_subspace(E, V, C, n, seed, P, &scratch, err));
    pare_arena_free(&scratch);
    expect_orthonormal(P, n, C);
}

/* Each of numpy's vectors lies in the span of P's rows: its part outside is the sine of
 * an angle. */
static void expect_span(const float *P, size_t n, size_t C, const float *vectors)
{
    for (size_t v = 0; v < n; v++) {
        double outside[64];
        for (size_t c = 0; c < C; c++)
            outside[c] = (double)vectors[v * C + c];
        for (size_t i = 0; i < n; i++) {
            double along = 0;
            for (size_t c = 0; c < C; c++)
                along += (double)P[i * C + c] * (double)vectors[v * C + c];
            for (size_t c = 0; c < C; c++)
                outside[c] -= along * (double)P[i * C + c];
        }
        double sine = 0;
        for (size_t c = 0; c < C; c++)
            sine += outside[c] * outside[c];
        cr_assert(sqrt(sine) < 1e-6, "vector %zu: %g outside", v, sqrt(sine));
    }
}

Test(student_narrow, the_subspace_is_numpys)
{
    struct pare_ckpt *file = golden_open("subspace");
    const struct pare_tensor *E = golden_tensor(file, "", "matrix");
    const struct pare_tensor *vectors = golden_tensor(file, "", "vectors");
    const size_t V = E->shape[0], C = E->shape[1], n = vectors->shape[0];
    float P[64 * 16];
    cr_assert(C <= 64 && n < C);
    for (uint64_t seed = 0; seed < 5; seed++) {
        find(E->data, V, C, n, seed, P);
        expect_span(P, n, C, vectors->data);
    }
    pare_ckpt_close(file);
}

Test(student_narrow, any_matrix_gives_an_orthonormal_basis)
{
    float E[30 * 8] = {0}, P[8 * 8];
    struct pare_rng rng = {.seed = 2};
    find(E, 30, 8, 5, 1, P); /* nothing to prefer */
    for (size_t c = 0; c < 8; c++)
        E[c] = pare_rng_normal(&rng);
    find(E, 1, 8, 5, 1, P); /* fewer tokens than directions */
    double along = 0, square = 0;
    for (size_t i = 0; i < 5; i++) {
        double dot = 0;
        for (size_t c = 0; c < 8; c++)
            dot += (double)P[i * 8 + c] * (double)E[c];
        along += dot * dot;
    }
    for (size_t c = 0; c < 8; c++)
        square += (double)E[c] * (double)E[c];
    cr_assert_float_eq(along, square, 1e-5 * square);
    for (size_t r = 0; r < 30; r++)
        for (size_t c = 0; c < 8; c++)
            E[r * 8 + c] = E[c] * (float)r * 1e15f; /* one direction, far from 1 */
    find(E, 30, 8, 8, 1, P);
    for (size_t k = 0; k < 30 * 8; k++)
        E[k] = pare_rng_normal(&rng);
    find(E, 30, 8, 8, 1, P); /* all of it */
}

Test(student_narrow, the_largest_are_picked_of_equals_the_first)
{
    static const double score[] = {1, 5, 3, 5, 3, 0, 3};
    static const uint32_t expected[][7] = {
        {1}, {1, 3}, {1, 2, 3}, {1, 2, 3, 4}, {1, 2, 3, 4, 6}, {0, 1, 2, 3, 4, 6}};
    struct pare_arena scratch = {0};
    uint32_t picked[7];
    for (size_t n = 1; n <= 6; n++) {
        TOY_OK(pare_pick_largest(score, 7, n, picked, &scratch, err));
        cr_assert_arr_eq(picked, expected[n - 1], n * sizeof *picked, "%zu", n);
    }
    pare_arena_free(&scratch);
}

/* --- A student's weights ------------------------------------------------------------ */

#define WIDE 12
#define NARROW 8
#define HEAD 4
#define FFN 20
#define KEPT 15

struct narrowing {
    struct pare_params *teacher, *student;
    float P[NARROW * WIDE];
};

static void narrow(struct narrowing *w, enum pare_family family)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU), student;
    const struct pare_student_options options = {
        .family = family, .layers = 1, .hidden = NARROW, .ffn = KEPT};
    pare_set_threads(1);
    TOY_OK(pare_params_new(&config, &w->teacher, err));
    toy_values(w->teacher, 31);
    TOY_OK(pare_student_config(&options, &config, &student, err));
    cr_assert_eq(student.heads, NARROW / HEAD);
    TOY_OK(pare_params_new(&student, &w->student, err));
    TOY_OK(pare_student_start(&options, w->teacher, w->student, 6, err));
    find(w->teacher->value + w->teacher->tokens, config.vocab, WIDE, NARROW, 6, w->P);
}

static void close_narrowing(struct narrowing *w)
{
    pare_params_free(w->teacher);
    pare_params_free(w->student);
}

static void expect_near(float found, double expected, const char *what)
{
    cr_assert_float_eq(found, expected, 1e-5, "%s: %g instead of %g", what, (double)found,
                       expected);
}

/* found[n, NARROW] = W P^T, row i of W being from[rows[i]] (or row i). */
static void expect_inputs(const struct narrowing *w, const float *from,
                          const uint32_t *rows, size_t n, const float *found,
                          const char *what)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < NARROW; c++) {
            double sum = 0;
            for (size_t k = 0; k < WIDE; k++)
                sum += (double)from[(rows ? rows[i] : i) * WIDE + k] *
                       (double)w->P[c * WIDE + k];
            expect_near(found[i * NARROW + c], sum, what);
        }
    }
}

/* found[NARROW, n] = P W, column i of W being that of from[WIDE, width] at columns[i]. */
static void expect_outputs(const struct narrowing *w, const float *from, size_t width,
                           const uint32_t *columns, size_t n, const float *found,
                           const char *what)
{
    for (size_t c = 0; c < NARROW; c++) {
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t k = 0; k < WIDE; k++)
                sum += (double)w->P[c * WIDE + k] *
                       (double)from[k * width + (columns ? columns[i] : i)];
            expect_near(found[c * n + i], sum, what);
        }
    }
}

/* The head that is lost: the one whose values and outputs have the least products of
 * norms. */
static void kept_columns(const struct narrowing *w, uint32_t columns[NARROW])
{
    const struct pare_block_params *at = &w->teacher->blocks[0];
    const float *v = w->teacher->value + at->qkv.weight + 2 * WIDE * WIDE;
    const float *out = w->teacher->value + at->attn_out.weight;
    double score[WIDE / HEAD] = {0};
    size_t least = 0, n = 0;
    for (size_t r = 0; r < WIDE; r++) {
        double reads = 0, writes = 0;
        for (size_t k = 0; k < WIDE; k++) {
            reads += pow((double)v[r * WIDE + k], 2);
            writes += pow((double)out[k * WIDE + r], 2);
        }
        score[r / HEAD] += sqrt(reads * writes);
    }
    for (size_t h = 1; h < WIDE / HEAD; h++)
        least = score[h] < score[least] ? h : least;
    for (uint32_t r = 0; r < WIDE; r++)
        if (r / HEAD != least)
            columns[n++] = r;
}

Test(student_narrow, attention_keeps_its_largest_heads)
{
    struct narrowing w;
    uint32_t columns[NARROW];
    narrow(&w, PARE_BERT);
    const struct pare_block_params *from = &w.teacher->blocks[0];
    const struct pare_block_params *to = &w.student->blocks[0];
    const float *a = w.teacher->value, *b = w.student->value;
    kept_columns(&w, columns);
    for (size_t part = 0; part < 3; part++) {
        expect_inputs(&w, a + from->qkv.weight + part * WIDE * WIDE, columns, NARROW,
                      b + to->qkv.weight + part * NARROW * NARROW, "q, k, v");
        for (size_t i = 0; i < NARROW; i++)
            cr_assert_eq(b[to->qkv.bias + part * NARROW + i],
                         a[from->qkv.bias + part * WIDE + columns[i]]);
    }
    expect_outputs(&w, a + from->attn_out.weight, WIDE, columns, NARROW,
                   b + to->attn_out.weight, "attention's output");
    expect_outputs(&w, a + from->attn_out.bias, 1, NULL, 1, b + to->attn_out.bias,
                   "its bias");
    close_narrowing(&w);
}

Test(student_narrow, matrices_read_and_write_the_narrower_state)
{
    struct narrowing w;
    narrow(&w, PARE_BERT);
    const struct pare_params *t = w.teacher, *s = w.student;
    const float *a = t->value, *b = s->value;
    expect_inputs(&w, a + t->tokens, NULL, 17, b + s->tokens, "tokens");
    expect_inputs(&w, a + t->positions, NULL, 9, b + s->positions, "positions");
    expect_inputs(&w, a + t->types, NULL, 2, b + s->types, "types");
    expect_inputs(&w, a + t->classifier.weight, NULL, 3, b + s->classifier.weight,
                  "classifier");
    cr_assert_arr_eq(b + s->classifier.bias, a + t->classifier.bias, 3 * sizeof *a);
    expect_outputs(&w, a + t->pooler.bias, 1, NULL, 1, b + s->pooler.bias, "pooler");
    expect_outputs(&w, a + t->blocks[0].down.bias, 1, NULL, 1, b + s->blocks[0].down.bias,
                   "down");
    expect_outputs(&w, a + t->blocks[0].out_norm.bias, 1, NULL, 1,
                   b + s->blocks[0].out_norm.bias, "norm's bias");
    for (size_t i = 0; i < NARROW; i++) {
        double gamma = 0;
        for (size_t k = 0; k < WIDE; k++)
            gamma += pow((double)w.P[i * WIDE + k], 2) *
                     (double)a[t->blocks[0].attn_norm.weight + k];
        expect_near(b[s->blocks[0].attn_norm.weight + i], gamma, "norm's weight");
        for (size_t j = 0; j < NARROW; j++) { /* P W P^T */
            double sum = 0;
            for (size_t k = 0; k < WIDE; k++)
                for (size_t l = 0; l < WIDE; l++)
                    sum += (double)w.P[i * WIDE + k] * (double)w.P[j * WIDE + l] *
                           (double)a[t->pooler.weight + k * WIDE + l];
            expect_near(b[s->pooler.weight + i * NARROW + j], sum, "pooler");
        }
    }
    close_narrowing(&w);
}

/* Of the feed-forward layer's 20 neurons 15 stay, whatever the hidden width. */
Test(student_narrow, neurons_are_picked_as_in_a_wide_one)
{
    struct narrowing w;
    struct pare_params *wide;
    struct pare_config config;
    const struct pare_student_options options = {.layers = 1, .ffn = KEPT};
    narrow(&w, PARE_BERT);
    TOY_OK(pare_student_config(&options, &w.teacher->config, &config, err));
    TOY_OK(pare_params_new(&config, &wide, err));
    TOY_OK(pare_student_start(&options, w.teacher, wide, 6, err));
    const struct pare_block_params *from = &wide->blocks[0], *to = &w.student->blocks[0];
    expect_inputs(&w, wide->value + from->up.weight, NULL, KEPT,
                  w.student->value + to->up.weight, "up");
    cr_assert_arr_eq(w.student->value + to->up.bias, wide->value + from->up.bias,
                     KEPT * sizeof(float));
    expect_outputs(&w, wide->value + from->down.weight, KEPT, NULL, KEPT,
                   w.student->value + to->down.weight, "down");
    pare_params_free(wide);
    close_narrowing(&w);
}

Test(student_narrow, token_types_are_folded_into_narrower_positions)
{
    struct narrowing w;
    float sum[9 * WIDE];
    narrow(&w, PARE_DISTILBERT);
    for (size_t k = 0; k < 9 * WIDE; k++)
        sum[k] = w.teacher->value[w.teacher->positions + k] +
                 w.teacher->value[w.teacher->types + k % WIDE];
    expect_inputs(&w, sum, NULL, 9, w.student->value + w.student->positions, "positions");
    close_narrowing(&w);
}

Test(student_narrow, bytes_do_not_depend_on_threads_or_tier)
{
    static float E[600 * 64], P[24 * 64], expected[24 * 64];
    static const int threads[] = {1, 2, 7};
    struct pare_rng rng = {.seed = 3};
    for (size_t k = 0; k < 600 * 64; k++)
        E[k] = pare_rng_normal(&rng) / (float)(1 + k % 64);
    int first = 1;
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        TOY_OK(pare_cpu_select(pare_cpu_tier(tier), err));
        for (size_t i = 0; i < 3; i++) {
            pare_set_threads(threads[i]);
            find(E, 600, 64, 24, 7, P);
            if (first)
                memcpy(expected, P, sizeof P);
            first = 0;
            cr_assert_arr_eq(P, expected, sizeof P, "tier %s, %d threads",
                             pare_cpu_tier(tier), threads[i]);
        }
    }
}
