/* Making a student from its teacher: see student.h. */
#include "libdistill/student.h"

#include <math.h>
#include <string.h>

#include "libdistill/student_narrow.h"
#include "runtime/tensor/gemm.h"

/* --- Config ----------------------------------------------------------------------- */

uint32_t pare_student_block(uint32_t s, uint32_t Ls, uint32_t Lt)
{
    return Ls > 1 ? (s * (Lt - 1) + (Ls - 1) / 2) / (Ls - 1) : 0;
}

static enum pare_status not_larger(const char *what, uint32_t student, uint32_t teacher,
                                   struct pare_error *err)
{
    if (student <= teacher)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE,
                     "%s of %u for the student, but the teacher has %u: only a random "
                     "student may be larger",
                     what, student, teacher);
}

static enum pare_status check_start(const struct pare_student_options *o,
                                    const struct pare_config *teacher,
                                    const struct pare_config *student,
                                    struct pare_error *err)
{
    PARE_TRY(not_larger("hidden width", student->hidden, teacher->hidden, err));
    PARE_TRY(not_larger("feed-forward width", student->ffn, teacher->ffn, err));
    if (!o->from)
        PARE_TRY(not_larger("number of blocks", student->layers, teacher->layers, err));
    if (pare_config_head_width(student) != pare_config_head_width(teacher))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%u heads of %u: the teacher's heads are %u wide, and a "
                         "student's must be too unless it is random",
                         student->heads, pare_config_head_width(student),
                         pare_config_head_width(teacher));
    PARE_TRY(not_larger("number of heads", student->heads, teacher->heads, err));
    if (o->from && o->n_from != student->layers)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%zu blocks of the teacher for a student of %u", o->n_from,
                         student->layers);
    for (size_t s = 0; o->from && s < o->n_from; s++)
        if (o->from[s] >= teacher->layers)
            return pare_fail(err, PARE_ERR_USAGE,
                             "the teacher has blocks 0 to %u, there is no block %u",
                             teacher->layers - 1, o->from[s]);
    return PARE_OK;
}

enum pare_status pare_student_config(const struct pare_student_options *options,
                                     const struct pare_config *teacher,
                                     struct pare_config *student, struct pare_error *err)
{
    const uint32_t D = pare_config_head_width(teacher);
    *student = *teacher;
    student->family = options->family;
    if (options->family == PARE_DISTILBERT)
        student->token_types = 0;
    else if (!student->token_types)
        student->token_types = 1;
    if (options->layers || options->n_from)
        student->layers = options->layers ? options->layers : (uint32_t)options->n_from;
    if (options->hidden)
        student->hidden = options->hidden;
    if (teacher->head_width) /* heads of a width of their own keep it */
        pare_config_set_heads(student, options->heads ? options->heads : teacher->heads,
                              D);
    else if (options->hidden || options->heads)
        student->heads = options->heads             ? options->heads
                         : student->hidden % D == 0 ? student->hidden / D
                                                    : 1;
    if (options->ffn)
        student->ffn = options->ffn;
    if (pare_config_check(student, "student", err) != PARE_OK)
        return PARE_ERR_USAGE; /* what it says is of the options */
    return options->draw ? PARE_OK : check_start(options, teacher, student, err);
}

/* --- What is kept ----------------------------------------------------------------- */

struct start {
    const struct pare_params *teacher;
    struct pare_params *student;
    size_t C, A, F, D; /* hidden, all heads, feed-forward, a head; and the student's */
    size_t c, a, f;
    const float *P;    /* [c, C], NULL: the width stays */
    uint32_t *columns; /* [a] attention columns kept, of the block at work */
    uint32_t *neurons; /* [f] likewise */
    double *score;     /* [max(F, heads)] */
    uint32_t *picked;  /* [heads] */
    float *rows;       /* [max(C, A, F), C] */
    struct pare_arena *arena;
    struct pare_error *err;
};

static double norm_of(const float *x, size_t n, size_t stride)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i * stride] * (double)x[i * stride];
    return sqrt(sum);
}

/* Score of a unit that reads with row r of `in` [., C] and writes column r of `out`
 * [C, width]. */
static double unit_score(const float *in, const float *out, size_t r, size_t C,
                         size_t width)
{
    return norm_of(in + r * C, C, 1) * norm_of(out + r, C, width);
}

static enum pare_status pick_neurons(const struct start *w, uint32_t block)
{
    const struct pare_block_params *from = &w->teacher->blocks[block];
    for (size_t r = 0; r < w->F; r++)
        w->score[r] = unit_score(w->teacher->value + from->up.weight,
                                 w->teacher->value + from->down.weight, r, w->C, w->F);
    return pare_pick_largest(w->score, w->F, w->f, w->neurons, w->arena, w->err);
}

static enum pare_status pick_columns(const struct start *w, uint32_t block)
{
    const struct pare_block_params *from = &w->teacher->blocks[block];
    const float *v = w->teacher->value + from->qkv.weight + 2 * w->A * w->C;
    const float *out = w->teacher->value + from->attn_out.weight;
    for (size_t h = 0; h < w->A / w->D; h++) {
        w->score[h] = 0;
        for (size_t r = h * w->D; r < (h + 1) * w->D; r++)
            w->score[h] += unit_score(v, out, r, w->C, w->A);
    }
    PARE_TRY(pare_pick_largest(w->score, w->A / w->D, w->a / w->D, w->picked, w->arena,
                               w->err));
    for (size_t i = 0; i < w->a; i++)
        w->columns[i] = w->picked[i / w->D] * (uint32_t)w->D + (uint32_t)(i % w->D);
    return PARE_OK;
}

/* --- Matrices in the student's width ---------------------------------------------- */

/* to[n, c] = from[n, C] P^T: the inputs become the student's hidden state. */
static enum pare_status narrow_inputs(const struct start *w, const float *from, size_t n,
                                      float *to)
{
    if (w->P)
        return pare_gemm(n, w->c, w->C, pare_rows(from, w->C),
                         pare_transposed(w->P, w->C), to, w->c, 0, w->arena, w->err);
    memcpy(to, from, n * w->C * sizeof *to);
    return PARE_OK;
}

/* to[c, n] = P from[C, n]: the outputs do; n = 1 for a bias. */
static enum pare_status narrow_outputs(const struct start *w, const float *from, size_t n,
                                       float *to)
{
    if (w->P)
        return pare_gemm(w->c, n, w->C, pare_rows(w->P, w->C), pare_rows(from, n), to, n,
                         0, w->arena, w->err);
    memcpy(to, from, w->C * n * sizeof *to);
    return PARE_OK;
}

static void take_rows(const float *from, size_t width, const uint32_t *rows, size_t n,
                      float *to)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * width, from + rows[i] * width, width * sizeof *to);
}

static void take_columns(const float *from, size_t rows, size_t width,
                         const uint32_t *columns, size_t n, float *to)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            to[r * n + i] = from[r * width + columns[i]];
}

/* A layer that reads the hidden state with chosen rows. */
static enum pare_status reading_layer(const struct start *w, size_t from_weight,
                                      size_t from_bias, const uint32_t *rows, size_t n,
                                      size_t to_weight, size_t to_bias)
{
    take_rows(w->teacher->value + from_weight, w->C, rows, n, w->rows);
    take_rows(w->teacher->value + from_bias, 1, rows, n, w->student->value + to_bias);
    return narrow_inputs(w, w->rows, n, w->student->value + to_weight);
}

/* A layer that writes the hidden state from chosen columns of `width`. */
static enum pare_status writing_layer(const struct start *w, struct pare_affine from,
                                      size_t width, const uint32_t *columns, size_t n,
                                      struct pare_affine to)
{
    take_columns(w->teacher->value + from.weight, w->C, width, columns, n, w->rows);
    PARE_TRY(
        narrow_outputs(w, w->teacher->value + from.bias, 1, w->student->value + to.bias));
    return narrow_outputs(w, w->rows, n, w->student->value + to.weight);
}

/* weight: diag(P diag(gamma) P^T); bias: P beta. */
static enum pare_status norm(const struct start *w, struct pare_affine from,
                             struct pare_affine to)
{
    const float *gamma = w->teacher->value + from.weight;
    float *out = w->student->value + to.weight;
    for (size_t i = 0; i < w->c; i++) {
        double sum = 0;
        for (size_t j = 0; w->P && j < w->C; j++)
            sum += (double)w->P[i * w->C + j] * (double)w->P[i * w->C + j] *
                   (double)gamma[j];
        out[i] = w->P ? (float)sum : gamma[i];
    }
    return narrow_outputs(w, w->teacher->value + from.bias, 1,
                          w->student->value + to.bias);
}

/* --- Parts of the model ----------------------------------------------------------- */

static enum pare_status start_block(const struct start *w, uint32_t s, uint32_t block)
{
    const struct pare_block_params *from = &w->teacher->blocks[block];
    const struct pare_block_params *to = &w->student->blocks[s];
    PARE_TRY(pick_columns(w, block));
    PARE_TRY(pick_neurons(w, block));
    for (size_t i = 0; i < 3; i++) /* query, key, value */
        PARE_TRY(reading_layer(
            w, from->qkv.weight + i * w->A * w->C, from->qkv.bias + i * w->A, w->columns,
            w->a, to->qkv.weight + i * w->a * w->c, to->qkv.bias + i * w->a));
    PARE_TRY(writing_layer(w, from->attn_out, w->A, w->columns, w->a, to->attn_out));
    PARE_TRY(norm(w, from->attn_norm, to->attn_norm));
    PARE_TRY(reading_layer(w, from->up.weight, from->up.bias, w->neurons, w->f,
                           to->up.weight, to->up.bias));
    PARE_TRY(writing_layer(w, from->down, w->F, w->neurons, w->f, to->down));
    return norm(w, from->out_norm, to->out_norm);
}

static enum pare_status start_embedding(const struct start *w)
{
    const struct pare_params *from = w->teacher;
    struct pare_params *to = w->student;
    const struct pare_config *a = &from->config, *b = &to->config;
    PARE_TRY(
        narrow_inputs(w, from->value + from->tokens, a->vocab, to->value + to->tokens));
    PARE_TRY(narrow_inputs(w, from->value + from->positions, a->positions,
                           to->value + to->positions));
    PARE_TRY(norm(w, from->embed_norm, to->embed_norm));
    if (a->token_types && b->token_types)
        return narrow_inputs(w, from->value + from->types, b->token_types,
                             to->value + to->types);
    if (b->token_types)
        memset(to->value + to->types, 0, b->token_types * w->c * sizeof(float));
    if (!a->token_types)
        return PARE_OK;
    PARE_TRY(narrow_inputs(w, from->value + from->types, 1, w->rows));
    for (size_t p = 0; p < b->positions; p++)
        pare_kernels()->add(to->value + to->positions + p * w->c, w->rows, w->c);
    return PARE_OK;
}

static enum pare_status start_head(const struct start *w)
{
    const struct pare_params *from = w->teacher;
    struct pare_params *to = w->student;
    if (to->config.has_pooler && from->config.has_pooler) {
        PARE_TRY(narrow_inputs(w, from->value + from->pooler.weight, w->C, w->rows));
        PARE_TRY(narrow_outputs(w, w->rows, w->c, to->value + to->pooler.weight));
        PARE_TRY(narrow_outputs(w, from->value + from->pooler.bias, 1,
                                to->value + to->pooler.bias));
    }
    const size_t Z = to->config.labels;
    if (!Z || from->config.labels != Z)
        return PARE_OK;
    memcpy(to->value + to->classifier.bias, from->value + from->classifier.bias,
           Z * sizeof(float));
    return narrow_inputs(w, from->value + from->classifier.weight, Z,
                         to->value + to->classifier.weight);
}

static enum pare_status allocate(struct start *w, uint64_t seed)
{
    const size_t most = w->A > w->F ? w->A : w->F;
    const size_t wide = most > w->C ? most : w->C;
    float *P;
    PARE_TRY(pare_arena_alloc(w->arena, &w->columns, w->a, sizeof(uint32_t), w->err));
    PARE_TRY(pare_arena_alloc(w->arena, &w->neurons, w->f, sizeof(uint32_t), w->err));
    PARE_TRY(pare_arena_alloc(w->arena, &w->picked, w->A, sizeof(uint32_t), w->err));
    PARE_TRY(pare_arena_alloc(w->arena, &w->score, wide, sizeof(double), w->err));
    PARE_TRY(pare_arena_alloc(w->arena, &w->rows, wide * w->C, sizeof(float), w->err));
    if (w->c == w->C)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(w->arena, &P, w->c * w->C, sizeof(float), w->err));
    w->P = P;
    return pare_leading_subspace(w->teacher->value + w->teacher->tokens,
                                 w->teacher->config.vocab, w->C, w->c, seed, P, w->arena,
                                 w->err);
}

static enum pare_status
start_all(struct start *w, const struct pare_student_options *options, uint64_t seed)
{
    const uint32_t Ls = w->student->config.layers, Lt = w->teacher->config.layers;
    PARE_TRY(allocate(w, seed));
    PARE_TRY(start_embedding(w));
    for (uint32_t s = 0; s < Ls; s++)
        PARE_TRY(start_block(
            w, s, options->from ? options->from[s] : pare_student_block(s, Ls, Lt)));
    return start_head(w);
}

enum pare_status pare_student_start(const struct pare_student_options *options,
                                    const struct pare_params *teacher,
                                    struct pare_params *student, uint64_t seed,
                                    struct pare_error *err)
{
    struct pare_arena arena = {0};
    struct start work = {
        .teacher = teacher,
        .student = student,
        .C = teacher->config.hidden,
        .A = pare_config_attention_width(&teacher->config),
        .F = teacher->config.ffn,
        .D = pare_config_head_width(&teacher->config),
        .c = student->config.hidden,
        .a = pare_config_attention_width(&student->config),
        .f = student->config.ffn,
        .arena = &arena,
        .err = err,
    };
    for (size_t i = 0; i < student->n_model; i++)
        pare_params_draw(student, i, seed);
    enum pare_status status = options->draw ? PARE_OK : start_all(&work, options, seed);
    pare_arena_free(&arena);
    return status;
}
