/* The one forward: inference, calibration, teacher and training all run pare_forward.
 *
 * Sequences of a batch stand behind each other without padding, so nothing is computed
 * for tokens that do not exist, and a batch of mixed lengths needs no mask: attention
 * runs inside each sequence. This is exactly what Hugging Face's padding masks compute.
 *
 * For a block (post-norm, as in BERT and DistilBERT), with x its input:
 *     q, k, v = x Wqkv^T + b                        [T, 3A], A = H D
 *     p_h = softmax(q_h k_h^T / sqrt(D))            per sequence and head
 *     a = concat_h(p_h v_h) Wo^T + b + x            [T, C]
 *     u = LayerNorm(a)
 *     f = act(u W1^T + b) W2^T + b + u
 *     y = LayerNorm(f)
 */
#ifndef PARE_MODEL_FORWARD_H
#define PARE_MODEL_FORWARD_H

#include "runtime/model/model.h"
#include "runtime/model/profile.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_batch {
    size_t n_seq, n_tokens; /* B, T */
    const int32_t *ids;     /* [T] */
    const int32_t *types;   /* [T] token types, NULL: all 0 */
    const uint32_t *starts; /* [B + 1]: sequence s is tokens starts[s] .. starts[s+1]-1 */
};

/* Dropout (Srivastava et al. 2014), counted: the mask is a function of (seed, step, site,
 * element), so the backward pass regenerates it and a resumed run repeats it. */
struct pare_dropout {
    uint64_t seed, step;
};

/* Sites are numbered so that every application has its own stream. */
enum pare_dropout_site {
    PARE_DROPOUT_EMBED = 0, /* after the embedding's norm; rate dropout */
    PARE_DROPOUT_HEAD = 1,  /* before the classifier; rate head_dropout */
    PARE_DROPOUT_PROBS = 2, /* + 3 * layer: attention probabilities; attention_dropout */
    PARE_DROPOUT_ATTN = 3,  /* + 3 * layer: attention output before the residual */
    PARE_DROPOUT_FFN = 4,   /* + 3 * layer: feed-forward output before the residual */
};

/* Multiplies y[i] by mask / (1 - rate) for elements offset + i of the site. rate 0: does
 * nothing. Applied to dy it is its own backward. */
void pare_dropout_apply(const struct pare_dropout *dropout, uint64_t site, float rate,
                        float *y, size_t n, uint64_t offset);

/* Linear layers by what they read. R is T, but B in the last block under
 * pare_acts.first_only. */
enum pare_site {
    PARE_SITE_QKV,        /* query, key and value: the block's input [T, C] */
    PARE_SITE_KV,         /* when R is B: key and value, the same */
    PARE_SITE_Q,          /* and query: the block's input at first tokens [B, C] */
    PARE_SITE_ATTN_OUT,   /* the attention's context [R, A] */
    PARE_SITE_UP,         /* u [R, C] */
    PARE_SITE_DOWN,       /* act(u W1^T + b) [R, F] */
    PARE_SITE_POOLER,     /* hidden states of the first tokens [B, C] */
    PARE_SITE_CLASSIFIER, /* what the pooler made of them [B, C] */
    PARE_SITES,
};

/* Sees what linear layers read, just before they do: X[rows, K], dense, valid during the
 * call. `layer` is config.layers for the head. */
struct pare_tap {
    enum pare_status (*see)(void *context, uint32_t layer, enum pare_site site,
                            const float *X, size_t rows, struct pare_error *err);
    void *context;
};

/* What a block computed. In inference all blocks share one set of buffers and the fields
 * marked (tape) are NULL; on a tape each block keeps its own for the backward pass. R is
 * T, but B in the last block under pare_acts.first_only. */
struct pare_block_acts {
    const float *input; /* [T, C]: the previous block's output */
    float *qkv;         /* [T, 3A]; when R is B, queries of the first tokens only */
    float *probs;       /* (tape) softmax before dropout: for sequence s of length
                           n, head h: [n, n] at prob_start[s] + h n^2; when R is B, the
                           first row of each */
    float *context;     /* [R, A]: concat of p_h v_h */
    float *attn_sum;    /* [R, C]: a above */
    float *attn_mean, *attn_rstd; /* (tape) [R] */
    float *attn_normed;           /* [R, C]: u above */
    float *up;                    /* (tape) [R, F] before the activation */
    float *up_act;                /* [R, F] after it */
    float *out_sum;               /* [R, C]: f above */
    float *out_mean, *out_rstd;   /* (tape) [R] */
    float *output;                /* [R, C] */
};

struct pare_acts {
    int tape; /* keep what a backward pass needs */
    /* Only the first token of each sequence is read from the last block (that is all a
     * classifier does): its queries, and everything behind the attention, are computed
     * for these B rows alone. Logits, pooled and first keep their bits. */
    int first_only;
    const struct pare_tap *tap;     /* or NULL */
    struct pare_profile *profile;   /* or NULL: the operations' times are added to it */
    float *embed_sum;               /* (tape) [T, C]: sum of embeddings before the norm */
    float *embed_mean, *embed_rstd; /* (tape) [T] */
    float *embedded;                /* [T, C]: input of block 0 */
    uint64_t *prob_start;           /* [B + 1] offsets into probs */
    struct pare_block_acts *blocks; /* [L] */
    float *first;                   /* [B, C]: hidden state of each first token */
    float *pooled_pre;              /* (tape) [B, C] before the head's activation */
    float *pooled;           /* [B, C] after it (and after dropout when training) */
    float *logits;           /* [B, labels] */
    struct pare_arena arena; /* all of the above; grows to the largest batch seen */
    struct pare_arena scratch;
};

void pare_acts_free(struct pare_acts *acts);

/* Runs the batch through the model; results stay in `acts` (zeroed before first use;
 * tape, first_only, tap and profile set by the caller) until the next call. dropout NULL:
 * none. PARE_ERR_INPUT when a sequence is empty or longer than config.positions, or an id
 * or type is out of range. acts->blocks[L-1].output has the hidden states (unless
 * first_only), acts->pooled the pooler's output and acts->logits the classifier's, where
 * the config has them. */
enum pare_status pare_forward(const struct pare_model *model,
                              const struct pare_batch *batch,
                              const struct pare_dropout *dropout, struct pare_acts *acts,
                              struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
