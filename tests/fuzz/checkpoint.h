/* What the fuzz targets of the checkpoint formats do with an input: open it, and if that
 * succeeds hold the checkpoint to what its header promises. */
#ifndef TESTS_FUZZ_CHECKPOINT_H
#define TESTS_FUZZ_CHECKPOINT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/checkpoint/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static volatile uint32_t touched; /* makes the reads happen */

static void check_tensor(const struct pare_ckpt *ckpt, const struct pare_tensor *tensor)
{
    struct pare_error err;
    uint64_t bytes;
    uint32_t sum = 0;
    CHECK(pare_ckpt_find(ckpt, tensor->name) == tensor);
    CHECK(*tensor->name && pare_is_clean_name(tensor->name, strlen(tensor->name)));
    CHECK(pare_tensor_size(tensor->type, tensor->n_dims, tensor->shape, &bytes, &err) ==
          PARE_OK);
    CHECK(bytes == tensor->bytes);
    CHECK(pare_tensor_row(tensor) * pare_tensor_rows(tensor) ==
          pare_tensor_elements(tensor));
    for (uint64_t i = 0; i < bytes; i++) /* all of it can be read */
        sum = sum * 31 + ((const uint8_t *)tensor->data)[i];
    if (pare_dtype_info(tensor->type)->is_float && bytes < 65536) {
        float *values;
        uint64_t n = pare_tensor_elements(tensor);
        CHECK(pare_alloc(&values, (size_t)n, sizeof *values, &err) == PARE_OK);
        CHECK(pare_tensor_decode(tensor, values, &err) == PARE_OK);
        pare_free(values);
    }
    touched = sum;
}

static void check_meta(const struct pare_meta *meta)
{
    for (size_t i = 0; i < meta->count; i++) {
        const struct pare_meta_value *value = &meta->values[i];
        CHECK(pare_meta_find(meta, value->key) == value);
        if (value->type != PARE_META_ARRAY)
            continue;
        for (size_t j = 0; j < value->count; j++)
            if (value->element == PARE_META_STRING) {
                const struct pare_text *text =
                    (const struct pare_text *)value->elements + j;
                if (text->length)
                    touched =
                        (uint32_t)text->data[0] + (uint32_t)text->data[text->length - 1];
            } else {
                touched = pare_meta_number(value, j) > 0;
            }
    }
}

/* `name` as a path: what the message must begin with. Returns whether it opened. */
static inline int check_checkpoint(const char *name, const uint8_t *data, size_t size)
{
    struct pare_error err = {""};
    struct pare_ckpt *ckpt;
    enum pare_status status = pare_ckpt_open_memory(name, data, size, &ckpt, &err);
    if (status != PARE_OK) {
        CHECK(status == PARE_ERR_INPUT);
        CHECK(!ckpt);
        CHECK(strncmp(err.message, name, strlen(name)) == 0);
        return 0;
    }
    for (size_t i = 0; i < ckpt->n_tensors; i++)
        check_tensor(ckpt, &ckpt->tensors[i]);
    if (ckpt->meta.count < 100)
        check_meta(&ckpt->meta);
    pare_ckpt_close(ckpt);
    return 1;
}

#endif
