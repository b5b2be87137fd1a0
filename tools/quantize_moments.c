/* Moments of a site's inputs: see quantize_moments.h. */
#include "tools/quantize_moments.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/kernels/kernels.h"

#define TOGETHER 768 /* rows whose differences are held */

/* --- Bands ------------------------------------------------------------------------ */

/* Bands of C, which is twice as large as the triangle of H. */
static int cross_bands(size_t K, int bands)
{
    const size_t panels = (K + PARE_CROSS_COLUMNS - 1) / PARE_CROSS_COLUMNS;
    return 2 * (size_t)bands < panels ? 2 * bands : (int)panels;
}

int quantize_moments_passes(size_t K, int both, int bands)
{
    return !bands ? 1 : bands + (both ? cross_bands(K, bands) : 0);
}

static int is_of_gram(const struct quantize_moments *m)
{
    return !m->bands || m->pass < m->bands;
}

static int is_of_cross(const struct quantize_moments *m)
{
    return !m->bands || m->pass >= m->bands;
}

static enum pare_status begin_gram(struct quantize_moments *m, struct pare_error *err)
{
    const size_t n = (size_t)m->bands, i = (size_t)m->pass;
    if (!n)
        return pare_gram_init(&m->gram, m->K, err);
    return pare_gram_init_band(&m->gram, m->K, pare_gram_band(m->K, n, i),
                               pare_gram_band(m->K, n, i + 1), err);
}

static enum pare_status begin_cross(struct quantize_moments *m, struct pare_error *err)
{
    const size_t n = (size_t)cross_bands(m->K, m->bands);
    const size_t i = (size_t)(m->pass - m->bands);
    if (!m->bands)
        return pare_cross_init(&m->cross, m->K, err);
    return pare_cross_init_band(&m->cross, m->K, pare_cross_band(m->K, n, i),
                                pare_cross_band(m->K, n, i + 1), err);
}

/* --- A pass ----------------------------------------------------------------------- */

static enum pare_status add_cross(struct quantize_moments *m, const float *X,
                                  const float *original, size_t rows,
                                  struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    const size_t most = rows < TOGETHER ? rows : TOGETHER;
    float *more;
    if (!m->cross.sum)
        PARE_TRY(begin_cross(m, err));
    PARE_TRY(pare_arena_alloc(scratch, &more, most, m->K * sizeof *more, err));
    for (size_t row = 0; row < rows; row += TOGETHER) {
        const size_t n = rows - row < TOGETHER ? rows - row : TOGETHER, at = row * m->K;
        memcpy(more, original + at, n * m->K * sizeof *more);
        pare_kernels()->axpy(more, -1, X + at, n * m->K);
        PARE_TRY(pare_cross_add(&m->cross, more, X + at, n, scratch, err));
    }
    pare_arena_release(scratch, mark);
    return PARE_OK;
}

enum pare_status quantize_moments_add(struct quantize_moments *m, size_t K,
                                      const float *X, const float *original, size_t rows,
                                      int means, struct pare_arena *scratch,
                                      struct pare_error *err)
{
    m->K = K;
    m->both = original != NULL;
    if (means && m->pass == 0)
        PARE_TRY(pare_means_add(&m->means, K, X, original, rows, err));
    if (original && is_of_cross(m))
        PARE_TRY(add_cross(m, X, original, rows, scratch, err));
    if (!is_of_gram(m))
        return PARE_OK;
    if (!m->gram.sum)
        PARE_TRY(begin_gram(m, err));
    return pare_gram_add(&m->gram, X, rows, K, scratch, err);
}

static enum pare_status put_away(struct quantize_moments *m, struct pare_error *err)
{
    const size_t at = pare_gram_at(m->K, m->gram.first) * sizeof(double);
    if (m->gram.sum) {
        m->rows = m->gram.rows;
        PARE_TRY(pare_spill_write(m->spill, at, m->gram.sum,
                                  pare_gram_elements(&m->gram) * sizeof(double), err));
    }
    if (m->cross.sum)
        PARE_TRY(pare_spill_write(
            m->spill, pare_gram_bytes(m->K) + m->cross.first * m->K * sizeof(double),
            m->cross.sum, (m->cross.end - m->cross.first) * m->K * sizeof(double), err));
    pare_gram_free(&m->gram);
    pare_cross_free(&m->cross);
    return PARE_OK;
}

enum pare_status quantize_moments_seen(struct quantize_moments *m, int *again,
                                       struct pare_error *err)
{
    *again = 0;
    if (!m->bands)
        return PARE_OK;
    PARE_TRY(put_away(m, err));
    m->pass++;
    *again = m->pass < quantize_moments_passes(m->K, m->both, m->bands);
    return PARE_OK;
}

/* --- Solving ---------------------------------------------------------------------- */

enum pare_status quantize_moments_gram(struct quantize_moments *m,
                                       const struct pare_gram **gram,
                                       struct pare_error *err)
{
    *gram = &m->gram;
    if (m->gram.sum)
        return PARE_OK;
    PARE_TRY(pare_gram_init(&m->gram, m->K, err));
    m->gram.rows = m->rows;
    return pare_spill_read(m->spill, 0, m->gram.sum, pare_gram_bytes(m->K), err);
}

void quantize_moments_drop(struct quantize_moments *m)
{
    if (m->bands)
        pare_gram_free(&m->gram);
}

static enum pare_status read_panel(void *context, size_t first, size_t n,
                                   const double **panel, struct pare_error *err)
{
    struct quantize_moments *m = context;
    const uint64_t row = m->K * sizeof(double);
    if (!m->panel)
        PARE_TRY(pare_alloc_raw(&m->panel, PARE_CROSS_COLUMNS, row, err));
    *panel = m->panel;
    return pare_spill_read(m->spill, pare_gram_bytes(m->K) + first * row, m->panel,
                           n * row, err);
}

struct pare_cross_source quantize_moments_cross(struct quantize_moments *m)
{
    return m->bands ? (struct pare_cross_source){m->K, read_panel, m}
                    : pare_cross_in_memory(&m->cross);
}

void quantize_moments_free(struct quantize_moments *m)
{
    pare_gram_free(&m->gram);
    pare_cross_free(&m->cross);
    pare_means_free(&m->means);
    pare_free(m->panel);
    *m = (struct quantize_moments){.bands = m->bands, .spill = m->spill};
}

/* --- Memory ----------------------------------------------------------------------- */

static uint64_t cross_bytes(size_t K)
{
    return (uint64_t)K * K * sizeof(double);
}

uint64_t quantize_moments_seeing(size_t K, int both, int bands)
{
    const uint64_t panel = (uint64_t)PARE_CROSS_COLUMNS * K * sizeof(double);
    if (!bands)
        return pare_gram_bytes(K) + (both ? cross_bytes(K) : 0);
    const uint64_t gram = pare_gram_bytes(K) / (uint64_t)bands + K * sizeof(double);
    const uint64_t cross = cross_bytes(K) / (uint64_t)cross_bands(K, bands) + panel;
    return both && cross > gram ? cross : gram;
}

uint64_t quantize_moments_solving(size_t K, int both, int bands)
{
    const uint64_t panel = (uint64_t)PARE_CROSS_COLUMNS * K * sizeof(double);
    return !both ? 0 : bands ? panel : cross_bytes(K);
}

uint64_t quantize_moments_file(size_t K, int both, int bands)
{
    return bands ? pare_gram_bytes(K) + (both ? cross_bytes(K) : 0) : 0;
}
