/* A model's config: names and ranges. Readers: config_hf.c, config_meta.c. */
#include "runtime/model/config_internal.h"

#include <stdio.h>
#include <string.h>

enum pare_activation pare_config_head_activation(const struct pare_config *config)
{
    return config->family == PARE_BERT ? PARE_ACT_TANH : PARE_ACT_RELU;
}

const char *pare_family_name(enum pare_family family)
{
    return family == PARE_BERT ? "bert" : "distilbert";
}

enum pare_status pare_config_range(const char *what, const char *name, uint64_t value,
                                   uint64_t min, uint64_t max, struct pare_error *err)
{
    if (value >= min && value <= max)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT, "%s: %s is %llu, expected %llu to %llu", what,
                     name, (unsigned long long)value, (unsigned long long)min,
                     (unsigned long long)max);
}

static enum pare_status check_rates(const struct pare_config *config, const char *what,
                                    struct pare_error *err)
{
    const float rates[] = {config->dropout, config->attention_dropout,
                           config->head_dropout};
    for (int i = 0; i < 3; i++)
        if (!(rates[i] >= 0 && rates[i] < 1))
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: a dropout rate is %g, expected 0 to below 1", what,
                             (double)rates[i]);
    return PARE_OK;
}

/* A label is what data and reports call a class: it must have a name of its own. */
static enum pare_status check_labels(const struct pare_config *config, const char *what,
                                     struct pare_error *err)
{
    for (uint32_t i = 0; i < config->labels; i++) {
        if (!config->label[i][0])
            return pare_fail(err, PARE_ERR_INPUT, "%s: label %u has no name", what, i);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(config->label[i], config->label[j]))
                return pare_fail(err, PARE_ERR_INPUT,
                                 "%s: labels %u and %u are both called \"%s\"", what, j,
                                 i, config->label[i]);
    }
    return PARE_OK;
}

enum pare_status pare_config_check(const struct pare_config *config, const char *what,
                                   struct pare_error *err)
{
    PARE_TRY(pare_config_range(what, "number of layers", config->layers, 1, 512, err));
    PARE_TRY(
        pare_config_range(what, "hidden size", config->hidden, 1, PARE_MAX_HIDDEN, err));
    PARE_TRY(pare_config_range(what, "number of heads", config->heads, 1, 1024, err));
    PARE_TRY(pare_config_range(what, "feed-forward size", config->ffn, 1, 1 << 18, err));
    PARE_TRY(pare_config_range(what, "vocabulary size", config->vocab, 1, 1 << 22, err));
    PARE_TRY(pare_config_range(what, "number of positions", config->positions, 1, 1 << 20,
                               err));
    PARE_TRY(pare_config_range(what, "number of token types", config->token_types, 0,
                               1024, err));
    PARE_TRY(pare_config_range(what, "number of labels", config->labels, 0,
                               PARE_MAX_LABELS, err));
    PARE_TRY(pare_config_range(what, "width of a head", config->head_width, 0,
                               PARE_MAX_HIDDEN, err));
    if (config->head_width)
        PARE_TRY(pare_config_range(what, "width of all heads",
                                   (uint64_t)config->heads * config->head_width, 1,
                                   PARE_MAX_HIDDEN, err));
    else if (config->hidden % config->heads)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: hidden size %u is not a multiple of the %u heads", what,
                         config->hidden, config->heads);
    if (!(config->norm_eps > 0 && config->norm_eps < 1))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: layer norm epsilon is %g, expected between 0 and 1", what,
                         (double)config->norm_eps);
    if (config->family == PARE_DISTILBERT && config->token_types)
        return pare_fail(err, PARE_ERR_INPUT, "%s: a DistilBERT has no token types",
                         what);
    PARE_TRY(check_rates(config, what, err));
    return check_labels(config, what, err);
}

struct activation_name {
    const char *name;
    enum pare_activation act;
};

/* The first name of each is what a container stores. */
static const struct activation_name activations[] = {
    {"gelu", PARE_ACT_GELU},          {"gelu_tanh", PARE_ACT_GELU_TANH},
    {"gelu_new", PARE_ACT_GELU_TANH}, {"gelu_pytorch_tanh", PARE_ACT_GELU_TANH},
    {"relu", PARE_ACT_RELU},          {"silu", PARE_ACT_SILU},
    {"swish", PARE_ACT_SILU},
};
#define ACTIVATIONS (sizeof activations / sizeof *activations)

enum pare_status pare_activation_parse(const char *name, size_t length, const char *what,
                                       enum pare_activation *act, struct pare_error *err)
{
    for (size_t i = 0; i < ACTIVATIONS; i++)
        if (strlen(activations[i].name) == length &&
            !memcmp(activations[i].name, name, length)) {
            *act = activations[i].act;
            return PARE_OK;
        }
    return pare_fail(err, PARE_ERR_INPUT,
                     "%s: activation \"%.*s\" is not supported (gelu, gelu_new, "
                     "gelu_pytorch_tanh, relu, silu are)",
                     what, (int)(length < 64 ? length : 64), name);
}

const char *pare_activation_name(enum pare_activation act)
{
    for (size_t i = 0; i < ACTIVATIONS; i++)
        if (activations[i].act == act)
            return activations[i].name;
    return "?";
}

enum pare_status pare_config_set_label(struct pare_config *config, uint32_t i,
                                       const char *text, size_t length, const char *what,
                                       struct pare_error *err)
{
    if (!length || length >= PARE_LABEL_SIZE || memchr(text, '\0', length))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: the name of label %u is empty or longer than %d bytes",
                         what, i, PARE_LABEL_SIZE - 1);
    memcpy(config->label[i], text, length);
    config->label[i][length] = '\0';
    return PARE_OK;
}
