/* Safetensors files made from other checkpoints, with whatever is to be wrong in them. */
#ifndef TESTS_SUPPORT_SAFETENSORS_H
#define TESTS_SUPPORT_SAFETENSORS_H

#include "runtime/checkpoint/checkpoint.h"

/* Writes the tensors in this order, without metadata; 0 on success. Names need no
 * escapes. */
int safetensors_write(const char *path, const struct pare_tensor *tensors, size_t count);

/* The tensors of a checkpoint, to be edited; the data still belong to it. */
struct tensor_list {
    struct pare_ckpt *ckpt;
    struct pare_tensor *tensors;
    size_t count;
};

int tensor_list_open(const char *path, struct tensor_list *list);
void tensor_list_close(struct tensor_list *list);
struct pare_tensor *tensor_list_find(const struct tensor_list *list, const char *name);
void tensor_list_drop(struct tensor_list *list, const char *name);
/* A tensor more; there is room for 16. */
void tensor_list_add(struct tensor_list *list, const struct pare_tensor *tensor);

#endif
