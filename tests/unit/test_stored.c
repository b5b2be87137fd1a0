/* Checkpoints bound to the plan of their config: Hugging Face's, with everything that may
 * be called otherwise or be wrong, and containers, also of other programs. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model/container.h"
#include "runtime/model/stored.h"
#include "tests/support/folder.h"
#include "tests/support/safetensors.h"

static struct folder folder;
static struct tensor_list list; /* of the checkpoint to be edited */
static const char *family;

static const char *data_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", getenv("PARE_TEST_DATA"), family, name);
    return path;
}

static void begin(const char *which)
{
    family = which;
    folder = folder_make();
    cr_assert_eq(tensor_list_open(data_path("model.safetensors"), &list), 0);
}

static void end(void)
{
    tensor_list_close(&list);
    folder_remove(&folder);
}

/* Writes the edited checkpoint and opens it with the config of the family. */
static enum pare_status open_edited(const char *const *ignore, size_t n_ignore,
                                    struct pare_stored *stored, struct pare_error *err)
{
    const char *path = folder_path(&folder, "m.safetensors");
    cr_assert_eq(safetensors_write(path, list.tensors, list.count), 0);
    const struct pare_stored_options options = {
        .config = data_path("config.json"), .ignore = ignore, .n_ignore = n_ignore};
    return pare_stored_open(path, &options, stored, err);
}

static void opens(struct pare_stored *stored)
{
    struct pare_error err = {""};
    cr_assert_eq(open_edited(NULL, 0, stored, &err), PARE_OK, "%s", err.message);
}

/* The message behind "FOLDER/m.safetensors: ". */
static void refused(const char *message)
{
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_assert_eq(open_edited(NULL, 0, &stored, &err), PARE_ERR_INPUT);
    const char *found = strstr(err.message, "m.safetensors: ");
    cr_assert_not_null(found, "%s", err.message);
    cr_assert_str_eq(found + strlen("m.safetensors: "), message);
}

static const struct pare_tensor *slot_tensor(const struct pare_stored *stored,
                                             const char *name)
{
    for (size_t i = 0; i < stored->plan.count; i++)
        if (!strcmp(stored->plan.slots[i].name, name))
            return stored->tensors[i];
    cr_assert_fail("%s is not in the plan", name);
    return NULL;
}

#define LAYER "bert.encoder.layer.0."

Test(stored, every_slot_gets_the_tensor_hugging_face_means)
{
    begin("tiny-bert");
    struct pare_stored stored;
    opens(&stored);
    static const char *const pairs[][2] = {
        {"token_embd.weight", "bert.embeddings.word_embeddings.weight"},
        {"token_types.weight", "bert.embeddings.token_type_embeddings.weight"},
        {"blk.0.attn_k.bias", LAYER "attention.self.key.bias"},
        {"blk.0.attn_output_norm.weight", LAYER "attention.output.LayerNorm.weight"},
        {"blk.0.ffn_up.weight", LAYER "intermediate.dense.weight"},
        {"cls.weight", "bert.pooler.dense.weight"},
        {"cls.output.bias", "classifier.bias"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_assert_str_eq(slot_tensor(&stored, pairs[i][0])->name, pairs[i][1]);
    cr_assert_eq(stored.config.labels, 3);
    cr_assert(stored.config.has_pooler);
    cr_assert_eq(stored.n_dropped, 0);
    pare_stored_close(&stored);
    end();
}

Test(stored, prefixes_and_old_norm_names_are_optional)
{
    begin("tiny-bert");
    char names[64][128];
    for (size_t i = 0; i < list.count; i++) {
        const char *name = list.tensors[i].name;
        name += strncmp(name, "bert.", 5) ? 0 : 5;
        snprintf(names[i], sizeof names[i], "%s", name);
        char *last = strrchr(names[i], '.');
        if (strstr(names[i], "LayerNorm.weight"))
            snprintf(last, 8, ".gamma");
        else if (strstr(names[i], "LayerNorm.bias"))
            snprintf(last, 8, ".beta");
        list.tensors[i].name = names[i];
    }
    struct pare_stored stored;
    opens(&stored);
    cr_assert_str_eq(slot_tensor(&stored, "blk.1.layer_output_norm.weight")->name,
                     "encoder.layer.1.output.LayerNorm.gamma");
    cr_assert_str_eq(slot_tensor(&stored, "token_embd_norm.bias")->name,
                     "embeddings.LayerNorm.beta");
    pare_stored_close(&stored);
    end();
}

Test(stored, buffers_are_passed_over_and_heads_of_pretraining_named)
{
    begin("tiny-bert");
    struct pare_tensor extra = *tensor_list_find(&list, "classifier.bias");
    extra.name = "bert.embeddings.position_ids";
    tensor_list_add(&list, &extra);
    extra.name = "cls.predictions.bias";
    tensor_list_add(&list, &extra);
    extra.name = "cls.seq_relationship.weight";
    tensor_list_add(&list, &extra);
    struct pare_stored stored;
    opens(&stored);
    cr_assert_eq(stored.n_dropped, 2);
    cr_assert_str_eq(stored.dropped[0], "cls.predictions.bias");
    cr_assert_str_eq(stored.dropped[1], "cls.seq_relationship.weight");
    pare_stored_close(&stored);
    end();
}

Test(stored, a_missing_tensor_is_named_with_its_shape)
{
    begin("tiny-bert");
    tensor_list_drop(&list, LAYER "output.dense.weight");
    refused("tensor encoder.layer.0.output.dense.weight is missing, expected [24, 40] by "
            "the config");
    end();
}

Test(stored, an_extra_tensor_is_named_unless_ignored)
{
    begin("tiny-bert");
    struct pare_tensor extra = *tensor_list_find(&list, "classifier.bias");
    extra.name = "adapter.up";
    tensor_list_add(&list, &extra);
    refused("tensor adapter.up does not belong to a bert of this config; leave it out "
            "with --ignore");
    extra.name = "adapter.down";
    tensor_list_add(&list, &extra);
    refused("tensor adapter.up (and 1 more) does not belong to a bert of this config; "
            "leave it out with --ignore");
    const char *const ignore[] = {"adapter.*"};
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_assert_eq(open_edited(ignore, 1, &stored, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(stored.n_dropped, 2);
    pare_stored_close(&stored);
    end();
}

Test(stored, a_wrong_shape_or_type_is_named_with_both)
{
    begin("tiny-bert");
    struct pare_tensor *up = tensor_list_find(&list, LAYER "intermediate.dense.weight");
    up->shape[0] = 24, up->shape[1] = 40;
    refused("tensor " LAYER "intermediate.dense.weight has shape [24, 40], expected "
            "[40, 24] by the config");
    up->n_dims = 1, up->shape[0] = 960;
    refused("tensor " LAYER "intermediate.dense.weight has shape [960], expected "
            "[40, 24] by the config");
    up->n_dims = 2, up->shape[0] = 40, up->shape[1] = 24;
    up->type = PARE_I32;
    refused("tensor " LAYER
            "intermediate.dense.weight is I32, expected F32, F16, BF16 or "
            "F64");
    end();
}

Test(stored, one_weight_under_two_names_is_refused)
{
    begin("tiny-bert");
    struct pare_tensor twin =
        *tensor_list_find(&list, "bert.embeddings.LayerNorm.weight");
    twin.name = "embeddings.LayerNorm.gamma";
    tensor_list_add(&list, &twin);
    refused("tensors bert.embeddings.LayerNorm.weight and embeddings.LayerNorm.gamma are "
            "the same weight under two names");
    end();
}

Test(stored, the_pooler_is_there_when_its_tensors_are)
{
    begin("tiny-bert");
    tensor_list_drop(&list, "bert.pooler.dense.weight");
    tensor_list_drop(&list, "bert.pooler.dense.bias");
    refused("tensor pooler.dense.weight is missing, expected [24, 24] by the config");
    tensor_list_drop(&list, "classifier.weight");
    refused("tensor classifier.weight is missing, expected [3, 24] by the config");
    tensor_list_drop(&list, "classifier.bias");

    /* Without a classifier in the config either, it is the bare encoder. */
    const char *config = folder_path(&folder, "config.json");
    static const char text[] =
        "{\"model_type\":\"bert\",\"architectures\":[\"BertForMaskedLM\"],"
        "\"num_hidden_layers\":2,\"hidden_size\":24,\"num_attention_heads\":3,"
        "\"intermediate_size\":40,\"vocab_size\":61,\"max_position_embeddings\":24}";
    put_file(config, text, sizeof text - 1);
    const char *path = folder_path(&folder, "m.safetensors");
    cr_assert_eq(safetensors_write(path, list.tensors, list.count), 0);
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_OK, "%s", err.message);
    cr_assert(!stored.config.has_pooler);
    cr_assert_eq(stored.config.labels, 0);
    pare_stored_close(&stored);
    end();
}

Test(stored, without_architectures_the_classifier_says_how_many_labels)
{
    begin("tiny-distilbert");
    static const char text[] =
        "{\"model_type\":\"distilbert\",\"n_layers\":1,\"dim\":32,\"n_heads\":2,"
        "\"hidden_dim\":48,\"vocab_size\":61,\"max_position_embeddings\":24}";
    put_file(folder_path(&folder, "config.json"), text, sizeof text - 1);
    const char *path = folder_path(&folder, "m.safetensors");
    cr_assert_eq(safetensors_write(path, list.tensors, list.count), 0);
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(stored.config.labels, 3);
    cr_assert_str_eq(stored.config.label[2], "LABEL_2");
    cr_assert(stored.config.has_pooler);
    pare_stored_close(&stored);
    end();
}

Test(stored, a_checkpoint_without_config_says_what_to_do)
{
    begin("tiny-distilbert");
    const char *path = folder_path(&folder, "m.safetensors");
    cr_assert_eq(safetensors_write(path, list.tensors, list.count), 0);
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_ERR_INPUT);
    cr_assert(
        strstr(err.message, "there is no config.json beside it; name it with --config"));
    end();
}

/* --- Containers --- */

struct container {
    struct pare_meta meta;
    const char *skip, *extra; /* a tensor to leave out, one to add */
    int int8;                 /* blk.0.attn_q.weight as I8 with its scales */
    uint64_t scales;          /* how many, 0 for none */
};

/* Writes every tensor of `from` as it is, with the changes. */
static const char *write_container(const struct pare_stored *from, struct container *c)
{
    const char *path = folder_path(&folder, "m.gguf");
    struct pare_gguf_writer *writer;
    struct pare_error err = {""};
    static const float zeros[4096];
    const uint64_t one = 1;
    cr_assert_eq(pare_gguf_writer_open(path, &c->meta, &writer, &err), PARE_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < from->plan.count; i++) {
            const struct pare_slot *slot = &from->plan.slots[i];
            const int int8 = c->int8 && !strcmp(slot->name, "blk.0.attn_q.weight");
            if (c->skip && !strcmp(slot->name, c->skip))
                continue;
            enum pare_status status =
                pass
                    ? pare_gguf_writer_data(
                          writer, from->tensors[i]->data,
                          int8 ? pare_slot_elements(slot) : from->tensors[i]->bytes, &err)
                    : pare_gguf_writer_plan(writer, slot->name,
                                            int8 ? PARE_I8 : from->tensors[i]->type,
                                            slot->n_dims, slot->shape, &err);
            cr_assert_eq(status, PARE_OK, "%s", err.message);
            if (int8 && c->scales)
                cr_assert_eq(
                    pass ? pare_gguf_writer_data(writer, zeros, 4 * c->scales, &err)
                         : pare_gguf_writer_plan(writer, "blk.0.attn_q.weight_scale",
                                                 PARE_F32, 1, &c->scales, &err),
                    PARE_OK);
        }
        if (c->extra)
            cr_assert_eq(
                pass ? pare_gguf_writer_data(writer, zeros, 4, &err)
                     : pare_gguf_writer_plan(writer, c->extra, PARE_F32, 1, &one, &err),
                PARE_OK);
    }
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    return path;
}

static void container_is(struct container *c, const struct pare_stored *from,
                         enum pare_status expected, const char *message)
{
    struct pare_stored stored;
    struct pare_error err = {""};
    const char *path = write_container(from, c);
    enum pare_status status = pare_stored_open(path, NULL, &stored, &err);
    cr_assert_eq(status, expected, "%s", err.message);
    if (status == PARE_OK)
        pare_stored_close(&stored);
    else
        cr_assert_str_eq(strstr(err.message, "m.gguf: ") + strlen("m.gguf: "), message);
    pare_meta_free(&c->meta);
}

static struct container good(const struct pare_stored *from)
{
    struct container c = {.skip = NULL};
    cr_assert_eq(pare_config_to_meta(&from->config, &c.meta, NULL), PARE_OK);
    return c;
}

Test(stored, containers_must_have_the_tensors_of_their_config)
{
    begin("tiny-bert");
    struct pare_stored from;
    opens(&from);
    struct container c = good(&from);
    container_is(&c, &from, PARE_OK, NULL);
    c = good(&from);
    c.skip = "blk.1.ffn_up.bias";
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor blk.1.ffn_up.bias is missing, expected [40] by the config");
    c = good(&from);
    c.extra = "rope_freqs.weight";
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor rope_freqs.weight does not belong to a bert of this config");
    c = good(&from);
    cr_assert_eq(pare_meta_set_u32(&c.meta, "bert.vocab_size", 60, NULL), PARE_OK);
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor token_embd.weight has shape [61, 24], expected [60, 24] by the "
                 "config");
    pare_stored_close(&from);
    end();
}

Test(stored, int8_weights_must_have_a_scale_for_each_row)
{
    begin("tiny-bert");
    struct pare_stored from;
    opens(&from);
    struct container c = good(&from);
    c.int8 = 1, c.scales = 24;
    container_is(&c, &from, PARE_OK, NULL);
    c = good(&from);
    c.int8 = 1;
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor blk.0.attn_q.weight is I8, but its scales "
                 "blk.0.attn_q.weight_scale are missing");
    c = good(&from);
    c.int8 = 1, c.scales = 23;
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor blk.0.attn_q.weight_scale has shape [23], expected [24] by the "
                 "config");
    /* Scales of a weight that is not I8 belong to nothing. */
    c = good(&from);
    c.extra = "blk.0.attn_k.weight_scale";
    container_is(&c, &from, PARE_ERR_INPUT,
                 "tensor blk.0.attn_k.weight_scale does not belong to a bert of this "
                 "config");
    pare_stored_close(&from);
    end();
}

Test(stored, containers_of_other_programs_are_completed_from_their_tensors)
{
    begin("tiny-bert");
    struct pare_stored from, stored;
    struct pare_error err = {""};
    opens(&from);
    struct container c = good(&from);
    static const char *const ours[] = {"pare.family",         "pare.activation",
                                       "pare.pooler",         "pare.token_types",
                                       "pare.dropout.hidden", "pare.dropout.attention",
                                       "pare.dropout.head"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        pare_meta_remove(&c.meta, ours[i]);
    c.skip = "token_types.weight";
    cr_assert_eq(pare_stored_open(write_container(&from, &c), NULL, &stored, &err),
                 PARE_OK, "%s", err.message);
    cr_assert_eq(stored.config.family, PARE_BERT);
    cr_assert_eq(stored.config.activation, PARE_ACT_GELU);
    cr_assert_eq(stored.config.token_types, 0);
    cr_assert(stored.config.has_pooler);
    cr_assert_eq(stored.config.labels, 3);
    pare_stored_close(&stored);
    pare_meta_free(&c.meta);
    pare_stored_close(&from);
    end();
}
