/* The tensors of a BERT or DistilBERT with its classifier, as one table: names (those of
 * llama.cpp's BERT loader in the container, Hugging Face's in its files), dimensions,
 * roles.
 */
#include "runtime/model/plan.h"

#include <stdio.h>
#include <string.h>

/* Sizes a dimension can have, as letters: C hidden, A all heads, F feed-forward,
 * V vocabulary, P positions, Y token types, Z labels; 0 ends the list. */
struct row {
    const char *name;  /* in the container; %u is the block's number */
    const char *hf[2]; /* in Hugging Face's files: BERT, DistilBERT */
    char dims[3];
    enum pare_role role;
};

static const struct row embeddings[] = {
    {"token_embd.weight",
     {"embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"},
     "VC",
     PARE_ROLE_EMBEDDING},
    {"position_embd.weight",
     {"embeddings.position_embeddings.weight", "embeddings.position_embeddings.weight"},
     "PC",
     PARE_ROLE_EMBEDDING},
    {"token_types.weight",
     {"embeddings.token_type_embeddings.weight", ""},
     "YC",
     PARE_ROLE_EMBEDDING},
    {"token_embd_norm.weight",
     {"embeddings.LayerNorm.weight", "embeddings.LayerNorm.weight"},
     "C",
     PARE_ROLE_NORM_WEIGHT},
    {"token_embd_norm.bias",
     {"embeddings.LayerNorm.bias", "embeddings.LayerNorm.bias"},
     "C",
     PARE_ROLE_NORM_BIAS},
};

#define BERT "encoder.layer.%u."
#define DISTIL "transformer.layer.%u."

static const struct row block[] = {
    {"blk.%u.attn_q.weight",
     {BERT "attention.self.query.weight", DISTIL "attention.q_lin.weight"},
     "AC",
     PARE_ROLE_LINEAR},
    {"blk.%u.attn_k.weight",
     {BERT "attention.self.key.weight", DISTIL "attention.k_lin.weight"},
     "AC",
     PARE_ROLE_LINEAR},
    {"blk.%u.attn_v.weight",
     {BERT "attention.self.value.weight", DISTIL "attention.v_lin.weight"},
     "AC",
     PARE_ROLE_LINEAR},
    {"blk.%u.attn_q.bias",
     {BERT "attention.self.query.bias", DISTIL "attention.q_lin.bias"},
     "A",
     PARE_ROLE_BIAS},
    {"blk.%u.attn_k.bias",
     {BERT "attention.self.key.bias", DISTIL "attention.k_lin.bias"},
     "A",
     PARE_ROLE_BIAS},
    {"blk.%u.attn_v.bias",
     {BERT "attention.self.value.bias", DISTIL "attention.v_lin.bias"},
     "A",
     PARE_ROLE_BIAS},
    {"blk.%u.attn_output.weight",
     {BERT "attention.output.dense.weight", DISTIL "attention.out_lin.weight"},
     "CA",
     PARE_ROLE_LINEAR},
    {"blk.%u.attn_output.bias",
     {BERT "attention.output.dense.bias", DISTIL "attention.out_lin.bias"},
     "C",
     PARE_ROLE_BIAS},
    {"blk.%u.attn_output_norm.weight",
     {BERT "attention.output.LayerNorm.weight", DISTIL "sa_layer_norm.weight"},
     "C",
     PARE_ROLE_NORM_WEIGHT},
    {"blk.%u.attn_output_norm.bias",
     {BERT "attention.output.LayerNorm.bias", DISTIL "sa_layer_norm.bias"},
     "C",
     PARE_ROLE_NORM_BIAS},
    {"blk.%u.ffn_up.weight",
     {BERT "intermediate.dense.weight", DISTIL "ffn.lin1.weight"},
     "FC",
     PARE_ROLE_LINEAR},
    {"blk.%u.ffn_up.bias",
     {BERT "intermediate.dense.bias", DISTIL "ffn.lin1.bias"},
     "F",
     PARE_ROLE_BIAS},
    {"blk.%u.ffn_down.weight",
     {BERT "output.dense.weight", DISTIL "ffn.lin2.weight"},
     "CF",
     PARE_ROLE_LINEAR},
    {"blk.%u.ffn_down.bias",
     {BERT "output.dense.bias", DISTIL "ffn.lin2.bias"},
     "C",
     PARE_ROLE_BIAS},
    {"blk.%u.layer_output_norm.weight",
     {BERT "output.LayerNorm.weight", DISTIL "output_layer_norm.weight"},
     "C",
     PARE_ROLE_NORM_WEIGHT},
    {"blk.%u.layer_output_norm.bias",
     {BERT "output.LayerNorm.bias", DISTIL "output_layer_norm.bias"},
     "C",
     PARE_ROLE_NORM_BIAS},
};

static const struct row pooler[] = {
    {"cls.weight",
     {"pooler.dense.weight", "pre_classifier.weight"},
     "CC",
     PARE_ROLE_HEAD},
    {"cls.bias", {"pooler.dense.bias", "pre_classifier.bias"}, "C", PARE_ROLE_BIAS},
};

static const struct row classifier[] = {
    {"cls.output.weight",
     {"classifier.weight", "classifier.weight"},
     "ZC",
     PARE_ROLE_HEAD},
    {"cls.output.bias", {"classifier.bias", "classifier.bias"}, "Z", PARE_ROLE_BIAS},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static uint64_t dimension(const struct pare_config *config, char letter)
{
    switch (letter) {
    case 'C': return config->hidden;
    case 'A': return pare_config_attention_width(config);
    case 'F': return config->ffn;
    case 'V': return config->vocab;
    case 'P': return config->positions;
    case 'Y': return config->token_types;
    default: return config->labels;
    }
}

/* The tables' names are the format strings: they are ours, and take one number or none.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
static void add_rows(const struct pare_config *config, struct pare_plan *plan,
                     const struct row *rows, size_t count, int layer)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (row->dims[0] == 'Y' && !config->token_types)
            continue;
        struct pare_slot *slot = &plan->slots[plan->count++];
        *slot = (struct pare_slot){.role = row->role, .layer = layer};
        snprintf(slot->name, sizeof slot->name, row->name, (unsigned)layer);
        snprintf(slot->hf_name, sizeof slot->hf_name, row->hf[config->family],
                 (unsigned)layer);
        for (; row->dims[slot->n_dims]; slot->n_dims++)
            slot->shape[slot->n_dims] = dimension(config, row->dims[slot->n_dims]);
    }
}
#pragma GCC diagnostic pop

enum pare_status pare_plan_make(const struct pare_config *config,
                                struct pare_arena *arena, struct pare_plan *plan,
                                struct pare_error *err)
{
    size_t most = COUNT(embeddings) + config->layers * COUNT(block) + COUNT(pooler) +
                  COUNT(classifier);
    plan->count = 0;
    PARE_TRY(pare_arena_alloc(arena, &plan->slots, most, sizeof *plan->slots, err));
    add_rows(config, plan, embeddings, COUNT(embeddings), -1);
    for (uint32_t l = 0; l < config->layers; l++)
        add_rows(config, plan, block, COUNT(block), (int)l);
    if (config->has_pooler)
        add_rows(config, plan, pooler, COUNT(pooler), -1);
    if (config->labels)
        add_rows(config, plan, classifier, COUNT(classifier), -1);
    return PARE_OK;
}

uint64_t pare_slot_elements(const struct pare_slot *slot)
{
    return slot->n_dims == 2 ? slot->shape[0] * slot->shape[1] : slot->shape[0];
}

int pare_slot_is_matrix(const struct pare_slot *slot)
{
    return slot->n_dims == 2;
}
