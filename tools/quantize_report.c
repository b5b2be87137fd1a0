/* What pare-quantize says of what it will do and has done: a table, a line, a report. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/memory.h"
#include "tools/quantize_inputs.h"

static uint64_t bytes_now(const struct pare_stored *stored, size_t i)
{
    const struct pare_weight weight = pare_stored_weight(stored, i);
    return pare_weight_bytes(&weight);
}

/* What slot i is stored as now. */
static const char *form_now(const struct pare_stored *stored, size_t i,
                            char out[PARE_FORM_SIZE])
{
    const struct pare_weight weight = pare_stored_weight(stored, i);
    return pare_weight_form(&weight, out);
}

struct totals {
    uint64_t parameters, before, after;
};

static struct totals add_up(const struct quantize_work *w)
{
    struct totals totals = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        totals.parameters += pare_slot_elements(&w->stored.plan.slots[i]);
        totals.before += bytes_now(&w->stored, i);
        totals.after += w->items[i].bytes;
    }
    return totals;
}

/* Of the columns of forms. */
static int form_width(const struct quantize_work *w)
{
    size_t width = 9;
    char form[PARE_FORM_SIZE];
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        const size_t now = strlen(form_now(&w->stored, i, form));
        const size_t then = strlen(w->items[i].form);
        width = now > width ? now : width;
        width = then > width ? then : width;
    }
    return (int)width;
}

void quantize_print_plan(const struct quantize_work *w)
{
    const struct pare_plan *plan = &w->stored.plan;
    const int width = form_width(w);
    printf("%-32s %-16s %-*s %-*s %12s %12s\n", "tensor", "shape", width, "from", width,
           "to", "bytes now", "bytes then");
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        char shape[64], form[PARE_FORM_SIZE];
        printf("%-32s %-16s %-*s %-*s %12llu %12llu%s\n", slot->name,
               pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape), width,
               form_now(&w->stored, i, form), width, w->items[i].form,
               (unsigned long long)bytes_now(&w->stored, i),
               (unsigned long long)w->items[i].bytes,
               w->items[i].fallback ? "  rows do not fit the blocks" : "");
    }
    const struct totals t = add_up(w);
    printf("%-32s %-16llu %-*s %-*s %12llu %12llu\n", "all",
           (unsigned long long)t.parameters, width, "", width, "",
           (unsigned long long)t.before, (unsigned long long)t.after);
    printf("%.3fx of the bytes, %.2f bits a weight\n", (double)t.after / (double)t.before,
           8.0 * (double)t.after / (double)t.parameters);
}

static struct pare_quant_error all_errors(const struct quantize_work *w)
{
    struct pare_quant_error all = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        all.squared_weight += w->errors[i].squared_weight;
        all.squared_error += w->errors[i].squared_error;
        if (w->errors[i].largest > all.largest)
            all.largest = w->errors[i].largest;
    }
    return all;
}

/* Output errors are mean squares over rows and outputs. */
static int add_solved_json(const struct quantize_solved *solved, cJSON *row)
{
    return cJSON_AddNumberToObject(row, "output_error", solved->loss) &&
           cJSON_AddNumberToObject(row, "output_error_rtn", solved->rtn) &&
           cJSON_AddNumberToObject(row, "damping", solved->damping) &&
           cJSON_AddNumberToObject(row, "escalations", solved->escalations) &&
           cJSON_AddNumberToObject(row, "dead_inputs", (double)solved->dead) &&
           (!solved->fallback || cJSON_AddTrueToObject(row, "solver_fallback"));
}

static int add_errors_json(const struct pare_quant_error *error, cJSON *json)
{
    return cJSON_AddNumberToObject(json, "relative_error",
                                   pare_quant_error_relative(error)) &&
           cJSON_AddNumberToObject(json, "largest_error", error->largest);
}

static int add_tensor_json(const struct quantize_work *w, size_t i, cJSON *list)
{
    cJSON *row = cJSON_CreateObject();
    char form[PARE_FORM_SIZE];
    if (!row || !cJSON_AddItemToArray(list, row)) {
        cJSON_Delete(row);
        return 0;
    }
    int made =
        cJSON_AddStringToObject(row, "name", w->stored.plan.slots[i].name) &&
        cJSON_AddStringToObject(row, "from", form_now(&w->stored, i, form)) &&
        cJSON_AddStringToObject(row, "to", w->items[i].form) &&
        cJSON_AddNumberToObject(row, "bytes_before", (double)bytes_now(&w->stored, i)) &&
        cJSON_AddNumberToObject(row, "bytes", (double)w->items[i].bytes);
    if (!made || w->items[i].scheme == PARE_SCHEME_KEEP)
        return made;
    return (w->o->dry_run || add_errors_json(&w->errors[i], row)) &&
           (!w->items[i].fallback || cJSON_AddTrueToObject(row, "fallback")) &&
           quantize_site_json(w, i, row) &&
           (!w->solved || !w->solved[i].done || add_solved_json(&w->solved[i], row));
}

enum pare_status quantize_write_report(const struct quantize_work *w,
                                       const struct quantize_costs *plan)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    cJSON *json = cJSON_CreateObject(), *options = quantize_options_json(w);
    int made = json && options &&
               cJSON_AddStringToObject(json, "tool", "pare-quantize") &&
               cJSON_AddStringToObject(json, "version", PARE_VERSION) &&
               cJSON_AddStringToObject(json, "input_sha256", w->sha256) &&
               cJSON_AddItemToObject(json, "options", options);
    if (made)
        options = NULL;
    cJSON *list = made ? cJSON_AddArrayToObject(json, "tensors") : NULL;
    made = list && cJSON_AddNumberToObject(json, "parameters", (double)t.parameters) &&
           cJSON_AddNumberToObject(json, "bytes_before", (double)t.before) &&
           cJSON_AddNumberToObject(json, "bytes", (double)t.after) &&
           (!plan || quantize_costs_json(plan, json)) &&
           (w->o->dry_run || add_errors_json(&all, json));
    for (size_t i = 0; made && i < w->stored.plan.count; i++)
        made = add_tensor_json(w, i, list);
    enum pare_status status = made ? pare_json_write_file(w->o->json, json, w->err)
                                   : pare_fail_memory(w->err, sizeof(cJSON));
    cJSON_Delete(options);
    cJSON_Delete(json);
    return status;
}

void quantize_tell_result(const struct quantize_work *w)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    char before[24], after[24];
    pare_cli_info(
        w->cli, "%s: %s, tensors %s -> %s (%.3fx, %.2f bits a weight), error %.3f %%",
        w->cli->output,
        quantize_has_budget(w->o)
            ? "mixed"
            : pare_scheme_name(scheme_options_scheme(&w->o->format)),
        pare_cli_bytes(t.before, before), pare_cli_bytes(t.after, after),
        (double)t.after / (double)t.before, 8.0 * (double)t.after / (double)t.parameters,
        100 * pare_quant_error_relative(&all));
    if (w->calibration.samples)
        pare_cli_info(w->cli, "peak memory %s",
                      pare_cli_bytes(pare_peak_memory(), before));
}
