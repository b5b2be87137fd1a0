/* An encoder of any size with random weights, for measurements of memory and time.
 *
 *     bench_random_encoder TEMPLATE.gguf OUT.gguf LAYERS HIDDEN FFN
 *
 * Tokenizer, labels, positions and family are the template's; heads are 64 wide. Matrices
 * are normal with a deviation of 1 / sqrt(inputs), embeddings of 0.05, norms around 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/model/stored.h"

#define PIECE 65536 /* floats */

static enum pare_status copy_meta(const struct pare_ckpt *from,
                                  const struct pare_config *config,
                                  struct pare_meta *meta, struct pare_error *err)
{
    for (size_t i = 0; i < from->meta.count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->meta.values[i], err));
    return pare_config_to_meta(config, meta, err);
}

static enum pare_status write_slot(struct pare_gguf_writer *writer,
                                   const struct pare_slot *slot, uint64_t stream,
                                   struct pare_error *err)
{
    static float values[PIECE];
    const uint64_t n = pare_slot_elements(slot);
    const int matrix = slot->role == PARE_ROLE_LINEAR || slot->role == PARE_ROLE_HEAD;
    struct pare_rng rng = {.seed = 1, .stream = stream};
    const float mean = slot->role == PARE_ROLE_NORM_WEIGHT ? 1 : 0;
    const float spread = matrix ? 1 / sqrtf((float)slot->shape[1]) : 0.05f;
    for (uint64_t at = 0; at < n; at += PIECE) {
        const size_t count = n - at < PIECE ? (size_t)(n - at) : PIECE;
        for (size_t i = 0; i < count; i++)
            values[i] = mean + spread * pare_rng_normal(&rng);
        PARE_TRY(pare_gguf_writer_data(writer, values, count * sizeof *values, err));
    }
    return PARE_OK;
}

static enum pare_status write_all(const struct pare_stored *template, const char *path,
                                  const struct pare_config *config,
                                  struct pare_error *err)
{
    struct pare_arena arena = {0};
    struct pare_plan plan;
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer;
    PARE_TRY(pare_plan_make(config, &arena, &plan, err));
    PARE_TRY(copy_meta(template->ckpt, config, &meta, err));
    PARE_TRY(pare_gguf_writer_open(path, &meta, &writer, err));
    for (size_t i = 0; i < plan.count; i++)
        PARE_TRY(pare_gguf_writer_plan(writer, plan.slots[i].name, PARE_F32,
                                       plan.slots[i].n_dims, plan.slots[i].shape, err));
    for (size_t i = 0; i < plan.count; i++)
        PARE_TRY(write_slot(writer, &plan.slots[i], i, err));
    PARE_TRY(pare_gguf_writer_commit(writer, err));
    pare_meta_free(&meta);
    pare_arena_free(&arena);
    return PARE_OK;
}

int main(int argc, char **argv)
{
    struct pare_error err = {""};
    struct pare_stored template;
    if (argc != 6) {
        fprintf(stderr, "usage: %s TEMPLATE.gguf OUT.gguf LAYERS HIDDEN FFN\n", argv[0]);
        return 2;
    }
    enum pare_status status = pare_stored_open_container(argv[1], &template, &err);
    if (status == PARE_OK) {
        struct pare_config config = template.config;
        config.layers = (uint32_t)strtoul(argv[3], NULL, 10);
        config.hidden = (uint32_t)strtoul(argv[4], NULL, 10);
        config.ffn = (uint32_t)strtoul(argv[5], NULL, 10);
        config.heads = config.hidden / 64;
        status = pare_config_check(&config, "the encoder", &err);
        if (status == PARE_OK)
            status = write_all(&template, argv[2], &config, &err);
        pare_stored_close(&template);
    }
    if (status != PARE_OK)
        fprintf(stderr, "%s: %s\n", argv[0], err.message);
    return (int)status;
}
