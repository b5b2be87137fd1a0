/* Cases G01 to G26, as far as they concern the container: malformed GGUF. */
#include <stdio.h>
#include <string.h>

#include "tests/support/corpus.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };
enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2 };

static void put_text(struct buffer *b, const char *text)
{
    put_u64(b, strlen(text));
    put_string(b, text);
}

static void put_head(struct buffer *b, uint32_t version, uint64_t tensors, uint64_t keys)
{
    put_string(b, "GGUF");
    put_u32(b, version);
    put_u64(b, tensors);
    put_u64(b, keys);
}

static void put_key(struct buffer *b, const char *key, uint32_t type)
{
    put_text(b, key);
    put_u32(b, type);
}

static void put_info(struct buffer *b, const char *name, uint32_t n_dims,
                     const uint64_t *dims, uint32_t type, uint64_t offset)
{
    put_text(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && dims; i++)
        put_u64(b, dims[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

static void pad(struct buffer *b, size_t alignment)
{
    while (b->size % alignment)
        put_u8(b, 0);
}

/* One key of every type. */
static void put_all_types(struct buffer *b)
{
    for (uint32_t type = U8; type <= F64; type++) {
        char key[16];
        snprintf(key, sizeof key, "key.%u", type);
        put_key(b, key, type);
        if (type == STRING) {
            put_text(b, "text");
        } else if (type == ARRAY) {
            put_u32(b, STRING);
            put_u64(b, 2);
            put_text(b, "");
            put_text(b, "two");
        } else {
            static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
            put_u8(b, 1);
            put_repeated(b, 0, bytes[type] - 1u);
        }
    }
}

/* A valid file with two tensors and a key of every type. */
static struct buffer valid(uint32_t version)
{
    struct buffer b = {0};
    put_head(&b, version, 2, 13);
    put_all_types(&b);
    put_info(&b, "a", 1, (uint64_t[]){5}, TYPE_F32, 0);
    put_info(&b, "b.weight", 2, (uint64_t[]){32, 2}, TYPE_Q4_0, 32);
    pad(&b, 32);
    put_repeated(&b, 7, 20);
    pad(&b, 32);
    put_repeated(&b, 9, 36);
    pad(&b, 32);
    return b;
}

static void versions(const struct corpus_sink *sink)
{
    static const struct {
        const char *id;
        uint32_t version;
        const char *phrase;
    } cases[] = {
        {"G00 valid, version 3", 3, NULL},
        {"G00 valid, version 2", 2, NULL},
        {"G02 version 0", 0, "GGUF version 0"},
        {"G02 version 1", 1, "GGUF version 1"},
        {"G02 version 4", 4, "GGUF version 4"},
        {"G02 big-endian", 0x03000000, "big-endian"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = valid(cases[i].version);
        corpus_report(sink, cases[i].id, cases[i].phrase, &b);
    }
    struct buffer b = valid(3);
    b.data[3] = 'f';
    corpus_report(sink, "G01 bad magic", "magic is wrong", &b);
    b = valid(3);
    b.size -= 28;
    corpus_report(sink, "G00 valid, without the last padding", NULL, &b);
    b = valid(3);
    put_u8(&b, 0);
    corpus_report(sink, "G21 a byte behind the end", "belong to nothing", &b);
    struct buffer whole = valid(3);
    corpus_truncate(sink, "G03 truncated to", &whole, whole.size - 28, 1);
    buffer_free(&whole);
}

static void counts(const struct corpus_sink *sink)
{
    static const uint64_t values[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32,
                                      (uint64_t)1 << 21, 3};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char id[64];
        struct buffer b = valid(3);
        set_u64(&b, 8, values[i]);
        snprintf(id, sizeof id, "G04 %llu tensors", (unsigned long long)values[i]);
        corpus_report(sink, id, i < 4 ? "tensors do not fit" : "", &b);
        b = valid(3);
        set_u64(&b, 16, i < 4 ? values[i] : 14);
        snprintf(id, sizeof id, "G05 %llu keys", (unsigned long long)values[i]);
        corpus_report(sink, id, i < 4 ? "keys do not fit" : "", &b);
    }
}

/* A file whose only key is what `put` makes; no tensors. */
static struct buffer with_key(const char *key, size_t length, uint64_t said,
                              uint32_t type)
{
    struct buffer b = {0};
    put_head(&b, 3, 0, 1);
    put_u64(&b, said);
    put_bytes(&b, key, length);
    put_u32(&b, type);
    return b;
}

static void keys(const struct corpus_sink *sink)
{
    static char long_key[65536];
    memset(long_key, 'k', sizeof long_key);
    struct {
        const char *id, *key;
        size_t length;
        uint64_t said;
        const char *phrase;
    } cases[] = {
        {"G06 valid, key of 65535 bytes", long_key, 65535, 65535, NULL},
        {"G06 key length 2^64 - 1", "k", 1, UINT64_MAX, "the file has only"},
        {"G06 key length 2^63", "k", 1, (uint64_t)1 << 63, "the file has only"},
        {"G06 empty key", "", 0, 0, "a key is 1 to 65535"},
        {"G06 key of 65536 bytes", long_key, 65536, 65536, "a key is 1 to 65535"},
        {"G07 NUL in a key", "a\0b", 3, 3, "printable ASCII"},
        {"G07 key not ASCII", "\xc3\xa4", 2, 2, "printable ASCII"},
        {"G07 escape in a key", "\033[2J", 4, 4, "printable ASCII"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = with_key(cases[i].key, cases[i].length, cases[i].said, U8);
        put_u8(&b, 1);
        corpus_report(sink, cases[i].id, cases[i].phrase, &b);
    }
    struct buffer b = {0};
    put_head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_key(&b, "same", U8);
        put_u8(&b, 1);
    }
    corpus_report(sink, "G08 duplicate key", "the key same occurs twice", &b);
}

static void values(const struct corpus_sink *sink)
{
    static const uint32_t unknown[] = {13, 255, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct buffer b = with_key("k", 1, 1, unknown[i]);
        put_repeated(&b, 0, 32);
        corpus_report(sink, "G09 unknown value type", "unknown value type", &b);
        b = with_key("k", 1, 1, ARRAY);
        put_u32(&b, unknown[i]);
        put_u64(&b, 1);
        put_repeated(&b, 0, 32);
        corpus_report(sink, "G09 array of an unknown type", "unknown type", &b);
    }
    struct buffer b = with_key("k", 1, 1, BOOL);
    put_u8(&b, 2);
    corpus_report(sink, "G10 truth value 2", "0 or 1, found 2", &b);
    b = with_key("k", 1, 1, ARRAY);
    put_u32(&b, BOOL);
    put_u64(&b, 2);
    put_u16(&b, 0x0501);
    corpus_report(sink, "G10 truth value 5 in an array", "holds 5", &b);
    b = with_key("k", 1, 1, STRING);
    put_u64(&b, 100);
    put_string(&b, "short");
    corpus_report(sink, "G11 string longer than the file", "the file has only 5", &b);
    b = with_key("k", 1, 1, STRING);
    put_u64(&b, UINT64_MAX - 7);
    put_string(&b, "short");
    corpus_report(sink, "G11 string length wraps", "the file has only 5", &b);
}

static void arrays(const struct corpus_sink *sink, int large)
{
    static const struct {
        const char *id;
        uint32_t type;
        uint64_t count;
    } cases[] = {
        {"G12 count times size wraps", U64, (uint64_t)1 << 61},
        {"G12 count times size wraps to fit", U64, ((uint64_t)1 << 61) + 1},
        {"G12 count of strings wraps", STRING, (uint64_t)1 << 60},
        {"G12 count 2^64 - 1", U8, UINT64_MAX},
        {"G12 one more than fits", U32, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = with_key("k", 1, 1, ARRAY);
        put_u32(&b, cases[i].type);
        put_u64(&b, cases[i].count);
        put_repeated(&b, 0, 32);
        corpus_report(sink, cases[i].id, "does not fit into the file", &b);
    }
    struct buffer b = with_key("k", 1, 1, ARRAY);
    put_u32(&b, U32);
    put_u64(&b, 0);
    corpus_report(sink, "G12 valid, empty array", NULL, &b);
    b = with_key("k", 1, 1, ARRAY);
    for (int i = 0; i < (large ? 1000000 : 100); i++) {
        put_u32(&b, ARRAY);
        put_u64(&b, 1);
    }
    corpus_report(sink, "G13 arrays of arrays", "an array of arrays", &b);
    b = with_key("k", 1, 1, ARRAY);
    put_u32(&b, STRING);
    put_u64(&b, 3);
    put_text(&b, "one");
    put_u64(&b, 50);
    put_repeated(&b, 'x', 40);
    corpus_report(sink, "G11 string of an array longer than the file",
                  "a string of an array", &b);
}

static void alignments(const struct corpus_sink *sink)
{
    static const struct {
        const char *id;
        uint32_t type, value;
        const char *phrase;
    } cases[] = {
        {"G14 alignment 0", U32, 0, "not a power of two"},
        {"G14 alignment 13", U32, 13, "not a power of two"},
        {"G14 alignment 1", U32, 1, "not a power of two of 8"},
        {"G14 alignment 2^31", U32, 0x80000000, "not a power of two of 8 to"},
        {"G14 alignment an I32", I32, 32, "must have the type U32"},
        {"G14 valid, alignment 8", U32, 8, NULL},
        {"G14 valid, alignment 64", U32, 64, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = {0};
        put_head(&b, 3, 1, 1);
        put_key(&b, "general.alignment", cases[i].type);
        put_u32(&b, cases[i].value);
        put_info(&b, "a", 1, (uint64_t[]){2}, TYPE_F32, 0);
        pad(&b, cases[i].value == 8 ? 8 : 64);
        put_repeated(&b, 0, cases[i].value == 8 ? 8 : 64);
        corpus_report(sink, cases[i].id, cases[i].phrase, &b);
    }
}

/* A file with one tensor of `bytes` bytes. */
static void one_tensor(const struct corpus_sink *sink, const char *id, const char *name,
                       uint32_t n_dims, const uint64_t *dims, uint32_t type,
                       uint64_t offset, size_t bytes, const char *phrase)
{
    struct buffer b = {0};
    put_head(&b, 3, 1, 0);
    put_info(&b, name, n_dims, dims, type, offset);
    pad(&b, 32);
    put_repeated(&b, 1, bytes);
    pad(&b, 32);
    corpus_report(sink, id, phrase, &b);
}

static void names(const struct corpus_sink *sink)
{
    char name[66];
    memset(name, 'n', sizeof name);
    uint64_t dims[] = {4};
    name[63] = '\0';
    one_tensor(sink, "G15 valid, name of 63 bytes", name, 1, dims, TYPE_F32, 0, 16, NULL);
    name[63] = 'n';
    name[64] = '\0';
    one_tensor(sink, "G15 name of 64 bytes", name, 1, dims, TYPE_F32, 0, 16,
               "1 to 63 bytes");
    one_tensor(sink, "G15 empty name", "", 1, dims, TYPE_F32, 0, 16, "1 to 63 bytes");
    one_tensor(sink, "G15 control character in a name", "a\nb", 1, dims, TYPE_F32, 0, 16,
               "control characters");
    one_tensor(sink, "G15 name not UTF-8", "a\xff", 1, dims, TYPE_F32, 0, 16, "UTF-8");
    struct buffer b = {0};
    put_head(&b, 3, 2, 0);
    put_info(&b, "same", 1, (uint64_t[]){8}, TYPE_F32, 0);
    put_info(&b, "same", 1, (uint64_t[]){8}, TYPE_F32, 32);
    pad(&b, 32);
    put_repeated(&b, 0, 64);
    corpus_report(sink, "G15 duplicate name", "tensor same occurs twice", &b);
}

static void shapes(const struct corpus_sink *sink)
{
    const uint64_t big = (uint64_t)1 << 62;
    static const struct {
        const char *id;
        uint32_t n_dims;
        uint64_t dims[4];
        uint32_t type;
        size_t bytes;
        const char *phrase;
    } cases[] = {
        {"G16 valid, four dimensions", 4, {2, 1, 2, 2}, TYPE_F32, 32, NULL},
        {"G16 no dimensions", 0, {0}, TYPE_F32, 32, "has 0 dimensions"},
        {"G17 negative dimension", 1, {UINT64_MAX}, TYPE_F32, 32, "a dimension of"},
        {"G17 dimension 0", 2, {4, 0}, TYPE_F32, 32, "a dimension of 0"},
        {"G17 2^63 - 1 twice", 2, {INT64_MAX, INT64_MAX}, TYPE_F32, 32, "too large"},
        {"G18 elements times size overflow",
         2,
         {(uint64_t)1 << 62, 1},
         TYPE_F32,
         32,
         "too large"},
        {"G18 wraps to a small size",
         3,
         {(uint64_t)1 << 32, (uint64_t)1 << 31, 2},
         TYPE_F32,
         32,
         "too large"},
        {"G18 size beyond 2^63",
         2,
         {(uint64_t)1 << 32, (uint64_t)1 << 30},
         TYPE_F32,
         32,
         "too large"},
        {"G19 row not a multiple of the block",
         2,
         {33, 2},
         TYPE_Q4_0,
         64,
         "not a multiple of 32"},
        {"G19 row of half a block", 2, {16, 2}, TYPE_Q4_0, 32, "not a multiple of 32"},
        {"G20 removed type 4", 1, {32}, 4, 64, "type 4 is unknown"},
        {"G20 removed type 5", 1, {32}, 5, 64, "type 5 is unknown"},
        {"G20 unknown type 1000", 1, {32}, 1000, 64, "type 1000 is unknown"},
        {"G20 unknown type 2^32 - 1", 1, {32}, UINT32_MAX, 64, "is unknown"},
        {"G20 valid, a block type that is only listed", 1, {256}, 14, 210, NULL},
        {"G22 shape larger than the data", 2, {64, 64}, TYPE_F16, 64, "beyond the end"},
        {"G22 shape a little larger", 1, {17}, TYPE_F16, 32, "was cut off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        one_tensor(sink, cases[i].id, "a", cases[i].n_dims, cases[i].dims, cases[i].type,
                   0, cases[i].bytes, cases[i].phrase);
    one_tensor(sink, "G16 five dimensions", "a", 5, (uint64_t[]){1, 1, 1, 1, 8}, TYPE_F32,
               0, 32, "has 5 dimensions");
    one_tensor(sink, "G16 2^32 - 1 dimensions", "a", UINT32_MAX, NULL, TYPE_F32, 0, 32,
               "has 4294967295 dimensions");
    one_tensor(sink, "G18 two exabytes of blocks", "a", 2, (uint64_t[]){big, 2},
               TYPE_Q4_0, 0, 64, "beyond the end");
}

static void offsets(const struct corpus_sink *sink)
{
    static const struct {
        const char *id;
        uint64_t offset;
        const char *phrase;
    } cases[] = {
        {"G21 valid", 64, NULL},
        {"G21 unaligned", 40, "expected at offset 64, found 40"},
        {"G21 overlapping", 0, "expected at offset 64, found 0"},
        {"G21 overlapping by a part", 32, "expected at offset 64, found 32"},
        {"G21 hole", 96, "expected at offset 64, found 96"},
        {"G21 beyond the end", 1 << 20, "expected at offset 64"},
        {"G21 sum wraps", UINT64_MAX - 31, "expected at offset 64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = {0};
        put_head(&b, 3, 2, 0);
        put_info(&b, "a", 1, (uint64_t[]){9}, TYPE_F32, 0);
        put_info(&b, "b", 1, (uint64_t[]){8}, TYPE_F32, cases[i].offset);
        pad(&b, 32);
        put_repeated(&b, 0, 96);
        corpus_report(sink, cases[i].id, cases[i].phrase, &b);
    }
    one_tensor(sink, "G21 first tensor not at 0", "a", 1, (uint64_t[]){8}, TYPE_F32, 32,
               64, "expected at offset 0");
}

static void splits(const struct corpus_sink *sink)
{
    struct buffer b = with_key("split.count", 11, 11, U16);
    put_u16(&b, 1);
    corpus_report(sink, "G26 valid, split into one", NULL, &b);
    b = with_key("split.count", 11, 11, U16);
    put_u16(&b, 5);
    corpus_report(sink, "G26 one part of five", "one of 5 parts", &b);
    b = with_key("split.count", 11, 11, STRING);
    put_text(&b, "5");
    corpus_report(sink, "G26 split count a string", "split.count", &b);
}

static void many(const struct corpus_sink *sink)
{
    struct buffer b = {0};
    put_head(&b, 3, 0, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        put_key(&b, key, U8);
        put_u8(&b, 0);
    }
    corpus_report(sink, "G05 valid, 65536 keys", NULL, &b);
    b = with_key("k", 1, 1, ARRAY);
    put_u32(&b, STRING);
    put_u64(&b, 2000000);
    put_repeated(&b, 0, 16000000);
    corpus_report(sink, "G12 valid, two million empty strings", NULL, &b);
    b = (struct buffer){0};
    put_head(&b, 3, 100000, 0);
    for (unsigned i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        put_info(&b, name, 1, (uint64_t[]){1}, 24, 32 * (uint64_t)i);
    }
    pad(&b, 32);
    put_repeated(&b, 0, 3200000);
    corpus_report(sink, "G04 valid, 100 000 tensors of one byte", NULL, &b);
}

void corpus_gguf(corpus_visit *visit, void *context, int large)
{
    struct corpus_sink sink = {visit, context, "model.gguf"};
    versions(&sink);
    counts(&sink);
    keys(&sink);
    values(&sink);
    arrays(&sink, large);
    alignments(&sink);
    names(&sink);
    shapes(&sink);
    offsets(&sink);
    splits(&sink);
    if (large)
        many(&sink);
}
