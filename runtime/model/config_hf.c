/* A config from Hugging Face's config.json. Numbers that give the model its shape must be
 * there; what else is left out has the default of Hugging Face's BertConfig and
 * DistilBertConfig. Anything that would change the result and is not computed here is
 * refused by name.
 */
#include "runtime/model/config_internal.h"

#include <stdio.h>
#include <string.h>

/* The same number under BERT's and DistilBERT's name of it. */
struct hf_number {
    const char *name[2];
    uint32_t *out;
};

static enum pare_status read_numbers(const cJSON *json, const char *what,
                                     struct pare_config *config, struct pare_error *err)
{
    const struct hf_number numbers[] = {
        {{"num_hidden_layers", "n_layers"}, &config->layers},
        {{"hidden_size", "dim"}, &config->hidden},
        {{"num_attention_heads", "n_heads"}, &config->heads},
        {{"intermediate_size", "hidden_dim"}, &config->ffn},
        {{"vocab_size", "vocab_size"}, &config->vocab},
        {{"max_position_embeddings", "max_position_embeddings"}, &config->positions},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *name = numbers[i].name[config->family];
        uint64_t value = 0;
        PARE_TRY(pare_json_u64(json, name, 1, UINT32_MAX, &value, what, err));
        if (!value)
            return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\" is missing", what, name);
        *numbers[i].out = (uint32_t)value;
    }
    config->token_types = 0;
    if (config->family == PARE_BERT) {
        uint64_t types = 2;
        PARE_TRY(pare_json_u64(json, "type_vocab_size", 0, 1024, &types, what, err));
        config->token_types = (uint32_t)types;
    }
    return PARE_OK;
}

static enum pare_status read_rates(const cJSON *json, const char *what,
                                   struct pare_config *config, struct pare_error *err)
{
    const int bert = config->family == PARE_BERT;
    double hidden = 0.1, attention = 0.1, head = bert ? -1 : 0.2;
    PARE_TRY(pare_json_double(json, bert ? "hidden_dropout_prob" : "dropout", 0, 0.99,
                              &hidden, what, err));
    PARE_TRY(pare_json_double(json,
                              bert ? "attention_probs_dropout_prob" : "attention_dropout",
                              0, 0.99, &attention, what, err));
    PARE_TRY(pare_json_double(json, bert ? "classifier_dropout" : "seq_classif_dropout",
                              0, 0.99, &head, what, err));
    double eps = 1e-12;
    if (bert)
        PARE_TRY(pare_json_double(json, "layer_norm_eps", 0, 1, &eps, what, err));
    config->dropout = (float)hidden;
    config->attention_dropout = (float)attention;
    config->head_dropout = (float)(head < 0 ? hidden : head);
    config->norm_eps = (float)eps;
    return PARE_OK;
}

/* Settings that change the result and that this project does not compute. */
static enum pare_status refuse_unsupported(const cJSON *json, const char *what,
                                           struct pare_error *err)
{
    const char *position = "absolute";
    PARE_TRY(pare_json_string(json, "position_embedding_type", &position, what, err));
    if (strcmp(position, "absolute"))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: position_embedding_type \"%s\" is not supported (absolute "
                         "is)",
                         what, position);
    static const char *const switches[] = {"is_decoder", "add_cross_attention"};
    for (size_t i = 0; i < 2; i++) {
        int on = 0;
        PARE_TRY(pare_json_bool(json, switches[i], &on, what, err));
        if (on)
            return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\": true is not supported",
                             what, switches[i]);
    }
    const cJSON *pruned = cJSON_GetObjectItemCaseSensitive(json, "pruned_heads");
    if (pruned && pruned->child)
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: \"pruned_heads\" is not empty: layers with fewer heads than "
            "the others are not supported",
            what);
    const cJSON *quantised =
        cJSON_GetObjectItemCaseSensitive(json, "quantization_config");
    if (quantised && !cJSON_IsNull(quantised))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: has a \"quantization_config\": start from the checkpoint "
                         "before its quantisation",
                         what);
    const char *problem = "single_label_classification";
    PARE_TRY(pare_json_string(json, "problem_type", &problem, what, err));
    if (strcmp(problem, "single_label_classification"))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: problem_type \"%.64s\" is not supported "
                         "(single_label_classification is)",
                         what, problem);
    return PARE_OK;
}

/* The first of "architectures", without its family ("Model"); NULL when there is none. */
static enum pare_status read_architecture(const cJSON *json, const char *what,
                                          enum pare_family family, const char **kind,
                                          struct pare_error *err)
{
    static const char *const kinds[] = {"Model", "ForSequenceClassification",
                                        "ForMaskedLM", "ForPreTraining",
                                        "ForNextSentencePrediction"};
    const char *prefix = family == PARE_BERT ? "Bert" : "DistilBert";
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "architectures");
    *kind = NULL;
    if (!names || cJSON_IsNull(names) || (cJSON_IsArray(names) && !names->child))
        return PARE_OK;
    if (!cJSON_IsArray(names) || !cJSON_IsString(names->child))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: \"architectures\" is not a list of strings", what);
    const char *name = names->child->valuestring;
    if (!strncmp(name, prefix, strlen(prefix)))
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (!strcmp(name + strlen(prefix), kinds[i]))
                *kind = kinds[i];
    if (*kind)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT,
                     "%s: architecture \"%.64s\" is not supported (%sModel and "
                     "%sForSequenceClassification are)",
                     what, name, prefix, prefix);
}

/* The name that id2label gives to label i. */
static enum pare_status label_name(const cJSON *names, uint32_t i, const char *what,
                                   const char **name, struct pare_error *err)
{
    char key[16];
    snprintf(key, sizeof key, "%u", i);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(names, key);
    if (!cJSON_IsString(item))
        return pare_fail(err, PARE_ERR_INPUT, "%s: id2label has no name for label %u",
                         what, i);
    *name = item->valuestring;
    return PARE_OK;
}

/* Labels are those of id2label, or as many LABEL_i as num_labels says, or Hugging Face's
 * default of two; none when the architecture has no classifier, or when no architecture
 * and no labels are given. */
static enum pare_status read_labels(const cJSON *json, const char *what, const char *kind,
                                    struct pare_config *config, struct pare_error *err)
{
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "id2label");
    const int named = cJSON_IsObject(names) && names->child;
    uint64_t count = named ? (uint64_t)cJSON_GetArraySize(names) : 0, stated = count;
    config->labels = 0;
    PARE_TRY(pare_json_u64(json, "num_labels", 1, PARE_MAX_LABELS, &stated, what, err));
    if (named && stated != count)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: num_labels is %llu, but id2label names %llu labels", what,
                         (unsigned long long)stated, (unsigned long long)count);
    if (kind && strcmp(kind, "ForSequenceClassification"))
        return PARE_OK;
    if (kind && !stated)
        stated = 2;
    PARE_TRY(
        pare_config_range(what, "number of labels", stated, 0, PARE_MAX_LABELS, err));
    for (uint32_t i = 0; i < stated; i++) {
        char fallback[16];
        snprintf(fallback, sizeof fallback, "LABEL_%u", i);
        const char *name = fallback;
        if (named)
            PARE_TRY(label_name(names, i, what, &name, err));
        PARE_TRY(pare_config_set_label(config, i, name, strlen(name), what, err));
    }
    config->labels = (uint32_t)stated;
    return PARE_OK;
}

enum pare_status pare_config_from_hf(const cJSON *json, const char *what,
                                     struct pare_config *config, struct pare_error *err)
{
    memset(config, 0, sizeof *config);
    const char *type = NULL;
    PARE_TRY(pare_json_string(json, "model_type", &type, what, err));
    if (!type)
        return pare_fail(err, PARE_ERR_INPUT, "%s: \"model_type\" is missing", what);
    if (!strcmp(type, "bert"))
        config->family = PARE_BERT;
    else if (!strcmp(type, "distilbert"))
        config->family = PARE_DISTILBERT;
    else
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: model_type \"%.64s\" is not supported (bert, distilbert are)", what,
            type);
    const char *kind;
    PARE_TRY(read_architecture(json, what, config->family, &kind, err));
    PARE_TRY(refuse_unsupported(json, what, err));
    PARE_TRY(read_numbers(json, what, config, err));
    PARE_TRY(read_rates(json, what, config, err));
    const char *act = "gelu";
    PARE_TRY(pare_json_string(json,
                              config->family == PARE_BERT ? "hidden_act" : "activation",
                              &act, what, err));
    PARE_TRY(pare_activation_parse(act, strlen(act), what, &config->activation, err));
    PARE_TRY(read_labels(json, what, kind, config, err));
    config->has_pooler = config->family == PARE_BERT || config->labels > 0;
    return pare_config_check(config, what, err);
}
