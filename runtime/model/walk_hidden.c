/* Hidden states of a calibration walk: see walk_hidden.h. */
#include "runtime/model/walk_hidden.h"

#include "runtime/base/alloc.h"

enum pare_status pare_hidden_open(struct pare_hidden *hidden,
                                  const struct pare_batch *batches, size_t n_batches,
                                  size_t width, const char *spill_beside,
                                  struct pare_error *err)
{
    size_t all = 0, most = 0;
    *hidden = (struct pare_hidden){.width = width};
    for (size_t i = 0; i < n_batches; i++) {
        all += batches[i].n_tokens;
        most = batches[i].n_tokens > most ? batches[i].n_tokens : most;
    }
    if (spill_beside)
        PARE_TRY(pare_spill_open(spill_beside, &hidden->spill, err));
    return pare_alloc_raw(&hidden->floats, spill_beside ? most : all,
                          width * sizeof *hidden->floats, err);
}

void pare_hidden_close(struct pare_hidden *hidden)
{
    pare_spill_close(hidden->spill);
    pare_free(hidden->floats);
    *hidden = (struct pare_hidden){0};
}

enum pare_status pare_hidden_fetch(struct pare_hidden *hidden, size_t token,
                                   const struct pare_batch *batch, int fresh, float **out,
                                   struct pare_error *err)
{
    const size_t row = hidden->width * sizeof(float);
    *out = hidden->spill ? hidden->floats : hidden->floats + token * hidden->width;
    if (!hidden->spill || fresh)
        return PARE_OK;
    return pare_spill_read(hidden->spill, (uint64_t)token * row, *out,
                           batch->n_tokens * row, err);
}

enum pare_status pare_hidden_store(struct pare_hidden *hidden, size_t token,
                                   const struct pare_batch *batch, struct pare_error *err)
{
    const size_t row = hidden->width * sizeof(float);
    if (!hidden->spill)
        return PARE_OK;
    return pare_spill_write(hidden->spill, (uint64_t)token * row, hidden->floats,
                            batch->n_tokens * row, err);
}
