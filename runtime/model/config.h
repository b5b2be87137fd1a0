/* What a model is: its architecture in numbers. A plain value.
 *
 * Read from Hugging Face's config.json or from a container's metadata, written to the
 * latter. Every number is range-checked on the way in, so code behind a config may rely
 * on: heads divides hidden unless heads have a width of their own, no dimension is zero,
 * sizes fit comfortably in size_t.
 */
#ifndef PARE_MODEL_CONFIG_H
#define PARE_MODEL_CONFIG_H

#include "runtime/base/json.h"
#include "runtime/checkpoint/meta.h"
#include "runtime/kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Post-norm encoders. BERT (Devlin et al. 2019) has token types and a tanh pooler before
 * its classifier; DistilBERT (Sanh et al. 2019) has neither, but a ReLU layer. */
enum pare_family {
    PARE_BERT,
    PARE_DISTILBERT,
};

#define PARE_MAX_HIDDEN 8192 /* hidden width; a row of it fits a small stack buffer */
#define PARE_MAX_LABELS 128
#define PARE_LABEL_SIZE 64

struct pare_config {
    enum pare_family family;
    uint32_t layers, hidden, heads, ffn;
    uint32_t head_width; /* 0: hidden / heads; else something else, where heads are gone
                          */
    uint32_t vocab, positions;
    uint32_t token_types; /* 0 when there is no such embedding (DistilBERT) */
    enum pare_activation activation;
    float norm_eps;
    int has_pooler;  /* the dense layer before the classifier (`cls`) is there */
    uint32_t labels; /* 0: no classifier (`cls.output`) */
    char label[PARE_MAX_LABELS][PARE_LABEL_SIZE];
    /* Training only; an inference run ignores them. */
    float dropout, attention_dropout, head_dropout;
};

/* D, and A = H D: the width of queries, keys, values and of what attention makes of them.
 */
static inline uint32_t pare_config_head_width(const struct pare_config *config)
{
    return config->head_width ? config->head_width : config->hidden / config->heads;
}

static inline uint32_t pare_config_attention_width(const struct pare_config *config)
{
    return config->heads * pare_config_head_width(config);
}

/* Heads of that width; head_width becomes 0 where it says nothing new. */
static inline void pare_config_set_heads(struct pare_config *config, uint32_t heads,
                                         uint32_t width)
{
    config->heads = heads;
    config->head_width = (uint64_t)heads * width == config->hidden ? 0 : width;
}

/* The activation of the layer before the classifier: tanh for BERT, ReLU for DistilBERT.
 */
enum pare_activation pare_config_head_activation(const struct pare_config *config);
const char *pare_family_name(enum pare_family family);

/* From a parsed config.json; `what` names it in messages. An unknown model_type, or a
 * setting that would change the result and is not supported, is refused by name. */
enum pare_status pare_config_from_hf(const cJSON *json, const char *what,
                                     struct pare_config *config,
                                     struct pare_error *err) PARE_CHECKED;
enum pare_status pare_config_from_meta(const struct pare_meta *meta, const char *what,
                                       struct pare_config *config,
                                       struct pare_error *err) PARE_CHECKED;
enum pare_status pare_config_to_meta(const struct pare_config *config,
                                     struct pare_meta *meta,
                                     struct pare_error *err) PARE_CHECKED;
/* The ranges stated above; the two readers call it. */
enum pare_status pare_config_check(const struct pare_config *config, const char *what,
                                   struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
