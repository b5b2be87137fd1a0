/* What a run of pare-quantize with a solver keeps beside its output, OUTPUT.partial, so
 * that after a crash the same command goes on: the codes of every finished part. Hidden
 * states are computed again, from these codes.
 *
 * A record is a part: u64 its number + 1, then for each of its slots that gets another
 * form the data, scales and zero points, and nine numbers for the report.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "tools/quantize_inputs.h"

#define NUMBERS 9 /* that are kept of a slot */

enum pare_status quantize_resume_open(struct quantize_work *w, const char *identity)
{
    struct pare_journal_found found;
    const int n = snprintf(w->partial, sizeof w->partial, "%s.partial", w->cli->output);
    if (n < 0 || (size_t)n >= sizeof w->partial)
        return pare_fail(w->err, PARE_ERR_USAGE, "%s: the path is too long",
                         w->cli->output);
    PARE_TRY(pare_journal_open(w->partial, identity, &w->journal, &found, w->err));
    w->finished = (int)found.records;
    if (found.other)
        pare_cli_warn(w->cli,
                      "%s was left by a run with other options, inputs or version: this "
                      "one starts anew",
                      w->partial);
    if (found.damaged)
        pare_cli_warn(w->cli, "%s is damaged behind %d finished parts", w->partial,
                      w->finished);
    if (w->finished)
        pare_cli_info(w->cli, "%s: going on after %d of %u finished parts", w->partial,
                      w->finished, w->stored.config.layers + 2);
    return PARE_OK;
}

int quantize_resume_has(const struct quantize_work *w, int part)
{
    return part + 1 < w->finished;
}

/* The pieces of a slot's record; returns how many. */
static int pieces_of(const struct quantize_form *form, void *numbers, void *data[4],
                     size_t bytes[4])
{
    void *const all[] = {form->data, form->scale, form->zero, numbers};
    const size_t sizes[] = {form->data_bytes, form->scale_bytes, form->zero_bytes,
                            NUMBERS * 8};
    int n = 0;
    for (int p = 0; p < 4; p++)
        if (sizes[p]) {
            data[n] = all[p];
            bytes[n++] = sizes[p];
        }
    return n;
}

static int is_kept_here(const struct quantize_work *w, size_t i, int part)
{
    return quantize_part_of(&w->stored, i) == part &&
           (w->items[i].scheme != PARE_SCHEME_KEEP || quantize_bias_is_made(w, i));
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

static void put_numbers(const struct quantize_work *w, size_t i, uint8_t out[NUMBERS * 8])
{
    const struct pare_quant_error *e = &w->errors[i];
    const struct quantize_solved *s = &w->solved[i];
    const uint64_t numbers[NUMBERS] = {
        bits_of(e->squared_weight),
        bits_of(e->squared_error),
        bits_of(e->largest),
        bits_of(s->loss),
        bits_of(s->rtn),
        bits_of(s->damping),
        s->dead,
        (uint64_t)s->escalations,
        (uint64_t)(s->done | s->fallback << 1),
    };
    for (int n = 0; n < NUMBERS; n++)
        pare_store_u64(out + 8 * n, numbers[n]);
}

static void take_numbers(struct quantize_work *w, size_t i, const uint8_t in[NUMBERS * 8])
{
    uint64_t n[NUMBERS];
    for (int k = 0; k < NUMBERS; k++)
        n[k] = pare_load_u64(in + 8 * k);
    w->errors[i] =
        (struct pare_quant_error){double_of(n[0]), double_of(n[1]), double_of(n[2])};
    w->solved[i] = (struct quantize_solved){.loss = double_of(n[3]),
                                            .rtn = double_of(n[4]),
                                            .damping = double_of(n[5]),
                                            .dead = (size_t)n[6],
                                            .escalations = (int)n[7],
                                            .done = n[8] & 1,
                                            .fallback = n[8] >> 1 & 1};
}

enum pare_status quantize_resume_load(struct quantize_work *w, int part,
                                      struct quantize_form *forms)
{
    uint8_t number[8], numbers[NUMBERS * 8];
    void *data[4];
    size_t bytes[4];
    PARE_TRY(pare_journal_get(w->journal, number, sizeof number, w->err));
    if (pare_load_u64(number) != (uint64_t)(part + 1))
        return pare_fail(w->err, PARE_ERR_INPUT,
                         "%s: its parts are in another order; remove it to begin anew",
                         w->partial);
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (!is_kept_here(w, i, part))
            continue;
        PARE_TRY(quantize_form_make(w, i, &forms[i]));
        const int n = pieces_of(&forms[i], numbers, data, bytes);
        for (int p = 0; p < n; p++)
            PARE_TRY(pare_journal_get(w->journal, data[p], bytes[p], w->err));
        take_numbers(w, i, numbers);
    }
    return PARE_OK;
}

enum pare_status quantize_resume_save(struct quantize_work *w, int part,
                                      const struct quantize_form *forms)
{
    uint8_t number[8], numbers[NUMBERS * 8];
    void *data[4];
    size_t bytes[4];
    uint64_t total = sizeof number;
    if (!w->journal)
        return PARE_OK; /* a trial */
    for (size_t i = 0; i < w->stored.plan.count; i++)
        if (is_kept_here(w, i, part))
            total += forms[i].data_bytes + forms[i].scale_bytes + forms[i].zero_bytes +
                     sizeof numbers;
    pare_store_u64(number, (uint64_t)(part + 1));
    PARE_TRY(pare_journal_begin(w->journal, total, w->err));
    PARE_TRY(pare_journal_put(w->journal, number, sizeof number, w->err));
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (!is_kept_here(w, i, part))
            continue;
        put_numbers(w, i, numbers);
        const int n = pieces_of(&forms[i], numbers, data, bytes);
        for (int p = 0; p < n; p++)
            PARE_TRY(pare_journal_put(w->journal, data[p], bytes[p], w->err));
    }
    w->saved = 1;
    return PARE_OK;
}

void quantize_resume_close(struct quantize_work *w, enum pare_status status)
{
    /* Another run would fail in the same way, or there is nothing to go on from. */
    const int keep = (status == PARE_ERR_INTERRUPTED || status == PARE_ERR_MEMORY ||
                      status == PARE_ERR_IO) &&
                     (w->saved || w->finished);
    if (w->journal && keep)
        pare_cli_info(w->cli,
                      "%s keeps what is done: the same command goes on from there",
                      w->partial);
    pare_journal_close(w->journal, !keep);
    w->journal = NULL;
}
