#include "runtime/model/profile.h"

#include "runtime/base/clock.h"

const char *pare_op_name(enum pare_op op)
{
    static const char *const names[PARE_OPS] = {
        [PARE_OP_EMBED] = "embed",         [PARE_OP_QKV] = "qkv",
        [PARE_OP_ATTENTION] = "attention", [PARE_OP_ATTN_OUT] = "attn_out",
        [PARE_OP_NORM] = "norm",           [PARE_OP_UP] = "up",
        [PARE_OP_DOWN] = "down",           [PARE_OP_HEAD] = "head",
    };
    return names[op];
}

void pare_profile_begin(struct pare_profile *profile)
{
    if (profile)
        profile->since = pare_clock_ms();
}

void pare_profile_mark(struct pare_profile *profile, enum pare_op op)
{
    if (!profile)
        return;
    const double now = pare_clock_ms();
    profile->ms[op] += now - profile->since;
    profile->since = now;
}

double pare_op_macs(const struct pare_config *config, size_t B, size_t tokens,
                    int first_only, enum pare_op op)
{
    const double C = config->hidden, F = config->ffn, n = (double)tokens;
    const double A = pare_config_attention_width(config);
    const double T = (double)B * n;
    /* Rows of queries, and of all behind the attention, in all blocks together. */
    const double rows =
        first_only ? (config->layers - 1) * T + (double)B : config->layers * T;
    switch (op) {
    case PARE_OP_QKV: return (rows + 2 * config->layers * T) * A * C;
    case PARE_OP_ATTENTION: return 2 * rows * n * A;
    case PARE_OP_ATTN_OUT: return rows * C * A;
    case PARE_OP_UP:
    case PARE_OP_DOWN: return rows * C * F;
    case PARE_OP_HEAD:
        return (double)B * ((config->has_pooler ? C * C : 0) + config->labels * C);
    case PARE_OP_EMBED:
    case PARE_OP_NORM:
    case PARE_OPS: break;
    }
    return 0;
}
