/* A matrix as the tensors of a sparse one, made without the library's own layout code:
 * for tests of what reads them. */
#ifndef TESTS_SUPPORT_SPARSE_PARTS_H
#define TESTS_SUPPORT_SPARSE_PARTS_H

#include "runtime/tensor/tensor.h"

struct sparse_form {
    const char *name; /* of the weight's form when K is 32 */
    size_t rows, columns, n, m;
    int bits;  /* of a value: 16 halves, 8 bytes with a sign, 2 .. 8 codes */
    int coded; /* values are codes, in groups of 32, or whole rows if it does not divide
                */
};

/* One for each kind of pattern and of values, for rows of a multiple of 16. */
#define SPARSE_FORMS 10
extern const struct sparse_form sparse_forms[SPARSE_FORMS];

#define SPARSE_PARTS 4
struct sparse_parts {
    int n; /* numbers, bits or ranks, values, and scales unless the values are halves */
    struct pare_tensor tensor[SPARSE_PARTS];
    unsigned char *data[SPARSE_PARTS]; /* of the tensors, with room behind */
    char names[SPARSE_PARTS][64];
    float *dense;   /* [N, K]: what they mean */
    uint8_t *codes; /* [N, K]: bytes and codes of a dense matrix that means the same */
};

/* About half of the weights of W[N, K], of some strips none or all; nothing: of all none.
 */
void sparse_parts_make(struct sparse_parts *parts, const char *weight_name,
                       const struct sparse_form *form, const float *W, size_t N, size_t K,
                       int nothing);
void sparse_parts_free(struct sparse_parts *parts);

#endif
