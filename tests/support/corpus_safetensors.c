/* Cases S01 to S22: malformed safetensors. */
#include <stdio.h>
#include <string.h>

#include "tests/support/corpus.h"

/* Length, header, `data_bytes` bytes of data. */
static struct buffer file_of(const char *header, size_t length, size_t data_bytes)
{
    struct buffer b = {0};
    put_u64(&b, length);
    put_bytes(&b, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        put_u8(&b, (uint8_t)i);
    return b;
}

#define A(rest) "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" rest
#define ONE A("[0,8]}}")

/* What the header alone makes right or wrong. */
static const struct {
    const char *id;
    const char *header;
    size_t data_bytes;
    const char *phrase;
} headers[] = {
    {"S00 valid", ONE, 8, NULL},
    {"S00 valid, no tensors", "{}", 0, NULL},
    {"S00 valid, metadata", "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}}", 0, NULL},
    {"S00 valid, two tensors out of order",
     "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
     "\"a\":{\"shape\":[1,2],\"dtype\":\"F32\",\"data_offsets\":[0,8]}}",
     11, NULL},
    {"S00 valid, escapes in keys",
     "{\"\\u0061\\\"\":{\"\\u0064type\":\"F\\u0033\\u0032\",\"shape\":[2],"
     "\"data_offsets\":[0,8]}}",
     8, NULL},
    {"S06 empty header", "", 0, "byte 8: the text ends too early"},
    {"S07 byte before the brace", "x" ONE, 8, "byte 8: expected a value"},
    {"S07 BOM before the brace", "\xef\xbb\xbf" ONE, 8, "byte 8: expected a value"},
    {"S07 valid, white space before the brace", " \n" ONE, 8, NULL},
    {"S07 an array", "[]", 0, "expected an object"},
    {"S08 not UTF-8", "{\"\xff\":0}", 0, "not UTF-8"},
    {"S08 overlong UTF-8", "{\"\xc0\xaf\":0}", 0, "not UTF-8"},
    {"S09 valid, padded with spaces", ONE "     ", 8, NULL},
    {"S10 a name twice",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2, "occurs twice"},
    {"S10 a name twice through an escape",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2, "occurs twice"},
    {"S10 a key twice",
     "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
     1, "occurs twice"},
    {"S11 an escaped NUL in a name",
     "{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "\\u0000"},
    {"S11 a control character in a name",
     "{\"a\\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "control characters"},
    {"S11 an empty name",
     "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "empty"},
    {"S12 begin behind end", A("[8,0]}}"), 8, "are not in the 8 bytes"},
    {"S13 negative offset", A("[-8,0]}}"), 8, "expected an integer"},
    {"S13 minus zero", A("[-0,8]}}"), 8, "expected an integer"},
    {"S14 fraction", A("[0,8.5]}}"), 8, "expected an integer"},
    {"S14 exponent", A("[0,8e0]}}"), 8, "expected an integer"},
    {"S14 string", A("[0,\"8\"]}}"), 8, "expected an integer"},
    {"S14 null", A("null}}"), 8, "expected an array"},
    {"S15 2^53 + 1", A("[0,9007199254740993]}}"), 8, "0 to 2^53"},
    {"S15 2^64", A("[0,18446744073709551616]}}"), 8, "0 to 2^53"},
    {"S15 2^64 + 8", A("[0,18446744073709551624]}}"), 8, "0 to 2^53"},
    {"S16 overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
     6, "overlaps"},
    {"S16 two tensors in one place",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
     4, "overlaps"},
    {"S17 hole at the start",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8, "hole"},
    {"S17 hole in the middle",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
     5, "hole"},
    {"S18 trailing bytes", ONE, 9, "1 bytes behind the last tensor"},
    {"S18 data without tensors", "{}", 4, "4 bytes behind the last tensor"},
    {"S19 end beyond the file", A("[0,8]}}"), 7, "are not in the 7 bytes"},
    {"S20 product overflow",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740992,4096],"
     "\"data_offsets\":[0,0]}}",
     0, "too large"},
    {"S20 product wraps to the right size",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,4294967296],"
     "\"data_offsets\":[0,0]}}",
     0, "too large"},
    {"S20 overflow hidden by a zero",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,4294967296,4294967296,4294967296],"
     "\"data_offsets\":[0,0]}}",
     0, "too large"},
    {"S20 product times size overflow",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,1073741824],"
     "\"data_offsets\":[0,0]}}",
     0, "too large"},
    {"S21 unknown dtype",
     "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "\"F31\" is not supported"},
    {"S21 dtype in small letters",
     "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "\"f32\" is not supported"},
    {"S21 F4 with an odd count",
     "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
     "\"F4\" is not supported"},
    {"S21 dtype a number", "{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "the dtype's name"},
    {"S21 no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "are needed"},
    {"S21 no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
     "are needed"},
    {"S21 no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "are needed"},
    {"S21 one offset", A("[0]}}"), 8, "are needed"},
    {"S21 three offsets", A("[0,8,8]}}"), 8, "more than 2 integers"},
    {"S21 extra key",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4,
     "does not belong here"},
    {"S21 nine dimensions",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
     4, "more than 8 integers"},
    {"S21 size and offsets differ", A("[0,4]}}"), 4, "needs 8 bytes"},
    {"S21 a tensor that is a number", "{\"a\":1}", 0, "describes a tensor"},
    {"S21 valid, a dimension of 0",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, NULL},
    {"S21 valid, rank 0",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, NULL},
    {"S21 valid, empty tensors between others",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
     "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
     "\"d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
     3, NULL},
    {"S22 metadata with a number", "{\"__metadata__\":{\"a\":1}}", 0,
     "expected a string"},
    {"S22 metadata with an object", "{\"__metadata__\":{\"a\":{}}}", 0,
     "expected a string"},
    {"S22 metadata a string", "{\"__metadata__\":\"a\"}", 0, "an object of metadata"},
    {"S22 metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0,
     "occurs twice"},
};

static void header_length(const struct corpus_sink *sink, const char *id, uint64_t length,
                          const char *phrase)
{
    struct buffer b = file_of(ONE, strlen(ONE), 8);
    set_u64(&b, 0, length);
    corpus_report(sink, id, phrase, &b);
}

static void lengths(const struct corpus_sink *sink)
{
    uint64_t header = strlen(ONE), size = 8 + header + 8;
    header_length(sink, "S03 length 2^64 - 1", UINT64_MAX, "a header of");
    header_length(sink, "S03 length 2^63", (uint64_t)1 << 63, "a header of");
    header_length(sink, "S04 length = file size", size, "a header of");
    header_length(sink, "S04 length = file size + 1", size + 1, "a header of");
    header_length(sink, "S04 length = file size - 7", size - 7, "a header of");
    header_length(sink, "S04 length = file size - 8", size - 8, "something follows");
    header_length(sink, "S04 length one too long", header + 1, "something follows");
    header_length(sink, "S04 length one too short", header - 1,
                  "the text ends too early");
    header_length(sink, "S05 length 100 000 001", 100000001, "a header of");
    header_length(sink, "S06 length 0", 0, "the text ends too early");
}

static void odd_bytes(const struct corpus_sink *sink)
{
    static const char nul_inside[] = "{\"a\0\":{}}", nul_behind[] = ONE "\0\0\0";
    struct buffer b = file_of(nul_inside, sizeof nul_inside - 1, 0);
    corpus_report(sink, "S08 raw NUL in a name", "a raw control character", &b);
    b = file_of(nul_behind, sizeof nul_behind - 1, 8);
    corpus_report(sink, "S09 padded with NUL", "something follows", &b);
    b = file_of(ONE, strlen(ONE), 8); /* an empty zip archive behind it */
    put_string(&b, "PK\5\6");
    put_repeated(&b, 0, 18);
    corpus_report(sink, "S18 a zip archive appended", "22 bytes behind the last tensor",
                  &b);
    struct buffer whole = file_of(ONE, strlen(ONE), 8);
    corpus_truncate(sink, "S01 S02 truncated to", &whole, whole.size, 1);
    buffer_free(&whole);
}

static void deep(const struct corpus_sink *sink)
{
    struct buffer b = {0};
    put_u64(&b, 2000000);
    put_repeated(&b, '[', 2000000);
    corpus_report(sink, "S21 a million brackets", "expected an object", &b);
    b = (struct buffer){0};
    put_u64(&b, 5 + 1000000);
    put_string(&b, "{\"a\":");
    put_repeated(&b, '[', 1000000);
    corpus_report(sink, "S21 a million brackets inside", "64 levels", &b);
}

/* `count` entries of ten bytes each. */
static void many_metadata(const struct corpus_sink *sink, const char *id, uint64_t count,
                          const char *phrase)
{
    static const char digits[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    struct buffer b = {0};
    put_u64(&b, 0);
    put_string(&b, "{\"__metadata__\":{");
    for (uint64_t i = 0; i < count; i++) {
        char entry[12] = ",\"....\":\"\"";
        for (int d = 0; d < 4; d++)
            entry[2 + d] = digits[i >> (6 * d) & 63];
        put_string(&b, entry + (i == 0));
    }
    put_string(&b, "}}");
    set_u64(&b, 0, b.size - 8);
    corpus_report(sink, id, phrase, &b);
}

static void many_tensors(const struct corpus_sink *sink, const char *id, unsigned count,
                         const char *phrase)
{
    struct buffer b = {0};
    put_u64(&b, 0);
    for (unsigned i = 0; i < count; i++) {
        char entry[100];
        snprintf(entry, sizeof entry,
                 "%c\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                 i ? ',' : '{', i);
        put_string(&b, entry);
    }
    put_string(&b, "}");
    set_u64(&b, 0, b.size - 8);
    corpus_report(sink, id, phrase, &b);
}

void corpus_safetensors(corpus_visit *visit, void *context, int large)
{
    struct corpus_sink sink = {visit, context, "model.safetensors"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct buffer b =
            file_of(headers[i].header, strlen(headers[i].header), headers[i].data_bytes);
        corpus_report(&sink, headers[i].id, headers[i].phrase, &b);
    }
    lengths(&sink);
    odd_bytes(&sink);
    if (!large)
        return;
    deep(&sink);
    many_metadata(&sink, "S22 valid, 65536 entries of metadata", 65536, NULL);
    many_metadata(&sink, "S22 9.9 million entries of metadata", 9900000,
                  "more than 65536 entries");
    many_tensors(&sink, "S22 valid, 200 000 tensors", 200000, NULL);
    many_tensors(&sink, "S22 more than 2^20 tensors", 1100000, "");
}
