/* What structured pruning says of what it will do and has done. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/memory.h"
#include "tools/prune_structure_work.h"

/* --- Sizes ------------------------------------------------------------------------ */

static uint64_t bytes_then(const struct structure_work *w, size_t i)
{
    return pare_slot_elements(&w->plan.slots[i]) *
           pare_dtype_info(w->less.tensors[i]->type)->block_bytes;
}

struct totals {
    uint64_t parameters_before, parameters, before, after;
};

static struct totals add_up(const struct structure_work *w)
{
    struct totals t = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        t.parameters_before += pare_slot_elements(&w->stored.plan.slots[i]);
        t.before += w->stored.tensors[i]->bytes;
    }
    for (size_t i = 0; i < w->plan.count; i++) {
        t.parameters += pare_slot_elements(&w->plan.slots[i]);
        t.after += bytes_then(w, i);
    }
    return t;
}

/* --- Words ------------------------------------------------------------------------ */

void structure_print_plan(const struct structure_work *w)
{
    printf("%-32s %-32s %-16s %-16s %12s\n", "tensor", "of", "shape now", "shape then",
           "bytes then");
    for (size_t i = 0; i < w->plan.count; i++) {
        const struct pare_slot *slot = &w->plan.slots[i];
        const struct pare_tensor *from = w->less.tensors[i];
        char now[200], then[64];
        const int tokens = i == 0 && w->tokens.n_dims;
        pare_shape_text(from->n_dims, tokens ? w->stored.tensors[0]->shape : from->shape,
                        now, sizeof now);
        printf("%-32s %-32s %-16s %-16s %12llu\n", slot->name, from->name, now,
               pare_shape_text(slot->n_dims, slot->shape, then, sizeof then),
               (unsigned long long)bytes_then(w, i));
    }
    const struct totals t = add_up(w);
    printf("%llu of %llu parameters, %llu of %llu bytes, %.3fx\n",
           (unsigned long long)t.parameters, (unsigned long long)t.parameters_before,
           (unsigned long long)t.after, (unsigned long long)t.before,
           (double)t.after / (double)t.before);
}

void structure_tell_result(const struct structure_work *w)
{
    const struct totals t = add_up(w);
    const struct pare_config *c = &w->config;
    char before[24], after[24];
    pare_cli_info(
        w->cli,
        "%s: %u of %u blocks, %u of %u heads, %u of %u neurons, %u of %u tokens; "
        "tensors %s -> %s (%.3fx)",
        w->cli->output, c->layers, w->stored.config.layers, c->heads,
        w->stored.config.heads, c->ffn, w->stored.config.ffn, c->vocab,
        w->stored.config.vocab, pare_cli_bytes(t.before, before),
        pare_cli_bytes(t.after, after), (double)t.after / (double)t.before);
    if (w->calibration.samples)
        pare_cli_info(w->cli, "peak memory %s",
                      pare_cli_bytes(pare_peak_memory(), before));
}

/* --- JSON ------------------------------------------------------------------------- */

/* The blocks that stay, if some do not. */
static int add_layers(const struct structure_work *w, cJSON *json)
{
    cJSON *list;
    if (!w->o->layers)
        return 1;
    list = cJSON_AddArrayToObject(json, "layers");
    for (uint32_t s = 0; list && s < w->config.layers; s++) {
        cJSON *number = cJSON_CreateNumber(w->layers[s]);
        if (!number || !cJSON_AddItemToArray(list, number)) {
            cJSON_Delete(number);
            return 0;
        }
    }
    return list != NULL;
}

static int add_vocabulary(const struct structure_work *w, cJSON *json)
{
    const struct structure_options *o = w->o;
    cJSON *list;
    if (!o->vocab.count)
        return 1;
    list = cJSON_AddArrayToObject(json, "vocab_sha256");
    for (size_t i = 0; list && i < o->vocab.count; i++) {
        cJSON *text = cJSON_CreateString(w->vocab_sha256[i]);
        if (!text || !cJSON_AddItemToArray(list, text)) {
            cJSON_Delete(text);
            return 0;
        }
    }
    return list &&
           cJSON_AddNumberToObject(json, "vocab_min_count",
                                   o->vocab_min_count ? o->vocab_min_count : 1) &&
           cJSON_AddStringToObject(json, "vocab_characters",
                                   structure_characters[o->vocab_characters]);
}

cJSON *structure_options_json(const struct structure_work *w)
{
    const struct structure_options *o = w->o;
    const int solves = o->heads || o->ffn, calibrated = w->calibration.samples > 0;
    cJSON *json = cJSON_CreateObject();
    if (json && (!o->heads || cJSON_AddNumberToObject(json, "heads", o->heads)) &&
        (!o->ffn || cJSON_AddNumberToObject(json, "ffn", o->ffn)) &&
        add_layers(w, json) && add_vocabulary(w, json) &&
        (!solves || cJSON_AddBoolToObject(json, "compensation",
                                          calibrated && !o->no_compensation)) &&
        (!solves || !calibrated ||
         cJSON_AddNumberToObject(json, "damping", w->common->damping)) &&
        (w->common->correct <= 0 ||
         cJSON_AddNumberToObject(json, "correct", w->common->correct)) &&
        (!calibrated || calibration_history(&w->calibration, w->common->calibration,
                                            w->cli->seed, json)))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static int add_result(const struct structure_work *w, size_t i, cJSON *row)
{
    const struct structure_result *r = &w->results[i];
    return cJSON_AddNumberToObject(row, "groups", (double)r->groups) &&
           cJSON_AddNumberToObject(row, "kept", (double)r->keep) &&
           (!w->calibration.samples ||
            (cJSON_AddNumberToObject(row, "output_error", r->loss) &&
             cJSON_AddNumberToObject(row, "output_error_relative",
                                     r->energy > 0 ? r->loss / r->energy : 0) &&
             cJSON_AddNumberToObject(row, "output_error_dropped", r->dropped) &&
             cJSON_AddNumberToObject(row, "damping", r->damping) &&
             cJSON_AddNumberToObject(row, "escalations", r->escalations) &&
             cJSON_AddNumberToObject(row, "dead_inputs", (double)r->dead) &&
             (!r->fallback || cJSON_AddTrueToObject(row, "solver_fallback"))));
}

static int add_tensor(const struct structure_work *w, size_t i, cJSON *list)
{
    cJSON *row = cJSON_CreateObject();
    if (!row || !cJSON_AddItemToArray(list, row)) {
        cJSON_Delete(row);
        return 0;
    }
    return cJSON_AddStringToObject(row, "name", w->plan.slots[i].name) &&
           cJSON_AddStringToObject(row, "of", w->less.tensors[i]->name) &&
           cJSON_AddNumberToObject(row, "bytes", (double)bytes_then(w, i)) &&
           (!w->results[i].groups || add_result(w, i, row));
}

static int add_model(const char *key, const struct pare_config *c, cJSON *json)
{
    cJSON *model = cJSON_AddObjectToObject(json, key);
    return model && cJSON_AddNumberToObject(model, "layers", c->layers) &&
           cJSON_AddNumberToObject(model, "heads", c->heads) &&
           cJSON_AddNumberToObject(model, "feed_forward", c->ffn) &&
           cJSON_AddNumberToObject(model, "vocabulary", c->vocab);
}

enum pare_status structure_write_report(const struct structure_work *w)
{
    const struct totals t = add_up(w);
    cJSON *json = cJSON_CreateObject(), *options = structure_options_json(w);
    int made = json && options && cJSON_AddStringToObject(json, "tool", "pare-prune") &&
               cJSON_AddStringToObject(json, "version", PARE_VERSION) &&
               cJSON_AddStringToObject(json, "input_sha256", w->sha256) &&
               cJSON_AddItemToObject(json, "options", options);
    if (made)
        options = NULL;
    made = made && add_model("before", &w->stored.config, json) &&
           add_model("after", &w->config, json);
    cJSON *list = made ? cJSON_AddArrayToObject(json, "tensors") : NULL;
    made =
        list &&
        cJSON_AddNumberToObject(json, "parameters_before", (double)t.parameters_before) &&
        cJSON_AddNumberToObject(json, "parameters", (double)t.parameters) &&
        cJSON_AddNumberToObject(json, "bytes_before", (double)t.before) &&
        cJSON_AddNumberToObject(json, "bytes", (double)t.after);
    for (size_t i = 0; made && i < w->plan.count; i++)
        made = add_tensor(w, i, list);
    const enum pare_status status =
        made ? pare_json_write_file(w->common->json, json, w->err)
             : pare_fail_memory(w->err, sizeof(cJSON));
    cJSON_Delete(options);
    cJSON_Delete(json);
    return status;
}
