/* Memory of what the forward computes: one block, laid out anew for each batch. */
#include <string.h>

#include "runtime/model/forward_internal.h"

/* Hands out pieces of one block of memory, or, without one, only adds up their size: the
 * same layout function does both, so that they cannot disagree. */
struct layout {
    unsigned char *base;
    size_t used;
};

static void *take(struct layout *layout, size_t count, size_t size)
{
    void *piece = layout->base ? layout->base + layout->used : NULL;
    layout->used += (count * size + 63) / 64 * 64;
    return piece;
}

static float *take_floats(struct layout *layout, size_t count)
{
    return take(layout, count, sizeof(float));
}

/* T tokens, of which R rows go on behind the attention. */
static void lay_block(struct layout *layout, struct pare_block_acts *acts,
                      const struct pare_config *config, size_t T, size_t R,
                      size_t prob_floats, int tape)
{
    const size_t C = config->hidden, F = config->ffn;
    const size_t A = pare_config_attention_width(config);
    acts->qkv = take_floats(layout, T * 3 * A);
    acts->context = take_floats(layout, R * A);
    acts->attn_normed = take_floats(layout, R * C);
    acts->up_act = take_floats(layout, R * F);
    acts->output = take_floats(layout, R * C);
    /* A norm may overwrite its input when no backward pass needs it. */
    acts->attn_sum = tape ? take_floats(layout, R * C) : acts->attn_normed;
    acts->out_sum = tape ? take_floats(layout, R * C) : acts->output;
    if (!tape)
        return;
    acts->probs = take_floats(layout, prob_floats);
    acts->up = take_floats(layout, R * F);
    acts->attn_mean = take_floats(layout, R);
    acts->attn_rstd = take_floats(layout, R);
    acts->out_mean = take_floats(layout, R);
    acts->out_rstd = take_floats(layout, R);
}

int pare_acts_is_short(const struct pare_acts *acts, const struct pare_config *config,
                       uint32_t l)
{
    return acts->first_only && l + 1 == config->layers;
}

static void lay_out(struct layout *layout, const struct pare_config *config,
                    const struct pare_batch *batch, struct pare_acts *acts)
{
    const size_t T = batch->n_tokens, B = batch->n_seq, C = config->hidden;
    const int tape = acts->tape;
    size_t prob_floats = 0;
    acts->prob_start = take(layout, B + 1, sizeof *acts->prob_start);
    for (size_t s = 0; s < B; s++) {
        size_t n = batch->starts[s + 1] - batch->starts[s];
        if (layout->base)
            acts->prob_start[s] = prob_floats;
        prob_floats += config->heads * n * n;
    }
    if (layout->base)
        acts->prob_start[B] = prob_floats;
    acts->embedded = take_floats(layout, T * C);
    acts->embed_sum = tape ? take_floats(layout, T * C) : acts->embedded;
    acts->embed_mean = tape ? take_floats(layout, T) : NULL;
    acts->embed_rstd = tape ? take_floats(layout, T) : NULL;
    struct pare_block_acts *blocks = take(layout, config->layers, sizeof *blocks);
    acts->blocks = blocks;
    struct pare_block_acts block = {0};
    for (uint32_t l = 0; l < config->layers; l++) {
        /* Without a tape every block uses the first one's buffers; the input of a block
         * is then its own output buffer, which is read before it is written. */
        if (l == 0 || tape)
            lay_block(layout, &block, config, T,
                      tape && pare_acts_is_short(acts, config, l) ? B : T, prob_floats,
                      tape);
        block.input = l == 0 ? acts->embedded : blocks ? blocks[l - 1].output : NULL;
        if (blocks)
            blocks[l] = block;
    }
    acts->first = take_floats(layout, B * C);
    acts->pooled = config->has_pooler ? take_floats(layout, B * C) : NULL;
    acts->pooled_pre = config->has_pooler && tape ? take_floats(layout, B * C) : NULL;
    acts->logits = config->labels ? take_floats(layout, B * config->labels) : NULL;
}

enum pare_status pare_acts_plan(const struct pare_config *config,
                                const struct pare_batch *batch, struct pare_acts *acts,
                                struct pare_error *err)
{
    struct layout layout = {0};
    lay_out(&layout, config, batch, acts);
    pare_arena_release(&acts->arena, (struct pare_arena_mark){0});
    if (acts->arena.spare == NULL || acts->arena.reserved < layout.used) {
        pare_arena_free(&acts->arena);
        /* An eighth more, so that slowly growing batches do not allocate each time. */
        PARE_TRY(pare_arena_reserve(&acts->arena, layout.used + layout.used / 8, err));
    }
    void *base;
    PARE_TRY(pare_arena_alloc(&acts->arena, &base, layout.used, 1, err));
    layout = (struct layout){.base = base};
    lay_out(&layout, config, batch, acts);
    return PARE_OK;
}

void pare_acts_free(struct pare_acts *acts)
{
    pare_arena_free(&acts->arena);
    pare_arena_free(&acts->scratch);
    memset(acts, 0, sizeof *acts);
}
