/* A container in which a few tensors stand instead of one of the model's weights. */
#ifndef TESTS_SUPPORT_STORED_PARTS_H
#define TESTS_SUPPORT_STORED_PARTS_H

#include <criterion/criterion.h>
#include <string.h>

#include "runtime/model/container.h"
#include "runtime/model/model.h"
#include "runtime/model/stored.h"
#include "tests/support/folder.h"

static inline void stored_put(struct pare_gguf_writer *writer, int pass, const char *name,
                              const struct pare_tensor *tensor)
{
    struct pare_error err = {""};
    cr_assert_eq(pass ? pare_gguf_writer_data(writer, tensor->data, tensor->bytes, &err)
                      : pare_gguf_writer_plan(writer, name, tensor->type, tensor->n_dims,
                                              tensor->shape, &err),
                 PARE_OK, "%s", err.message);
}

/* `from` without the tensor `left_out` (NULL: with all of them), and these. */
static inline void stored_write(const struct pare_stored *from, const char *left_out,
                                const struct pare_tensor *parts, int count,
                                const char *path)
{
    struct pare_gguf_writer *writer;
    struct pare_meta meta = {0};
    struct pare_error err = {""};
    cr_assert_eq(pare_config_to_meta(&from->config, &meta, NULL), PARE_OK);
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < from->plan.count; i++) {
            const char *name = from->plan.slots[i].name;
            if (!left_out || strcmp(name, left_out) != 0)
                stored_put(writer, pass, name, from->tensors[i]);
        }
        for (int i = 0; i < count; i++)
            stored_put(writer, pass, parts[i].name, &parts[i]);
    }
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    pare_meta_free(&meta);
}

static inline size_t stored_slot(const struct pare_stored *stored, const char *name)
{
    for (size_t i = 0; i < stored->plan.count; i++)
        if (!strcmp(stored->plan.slots[i].name, name))
            return i;
    cr_assert_fail("%s is not in the plan", name);
    return 0;
}

/* Opening says so behind the path and ": ", as a checkpoint and as a model. */
static inline void stored_refused(const char *path, const char *message)
{
    struct pare_stored stored;
    struct pare_model *model;
    struct pare_error err = {""};
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_ERR_INPUT, "%s",
                 message);
    cr_assert_eq(strncmp(err.message, path, strlen(path)), 0, "%s", err.message);
    cr_assert_str_eq(err.message + strlen(path) + strlen(": "), message);
    cr_assert_eq(pare_model_open(path, PARE_PRECISION_FP32, &model, &err),
                 PARE_ERR_INPUT);
}

#endif
