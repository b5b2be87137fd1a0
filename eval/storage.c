/* What a container takes: see storage.h. */
#include "eval/storage.h"

#include "eval/result.h"
#include "runtime/base/alloc.h"
#include "runtime/model/sizes.h"

static enum pare_status add_matrix(cJSON *list, const struct pare_stored *stored,
                                   size_t i, const struct pare_size *size,
                                   struct pare_error *err)
{
    const struct pare_weight weight = pare_stored_weight(stored, i);
    const double shape[] = {(double)weight.N, (double)weight.K};
    char form[PARE_FORM_SIZE];
    cJSON *matrix = cJSON_CreateObject();
    if (!matrix || !cJSON_AddItemToArray(list, matrix)) {
        cJSON_Delete(matrix);
        return pare_fail_memory(err, 4096);
    }
    if (!cJSON_AddStringToObject(matrix, "name", stored->plan.slots[i].name) ||
        !cJSON_AddStringToObject(matrix, "form", pare_weight_form(&weight, form)) ||
        !cJSON_AddItemToObject(matrix, "shape", cJSON_CreateDoubleArray(shape, 2)) ||
        !cJSON_AddNumberToObject(matrix, "bytes", (double)size->bytes))
        return pare_fail_memory(err, 4096);
    PARE_TRY(
        pare_result_add_number(matrix, "bits_per_weight", pare_size_bits(size), 6, err));
    return pare_result_add_number(matrix, "sparsity", pare_size_sparsity(size), 6, err);
}

static enum pare_status add_sizes(const struct pare_stored *stored,
                                  const struct pare_size *sizes, cJSON *result,
                                  struct pare_error *err)
{
    const struct pare_size blocks = pare_sizes_of_blocks(&stored->plan, sizes);
    cJSON *model = cJSON_GetObjectItemCaseSensitive(result, "model");
    cJSON *list = cJSON_AddArrayToObject(model, "matrices");
    if (!list)
        return pare_fail_memory(err, 4096);
    PARE_TRY(pare_result_add_number(result, "block_bits_per_weight",
                                    pare_size_bits(&blocks), 6, err));
    PARE_TRY(
        pare_result_add_number(result, "sparsity", pare_size_sparsity(&blocks), 6, err));
    for (size_t i = 0; i < stored->plan.count; i++)
        if (sizes[i].weights)
            PARE_TRY(add_matrix(list, stored, i, &sizes[i], err));
    return PARE_OK;
}

static enum pare_status add_download(const struct pare_stored *stored,
                                     const struct pare_progress *progress, cJSON *result,
                                     struct pare_error *err)
{
    uint64_t bytes;
    PARE_TRY(pare_ckpt_download(stored->ckpt, progress, &bytes, err));
    return cJSON_AddNumberToObject(result, "download_bytes", (double)bytes)
               ? PARE_OK
               : pare_fail_memory(err, 4096);
}

enum pare_status pare_measure_storage(const char *path, int download,
                                      const struct pare_progress *progress, cJSON *result,
                                      struct pare_error *err)
{
    struct pare_stored stored;
    struct pare_size *sizes = NULL;
    enum pare_status status;
    PARE_TRY(pare_stored_open_container(path, &stored, err));
    PARE_TRY_OUT(pare_alloc(&sizes, stored.plan.count, sizeof *sizes, err));
    PARE_TRY_OUT(pare_stored_sizes(&stored, sizes, err));
    PARE_TRY_OUT(add_sizes(&stored, sizes, result, err));
    if (download)
        PARE_TRY_OUT(add_download(&stored, progress, result, err));
out:
    pare_free(sizes);
    pare_stored_close(&stored);
    return status;
}
