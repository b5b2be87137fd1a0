/* The distillation loss put together: see distill.h. */
#include "libdistill/distill.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libdistill/distill_terms.h"
#include "runtime/base/alloc.h"
#include "runtime/base/rng.h"

/* Stream of the seed: see params.c. */
#define PROJECTION_STREAM ((uint64_t)3 << 60)

struct pare_distiller {
    struct pare_distill_options options;
    const struct pare_teacher *teacher;
    struct pare_params *student;
    uint8_t *student_hidden, *student_qkv; /* [Ls + 1], [Ls] */
    uint8_t *teacher_hidden, *teacher_qkv; /* [Lt + 1], [Lt] */
    int n_used, used[PARE_PARTS];          /* terms that have a weight */
    const char *names[PARE_PARTS];         /* of those */
    struct pare_arena arena, scratch;
};

/* --- Options ---------------------------------------------------------------------- */

struct pare_distill_options pare_distill_options_default(void)
{
    return (struct pare_distill_options){.hard = 0.5, .soft = 0.5, .temperature = 2};
}

void pare_distill_map_evenly(struct pare_distill_options *options, uint32_t Ls,
                             uint32_t Lt)
{
    options->n_map = 0;
    for (uint32_t s = 0; s <= Ls && options->n_map < PARE_MAX_PAIRS; s++)
        options->map[options->n_map++] =
            (struct pare_layer_pair){s, (s * Lt + Ls / 2) / Ls};
    options->relation_student = Ls - 1;
    options->relation_teacher = Lt - 1;
}

static int looks_at_hidden(const struct pare_distill_options *o)
{
    return o->cosine > 0 || o->mse > 0 || o->first > 0;
}

static int looks_at_qkv(const struct pare_distill_options *o)
{
    return o->relation > 0 || o->attention > 0;
}

static const char *const part_names[PARE_PARTS] = {
    [PARE_PART_HARD] = "hard",           [PARE_PART_SOFT] = "soft",
    [PARE_PART_COSINE] = "cosine",       [PARE_PART_MSE] = "mse",
    [PARE_PART_FIRST] = "first",         [PARE_PART_RELATION] = "relation",
    [PARE_PART_ATTENTION] = "attention",
};

static double weight_of(const struct pare_distill_options *o, int part)
{
    const double weights[PARE_PARTS] = {
        [PARE_PART_HARD] = o->hard,           [PARE_PART_SOFT] = o->soft,
        [PARE_PART_COSINE] = o->cosine,       [PARE_PART_MSE] = o->mse,
        [PARE_PART_FIRST] = o->first,         [PARE_PART_RELATION] = o->relation,
        [PARE_PART_ATTENTION] = o->attention,
    };
    return weights[part];
}

static enum pare_status check_weights(const struct pare_distill_options *o,
                                      struct pare_error *err)
{
    double sum = 0;
    for (int i = 0; i < PARE_PARTS; i++) {
        const double weight = weight_of(o, i);
        if (!(weight >= 0))
            return pare_fail(err, PARE_ERR_USAGE, "the weight of the %s loss is %g",
                             part_names[i], weight);
        sum += weight;
    }
    if (!(sum > 0))
        return pare_fail(err, PARE_ERR_USAGE,
                         "no loss has a weight: there is nothing to learn");
    if (!(o->temperature > 0))
        return pare_fail(err, PARE_ERR_USAGE, "the temperature must be above 0");
    return PARE_OK;
}

static enum pare_status check_map(const struct pare_distill_options *o,
                                  const struct pare_config *student,
                                  const struct pare_config *teacher,
                                  struct pare_error *err)
{
    if (!o->n_map)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a loss of hidden states needs a layer map");
    for (size_t i = 0; i < o->n_map; i++)
        if (o->map[i].student > student->layers || o->map[i].teacher > teacher->layers)
            return pare_fail(err, PARE_ERR_USAGE,
                             "layer map %u:%u: the student has states 0 to %u, the "
                             "teacher 0 to %u",
                             o->map[i].student, o->map[i].teacher, student->layers,
                             teacher->layers);
    if (student->hidden != teacher->hidden && !o->project)
        return pare_fail(err, PARE_ERR_USAGE,
                         "hidden states of width %u and %u need a projection",
                         student->hidden, teacher->hidden);
    return PARE_OK;
}

static enum pare_status check_relation(const struct pare_distill_options *o,
                                       const struct pare_config *student,
                                       const struct pare_config *teacher,
                                       struct pare_error *err)
{
    if (o->relation_student >= student->layers || o->relation_teacher >= teacher->layers)
        return pare_fail(err, PARE_ERR_USAGE,
                         "relation of blocks %u:%u: the student has %u blocks, the "
                         "teacher %u",
                         o->relation_student, o->relation_teacher, student->layers,
                         teacher->layers);
    const uint32_t width = pare_config_attention_width(student);
    const uint32_t width_teacher = pare_config_attention_width(teacher);
    if (!o->relation_heads || width % o->relation_heads ||
        width_teacher % o->relation_heads)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%u relation heads do not divide the widths %u and %u",
                         o->relation_heads, width, width_teacher);
    return PARE_OK;
}

enum pare_status pare_distill_check(const struct pare_distill_options *options,
                                    const struct pare_config *student,
                                    const struct pare_config *teacher,
                                    struct pare_error *err)
{
    PARE_TRY(check_weights(options, err));
    if (looks_at_hidden(options))
        PARE_TRY(check_map(options, student, teacher, err));
    if (looks_at_qkv(options))
        PARE_TRY(check_relation(options, student, teacher, err));
    if (student->labels != teacher->labels)
        return pare_fail(err, PARE_ERR_USAGE, "the student has %u labels, the teacher %u",
                         student->labels, teacher->labels);
    return PARE_OK;
}

/* --- Projections ------------------------------------------------------------------ */

static int projects(const struct pare_distill_options *options)
{
    return looks_at_hidden(options) && options->project;
}

size_t pare_distill_extras(const struct pare_distill_options *options,
                           const struct pare_config *student,
                           const struct pare_config *teacher, struct pare_extra *extras)
{
    if (!projects(options))
        return 0;
    for (size_t i = 0; i < options->n_map; i++) {
        extras[i] = (struct pare_extra){
            .rows = teacher->hidden, .columns = student->hidden, .decays = 1};
        snprintf(extras[i].name, sizeof extras[i].name, "train.projection.%u.%u",
                 options->map[i].student, options->map[i].teacher);
    }
    return options->n_map;
}

void pare_distill_draw(const struct pare_distill_options *options,
                       const struct pare_config *teacher, struct pare_params *student,
                       uint64_t seed)
{
    const size_t C = student->config.hidden;
    const float std = 1.0f / sqrtf((float)C);
    for (size_t i = 0; projects(options) && i < options->n_map; i++) {
        float *W = student->value + student->start[student->n_model + i];
        struct pare_rng rng = {.seed = seed, .stream = PROJECTION_STREAM + i};
        for (size_t r = 0; r < teacher->hidden; r++)
            for (size_t c = 0; c < C; c++)
                W[r * C + c] =
                    teacher->hidden == C ? (float)(r == c) : std * pare_rng_normal(&rng);
    }
}

/* --- The loss --------------------------------------------------------------------- */

static enum pare_status flags(struct pare_distiller *d, uint8_t **out, size_t n,
                              struct pare_error *err)
{
    PARE_TRY(pare_arena_alloc(&d->arena, out, n, 1, err));
    memset(*out, 0, n);
    return PARE_OK;
}

static enum pare_status note_wants(struct pare_distiller *d,
                                   const struct pare_config *student,
                                   const struct pare_config *teacher,
                                   struct pare_error *err)
{
    const struct pare_distill_options *o = &d->options;
    if (looks_at_hidden(o)) {
        PARE_TRY(flags(d, &d->student_hidden, student->layers + 1, err));
        PARE_TRY(flags(d, &d->teacher_hidden, teacher->layers + 1, err));
        for (size_t i = 0; i < o->n_map; i++) {
            d->student_hidden[o->map[i].student] = 1;
            d->teacher_hidden[o->map[i].teacher] = 1;
        }
    }
    if (looks_at_qkv(o)) {
        PARE_TRY(flags(d, &d->student_qkv, student->layers, err));
        PARE_TRY(flags(d, &d->teacher_qkv, teacher->layers, err));
        d->student_qkv[o->relation_student] = 1;
        d->teacher_qkv[o->relation_teacher] = 1;
    }
    return PARE_OK;
}

enum pare_status pare_distiller_new(const struct pare_distill_options *options,
                                    const struct pare_config *student,
                                    const struct pare_config *teacher,
                                    struct pare_distiller **out, struct pare_error *err)
{
    struct pare_distiller *d;
    *out = NULL;
    PARE_TRY(pare_distill_check(options, student, teacher, err));
    PARE_TRY(pare_alloc(&d, 1, sizeof *d, err));
    d->options = *options;
    for (int i = 0; i < PARE_PARTS; i++) {
        if (!(weight_of(options, i) > 0))
            continue;
        d->names[d->n_used] = part_names[i];
        d->used[d->n_used++] = i;
    }
    enum pare_status status = note_wants(d, student, teacher, err);
    if (status != PARE_OK) {
        pare_distiller_free(d);
        return status;
    }
    *out = d;
    return PARE_OK;
}

void pare_distiller_free(struct pare_distiller *distiller)
{
    if (!distiller)
        return;
    pare_arena_free(&distiller->arena);
    pare_arena_free(&distiller->scratch);
    pare_free(distiller);
}

struct pare_teacher_wants pare_distiller_wants(const struct pare_distiller *distiller)
{
    const struct pare_distill_options *o = &distiller->options;
    return (struct pare_teacher_wants){
        .hidden = distiller->teacher_hidden,
        .qkv = distiller->teacher_qkv,
        .first_tokens = !(o->cosine > 0 || o->mse > 0),
    };
}

static enum pare_status run(void *context, const struct pare_loss_input *input,
                            const struct pare_loss_grads *grads, double *parts,
                            struct pare_error *err)
{
    struct pare_distiller *d = context;
    const struct pare_distill_call call = {
        .options = &d->options,
        .teacher = d->teacher,
        .student = d->student,
        .input = input,
        .grads = grads,
        .scratch = &d->scratch,
        .err = err,
    };
    double all[PARE_PARTS] = {0};
    if (d->options.hard > 0 || d->options.soft > 0)
        PARE_TRY(pare_distill_logits(&call, all));
    if (looks_at_hidden(&d->options))
        PARE_TRY(pare_distill_hidden(&call, all));
    if (looks_at_qkv(&d->options))
        PARE_TRY(pare_distill_relation(&call, all));
    for (int i = 0; i < d->n_used; i++)
        parts[i] = all[d->used[i]];
    return PARE_OK;
}

struct pare_loss pare_distiller_loss(struct pare_distiller *distiller,
                                     const struct pare_teacher *teacher,
                                     struct pare_params *student)
{
    distiller->teacher = teacher;
    distiller->student = student;
    return (struct pare_loss){
        .run = run,
        .context = distiller,
        .unlabelled = 1,
        .n_parts = distiller->n_used,
        .part_names = distiller->names,
        .hidden = distiller->student_hidden,
        .qkv = distiller->student_qkv,
    };
}
