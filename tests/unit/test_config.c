/* Hugging Face's config.json: what is read, what has a default, what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "runtime/model/config.h"
#include "runtime/model/plan.h"

#define BERT_SIZES                                                                       \
    "\"num_hidden_layers\":2,\"hidden_size\":8,\"num_attention_heads\":2,"               \
    "\"intermediate_size\":16,\"vocab_size\":11,\"max_position_embeddings\":16"
#define BERT "\"model_type\":\"bert\"," BERT_SIZES
#define DISTIL                                                                           \
    "\"model_type\":\"distilbert\",\"n_layers\":3,\"dim\":8,\"n_heads\":4,"              \
    "\"hidden_dim\":32,\"vocab_size\":11,\"max_position_embeddings\":16"
#define CLASSIFIER "\"architectures\":[\"BertForSequenceClassification\"]"

static enum pare_status parse(const char *text, struct pare_config *config,
                              struct pare_error *err)
{
    cJSON *json;
    cr_assert_eq(pare_json_parse(text, strlen(text), "c", &json, err), PARE_OK, "%s",
                 err->message);
    enum pare_status status = pare_config_from_hf(json, "c", config, err);
    cJSON_Delete(json);
    return status;
}

static struct pare_config read(const char *text)
{
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(parse(text, &config, &err), PARE_OK, "%s", err.message);
    return config;
}

static void refused(const char *text, const char *message)
{
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(parse(text, &config, &err), PARE_ERR_INPUT, "%s", text);
    cr_assert_str_eq(err.message, message);
}

Test(config, bert_has_hugging_faces_defaults)
{
    struct pare_config c = read("{" BERT "}");
    cr_assert_eq(c.family, PARE_BERT);
    cr_assert_eq(c.layers, 2);
    cr_assert_eq(c.hidden, 8);
    cr_assert_eq(c.heads, 2);
    cr_assert_eq(c.ffn, 16);
    cr_assert_eq(c.vocab, 11);
    cr_assert_eq(c.positions, 16);
    cr_assert_eq(c.token_types, 2);
    cr_assert_eq(c.activation, PARE_ACT_GELU);
    cr_assert_eq(c.norm_eps, 1e-12f);
    cr_assert_eq(c.labels, 0);
    cr_assert_eq(c.dropout, 0.1f);
    cr_assert_eq(c.attention_dropout, 0.1f);
    cr_assert_eq(c.head_dropout, 0.1f);
    cr_assert_eq(pare_config_head_activation(&c), PARE_ACT_TANH);
}

Test(config, distilbert_reads_its_own_names)
{
    struct pare_config c =
        read("{" DISTIL ",\"dropout\":0.3,\"attention_dropout\":0,"
             "\"seq_classif_dropout\":0.25,\"activation\":\"relu\","
             "\"sinusoidal_pos_embds\":true,"
             "\"architectures\":[\"DistilBertForSequenceClassification\"]}");
    cr_assert_eq(c.family, PARE_DISTILBERT);
    cr_assert_eq(c.layers, 3);
    cr_assert_eq(c.heads, 4);
    cr_assert_eq(c.ffn, 32);
    cr_assert_eq(c.token_types, 0);
    cr_assert_eq(c.activation, PARE_ACT_RELU);
    cr_assert_eq(c.dropout, 0.3f);
    cr_assert_eq(c.attention_dropout, 0.0f);
    cr_assert_eq(c.head_dropout, 0.25f);
    cr_assert_eq(c.labels, 2);
    cr_assert_str_eq(c.label[1], "LABEL_1");
    cr_assert(c.has_pooler);
    cr_assert_eq(pare_config_head_activation(&c), PARE_ACT_RELU);
}

Test(config, activations_are_found_under_all_their_names)
{
    const struct {
        const char *name;
        enum pare_activation act;
    } cases[] = {{"gelu", PARE_ACT_GELU},
                 {"gelu_new", PARE_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", PARE_ACT_GELU_TANH},
                 {"relu", PARE_ACT_RELU},
                 {"silu", PARE_ACT_SILU}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{" BERT ",\"hidden_act\":\"%s\"}", cases[i].name);
        cr_assert_eq(read(text).activation, cases[i].act, "%s", cases[i].name);
    }
    refused("{" BERT ",\"hidden_act\":\"mish\"}",
            "c: activation \"mish\" is not supported (gelu, gelu_new, gelu_pytorch_tanh, "
            "relu, silu are)");
}

Test(config, labels_come_from_id2label_or_num_labels_or_are_two)
{
    struct pare_config c =
        read("{" BERT "," CLASSIFIER ",\"id2label\":{\"1\":\"good\",\"0\":\"bad\"}}");
    cr_assert_eq(c.labels, 2);
    cr_assert_str_eq(c.label[0], "bad");
    cr_assert_str_eq(c.label[1], "good");
    c = read("{" BERT "," CLASSIFIER ",\"num_labels\":3}");
    cr_assert_eq(c.labels, 3);
    cr_assert_str_eq(c.label[2], "LABEL_2");
    cr_assert_eq(read("{" BERT "," CLASSIFIER "}").labels, 2);
    /* A bare encoder's config may carry labels that mean nothing. */
    cr_assert_eq(
        read("{" BERT ",\"architectures\":[\"BertModel\"],\"num_labels\":3}").labels, 0);
    cr_assert_eq(read("{" BERT ",\"num_labels\":3}").labels, 3);
}

Test(config, labels_that_are_incomplete_or_ambiguous_are_refused)
{
    refused("{" BERT "," CLASSIFIER ",\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}",
            "c: id2label has no name for label 1");
    refused("{" BERT "," CLASSIFIER ",\"id2label\":{\"0\":\"a\",\"1\":7}}",
            "c: id2label has no name for label 1");
    refused("{" BERT "," CLASSIFIER ",\"id2label\":{\"0\":\"a\",\"1\":\"a\"}}",
            "c: labels 0 and 1 are both called \"a\"");
    refused("{" BERT "," CLASSIFIER ",\"id2label\":{\"0\":\"\"}}",
            "c: the name of label 0 is empty or longer than 63 bytes");
    refused("{" BERT "," CLASSIFIER
            ",\"num_labels\":3,\"id2label\":{\"0\":\"a\",\"1\":\"b\"}}",
            "c: num_labels is 3, but id2label names 2 labels");
}

Test(config, what_is_not_computed_is_refused_by_name)
{
    refused("{\"model_type\":\"llama\"}",
            "c: model_type \"llama\" is not supported (bert, distilbert are)");
    refused("{" BERT_SIZES "}", "c: \"model_type\" is missing");
    refused("{" BERT ",\"position_embedding_type\":\"relative_key\"}",
            "c: position_embedding_type \"relative_key\" is not supported (absolute is)");
    refused("{" BERT ",\"is_decoder\":true}", "c: \"is_decoder\": true is not supported");
    refused("{" BERT ",\"add_cross_attention\":true}",
            "c: \"add_cross_attention\": true is not supported");
    refused(
        "{" BERT ",\"pruned_heads\":{\"0\":[1]}}",
        "c: \"pruned_heads\" is not empty: layers with fewer heads than the others are "
        "not supported");
    refused("{" BERT ",\"quantization_config\":{\"quant_method\":\"gptq\"}}",
            "c: has a \"quantization_config\": start from the checkpoint before its "
            "quantisation");
    refused("{" BERT ",\"problem_type\":\"regression\"}",
            "c: problem_type \"regression\" is not supported "
            "(single_label_classification is)");
    refused("{" BERT ",\"architectures\":[\"BertForTokenClassification\"]}",
            "c: architecture \"BertForTokenClassification\" is not supported (BertModel "
            "and BertForSequenceClassification are)");
    refused("{" BERT ",\"architectures\":[\"DistilBertModel\"]}",
            "c: architecture \"DistilBertModel\" is not supported (BertModel and "
            "BertForSequenceClassification are)");
}

/* A number replaced by another: the message names it. */
static void size_refused(const char *key, const char *value, const char *message)
{
    char text[512];
    snprintf(text, sizeof text, "{" BERT "}");
    char *at = strstr(text, key);
    cr_assert_not_null(at);
    at += strlen(key) + 2;
    char rest[512];
    snprintf(rest, sizeof rest, "%s", at + strcspn(at, ",}"));
    snprintf(at, sizeof text - (size_t)(at - text), "%s%s", value, rest);
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(parse(text, &config, &err), PARE_ERR_INPUT, "%s", text);
    cr_assert(strstr(err.message, message), "%s", err.message);
}

Test(config, numbers_out_of_range_are_refused)
{
    size_refused("num_hidden_layers", "513",
                 "number of layers is 513, expected 1 to 512");
    size_refused("num_hidden_layers", "0", "num_hidden_layers");
    size_refused("num_hidden_layers", "-1", "num_hidden_layers");
    size_refused("num_hidden_layers", "2.5", "num_hidden_layers");
    size_refused("num_hidden_layers", "\"2\"", "num_hidden_layers");
    size_refused("num_hidden_layers", "null", "\"num_hidden_layers\" is missing");
    size_refused("num_hidden_layers", "4294967296", "num_hidden_layers");
    size_refused("hidden_size", "0", "hidden_size");
    size_refused("hidden_size", "8194", "hidden size is 8194, expected 1 to 8192");
    size_refused("num_attention_heads", "0", "num_attention_heads");
    size_refused("num_attention_heads", "3",
                 "hidden size 8 is not a multiple of the 3 heads");
    size_refused("intermediate_size", "0", "intermediate_size");
    size_refused("vocab_size", "0", "vocab_size");
    size_refused("max_position_embeddings", "4000000000", "number of positions");
    refused("{" BERT ",\"layer_norm_eps\":0}",
            "c: layer norm epsilon is 0, expected between 0 and 1");
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(parse("{" BERT ",\"hidden_dropout_prob\":1}", &config, &err),
                 PARE_ERR_INPUT);
}

/* --- The plan of such a config --- */

Test(plan, names_are_unique_in_both_worlds_and_shapes_follow_the_config)
{
    const char *const texts[] = {
        "{" BERT "," CLASSIFIER "}",
        "{" DISTIL ",\"architectures\":[\"DistilBertForSequenceClassification\"]}"};
    const size_t counts[] = {5 + 2 * 16 + 4, 4 + 3 * 16 + 4};
    for (int family = 0; family < 2; family++) {
        struct pare_config config = read(texts[family]);
        struct pare_arena arena = {0};
        struct pare_plan plan;
        cr_assert_eq(pare_plan_make(&config, &arena, &plan, NULL), PARE_OK);
        cr_assert_eq(plan.count, counts[family]);
        for (size_t i = 0; i < plan.count; i++) {
            const struct pare_slot *slot = &plan.slots[i];
            cr_assert(slot->name[0] && slot->hf_name[0]);
            cr_assert_eq(pare_slot_is_matrix(slot), slot->n_dims == 2);
            cr_assert_eq(pare_slot_elements(slot),
                         slot->shape[0] * (slot->n_dims == 2 ? slot->shape[1] : 1));
            for (int d = 0; d < slot->n_dims; d++)
                cr_assert_gt(slot->shape[d], 0);
            for (size_t j = 0; j < i; j++) {
                cr_assert_str_neq(slot->name, plan.slots[j].name);
                cr_assert_str_neq(slot->hf_name, plan.slots[j].hf_name);
            }
        }
        pare_arena_free(&arena);
    }
}

Test(plan, query_key_and_value_stand_next_to_each_other)
{
    struct pare_config config = read("{" DISTIL "}");
    struct pare_arena arena = {0};
    struct pare_plan plan;
    cr_assert_eq(pare_plan_make(&config, &arena, &plan, NULL), PARE_OK);
    static const char *const order[] = {"blk.1.attn_q.weight", "blk.1.attn_k.weight",
                                        "blk.1.attn_v.weight", "blk.1.attn_q.bias",
                                        "blk.1.attn_k.bias",   "blk.1.attn_v.bias"};
    size_t first = 0;
    while (strcmp(plan.slots[first].name, order[0]))
        first++;
    for (size_t i = 0; i < 6; i++)
        cr_assert_str_eq(plan.slots[first + i].name, order[i]);
    cr_assert_str_eq(plan.slots[first].hf_name,
                     "transformer.layer.1.attention.q_lin.weight");
    pare_arena_free(&arena);
}
