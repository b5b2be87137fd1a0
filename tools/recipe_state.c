#include "tools/recipe_state.h"

#include <string.h>

#include "runtime/base/file.h"

/* --- Reading
 * ---------------------------------------------------------------------------- */

static cJSON *steps_of(const struct recipe_state *state)
{
    return cJSON_GetObjectItemCaseSensitive(state->json, "steps");
}

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static enum pare_status begin(struct recipe_state *state, struct pare_error *err)
{
    state->json = cJSON_CreateObject();
    if (!cJSON_AddNumberToObject(state->json, "recipe_state", 1) ||
        !cJSON_AddObjectToObject(state->json, "steps"))
        return pare_fail_memory(err, sizeof(cJSON));
    return PARE_OK;
}

enum pare_status recipe_state_open(struct recipe_state *state, struct pare_cli *cli,
                                   const char *folder, struct pare_error *err)
{
    struct pare_error why;
    state->json = NULL;
    PARE_TRY(
        pare_path_join(state->path, sizeof state->path, folder, "recipe.state", err));
    if (!pare_path_exists(state->path))
        return begin(state, err);
    const enum pare_status status = pare_json_parse_file(state->path, &state->json, &why);
    if (status != PARE_OK && status != PARE_ERR_INPUT)
        return pare_fail(err, status, "%s", why.message);
    if (status == PARE_OK && cJSON_IsObject(steps_of(state)))
        return PARE_OK;
    pare_cli_warn(cli, "%s: not what a run left there; every step is run again",
                  state->path);
    recipe_state_close(state);
    return begin(state, err);
}

void recipe_state_close(struct recipe_state *state)
{
    cJSON_Delete(state->json);
    state->json = NULL;
}

/* --- Comparing
 * -------------------------------------------------------------------------- */

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum pare_status compare_outputs(const cJSON *sums_then,
                                        const struct recipe_job *job,
                                        struct recipe_sums *sums,
                                        enum recipe_change *change,
                                        struct pare_error *err)
{
    for (size_t i = 0; i < job->n_outputs; i++) {
        const char *path = job->outputs[i], *hex;
        if (!pare_path_exists(path)) {
            *change = RECIPE_MISSING;
            return PARE_OK;
        }
        PARE_TRY(recipe_sums_get(sums, path, &hex, err));
        if (strcmp(text_of(sums_then, name_in(path)), hex) != 0) {
            *change = RECIPE_DAMAGED;
            return PARE_OK;
        }
    }
    return PARE_OK;
}

int recipe_state_is_stopped(const struct recipe_state *state, const char *name,
                            const char *key)
{
    return !strcmp(
        text_of(cJSON_GetObjectItemCaseSensitive(steps_of(state), name), "started"), key);
}

enum pare_status recipe_state_compare(const struct recipe_state *state,
                                      const struct recipe_job *job, const char *key,
                                      struct recipe_sums *sums,
                                      enum recipe_change *change, struct pare_error *err)
{
    const cJSON *entry =
        cJSON_GetObjectItemCaseSensitive(steps_of(state), job->step->name);
    *change = RECIPE_UNCHANGED;
    if (recipe_state_is_stopped(state, job->step->name, key))
        *change = RECIPE_STOPPED;
    else if (!*text_of(entry, "key"))
        *change = RECIPE_NEW;
    else if (strcmp(text_of(entry, "key"), key) != 0)
        *change = RECIPE_CHANGED;
    if (*change != RECIPE_UNCHANGED)
        return PARE_OK;
    return compare_outputs(cJSON_GetObjectItemCaseSensitive(entry, "outputs"), job, sums,
                           change, err);
}

/* --- Writing
 * ---------------------------------------------------------------------------- */

static enum pare_status put_text(cJSON *object, const char *key, const char *text,
                                 struct pare_error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (!cJSON_AddStringToObject(object, key, text))
        return pare_fail_memory(err, sizeof(cJSON));
    return PARE_OK;
}

enum pare_status recipe_state_start(struct recipe_state *state, const char *name,
                                    const char *key, struct pare_error *err)
{
    cJSON *steps = steps_of(state);
    cJSON *entry = cJSON_GetObjectItemCaseSensitive(steps, name);
    if (!cJSON_IsObject(entry)) {
        cJSON_DeleteItemFromObjectCaseSensitive(steps, name);
        entry = cJSON_AddObjectToObject(steps, name);
        if (!entry)
            return pare_fail_memory(err, sizeof(cJSON));
    }
    PARE_TRY(put_text(entry, "started", key, err));
    return pare_json_write_file(state->path, state->json, err);
}

enum pare_status recipe_state_finish(struct recipe_state *state,
                                     const struct recipe_job *job, const char *key,
                                     struct recipe_sums *sums, struct pare_error *err)
{
    cJSON *entry = cJSON_GetObjectItemCaseSensitive(steps_of(state), job->step->name);
    cJSON_DeleteItemFromObjectCaseSensitive(entry, "started");
    cJSON_DeleteItemFromObjectCaseSensitive(entry, "outputs");
    PARE_TRY(put_text(entry, "key", key, err));
    cJSON *outputs = cJSON_AddObjectToObject(entry, "outputs");
    if (!outputs)
        return pare_fail_memory(err, sizeof(cJSON));
    for (size_t i = 0; i < job->n_outputs; i++) {
        const char *hex;
        PARE_TRY(recipe_sums_get(sums, job->outputs[i], &hex, err));
        PARE_TRY(put_text(outputs, name_in(job->outputs[i]), hex, err));
    }
    return pare_json_write_file(state->path, state->json, err);
}
