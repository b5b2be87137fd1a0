/* Two compressors, one behind the other: w = second(first(v)), such as a grid on what a
 * mask leaves. */
#ifndef PARE_MODEL_COMPRESSOR_CHAIN_H
#define PARE_MODEL_COMPRESSOR_CHAIN_H

#include "runtime/base/arena.h"
#include "runtime/model/compressor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_compressor_chain { /* all zero: none */
    struct pare_compressor both;
    struct pare_compressor *first, *second;
    const struct pare_plan *plan;
    float *between; /* [elements of the largest matrix that both cover] first(v) */
    struct pare_arena arena;
};

/* Both are borrowed. The first has no extras, and the second no state: chain->both has
 * the extras of the second and the state of the first. */
enum pare_status pare_compressor_chain_init(struct pare_compressor_chain *chain,
                                            const struct pare_plan *plan,
                                            struct pare_compressor *first,
                                            struct pare_compressor *second,
                                            struct pare_error *err) PARE_CHECKED;
void pare_compressor_chain_free(struct pare_compressor_chain *chain);

#ifdef __cplusplus
}
#endif
#endif
