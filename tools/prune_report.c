/* What pare-prune says of what it will do and has done: a table, a line, a report, the
 * container's metadata. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/model/container.h"
#include "tools/prune.h"

static uint64_t bytes_now(const struct prune_work *w, size_t i)
{
    const struct pare_weight weight = pare_stored_weight(&w->base.stored, i);
    return pare_weight_bytes(&weight);
}

static const char *form_now(const struct prune_work *w, size_t i,
                            char out[PARE_FORM_SIZE])
{
    const struct pare_weight weight = pare_stored_weight(&w->base.stored, i);
    return pare_weight_form(&weight, out);
}

/* "50%", "2:4", "80%/1x4", "keep"; "" for what is not pruned. */
#define PATTERN_SIZE 32
static const char *pattern_text(const struct prune_slot *slot, char out[PATTERN_SIZE])
{
    const struct pare_pattern *p = &slot->pattern;
    out[0] = 0;
    if (slot->keep)
        snprintf(out, PATTERN_SIZE, "keep");
    else if (slot->pruned && p->m)
        snprintf(out, PATTERN_SIZE, "%zu:%zu", p->n, p->m);
    else if (slot->pruned && p->rows * p->columns > 1)
        snprintf(out, PATTERN_SIZE, "%.4g%%/%zux%zu", 100 * p->sparsity, p->rows,
                 p->columns);
    else if (slot->pruned)
        snprintf(out, PATTERN_SIZE, "%.4g%%", 100 * p->sparsity);
    return out;
}

struct totals {
    uint64_t parameters, before, after, pruned, zeros;
    struct pare_quant_error error;
};

/* `made`: of what has been, else of what is planned. */
static struct totals add_up(const struct prune_work *w, int made)
{
    struct totals t = {0};
    for (size_t i = 0; i < w->base.stored.plan.count; i++) {
        const struct prune_result *r = &w->results[i];
        const uint64_t n = pare_slot_elements(&w->base.stored.plan.slots[i]);
        t.parameters += n;
        t.before += bytes_now(w, i);
        t.after += w->slots[i].bytes;
        t.pruned += w->slots[i].pruned ? n : 0;
        t.zeros += made ? r->zeros : w->slots[i].zeros;
        t.error.squared_weight += r->error.squared_weight;
        t.error.squared_error += r->error.squared_error;
        if (r->error.largest > t.error.largest)
            t.error.largest = r->error.largest;
    }
    return t;
}

static double share(uint64_t part, uint64_t all)
{
    return all ? (double)part / (double)all : 0;
}

/* How many matrices are stored sparse, and are quicker so with one token, and with a
 * sentence. */
struct quicker {
    size_t sparse, one, sentence;
};
#define SENTENCE 128 /* tokens */

static struct quicker count_quicker(const struct prune_work *w, int made)
{
    struct quicker q = {0};
    for (size_t i = 0; i < w->base.stored.plan.count; i++) {
        const size_t zeros = made ? w->results[i].zeros : w->slots[i].zeros;
        if (!w->slots[i].pruned || !w->slots[i].sparse.rows)
            continue;
        q.sparse++;
        q.one += (size_t)prune_form_pays(w, i, zeros, 1);
        q.sentence += (size_t)prune_form_pays(w, i, zeros, SENTENCE);
    }
    return q;
}

#define QUICKER                                                                          \
    "of %zu sparse matrices %zu are quicker than dense ones of their format with 1 "     \
    "token, %zu with %d (%s kernels)"

void prune_print_plan(const struct prune_work *w)
{
    const struct pare_plan *plan = &w->base.stored.plan;
    printf("%-32s %-12s %-10s %-10s %-16s %12s %12s\n", "tensor", "shape", "sparsity",
           "from", "to", "bytes now", "bytes then");
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        char shape[64], form[PARE_FORM_SIZE], pattern[PATTERN_SIZE];
        printf("%-32s %-12s %-10s %-10s %-16s %12llu %12llu%s\n", slot->name,
               pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape),
               pattern_text(&w->slots[i], pattern), form_now(w, i, form),
               w->slots[i].form, (unsigned long long)bytes_now(w, i),
               (unsigned long long)w->slots[i].bytes,
               w->slots[i].other ? "  its shape does not fit the pattern" : "");
    }
    const struct totals t = add_up(w, 0);
    printf("%-32s %-12llu %-10s %-10s %-16s %12llu %12llu\n", "all",
           (unsigned long long)t.parameters, "", "", "", (unsigned long long)t.before,
           (unsigned long long)t.after);
    printf("%.3fx of the bytes, %.2f bits a weight; %.2f %% of %llu pruned weights are "
           "zero\n",
           share(t.after, t.before), 8 * share(t.after, t.parameters),
           100 * share(t.zeros, t.pruned), (unsigned long long)t.pruned);
    const struct quicker q = count_quicker(w, 0);
    if (q.sparse)
        printf(QUICKER "\n", q.sparse, q.one, q.sentence, SENTENCE, w->base.cli->cpu);
}

/* --- JSON ------------------------------------------------------------------------- */

static int add_list(cJSON *object, const char *key, const struct pare_cli_list *list)
{
    if (!list->count)
        return 1;
    cJSON *items = cJSON_CreateStringArray(list->items, (int)list->count);
    return items && cJSON_AddItemToObject(object, key, items);
}

cJSON *prune_options_json(const struct prune_work *w)
{
    const struct prune_options *o = w->o;
    const int calibrated = w->calibration.samples > 0;
    cJSON *json = cJSON_CreateObject();
    if (json &&
        (!o->sparsity || cJSON_AddStringToObject(json, "sparsity", o->sparsity)) &&
        cJSON_AddStringToObject(json, "solver", prune_solvers[w->solver]) &&
        (o->spread == PRUNE_UNIFORM ||
         cJSON_AddStringToObject(json, "spread", prune_spreads[o->spread])) &&
        cJSON_AddStringToObject(json, "scheme",
                                pare_scheme_name((enum pare_scheme)o->scheme)) &&
        (o->group_size < 0 ||
         cJSON_AddNumberToObject(json, "group_size", o->group_size)) &&
        add_list(json, "override", &o->override) && add_list(json, "skip", &o->skip) &&
        (!calibrated ||
         (cJSON_AddNumberToObject(json, "passes", o->passes) &&
          cJSON_AddNumberToObject(json, "damping", o->damping) &&
          (o->correct <= 0 || cJSON_AddNumberToObject(json, "correct", o->correct)) &&
          (!o->sequential || cJSON_AddTrueToObject(json, "sequential")) &&
          calibration_history(&w->calibration, &o->calibration, w->base.cli->seed,
                              json))))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static int add_result_json(const struct prune_work *w, size_t i, cJSON *row)
{
    const struct prune_result *r = &w->results[i];
    const double n = (double)pare_slot_elements(&w->base.stored.plan.slots[i]);
    return cJSON_AddNumberToObject(row, "sparsity", (double)r->zeros / n) &&
           cJSON_AddNumberToObject(row, "relative_error",
                                   pare_quant_error_relative(&r->error)) &&
           cJSON_AddNumberToObject(row, "largest_error", r->error.largest) &&
           (!w->calibration.samples ||
            (cJSON_AddNumberToObject(row, "output_error", r->loss) &&
             cJSON_AddNumberToObject(row, "output_error_relative",
                                     r->energy > 0 ? r->loss / r->energy : 0) &&
             cJSON_AddNumberToObject(row, "damping", r->damping) &&
             cJSON_AddNumberToObject(row, "escalations", r->escalations) &&
             cJSON_AddNumberToObject(row, "dead_inputs", (double)r->dead) &&
             (!r->fallback || cJSON_AddTrueToObject(row, "solver_fallback"))));
}

static int add_tensor_json(const struct prune_work *w, size_t i, cJSON *list)
{
    const struct prune_slot *slot = &w->slots[i];
    const uint64_t n = pare_slot_elements(&w->base.stored.plan.slots[i]);
    char form[PARE_FORM_SIZE], pattern[PATTERN_SIZE];
    cJSON *row = cJSON_CreateObject();
    if (!row || !cJSON_AddItemToArray(list, row)) {
        cJSON_Delete(row);
        return 0;
    }
    return cJSON_AddStringToObject(row, "name", w->base.stored.plan.slots[i].name) &&
           cJSON_AddStringToObject(row, "from", form_now(w, i, form)) &&
           cJSON_AddStringToObject(row, "to", slot->form) &&
           cJSON_AddNumberToObject(row, "bytes_before", (double)bytes_now(w, i)) &&
           cJSON_AddNumberToObject(row, "bytes", (double)slot->bytes) &&
           cJSON_AddNumberToObject(row, "bits_a_weight", 8 * share(slot->bytes, n)) &&
           (!slot->pruned ||
            (cJSON_AddStringToObject(row, "pattern", pattern_text(slot, pattern)) &&
             (!slot->other || cJSON_AddTrueToObject(row, "fallback")) &&
             (w->o->dry_run || add_result_json(w, i, row))));
}

enum pare_status prune_write_report(const struct prune_work *w)
{
    const struct totals t = add_up(w, !w->o->dry_run);
    cJSON *json = cJSON_CreateObject(), *options = prune_options_json(w);
    int made = json && options && cJSON_AddStringToObject(json, "tool", "pare-prune") &&
               cJSON_AddStringToObject(json, "version", PARE_VERSION) &&
               cJSON_AddStringToObject(json, "input_sha256", w->base.sha256) &&
               cJSON_AddItemToObject(json, "options", options);
    if (made)
        options = NULL;
    cJSON *list = made ? cJSON_AddArrayToObject(json, "tensors") : NULL;
    made = list && cJSON_AddNumberToObject(json, "parameters", (double)t.parameters) &&
           cJSON_AddNumberToObject(json, "bytes_before", (double)t.before) &&
           cJSON_AddNumberToObject(json, "bytes", (double)t.after) &&
           cJSON_AddNumberToObject(json, "bits_a_weight",
                                   8 * share(t.after, t.parameters)) &&
           cJSON_AddNumberToObject(json, "pruned_weights", (double)t.pruned) &&
           cJSON_AddNumberToObject(json, "sparsity", share(t.zeros, t.pruned)) &&
           (w->o->dry_run ||
            (cJSON_AddNumberToObject(json, "relative_error",
                                     pare_quant_error_relative(&t.error)) &&
             cJSON_AddNumberToObject(json, "largest_error", t.error.largest)));
    for (size_t i = 0; made && i < w->base.stored.plan.count; i++)
        made = add_tensor_json(w, i, list);
    enum pare_status status = made ? pare_json_write_file(w->o->json, json, w->base.err)
                                   : pare_fail_memory(w->base.err, sizeof(cJSON));
    cJSON_Delete(options);
    cJSON_Delete(json);
    return status;
}

enum pare_status prune_meta(const struct prune_work *w, struct pare_meta *meta)
{
    const struct quantize_work *base = &w->base;
    const struct pare_meta *from = &base->stored.ckpt->meta;
    const enum pare_scheme scheme = (enum pare_scheme)w->o->scheme;
    const char *name = pare_scheme_name(scheme);
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], base->err));
    PARE_TRY(pare_file_type_set(meta, pare_scheme_type(scheme, PARE_F32), base->err));
    PARE_TRY(pare_meta_set_string(meta, "pare.scheme", name, strlen(name), base->err));
    cJSON *options = prune_options_json(w);
    if (!options)
        return pare_fail_memory(base->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-prune", base->sha256, options, base->err);
    cJSON_Delete(options);
    return status;
}

void prune_tell_result(const struct prune_work *w)
{
    const struct totals t = add_up(w, 1);
    char before[24], after[24];
    pare_cli_info(w->base.cli,
                  "%s: %.2f %% of %llu weights are zero, tensors %s -> %s (%.3fx, %.2f "
                  "bits a weight), error %.3f %%",
                  w->base.cli->output, 100 * share(t.zeros, t.pruned),
                  (unsigned long long)t.pruned, pare_cli_bytes(t.before, before),
                  pare_cli_bytes(t.after, after), share(t.after, t.before),
                  8 * share(t.after, t.parameters),
                  100 * pare_quant_error_relative(&t.error));
    const struct quicker q = count_quicker(w, 1);
    if (q.sparse)
        pare_cli_info(w->base.cli, QUICKER, q.sparse, q.one, q.sentence, SENTENCE,
                      w->base.cli->cpu);
    if (w->calibration.samples)
        pare_cli_info(w->base.cli, "peak memory %s",
                      pare_cli_bytes(pare_peak_memory(), before));
}
