/* How the integer kernels run a sparse weight, and where that is quicker than a dense
 * one.
 *
 * What no kernel is there for runs as it is stored: each task expands its panels and the
 * dense kernel multiplies them (linear_i8.c, linear_grouped.c). So do N:M and single
 * zeros with more than a few rows: there a dense kernel does 64 products an instruction,
 * and whatever picks the inputs of single weights takes at least as many instructions as
 * it would save.
 */
#include "runtime/tensor/linear_run.h"

/* Fours that are kept, in a hundred, up to which it pays to skip the others: of 80 %
 * zeros a kernel of quads makes about 3.5 times the speed of the dense one. */
#define MOST_QUADS 60
/* The same of single weights: what a panel takes grows with them, with what quads of 4
 * bits store in vain as well. */
#define MOST_MASKED_4 55
#define MOST_MASKED_8 75

/* Weights that are kept, in a hundred. */
static double kept_share(const struct pare_weight *weight)
{
    const uint64_t bytes = weight->sparse.start[weight->N / weight->sparse.rows];
    const double values = 8.0 * (double)bytes / (double)pare_weight_value_bits(weight);
    return 100 * values / ((double)weight->N * (double)weight->K + 1e-9);
}

static enum pare_sparse_form form_of(const struct pare_weight *weight, double kept)
{
    const struct pare_sparse *sparse = &weight->sparse;
    if (weight->type != PARE_I8 || !sparse->rows)
        return PARE_SPARSE_STORED;
    if (!weight->groups.bits && !sparse->m && sparse->columns % 4 == 0 &&
        kept <= MOST_QUADS && (uint64_t)weight->N * weight->K / 4 <= UINT32_MAX)
        return PARE_SPARSE_QUADS;
    if (weight->groups.bits == 2) /* panels would take more than dense ones do */
        return PARE_SPARSE_STORED;
    const int narrow = weight->groups.bits && weight->groups.bits <= 4;
    return kept <= (narrow ? MOST_MASKED_4 : MOST_MASKED_8) ? PARE_SPARSE_MASKED
                                                            : PARE_SPARSE_STORED;
}

enum pare_sparse_form pare_sparse_form(const struct pare_weight *weight)
{
    return form_of(weight, weight->sparse.rows ? kept_share(weight) : 100);
}

enum pare_status pare_linear_pack_sparse(struct pare_linear *linear,
                                         struct pare_linear_part *part,
                                         struct pare_arena *arena, struct pare_error *err)
{
    switch (pare_sparse_form(&part->weight)) {
    case PARE_SPARSE_QUADS: return pare_linear_pack_quads(linear, part, arena, err);
    case PARE_SPARSE_MASKED: return pare_linear_pack_masked(linear, part, arena, err);
    default: return PARE_OK;
    }
}

int pare_linear_sparse_pays(const struct pare_weight *weight, double kept, size_t M)
{
    const struct pare_kernels *kernels = pare_kernels();
    switch (form_of(weight, 100 * kept)) {
    case PARE_SPARSE_QUADS:
        return !kernels->gemm_quads.most || M <= kernels->gemm_quads.most;
    case PARE_SPARSE_MASKED: /* expanding halves of bytes takes longer */
        return kernels->gemm_masked.pays &&
               M <= (size_t)kernels->gemm_masked.mr /
                        (pare_masked_shape(weight).width == 4 ? 2 : 1);
    default: return 0;
    }
}
