/* What a solver's walk learns of the inputs of a site: moments and means, all at once, or
 * in bands that go to a file one after the other, with a pass over the text for each.
 */
#ifndef PARE_TOOLS_QUANTIZE_MOMENTS_H
#define PARE_TOOLS_QUANTIZE_MOMENTS_H

#include "libquant/bias.h"
#include "runtime/base/spill.h"
#include "runtime/tensor/cross.h"
#include "runtime/tensor/gram.h"

struct quantize_moments { /* all zero: nothing was seen */
    struct pare_gram gram;
    struct pare_cross cross; /* with the original inputs: what they are more */
    struct pare_means means;
    int pass;                 /* over the text */
    int both;                 /* original inputs were seen */
    uint64_t rows;            /* of a pass */
    size_t K;                 /* inputs */
    double *panel;            /* of moments in the file */
    int bands;                /* of H; 0: all moments at once */
    struct pare_spill *spill; /* of the caller, for bands; sites take turns */
};

/* Adds what this pass is for of X[rows, K]; `original`: what the original model has
 * there, or NULL; `means`: they are wanted. */
enum pare_status quantize_moments_add(struct quantize_moments *m, size_t K,
                                      const float *X, const float *original, size_t rows,
                                      int means, struct pare_arena *scratch,
                                      struct pare_error *err) PARE_CHECKED;
/* A pass is over. *again: there has to be another one. */
enum pare_status quantize_moments_seen(struct quantize_moments *m, int *again,
                                       struct pare_error *err) PARE_CHECKED;
/* All of H, from the file if it is not in memory; there until quantize_moments_drop,
 * which does nothing without a file. */
enum pare_status quantize_moments_gram(struct quantize_moments *m,
                                       const struct pare_gram **gram,
                                       struct pare_error *err) PARE_CHECKED;
void quantize_moments_drop(struct quantize_moments *m);
struct pare_cross_source quantize_moments_cross(struct quantize_moments *m);
/* Ready for another site. */
void quantize_moments_free(struct quantize_moments *m);

/* Over the text. */
int quantize_moments_passes(size_t K, int both, int bands);
/* Bytes of memory: while a pass is made; of C while matrices are solved for; and of the
 * file. */
uint64_t quantize_moments_seeing(size_t K, int both, int bands);
uint64_t quantize_moments_solving(size_t K, int both, int bands);
uint64_t quantize_moments_file(size_t K, int both, int bands);

#endif
