/* For tests of whole programs: the matrices of a container's blocks become sparse ones of
 * a form of tests/support/sparse_parts.h.
 *
 *     make_sparse IN.gguf OUT.gguf FORM
 *     make_sparse list
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/model/stored.h"
#include "tests/support/sparse_parts.h"

static void must(enum pare_status status, const struct pare_error *err)
{
    if (!status)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit((int)status);
}

static const struct sparse_form *form_named(const char *name)
{
    for (int f = 0; f < SPARSE_FORMS; f++)
        if (!strcmp(sparse_forms[f].name, name))
            return &sparse_forms[f];
    exit(2);
}

static void put(struct pare_gguf_writer *writer, int pass, const char *name,
                const struct pare_tensor *tensor)
{
    struct pare_error err;
    must(pass ? pare_gguf_writer_data(writer, tensor->data, tensor->bytes, &err)
              : pare_gguf_writer_plan(writer, name, tensor->type, tensor->n_dims,
                                      tensor->shape, &err),
         &err);
}

static void put_slot(struct pare_gguf_writer *writer, int pass,
                     const struct pare_stored *from, size_t i,
                     const struct sparse_form *form)
{
    const struct pare_slot *slot = &from->plan.slots[i];
    const struct pare_tensor *tensor = from->tensors[i];
    struct sparse_parts parts;
    if (slot->role != PARE_ROLE_LINEAR || !pare_slot_is_matrix(slot)) {
        put(writer, pass, slot->name, tensor);
        return;
    }
    if (tensor->type != PARE_F32)
        exit(2);
    sparse_parts_make(&parts, slot->name, form, tensor->data, (size_t)slot->shape[0],
                      (size_t)slot->shape[1], 0);
    for (int p = 0; p < parts.n; p++)
        put(writer, pass, parts.tensor[p].name, &parts.tensor[p]);
    sparse_parts_free(&parts);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    struct pare_stored from;
    struct pare_gguf_writer *writer;
    for (int f = 0; f < SPARSE_FORMS && argc == 2 && !strcmp(argv[1], "list"); f++)
        puts(sparse_forms[f].name);
    if (argc != 4)
        return argc == 2 ? 0 : 2;
    const struct sparse_form *form = form_named(argv[3]);
    must(pare_stored_open_container(argv[1], &from, &err), &err);
    must(pare_gguf_writer_open(argv[2], &from.ckpt->meta, &writer, &err), &err);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < from.plan.count; i++)
            put_slot(writer, pass, &from, i, form);
    must(pare_gguf_writer_commit(writer, &err), &err);
    pare_stored_close(&from);
    return 0;
}
