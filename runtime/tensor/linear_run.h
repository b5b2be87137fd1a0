/* The ways a linear layer runs, private to linear.c: linear_f32.c, linear_i8.c,
 * linear_grouped.c; linear_bf16.c is the first one's in another precision. */
#ifndef PARE_TENSOR_LINEAR_RUN_H
#define PARE_TENSOR_LINEAR_RUN_H

#include "runtime/tensor/linear.h"
#include "runtime/tensor/panels.h"

/* Rows of one row block; when panels are decoded, more rows share the decoded panel. */
#define PARE_LINEAR_ROWS 224
#define PARE_LINEAR_ROWS_DECODED 448

/* One product: Y = act(X W^T + bias) (+ residual), of the parts listed in `parts`, whose
 * weights are all I8, all codes in groups of one size, or neither. */
struct pare_linear_run {
    const struct pare_linear *linear;
    const struct pare_kernels *kernels;
    const float *X;
    size_t M;
    float *Y;
    enum pare_activation act;
    const float *residual;
    int n_parts;
    const struct pare_linear_part *parts[PARE_LINEAR_PARTS];
    const float *packed[PARE_LINEAR_PARTS]; /* float panels: of the part, or made for this
                                               run; NULL: each task makes its own */
    struct pare_cut cuts[PARE_LINEAR_PARTS];
    size_t first_task[PARE_LINEAR_PARTS + 1]; /* of each part; the last one: all */
    size_t kc;                                /* float: k of one pass */
    void *a;                                  /* packed activations, when shared */
    unsigned char *own;                       /* scratch, own_bytes a worker */
    size_t own_bytes;
    float *x_scale; /* I8: one scale and zero point a row */
    int32_t *x_zero;
};

enum pare_status pare_linear_run_f32(struct pare_linear_run *run,
                                     struct pare_arena *scratch,
                                     struct pare_error *err) PARE_CHECKED;
enum pare_status pare_linear_run_bf16(struct pare_linear_run *run,
                                      struct pare_arena *scratch,
                                      struct pare_error *err) PARE_CHECKED;
enum pare_status pare_linear_run_i8(struct pare_linear_run *run,
                                    struct pare_arena *scratch,
                                    struct pare_error *err) PARE_CHECKED;

enum pare_status pare_linear_run_grouped(struct pare_linear_run *run,
                                         struct pare_arena *scratch,
                                         struct pare_error *err) PARE_CHECKED;

/* Sparse weights, see linear_sparse.c. */
enum pare_status pare_linear_run_quads(struct pare_linear_run *run,
                                       struct pare_arena *scratch,
                                       struct pare_error *err) PARE_CHECKED;
enum pare_status pare_linear_run_masked(struct pare_linear_run *run,
                                        struct pare_arena *scratch,
                                        struct pare_error *err) PARE_CHECKED;

/* What a part with a sparse weight is packed as, if anything. */
enum pare_sparse_form { PARE_SPARSE_STORED, PARE_SPARSE_QUADS, PARE_SPARSE_MASKED };
enum pare_sparse_form pare_sparse_form(const struct pare_weight *weight);
enum pare_status pare_linear_pack_sparse(struct pare_linear *linear,
                                         struct pare_linear_part *part,
                                         struct pare_arena *arena,
                                         struct pare_error *err) PARE_CHECKED;
enum pare_status pare_linear_pack_quads(struct pare_linear *linear,
                                        struct pare_linear_part *part,
                                        struct pare_arena *arena,
                                        struct pare_error *err) PARE_CHECKED;
enum pare_status pare_linear_pack_masked(struct pare_linear *linear,
                                         struct pare_linear_part *part,
                                         struct pare_arena *arena,
                                         struct pare_error *err) PARE_CHECKED;

/* Rows up to which panels under bits are multiplied as they are; for more it is quicker
 * to make dense ones of them first. */
#define PARE_MASKED_ROWS 16

/* What the panels of such a part have in common. */
struct pare_grouped pare_masked_shape(const struct pare_weight *weight);

/* Columns column .. column + n, column a multiple of nr, of a masked part to the panels
 * of nr that the dense kernels take: codes in those of width 8. */
void pare_linear_unmask(const struct pare_kernels *kernels,
                        const struct pare_linear_part *part, size_t column, size_t n,
                        size_t nr, size_t panel_bytes, void *panels);

/* Row `row` of the inputs in unsigned bytes: q, x_scale and x_zero of the run. */
void pare_linear_quantize_row(const struct pare_linear_run *run, size_t row, uint8_t *q);

/* `acc`, exact sums of row `row` and `n` columns from `column` of part `part`, becomes
 * output; `line` has room for n. */
void pare_linear_finish_i8(const struct pare_linear_run *run, int part,
                           const int32_t *acc, float *line, size_t row, size_t column,
                           size_t n);

/* n rows of K bytes behind each other, at most a panel's, to the panel [K / 4][nr][4] of
 * the integer kernels, zeros behind the last k and row. */
void pare_linear_pack_i8_panel(const struct pare_kernels *kernels, const int8_t *rows,
                               size_t n, size_t K, unsigned char *out);

/* Packs a part whose weight is codes in groups. */
enum pare_status pare_linear_pack_grouped(struct pare_linear *linear,
                                          struct pare_linear_part *part,
                                          struct pare_arena *arena,
                                          struct pare_error *err) PARE_CHECKED;
/* The same for one that the float kernels would take, in bfloat16. */
enum pare_status pare_linear_pack_bf16(struct pare_linear *linear,
                                       struct pare_linear_part *part,
                                       struct pare_arena *arena,
                                       struct pare_error *err) PARE_CHECKED;
struct pare_grouped pare_grouped_shape(const struct pare_weight *weight);

/* `sums`, row `row` of part `part` and `n` columns from `column` of it, becomes output:
 * bias, then activation or residual. The sums are overwritten. */
void pare_linear_finish_row(const struct pare_linear_run *run, int part, float *sums,
                            size_t row, size_t column, size_t n);

/* Cuts every part and numbers the tasks. panel_bytes: of a panel in one pass. */
void pare_linear_cut(struct pare_linear_run *run, size_t mr, size_t nr, size_t block_rows,
                     size_t panel_bytes);

/* The part that task `number` belongs to; *number becomes its number within the part. */
static inline int pare_linear_part_of(const struct pare_linear_run *run, size_t *number)
{
    int part = 0;
    while (*number >= run->first_task[part + 1])
        part++;
    *number -= run->first_task[part];
    return part;
}

static inline const float *pare_linear_bias(const struct pare_linear_run *run, int part,
                                            size_t column)
{
    const float *bias = run->linear->bias;
    return bias ? bias + run->parts[part]->row + column : NULL;
}

#endif
