/* Panels of stored rows: the values that decode_ of the same type gives, transposed.
 *
 * The bytes of sixteen rows are transposed as 32-bit words, so that a lane has the codes
 * of a row; each code is taken out of its word in all lanes at once, and only the values
 * are written. The halves in front of the blocks are collected for SPAN blocks before any
 * of them is converted: to be read as vectors they have to have left the store buffer.
 */
#define SPAN 8

/* What the blocks of a type are made of. `put` writes the 32 values of a block for `k`
 * rows, given its `words` words of LANES lanes and its one or two halves. */
struct block_form {
    size_t bytes, halves, words;
    void (*put)(float *out, size_t width, size_t k, const int32_t *words, vf d, vf m);
};

/* Value number k of the block, for the rows that there are. */
#define PUT_VALUE(number, value) vf_store_n(out + (number)*width, value, k)

ALWAYS_INLINE void put_q8_0(float *out, size_t width, size_t k, const int32_t *words,
                            vf d, vf m)
{
    (void)m;
    for (size_t w = 0; w < 8; w++) {
        const vi v = vi_load_n(words + LANES * w, LANES);
        const vi q0 = vi_shift_right(vi_shift_left(v, 24), 24);
        const vi q1 = vi_shift_right(vi_shift_left(v, 16), 24);
        const vi q2 = vi_shift_right(vi_shift_left(v, 8), 24);
        PUT_VALUE(4 * w, vf_mul(d, vi_to_float(q0)));
        PUT_VALUE(4 * w + 1, vf_mul(d, vi_to_float(q1)));
        PUT_VALUE(4 * w + 2, vf_mul(d, vi_to_float(q2)));
        PUT_VALUE(4 * w + 3, vf_mul(d, vi_to_float(vi_shift_right(v, 24))));
    }
}

/* A byte holds the codes of two values, 16 apart: those of byte `byte` of word w. */
#define PUT_NIBBLES(byte, value)                                                         \
    PUT_VALUE(4 * w + (byte), value(v, 8 * (byte)));                                     \
    PUT_VALUE(4 * w + (byte) + 16, value(v, 8 * (byte) + 4))

/* q - 8 is the nibble with its highest bit changed, and its sign extended: the
 * subtraction of 8 from all nibbles without a borrow between them. */
#define SIGNED_NIBBLE(v, bit)                                                            \
    vf_mul(d, vi_to_float(vi_shift_right(vi_shift_left(v, 28 - (bit)), 28)))
#define PLAIN_NIBBLE(v, bit)                                                             \
    vf_fma(d, vi_to_float(vi_and(vi_shift_right(v, bit), mask)), m)

ALWAYS_INLINE void put_q4_0(float *out, size_t width, size_t k, const int32_t *words,
                            vf d, vf m)
{
    const vi eights = vi_set(-0x77777778); /* 0x88888888 */
    (void)m;
    for (size_t w = 0; w < 4; w++) {
        const vi v = vi_xor(vi_load_n(words + LANES * w, LANES), eights);
        PUT_NIBBLES(0, SIGNED_NIBBLE);
        PUT_NIBBLES(1, SIGNED_NIBBLE);
        PUT_NIBBLES(2, SIGNED_NIBBLE);
        PUT_NIBBLES(3, SIGNED_NIBBLE);
    }
}

ALWAYS_INLINE void put_q4_1(float *out, size_t width, size_t k, const int32_t *words,
                            vf d, vf m)
{
    const vi mask = vi_set(15);
    for (size_t w = 0; w < 4; w++) {
        const vi v = vi_load_n(words + LANES * w, LANES);
        PUT_NIBBLES(0, PLAIN_NIBBLE);
        PUT_NIBBLES(1, PLAIN_NIBBLE);
        PUT_NIBBLES(2, PLAIN_NIBBLE);
        PUT_NIBBLES(3, PLAIN_NIBBLE);
    }
}

/* Half number `at` of `blocks` blocks of the rows. */
ALWAYS_INLINE void collect_halves(unsigned char to[SPAN][2 * LANES],
                                  const unsigned char *in, size_t stride, size_t rows,
                                  size_t bytes, size_t blocks)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t b = 0; b < blocks; b++)
            memcpy(to[b] + 2 * i, in + i * stride + b * bytes, 2);
}

/* At most LANES rows. */
ALWAYS_INLINE void blocks_to_panel(const struct block_form form, float *out, size_t width,
                                   const unsigned char *in, size_t stride, size_t rows,
                                   size_t blocks)
{
    unsigned char halves[2][SPAN][2 * LANES];
    int32_t words[8 * LANES];
    if (rows < LANES) { /* lanes without a row hold something as well */
        memset(halves, 0, sizeof halves);
        memset(words, 0, sizeof words);
    }
    for (size_t begin = 0; begin < blocks; begin += SPAN) {
        const size_t some = blocks - begin < SPAN ? blocks - begin : SPAN;
        const unsigned char *block = in + begin * form.bytes;
        for (size_t h = 0; h < form.halves; h++)
            collect_halves(halves[h], block + 2 * h, stride, rows, form.bytes, some);
        for (size_t b = 0; b < some; b++, block += form.bytes, out += 32 * width) {
            ROWS_PACK(words, LANES, block + 2 * form.halves, stride, rows, form.words);
            form.put(out, width, rows, words, vf_load_f16(halves[0][b]),
                     vf_load_f16(halves[form.halves - 1][b]));
        }
    }
}

/* A constant number of rows makes partial stores plain ones. */
ALWAYS_INLINE void panel_of_blocks(const struct block_form form, float *out, size_t width,
                                   const void *in, size_t stride, size_t rows, size_t n)
{
    const unsigned char *from = in;
    for (; rows >= LANES; rows -= LANES, from += LANES * stride, out += LANES)
        blocks_to_panel(form, out, width, from, stride, LANES, n / 32);
    if (rows)
        blocks_to_panel(form, out, width, from, stride, rows, n / 32);
}

static void panel_q8_0(float *out, size_t width, const void *in, size_t stride,
                       size_t rows, size_t n)
{
    panel_of_blocks((struct block_form){34, 1, 8, put_q8_0}, out, width, in, stride, rows,
                    n);
}

static void panel_q4_0(float *out, size_t width, const void *in, size_t stride,
                       size_t rows, size_t n)
{
    panel_of_blocks((struct block_form){18, 1, 4, put_q4_0}, out, width, in, stride, rows,
                    n);
}

static void panel_q4_1(float *out, size_t width, const void *in, size_t stride,
                       size_t rows, size_t n)
{
    panel_of_blocks((struct block_form){20, 2, 4, put_q4_1}, out, width, in, stride, rows,
                    n);
}

/* --- Codes in bytes, each row with a scale and an offset --- */

/* Byte `byte` of each word. */
#define PLAIN_CODE(byte)                                                                 \
    vf_sub(vf_mul(s, vi_to_float(vi_sub(                                                 \
                         vi_and(vi_shift_right(v, 8 * (byte)), vi_set(255)), z))),       \
           o)

/* At most LANES rows. */
ALWAYS_INLINE void codes_to_panel(float *out, size_t width, const uint8_t *codes,
                                  size_t stride, size_t k, size_t n, const float *scale,
                                  int zero, const float *offset)
{
    const vf s = vf_load_n(scale, k), o = vf_load_n(offset, k);
    const vi z = vi_set(zero);
    int32_t words[8 * LANES];
    if (k < LANES)
        memset(words, 0, sizeof words);
    for (size_t begin = 0; begin < n / 4; begin += 8) {
        const size_t some = n / 4 - begin < 8 ? n / 4 - begin : 8;
        ROWS_PACK(words, LANES, codes + 4 * begin, stride, k, some);
        for (size_t w = 0; w < some; w++, out += 4 * width) {
            const vi v = vi_load_n(words + LANES * w, LANES);
            PUT_VALUE(0, PLAIN_CODE(0));
            PUT_VALUE(1, PLAIN_CODE(1));
            PUT_VALUE(2, PLAIN_CODE(2));
            PUT_VALUE(3, PLAIN_CODE(3));
        }
    }
}

static void panel_codes(float *out, size_t width, const uint8_t *codes, size_t stride,
                        size_t rows, size_t n, const float *scale, int zero,
                        const float *offset)
{
    size_t i = 0;
    for (; i + LANES <= rows; i += LANES)
        codes_to_panel(out + i, width, codes + i * stride, stride, LANES, n, scale + i,
                       zero, offset + i);
    if (i < rows)
        codes_to_panel(out + i, width, codes + i * stride, stride, rows - i, n, scale + i,
                       zero, offset + i);
}

/* --- Numbers of 16 bits: two in a word --- */

#define PAIRS 16 /* words at a time */

/* The number in the low, or high, half of each lane. */
typedef vf half_fn(vi word);

ALWAYS_INLINE vf low_f16(vi word)
{
    return vf_from_half(word);
}

ALWAYS_INLINE vf high_f16(vi word)
{
    return vf_from_half(vi_shift_right(word, 16));
}

ALWAYS_INLINE vf low_bf16(vi word)
{
    return vi_as_float(vi_shift_left(word, 16));
}

ALWAYS_INLINE vf high_bf16(vi word)
{
    return vi_as_float(vi_and(word, vi_set(-0x10000)));
}

/* At most LANES rows. */
ALWAYS_INLINE void halves_to_panel(half_fn *low, half_fn *high, float *out, size_t width,
                                   const unsigned char *in, size_t stride, size_t k,
                                   size_t n)
{
    int32_t words[PAIRS * LANES];
    if (k < LANES)
        memset(words, 0, sizeof words);
    const size_t pairs = n / 2;
    for (size_t begin = 0; begin < pairs; begin += PAIRS) {
        const size_t some = pairs - begin < PAIRS ? pairs - begin : PAIRS;
        ROWS_PACK(words, LANES, in + 4 * begin, stride, k, some);
        for (size_t w = 0; w < some; w++, out += 2 * width) {
            const vi v = vi_load_n(words + LANES * w, LANES);
            PUT_VALUE(0, low(v));
            PUT_VALUE(1, high(v));
        }
    }
    if (n % 2 == 0)
        return;
    memset(words, 0, LANES * sizeof *words);
    for (size_t i = 0; i < k; i++) {
        uint16_t last;
        memcpy(&last, in + i * stride + 4 * pairs, sizeof last);
        words[i] = last;
    }
    PUT_VALUE(0, low(vi_load_n(words, LANES)));
}

ALWAYS_INLINE void panel_of_halves(half_fn *low, half_fn *high, float *out, size_t width,
                                   const void *in, size_t stride, size_t rows, size_t n)
{
    const unsigned char *from = in;
    for (; rows >= LANES; rows -= LANES, from += LANES * stride, out += LANES)
        halves_to_panel(low, high, out, width, from, stride, LANES, n);
    if (rows)
        halves_to_panel(low, high, out, width, from, stride, rows, n);
}

static void panel_f16(float *out, size_t width, const void *in, size_t stride,
                      size_t rows, size_t n)
{
    panel_of_halves(low_f16, high_f16, out, width, in, stride, rows, n);
}

static void panel_bf16(float *out, size_t width, const void *in, size_t stride,
                       size_t rows, size_t n)
{
    panel_of_halves(low_bf16, high_bf16, out, width, in, stride, rows, n);
}
