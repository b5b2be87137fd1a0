/* decode_tensors FILE FOLDER: writes each tensor whose type decodes to float as float32
 * into FOLDER/NAME, for a comparison with other readers (tests/oracle/check_gguf.py).
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/checkpoint/checkpoint.h"

static void must(enum pare_status status, const struct pare_error *err)
{
    if (!status)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit((int)status);
}

static void write_tensor(const struct pare_tensor *tensor, const char *folder)
{
    struct pare_error err;
    const size_t n = (size_t)pare_tensor_elements(tensor);
    float *values = malloc((n + 1) * sizeof *values);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, tensor->name);
    FILE *file = fopen(path, "wb");
    if (!values || !file)
        exit(5);
    must(pare_tensor_decode(tensor, values, &err), &err);
    if (fwrite(values, sizeof *values, n, file) != n || fclose(file))
        exit(5);
    free(values);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    struct pare_ckpt *ckpt;
    if (argc != 3)
        return 2;
    must(pare_ckpt_open(argv[1], &ckpt, &err), &err);
    for (size_t i = 0; i < ckpt->n_tensors; i++)
        if (pare_dtype_info(ckpt->tensors[i].type)->is_float)
            write_tensor(&ckpt->tensors[i], argv[2]);
    pare_ckpt_close(ckpt);
    return 0;
}
