/* What a container that pare-quantize wrote says of itself, and which run is which. */
#include <string.h>

#include "runtime/base/sha256.h"
#include "runtime/model/container.h"
#include "tools/quantize.h"

/* What the formats were chosen for takes the scheme's place. */
static int budget_history(const struct quantize_work *w, cJSON *json)
{
    const struct quantize_options *o = w->o;
    if (!quantize_has_budget(o))
        return 1;
    cJSON_DeleteItemFromObject(json, "scheme");
    return (!o->target_size ||
            cJSON_AddStringToObject(json, "target_size", o->target_size)) &&
           (o->target_ratio < 0 ||
            cJSON_AddNumberToObject(json, "target_ratio", o->target_ratio)) &&
           (o->max_drop < 0 || cJSON_AddNumberToObject(json, "max_drop", o->max_drop)) &&
           (o->max_kl < 0 || cJSON_AddNumberToObject(json, "max_kl", o->max_kl)) &&
           (!o->candidates || cJSON_AddStringToObject(json, "candidates", o->candidates));
}

cJSON *quantize_options_json(const struct quantize_work *w)
{
    const struct quantize_options *o = w->o;
    cJSON *json = cJSON_CreateObject();
    if (json && scheme_options_history(&o->format, json) && budget_history(w, json) &&
        (!w->calibration.samples ||
         (solver_options_history(&o->solver, json) &&
          input_options_history(&o->inputs, json) &&
          calibration_history(&w->calibration, &o->calibration, w->cli->seed, json))))
        return json;
    cJSON_Delete(json);
    return NULL;
}

enum pare_status quantize_meta(const struct quantize_work *w, struct pare_meta *meta)
{
    const struct pare_meta *from = &w->stored.ckpt->meta;
    const enum pare_scheme scheme = scheme_options_scheme(&w->o->format);
    const char *name = quantize_has_budget(w->o) ? "mixed" : pare_scheme_name(scheme);
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], w->err));
    PARE_TRY(pare_file_type_set(meta, pare_scheme_type(scheme, PARE_F32), w->err));
    PARE_TRY(pare_meta_set_string(meta, "pare.scheme", name, strlen(name), w->err));
    cJSON *options = quantize_options_json(w);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-quantize", w->sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

/* Which run this is, for what it leaves when it is stopped: everything that its bytes and
 * its report depend on. */
enum pare_status quantize_identify(const struct quantize_work *w, char identity[65])
{
    static const char *const reports[] = {"", "report"};
    cJSON *options = quantize_options_json(w);
    char *text = options ? cJSON_PrintUnformatted(options) : NULL;
    cJSON_Delete(options);
    if (!text)
        return pare_fail_memory(w->err, sizeof(cJSON));
    const char *const parts[] = {PARE_VERSION, w->sha256, text,
                                 reports[w->o->json || w->cli->verbose],
                                 w->o->format.strict ? "strict" : ""};
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        pare_sha256_update(&sha, parts[i], strlen(parts[i]) + 1);
    for (size_t i = 0; i < w->stored.plan.count; i++)
        pare_sha256_update(&sha, w->items[i].form, strlen(w->items[i].form) + 1);
    pare_sha256_hex(&sha, identity);
    cJSON_free(text);
    return PARE_OK;
}
