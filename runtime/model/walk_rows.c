/* Pieces of batches, and rows of them: see walk_rows.h. */
#include "runtime/model/walk_rows.h"

#include <string.h>

#include "runtime/base/alloc.h"

#define PIECE 256 /* tokens, unless a sequence has more */

size_t pare_walk_piece_end(const struct pare_batch *batch, size_t first)
{
    size_t end = first + 1;
    while (end < batch->n_seq && batch->starts[end + 1] - batch->starts[first] <= PIECE)
        end++;
    return end;
}

size_t pare_walk_piece_tokens(const struct pare_batch *batches, size_t n_batches)
{
    size_t most = 0;
    for (size_t i = 0; i < n_batches; i++)
        for (size_t first = 0, end; first < batches[i].n_seq; first = end) {
            end = pare_walk_piece_end(&batches[i], first);
            const size_t n = batches[i].starts[end] - batches[i].starts[first];
            most = n > most ? n : most;
        }
    return most;
}

enum pare_status pare_walk_rows_init(struct pare_walk_rows *rows, size_t K, size_t most,
                                     int both, struct pare_error *err)
{
    *rows = (struct pare_walk_rows){.K = K, .both = both};
    for (int i = 0; i <= both; i++)
        PARE_TRY(pare_alloc_raw(&rows->X[i], PARE_WALK_ROWS - 1 + most, K * sizeof(float),
                                err));
    return PARE_OK;
}

void pare_walk_rows_free(struct pare_walk_rows *rows)
{
    pare_free(rows->X[0]);
    pare_free(rows->X[1]);
    *rows = (struct pare_walk_rows){0};
}

void pare_walk_rows_add(struct pare_walk_rows *rows, int original, const float *X,
                        size_t n)
{
    memcpy(rows->X[original] + rows->n[original] * rows->K, X, n * rows->K * sizeof *X);
    rows->n[original] += n;
}

size_t pare_walk_rows_next(const struct pare_walk_rows *rows, int all, const float **X,
                           const float **original)
{
    *X = rows->X[0];
    *original = rows->X[1];
    if (rows->n[0] >= PARE_WALK_ROWS)
        return PARE_WALK_ROWS;
    return all ? rows->n[0] : 0;
}

void pare_walk_rows_drop(struct pare_walk_rows *rows, size_t n)
{
    for (int i = 0; i <= rows->both; i++) {
        rows->n[i] -= n;
        memmove(rows->X[i], rows->X[i] + n * rows->K,
                rows->n[i] * rows->K * sizeof **rows->X);
    }
}
