/* What a run of pare-prune with a calibration text keeps beside its output, as
 * quantize_resume.c does: a record is a part: u64 its number + 1, then for each of its
 * matrices that is pruned 15 numbers and what is stored of it. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/sha256.h"
#include "tools/prune.h"

#define NUMBERS 15

enum pare_status prune_identify(const struct prune_work *w, char identity[65])
{
    const struct quantize_work *base = &w->base;
    cJSON *options = prune_options_json(w);
    char *text = options ? cJSON_PrintUnformatted(options) : NULL;
    cJSON_Delete(options);
    if (!text)
        return pare_fail_memory(base->err, sizeof(cJSON));
    const char *const parts[] = {"pare-prune",
                                 PARE_VERSION,
                                 base->sha256,
                                 text,
                                 w->o->json || base->cli->verbose ? "report" : "",
                                 w->o->strict ? "strict" : ""};
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        pare_sha256_update(&sha, parts[i], strlen(parts[i]) + 1);
    for (size_t i = 0; i < base->stored.plan.count; i++)
        pare_sha256_update(&sha, w->slots[i].form, strlen(w->slots[i].form) + 1);
    pare_sha256_hex(&sha, identity);
    cJSON_free(text);
    return PARE_OK;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_numbers(const struct prune_work *w, size_t i, uint8_t out[NUMBERS * 8])
{
    const struct prune_result *r = &w->results[i];
    const struct prune_form *form = &w->forms[i];
    const struct pare_sparse *sparse = &form->weight.sparse;
    const uint64_t numbers[NUMBERS] = {
        bits_of(r->error.squared_weight),
        bits_of(r->error.squared_error),
        bits_of(r->error.largest),
        r->zeros,
        bits_of(r->loss),
        bits_of(r->energy),
        bits_of(r->damping),
        r->dead,
        (uint64_t)(r->escalations << 1 | r->fallback),
        sparse->rows | (uint64_t)sparse->columns << 8,
        sparse->n | (uint64_t)sparse->m << 8,
        form->data_bytes,
        form->scale_bytes,
        form->kept_bytes,
        w->slots[i].bytes,
    };
    for (int n = 0; n < NUMBERS; n++)
        pare_store_u64(out + 8 * n, numbers[n]);
}

/* And memory for what is stored. */
static enum pare_status take_numbers(struct prune_work *w, size_t i,
                                     const uint8_t in[NUMBERS * 8])
{
    struct prune_form *form = &w->forms[i];
    struct pare_sparse *sparse = &form->weight.sparse;
    uint64_t n[NUMBERS];
    for (int k = 0; k < NUMBERS; k++)
        n[k] = pare_load_u64(in + 8 * k);
    w->results[i] = (struct prune_result){
        .error = {double_of(n[0]), double_of(n[1]), double_of(n[2])},
        .zeros = (size_t)n[3],
        .loss = double_of(n[4]),
        .energy = double_of(n[5]),
        .damping = double_of(n[6]),
        .dead = (size_t)n[7],
        .escalations = (int)(n[8] >> 1),
        .fallback = n[8] & 1};
    PARE_TRY(prune_form_make(w, i, form));
    *sparse = (struct pare_sparse){
        .rows = n[9] & 0xFF, .columns = n[9] >> 8, .n = n[10] & 0xFF, .m = n[10] >> 8};
    pare_free(form->data);
    form->data_bytes = (size_t)n[11];
    form->kept_bytes = (size_t)n[13];
    PARE_TRY(pare_alloc_raw(&form->data, form->data_bytes, 1, w->base.err));
    w->slots[i].bytes = n[14];
    return form->kept_bytes
               ? pare_alloc_raw(&form->kept, form->kept_bytes, 1, w->base.err)
               : PARE_OK;
}

static enum pare_status load(struct prune_work *w, size_t i)
{
    struct prune_form *form = &w->forms[i];
    struct pare_journal *journal = w->base.journal;
    uint8_t numbers[NUMBERS * 8];
    PARE_TRY(pare_journal_get(journal, numbers, sizeof numbers, w->base.err));
    PARE_TRY(take_numbers(w, i, numbers));
    PARE_TRY(pare_journal_get(journal, form->data, form->data_bytes, w->base.err));
    if (form->scale_bytes)
        PARE_TRY(pare_journal_get(journal, form->scale, form->scale_bytes, w->base.err));
    if (form->kept_bytes) {
        PARE_TRY(pare_journal_get(journal, form->kept, form->kept_bytes, w->base.err));
        PARE_TRY(prune_form_index(w, form));
    }
    w->slots[i].sparse = form->weight.sparse;
    prune_form_bind(w, i, form);
    pare_weight_form(&form->weight, w->slots[i].form);
    return PARE_OK;
}

enum pare_status prune_resume_load(struct prune_work *w, int part)
{
    uint8_t number[8];
    PARE_TRY(pare_journal_get(w->base.journal, number, sizeof number, w->base.err));
    if (pare_load_u64(number) != (uint64_t)(part + 1))
        return pare_fail(w->base.err, PARE_ERR_INPUT,
                         "%s: its parts are in another order; remove it to begin anew",
                         w->base.partial);
    for (size_t i = 0; i < w->base.stored.plan.count; i++)
        if (w->slots[i].pruned && quantize_part_of(&w->base.stored, i) == part)
            PARE_TRY(load(w, i));
    return PARE_OK;
}

static enum pare_status save(const struct prune_work *w, size_t i)
{
    const struct prune_form *form = &w->forms[i];
    struct pare_journal *journal = w->base.journal;
    uint8_t numbers[NUMBERS * 8];
    put_numbers(w, i, numbers);
    PARE_TRY(pare_journal_put(journal, numbers, sizeof numbers, w->base.err));
    PARE_TRY(pare_journal_put(journal, form->data, form->data_bytes, w->base.err));
    if (form->scale_bytes)
        PARE_TRY(pare_journal_put(journal, form->scale, form->scale_bytes, w->base.err));
    return form->kept_bytes
               ? pare_journal_put(journal, form->kept, form->kept_bytes, w->base.err)
               : PARE_OK;
}

enum pare_status prune_resume_save(struct prune_work *w, int part)
{
    struct pare_journal *journal = w->base.journal;
    const size_t count = w->base.stored.plan.count;
    uint8_t number[8];
    uint64_t total = sizeof number;
    for (size_t i = 0; i < count; i++)
        if (w->slots[i].pruned && quantize_part_of(&w->base.stored, i) == part)
            total += w->forms[i].data_bytes + w->forms[i].scale_bytes +
                     w->forms[i].kept_bytes + NUMBERS * 8;
    pare_store_u64(number, (uint64_t)(part + 1));
    PARE_TRY(pare_journal_begin(journal, total, w->base.err));
    PARE_TRY(pare_journal_put(journal, number, sizeof number, w->base.err));
    for (size_t i = 0; i < count; i++)
        if (w->slots[i].pruned && quantize_part_of(&w->base.stored, i) == part)
            PARE_TRY(save(w, i));
    w->base.saved = 1;
    return PARE_OK;
}
