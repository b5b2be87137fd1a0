/* Files of tests/data/training: what PyTorch computed of tiny classifiers, with their
 * weights and configs. Made by tests/golden/make_training.py and make_distill.py. */
#ifndef TESTS_SUPPORT_GOLDEN_TRAINING_H
#define TESTS_SUPPORT_GOLDEN_TRAINING_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libdistill/params.h"
#include "runtime/base/json.h"
#include "runtime/checkpoint/checkpoint.h"

#define GOLDEN_OK(call)                                                                  \
    do {                                                                                 \
        struct pare_error golden_error = {""};                                           \
        struct pare_error *err = &golden_error;                                          \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, golden_error.message);            \
    } while (0)

static inline struct pare_ckpt *golden_open(const char *name)
{
    const char *data = getenv("PARE_TEST_DATA");
    cr_assert_not_null(data, "PARE_TEST_DATA is the folder tests/data");
    char path[4096];
    struct pare_ckpt *file;
    snprintf(path, sizeof path, "%s/training/%s.safetensors", data, name);
    GOLDEN_OK(pare_ckpt_open(path, &file, err));
    return file;
}

/* A value of the metadata, which are all JSON; freed with cJSON_Delete. */
static inline cJSON *golden_json(const struct pare_ckpt *file, const char *key)
{
    struct pare_text text = {0};
    cJSON *json;
    GOLDEN_OK(pare_meta_get_string(&file->meta, key, &text, err));
    GOLDEN_OK(pare_json_parse(text.data, text.length, key, &json, err));
    return json;
}

static inline double golden_number(const struct pare_ckpt *file, const char *key)
{
    cJSON *json = golden_json(file, key);
    cr_assert(cJSON_IsNumber(json), "%s", key);
    const double value = json->valuedouble;
    cJSON_Delete(json);
    return value;
}

static inline struct pare_config golden_config(const struct pare_ckpt *file,
                                               const char *key)
{
    cJSON *json = golden_json(file, key);
    struct pare_config config = {0};
    GOLDEN_OK(pare_config_from_hf(json, key, &config, err));
    cJSON_Delete(json);
    return config;
}

static inline const struct pare_tensor *
golden_tensor(const struct pare_ckpt *file, const char *prefix, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct pare_tensor *found = pare_ckpt_find(file, full);
    cr_assert_not_null(found, "%s", full);
    return found;
}

/* Tensor `prefix`NAME of slot i; the extras are projections. */
static inline const struct pare_tensor *golden_slot(const struct pare_ckpt *file,
                                                    const char *prefix,
                                                    const struct pare_params *params,
                                                    size_t i)
{
    char projection[32];
    snprintf(projection, sizeof projection, "projection.%zu", i - params->n_model);
    const struct pare_tensor *found = golden_tensor(
        file, prefix, i < params->n_model ? params->plan.slots[i].hf_name : projection);
    cr_assert_eq(pare_tensor_elements(found), pare_slot_elements(&params->plan.slots[i]));
    return found;
}

/* The tensors of every slot, into a buffer laid out as the parameters. */
static inline void golden_read(const struct pare_ckpt *file, const char *prefix,
                               const struct pare_params *params, float *out)
{
    for (size_t i = 0; i < params->plan.count; i++) {
        const struct pare_tensor *t = golden_slot(file, prefix, params, i);
        memcpy(out + params->start[i], t->data, t->bytes);
    }
}

/* Largest difference of `found` from the tensors, relative to the largest value of that
 * tensor, or to `least` when that is more; names the tensor that is worst. */
static inline double golden_worst(const struct pare_ckpt *file, const char *prefix,
                                  const struct pare_params *params, const float *found,
                                  double least, int skip_key_bias, const char **name)
{
    double result = 0;
    for (size_t i = 0; i < params->plan.count; i++) {
        const float *expected = golden_slot(file, prefix, params, i)->data;
        const size_t begin = params->start[i], n = params->start[i + 1] - begin;
        /* A key's bias shifts all scores of a query alike, so its true gradient is zero
         * and AdamW follows rounding errors. */
        if (skip_key_bias && strstr(params->plan.slots[i].name, "attn_k.bias"))
            continue;
        double largest = least, difference = 0;
        for (size_t k = 0; k < n; k++) {
            largest = fmax(largest, fabs((double)expected[k]));
            difference =
                fmax(difference, fabs((double)expected[k] - (double)found[begin + k]));
        }
        if (difference / largest > result) {
            result = difference / largest;
            *name = params->plan.slots[i].name;
        }
    }
    return result;
}

#endif
