#include "tests/support/sparse_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "tests/support/kernel_cases.h"

const struct sparse_form sparse_forms[SPARSE_FORMS] = {
    {"F16/mask", 1, 1, 0, 0, 16, 0},   {"F16/2:4", 1, 1, 2, 4, 16, 0},
    {"I8/1:4", 1, 1, 1, 4, 8, 0},      {"I8/16x1", 16, 1, 0, 0, 8, 0},
    {"F16/4x4", 4, 4, 0, 0, 16, 0},    {"int4/32/mask", 1, 1, 0, 0, 4, 1},
    {"int3/32/2:4", 1, 1, 2, 4, 3, 1}, {"int5/32/4:8", 1, 1, 4, 8, 5, 1},
    {"int8/32/4x1", 4, 1, 0, 0, 8, 1}, {"int2/32/1x4", 1, 4, 0, 0, 2, 1},
};

/* Bits one after the other, the lowest of a byte first. */
struct stream {
    unsigned char *out;
    size_t bits;
};

static void put(struct stream *s, unsigned value, int bits)
{
    for (int i = 0; i < bits; i++, s->bits++) {
        if (s->bits % 8 == 0)
            s->out[s->bits / 8] = 0;
        s->out[s->bits / 8] |= (unsigned char)((value >> i & 1) << s->bits % 8);
    }
}

static void end_byte(struct stream *s)
{
    while (s->bits % 8)
        put(s, 0, 1);
}

/* Work on one matrix. */
struct making {
    const struct sparse_form *form;
    const float *W;
    size_t N, K;
    unsigned char *keep; /* [N, K] */
    float *dense;
    uint8_t *codes;
    float *scale; /* [N, K / group], or [N] */
    struct stream mask, values;
};

/* --- What is kept ------------------------------------------------------------------ */

static void choose_group(struct making *m, unsigned char *keep, uint64_t *seed)
{
    size_t left = m->form->n;
    memset(keep, 0, m->form->m);
    while (left) {
        const size_t at = case_random(seed) % m->form->m;
        left -= !keep[at];
        keep[at] = 1;
    }
}

static void choose(struct making *m, int nothing)
{
    const struct sparse_form *f = m->form;
    uint64_t seed = 11;
    for (size_t n = 0; n < m->N; n += f->rows)
        for (size_t k = 0; k < m->K; k += f->m ? f->m : f->columns) {
            unsigned char *at = m->keep + n * m->K + k;
            const size_t strip = n / f->rows % 7;
            const int on = strip == 3 ? 0 : strip == 5 ? 1 : case_random(&seed) & 1;
            if (f->m)
                choose_group(m, at, &seed);
            for (size_t i = 0; !f->m && i < f->rows; i++)
                memset(at + i * m->K, on && !nothing, f->columns);
        }
}

/* Places of n out of m in lexicographic order; the number of the set. */
static unsigned rank_of(const struct sparse_form *f, const unsigned char *keep)
{
    unsigned wanted = 0, rank = 0;
    for (size_t j = 0; j < f->m; j++) /* the first place is the highest bit */
        wanted |= (unsigned)keep[j] << (f->m - 1 - j);
    for (unsigned set = (1u << f->m) - 1; set > wanted; set--)
        rank += (size_t)__builtin_popcount(set) == f->n;
    return rank;
}

static unsigned ways(const struct sparse_form *f)
{
    unsigned count = 0;
    for (unsigned set = 0; set < 1u << f->m; set++)
        count += (size_t)__builtin_popcount(set) == f->n;
    return count;
}

static void put_ranks(struct making *m, size_t n)
{
    const struct sparse_form *f = m->form;
    const unsigned base = ways(f);
    const unsigned char *keep = m->keep + n * m->K;
    for (size_t k = 0; k < m->K;) {
        unsigned byte = 0;
        for (unsigned power = 1; power * base <= 256 && k < m->K; power *= base) {
            byte += rank_of(f, keep + k) * power;
            k += f->m;
        }
        put(&m->mask, byte, 8);
    }
}

static void put_mask(struct making *m, size_t n)
{
    for (size_t k = 0; k < m->K; k += m->form->columns)
        put(&m->mask, m->keep[n * m->K + k], 1);
    end_byte(&m->mask);
}

/* --- Values ------------------------------------------------------------------------ */

#define GROUP 32

static size_t scales_of(const struct making *m)
{
    return m->form->coded && m->K % GROUP == 0 ? m->K / GROUP : 1;
}

/* Of the largest of its weights; halves for codes. */
static void take_scales(struct making *m, unsigned char *out)
{
    const size_t groups = scales_of(m), size = m->K / groups;
    const float top = (float)((1 << (m->form->bits - 1)) - 1);
    for (size_t i = 0; i < m->N * groups; i++) {
        float most = 0;
        for (size_t k = 0; k < size; k++)
            most = fmaxf(most, fabsf(m->W[i * size + k]));
        m->scale[i] = most / top;
        if (!m->form->coded) {
            memcpy(out + 4 * i, &m->scale[i], 4);
            continue;
        }
        const uint16_t half = pare_f32_to_f16(m->scale[i]);
        pare_store_u16(out + 2 * i, half);
        m->scale[i] = pare_f16_to_f32(half);
    }
}

static void put_value(struct making *m, size_t n, size_t k)
{
    const int bits = m->form->bits, zero = m->form->coded ? 1 << (bits - 1) : 0;
    const float w = m->W[n * m->K + k];
    float *dense = &m->dense[n * m->K + k];
    if (bits == 16) {
        const uint16_t half = pare_f32_to_f16(w);
        put(&m->values, half, 16);
        *dense = pare_f16_to_f32(half);
        return;
    }
    const size_t groups = scales_of(m);
    const float scale = m->scale[n * groups + k / (m->K / groups)];
    const int top = (1 << (bits - 1)) - 1;
    int q = scale > 0 ? (int)lrintf(w / scale) : 0;
    q = q > top ? top : q < -top ? -top : q;
    *dense = scale * (float)q;
    m->codes[n * m->K + k] = (uint8_t)((unsigned)(q + zero) & ((1u << bits) - 1));
    put(&m->values, m->codes[n * m->K + k], bits);
}

static void put_values(struct making *m, size_t strip)
{
    const struct sparse_form *f = m->form;
    for (size_t k = 0; k < m->K; k += f->columns)
        for (size_t i = 0; i < f->rows; i++)
            for (size_t j = 0; j < f->columns; j++)
                if (m->keep[(strip * f->rows + i) * m->K + k + j])
                    put_value(m, strip * f->rows + i, k + j);
    end_byte(&m->values);
}

/* --- Tensors ----------------------------------------------------------------------- */

static void add(struct sparse_parts *parts, const char *weight_name, const char *part,
                enum pare_dtype type, int n_dims, uint64_t rows, uint64_t columns)
{
    struct pare_tensor *tensor = &parts->tensor[parts->n];
    snprintf(parts->names[parts->n], sizeof parts->names[0], "%s_%s", weight_name, part);
    *tensor = (struct pare_tensor){.name = parts->names[parts->n],
                                   .type = type,
                                   .n_dims = n_dims,
                                   .shape = {rows, columns},
                                   .data = parts->data[parts->n]};
    tensor->bytes = pare_tensor_elements(tensor) * pare_dtype_info(type)->block_bytes;
    parts->n++;
}

static void name_parts(struct sparse_parts *parts, const char *weight_name,
                       const struct making *m)
{
    const struct sparse_form *f = m->form;
    const enum pare_dtype type = f->bits == 16 ? PARE_F16 : PARE_I8;
    const uint64_t strips = m->N / f->rows, width = f->bits == 16 ? 2 : 1;
    const uint64_t values = m->values.bits / 8 / width;
    add(parts, weight_name, "sparse", PARE_I32, 1, f->coded ? 5 : 4, 1);
    add(parts, weight_name, f->m ? "ranks" : "mask", PARE_I8, 2, strips,
        m->mask.bits / 8 / strips);
    add(parts, weight_name, "values", type, 1, values ? values : 1, 1);
    if (f->bits == 16)
        return;
    if (f->coded)
        add(parts, weight_name, "scale", PARE_F16, 2, m->N, scales_of(m));
    else
        add(parts, weight_name, "scale", PARE_F32, 1, m->N, 1);
}

void sparse_parts_make(struct sparse_parts *parts, const char *weight_name,
                       const struct sparse_form *form, const float *W, size_t N, size_t K,
                       int nothing)
{
    const size_t numbers[] = {form->rows, form->columns, form->n, form->m,
                              (size_t)form->bits};
    struct making m = {.form = form, .W = W, .N = N, .K = K};
    *parts = (struct sparse_parts){.dense = calloc(N * K, sizeof(float)),
                                   .codes = malloc(N * K)};
    memset(parts->codes, form->coded ? 1 << (form->bits - 1) : 0, N * K);
    for (int i = 0; i < SPARSE_PARTS; i++)
        parts->data[i] = calloc(N * K + 32, sizeof(float));
    m.keep = malloc(N * K);
    m.scale = malloc(N * K * sizeof(float));
    m.dense = parts->dense;
    m.codes = parts->codes;
    m.mask.out = parts->data[1];
    m.values.out = parts->data[2];
    for (size_t i = 0; i < 5; i++)
        pare_store_u32(parts->data[0] + 4 * i, (uint32_t)numbers[i]);
    choose(&m, nothing);
    if (form->bits < 16)
        take_scales(&m, parts->data[3]);
    for (size_t strip = 0; strip < N / form->rows; strip++) {
        if (form->m)
            put_ranks(&m, strip);
        else
            put_mask(&m, strip * form->rows);
        put_values(&m, strip);
    }
    name_parts(parts, weight_name, &m);
    free(m.keep);
    free(m.scale);
}

void sparse_parts_free(struct sparse_parts *parts)
{
    free(parts->dense);
    free(parts->codes);
    for (int i = 0; i < SPARSE_PARTS; i++)
        free(parts->data[i]);
}
