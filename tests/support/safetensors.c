#include "tests/support/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"

static void put_entry(FILE *out, const struct pare_tensor *tensor, uint64_t begin)
{
    fprintf(out, "\"%s\":{\"dtype\":\"%s\",\"shape\":[", tensor->name,
            pare_dtype_name(tensor->type));
    for (int d = 0; d < tensor->n_dims; d++)
        fprintf(out, "%s%llu", d ? "," : "", (unsigned long long)tensor->shape[d]);
    fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
            (unsigned long long)(begin + tensor->bytes));
}

int safetensors_write(const char *path, const struct pare_tensor *tensors, size_t count)
{
    char *header = NULL;
    size_t length = 0;
    FILE *text = open_memstream(&header, &length), *out = fopen(path, "wb");
    if (!text || !out)
        return -1;
    uint64_t at = 0;
    fputc('{', text);
    for (size_t i = 0; i < count; i++) {
        if (i)
            fputc(',', text);
        put_entry(text, &tensors[i], at);
        at += tensors[i].bytes;
    }
    fputc('}', text);
    fclose(text);
    uint8_t prefix[8];
    pare_store_u64(prefix, length);
    fwrite(prefix, 1, sizeof prefix, out);
    fwrite(header, 1, length, out);
    for (size_t i = 0; i < count; i++)
        fwrite(tensors[i].data, 1, tensors[i].bytes, out);
    free(header);
    return fclose(out);
}

#define ROOM 16

int tensor_list_open(const char *path, struct tensor_list *list)
{
    struct pare_error err = {""};
    *list = (struct tensor_list){0};
    if (pare_ckpt_open(path, &list->ckpt, &err) != PARE_OK) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    list->count = list->ckpt->n_tensors;
    list->tensors = calloc(list->count + ROOM, sizeof *list->tensors);
    memcpy(list->tensors, list->ckpt->tensors, list->count * sizeof *list->tensors);
    return 0;
}

void tensor_list_close(struct tensor_list *list)
{
    pare_ckpt_close(list->ckpt);
    free(list->tensors);
}

struct pare_tensor *tensor_list_find(const struct tensor_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->tensors[i].name, name))
            return &list->tensors[i];
    fprintf(stderr, "there is no tensor %s\n", name);
    exit(2);
}

void tensor_list_drop(struct tensor_list *list, const char *name)
{
    struct pare_tensor *tensor = tensor_list_find(list, name);
    const size_t at = (size_t)(tensor - list->tensors);
    memmove(tensor, tensor + 1, (list->count - at - 1) * sizeof *tensor);
    list->count--;
}

void tensor_list_add(struct tensor_list *list, const struct pare_tensor *tensor)
{
    list->tensors[list->count++] = *tensor;
}
