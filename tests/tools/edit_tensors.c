/* Copies a checkpoint to a safetensors file with changes, for tests of whole programs.
 *
 *     edit_tensors IN OUT.safetensors [drop NAME] [rename NAME NEW] [copy NAME NEW]
 *                  [transpose NAME] [flatten NAME] [type NAME TYPE]
 *                  [set NAME ELEMENT VALUE] ...
 *
 * type changes what the header says, and halves the row for a type of half the size; set
 * works on F32.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "tests/support/safetensors.h"

static struct pare_arena edited; /* data that replace a tensor's own */

static unsigned char *make_room(uint64_t bytes)
{
    unsigned char *room = NULL;
    if (pare_arena_alloc(&edited, &room, bytes, 1, NULL))
        exit(2);
    return room;
}

static const unsigned char *zeros(uint64_t bytes)
{
    unsigned char *room = make_room(bytes);
    for (uint64_t i = 0; i < bytes; i++)
        room[i] = 0;
    return room;
}

static void set_element(struct pare_tensor *tensor, const char *element,
                        const char *value)
{
    unsigned char *copy = make_room(tensor->bytes);
    float number = strtof(value, NULL);
    memcpy(copy, tensor->data, tensor->bytes);
    memcpy(copy + 4 * strtoull(element, NULL, 10), &number, sizeof number);
    tensor->data = copy;
}

static void set_type(struct pare_tensor *tensor, const char *name)
{
    const struct pare_dtype_info *to = pare_dtype_by_name(name);
    tensor->bytes =
        tensor->bytes / pare_dtype_info(tensor->type)->block_bytes * to->block_bytes;
    if (to->block_bytes > pare_dtype_info(tensor->type)->block_bytes)
        tensor->data = zeros(tensor->bytes);
    tensor->type = to->type;
}

/* Applies one edit; returns how many words it took. */
static int edit(struct tensor_list *list, char **words)
{
    const char *verb = words[0];
    if (!strcmp(verb, "drop")) {
        tensor_list_drop(list, words[1]);
        return 2;
    }
    struct pare_tensor *tensor = tensor_list_find(list, words[1]);
    if (!strcmp(verb, "transpose")) {
        uint64_t first = tensor->shape[0];
        tensor->shape[0] = tensor->shape[1];
        tensor->shape[1] = first;
        return 2;
    }
    if (!strcmp(verb, "flatten")) {
        tensor->shape[0] = pare_tensor_elements(tensor);
        tensor->n_dims = 1;
        return 2;
    }
    if (!strcmp(verb, "type")) {
        set_type(tensor, words[2]);
        return 3;
    }
    if (!strcmp(verb, "set")) {
        set_element(tensor, words[2], words[3]);
        return 4;
    }
    struct pare_tensor renamed = *tensor;
    renamed.name = words[2];
    if (!strcmp(verb, "rename"))
        *tensor = renamed;
    else if (!strcmp(verb, "copy"))
        tensor_list_add(list, &renamed);
    else
        exit(2);
    return 3;
}

int main(int argc, char **argv)
{
    struct tensor_list list;
    if (argc < 3 || tensor_list_open(argv[1], &list))
        return 2;
    for (int i = 3; i < argc;)
        i += edit(&list, argv + i);
    int failed = safetensors_write(argv[2], list.tensors, list.count) != 0;
    tensor_list_close(&list);
    pare_arena_free(&edited);
    return failed;
}
