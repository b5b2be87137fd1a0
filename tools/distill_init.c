#include "tools/distill_init.h"

#include <string.h>

struct pair {
    const char *student, *teacher; /* paths */
    struct pare_error *err;
};

#define REMEDY "go on with a student of this teacher, or make one with --init teacher"

static enum pare_status check_labels(const struct pair *p,
                                     const struct pare_config *student,
                                     const struct pare_config *teacher)
{
    if (student->labels != teacher->labels)
        return pare_fail(p->err, PARE_ERR_USAGE,
                         "%s has %u labels, the teacher %s %u: " REMEDY, p->student,
                         student->labels, p->teacher, teacher->labels);
    for (uint32_t i = 0; i < student->labels; i++)
        if (strcmp(student->label[i], teacher->label[i]))
            return pare_fail(p->err, PARE_ERR_USAGE,
                             "label %u is \"%.60s\" in %s, \"%.60s\" in the teacher "
                             "%s: " REMEDY,
                             i, student->label[i], p->student, teacher->label[i],
                             p->teacher);
    return PARE_OK;
}

static int same_text(struct pare_text a, struct pare_text b)
{
    return a.length == b.length && (!a.length || !memcmp(a.data, b.data, a.length));
}

static enum pare_status check_pieces(const struct pair *p,
                                     const struct pare_tokenizer *student,
                                     const struct pare_tokenizer *teacher)
{
    const size_t n = pare_tokenizer_vocab_size(student);
    if (n != pare_tokenizer_vocab_size(teacher))
        return pare_fail(p->err, PARE_ERR_USAGE,
                         "%s has a vocabulary of %zu pieces, the teacher %s one of "
                         "%zu: " REMEDY,
                         p->student, n, p->teacher, pare_tokenizer_vocab_size(teacher));
    for (size_t i = 0; i < n; i++) {
        const struct pare_text a = pare_tokenizer_piece(student, (int32_t)i);
        const struct pare_text b = pare_tokenizer_piece(teacher, (int32_t)i);
        if (!same_text(a, b))
            return pare_fail(p->err, PARE_ERR_USAGE,
                             "piece %zu of the vocabulary is \"%.*s\" in %s, \"%.*s\" in "
                             "the teacher %s: " REMEDY,
                             i, (int)(a.length < 60 ? a.length : 60), a.data, p->student,
                             (int)(b.length < 60 ? b.length : 60), b.data, p->teacher);
    }
    return PARE_OK;
}

/* Of values as pare_tokenizer_to_meta makes them: u32, bool, text and arrays. */
static int same_value(const struct pare_meta_value *a, const struct pare_meta_value *b)
{
    if (a->type != b->type)
        return 0;
    if (a->type == PARE_META_STRING)
        return same_text(a->text, b->text);
    if (a->type != PARE_META_ARRAY)
        return a->u == b->u;
    if (a->element != b->element || a->count != b->count)
        return 0;
    if (a->element != PARE_META_STRING) /* of 32 bits */
        return !memcmp(a->elements, b->elements, 4 * a->count);
    const struct pare_text *x = a->elements, *y = b->elements;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(x[i], y[i]))
            return 0;
    return 1;
}

/* A key that only `a` has, or with another value; NULL: none. */
static const char *other_key(const struct pare_meta *a, const struct pare_meta *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct pare_meta_value *value = pare_meta_find(b, a->values[i].key);
        if (!value || !same_value(&a->values[i], value))
            return a->values[i].key;
    }
    return NULL;
}

/* What a tokenizer says of itself, written anew: containers may say it in several ways.
 */
static enum pare_status check_settings(const struct pair *p,
                                       const struct pare_tokenizer *student,
                                       const struct pare_tokenizer *teacher)
{
    struct pare_meta a = {0}, b = {0};
    enum pare_status status = pare_tokenizer_to_meta(student, &a, p->err);
    if (status == PARE_OK)
        status = pare_tokenizer_to_meta(teacher, &b, p->err);
    const char *key = other_key(&a, &b);
    if (status == PARE_OK && !key)
        key = other_key(&b, &a);
    if (status == PARE_OK && key)
        status = pare_fail(p->err, PARE_ERR_USAGE,
                           "the tokenizers of %s and of the teacher %s differ in "
                           "%s: " REMEDY,
                           p->student, p->teacher, key);
    pare_meta_free(&a);
    pare_meta_free(&b);
    return status;
}

enum pare_status distill_init_check(const struct pare_stored *student,
                                    const char *student_path,
                                    const struct pare_model *teacher,
                                    const char *teacher_path, struct pare_error *err)
{
    const struct pair p = {student_path, teacher_path, err};
    struct pare_tokenizer *tokenizer;
    PARE_TRY(check_labels(&p, &student->config, &teacher->config));
    enum pare_status status =
        pare_tokenizer_from_meta(&student->ckpt->meta, &tokenizer, err);
    if (status != PARE_OK)
        return pare_fail_in(err, status, "%s", student_path);
    if (!tokenizer)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s has no tokenizer to compare with the teacher's; convert it "
                         "with its vocabulary",
                         student_path);
    status = check_pieces(&p, tokenizer, teacher->tokenizer);
    if (status == PARE_OK)
        status = check_settings(&p, tokenizer, teacher->tokenizer);
    pare_tokenizer_free(tokenizer);
    return status;
}
