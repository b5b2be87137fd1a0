/* Cases Z01 to Z14 and P01 to P14: malformed PyTorch files, archive and pickle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/corpus.h"
#include "tests/support/corpus_zip.h"

/* Six floats, 2 x 3, stored under data/0. */
static const float storage[6] = {1, 2, 3, 4, 5, 6};
static const int64_t sizes[] = {2, 3}, strides[] = {3, 1};
static const struct pickle_tensor plain = {
    .class = "FloatStorage",
    .key = "0",
    .device = "cpu",
    .numel = 6,
    .n_dims = 2,
    .sizes = sizes,
    .strides = strides,
};

static void add_storage(struct archive *archive)
{
    archive_add(archive, "m/data/0", storage, sizeof storage);
}

static void add_pickle(struct archive *archive)
{
    struct buffer p = pickle_of(&plain);
    archive_add(archive, "m/data.pkl", p.data, p.size);
    buffer_free(&p);
}

/* A valid archive, unfinished and finished. */
static struct archive parts(void)
{
    struct archive archive = {0};
    add_pickle(&archive);
    archive_add(&archive, "m/byteorder", "little", 6);
    add_storage(&archive);
    archive_add(&archive, "m/version", "3\n", 2);
    return archive;
}

static struct archive valid(int zip64)
{
    struct archive archive = parts();
    archive_finish(&archive, zip64);
    return archive;
}

/* --- archives --- */

static void ends(const struct corpus_sink *sink)
{
    struct archive a = valid(1);
    corpus_report(sink, "Z00 valid, with ZIP64", NULL, &a.out);
    a = valid(0);
    corpus_report(sink, "Z00 valid, without ZIP64", NULL, &a.out);
    a = valid(0);
    a.out.size -= 22;
    corpus_report(sink, "Z01 no end record", "no end record", &a.out);
    a = valid(0);
    put_u8(&a.out, 0);
    corpus_report(sink, "Z01 a byte behind the end record", "no end record", &a.out);
    a = valid(0); /* a comment that holds another end record */
    set_u16(&a.out, a.end + 20, 22);
    put_bytes(&a.out, a.out.data + a.end, 20);
    put_u16(&a.out, 0);
    corpus_report(sink, "Z02 an end record inside the comment", "does not end at byte",
                  &a.out);
    a = valid(0);
    set_u16(&a.out, a.end + 20, 5);
    put_string(&a.out, "hello");
    corpus_report(sink, "Z02 a comment", "no end record", &a.out);
    a = valid(0);
    set_u32(&a.out, a.end + 16, 0x7FFFFFFF);
    corpus_report(sink, "Z03 directory beyond the file", "does not end at byte", &a.out);
    a = valid(0);
    set_u32(&a.out, a.end + 12, 0x7FFFFFFF);
    corpus_report(sink, "Z03 directory too long", "does not end at byte", &a.out);
    a = valid(1);
    set_u64(&a.out, a.end64 + 48, UINT64_MAX - 10);
    set_u32(&a.out, a.end + 16, UINT32_MAX);
    corpus_report(sink, "Z03 directory offset wraps", "does not end at byte", &a.out);
    a = valid(1);
    set_u64(&a.out, a.end64 + 48, 0);
    corpus_report(sink, "Z03 the end records differ", "contradict each other", &a.out);
    a = valid(0);
    set_u16(&a.out, a.end + 4, 1);
    corpus_report(sink, "Z03 second disk", "split archive", &a.out);
    struct archive whole = valid(1);
    corpus_truncate(sink, "Z01 truncated to", &whole.out, whole.out.size, 7);
    buffer_free(&whole.out);
}

static void locators(const struct corpus_sink *sink)
{
    static const struct {
        const char *id;
        uint64_t target;
    } cases[] = {{"Z04 locator points outside", UINT64_MAX},
                 {"Z04 locator points behind the end", 1 << 20},
                 {"Z04 locator points to the start", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct archive a = valid(1);
        set_u64(&a.out, a.locator + 8, cases[i].target);
        corpus_report(sink, cases[i].id, "does not point to the record", &a.out);
    }
    struct archive a = valid(1);
    set_u64(&a.out, a.locator + 8, a.locator);
    corpus_report(sink, "Z04 locator points to itself", "does not point to the record",
                  &a.out);
    a = valid(1);
    set_u64(&a.out, a.end64 + 4, UINT64_MAX);
    corpus_report(sink, "Z04 record of an impossible size", "malformed ZIP64", &a.out);
}

static void counts(const struct corpus_sink *sink)
{
    struct archive a = valid(0);
    set_u16(&a.out, a.end + 8, 3);
    set_u16(&a.out, a.end + 10, 3);
    corpus_report(sink, "Z05 one entry less than there are", "more than the 3 entries",
                  &a.out);
    a = valid(0);
    set_u16(&a.out, a.end + 8, 5);
    set_u16(&a.out, a.end + 10, 5);
    corpus_report(sink, "Z05 one entry more than there are", "entries do not fit",
                  &a.out);
    a = valid(0);
    a.out.data[a.entries[3].central] = 'Q';
    corpus_report(sink, "Z05 a record without its magic", "expected a directory record",
                  &a.out);
    a = valid(0);
    set_u16(&a.out, a.entries[3].central + 30, 1000);
    corpus_report(sink, "Z05 a record longer than the directory", "longer than", &a.out);
    a = valid(1);
    set_u64(&a.out, a.end64 + 24, UINT64_MAX);
    set_u64(&a.out, a.end64 + 32, UINT64_MAX);
    set_u16(&a.out, a.end + 8, UINT16_MAX);
    set_u16(&a.out, a.end + 10, UINT16_MAX);
    corpus_report(sink, "Z05 2^64 - 1 entries", "entries do not fit", &a.out);
}

static void headers(const struct corpus_sink *sink)
{
    struct archive a = valid(0);
    a.out.data[a.entries[2].header + 30] = 'x';
    corpus_report(sink, "Z06 local name differs", "contradicts the directory", &a.out);
    a = valid(0);
    a.out.data[a.entries[2].header] = 'x';
    corpus_report(sink, "Z06 no local header", "contradicts the directory", &a.out);
    a = valid(0);
    set_u16(&a.out, a.entries[2].header + 28, UINT16_MAX);
    corpus_report(sink, "Z06 local extra field too long", "contradicts the directory",
                  &a.out);
    a = valid(0);
    set_u16(&a.out, a.entries[2].central + 8, 0x0809);
    corpus_report(sink, "Z07 encrypted", "is encrypted", &a.out);
    a = valid(0);
    set_u16(&a.out, a.entries[2].central + 8, 0x2808);
    corpus_report(sink, "Z07 unknown flag", "unknown flags", &a.out);
    a = valid(0);
    set_u16(&a.out, a.entries[2].central + 10, 99);
    corpus_report(sink, "Z08 method 99", "method 99", &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 42, (uint32_t)a.entries[0].header);
    corpus_report(sink, "Z09 header of another entry", "contradicts the directory",
                  &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 42, 0x7FFFFFFF);
    corpus_report(sink, "Z09 header outside", "is outside of the file", &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 16, 1);
    corpus_report(sink, "Z12 wrong checksum of a storage", "the checksum is wrong",
                  &a.out);
    a = valid(0);
    a.out.data[a.entries[0].header + 100] ^= 1;
    corpus_report(sink, "Z12 a bit of the pickle flipped", "the checksum is wrong",
                  &a.out);
    a = valid(0);
    for (int i = 0; i < 4; i++)
        set_u32(&a.out, a.entries[i].central + 16, 0);
    corpus_report(sink, "Z12 valid, checksums not computed", NULL, &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 20, UINT32_MAX);
    set_u32(&a.out, a.entries[2].central + 24, UINT32_MAX);
    corpus_report(sink, "Z13 ZIP64 sizes without their field", "need a ZIP64 field",
                  &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 20, 0x10000);
    set_u32(&a.out, a.entries[2].central + 24, 0x10000);
    corpus_report(sink, "Z13 data beyond the end", "are beyond the end", &a.out);
    a = valid(0);
    set_u32(&a.out, a.entries[2].central + 24, 25);
    corpus_report(sink, "Z13 stored with two sizes", "has two sizes", &a.out);
}

static void wide_fields(const struct corpus_sink *sink)
{
    struct archive a;
    for (int wide = 1; wide < 8; wide++) {
        a = parts();
        a.entries[2].wide = wide;
        archive_finish(&a, 1);
        corpus_report(sink, "Z13 valid, values in a ZIP64 field", NULL, &a.out);
        a = parts();
        a.entries[2].wide = wide;
        a.entries[2].cut = 1;
        archive_finish(&a, 1);
        corpus_report(sink, "Z13 ZIP64 field too short", "need a ZIP64 field", &a.out);
    }
    a = parts();
    a.entries[2].wide = 7;
    archive_finish(&a, 1);
    set_u64(&a.out, a.entries[2].central + 46 + 8 + 6 + 4, UINT64_MAX);
    set_u64(&a.out, a.entries[2].central + 46 + 8 + 6 + 12, UINT64_MAX);
    corpus_report(sink, "Z13 2^64 - 1 bytes", "are beyond the end", &a.out);
    a = parts();
    a.entries[2].wide = 4;
    archive_finish(&a, 1);
    set_u64(&a.out, a.entries[2].central + 46 + 8 + 6 + 4, UINT64_MAX - 4);
    corpus_report(sink, "Z13 header at 2^64 - 5", "is outside of the file", &a.out);
    a = parts();
    a.entries[2].wide = 1;
    archive_finish(&a, 1);
    set_u16(&a.out, a.entries[2].central + 46 + 8 + 2, UINT16_MAX);
    corpus_report(sink, "Z13 extra field too long", "need a ZIP64 field", &a.out);
}

static void deflated(const struct corpus_sink *sink)
{
    struct buffer p = pickle_of(&plain);
    struct archive a = {0};
    archive_add_deflated(&a, "m/data.pkl", p.data, p.size);
    archive_add_deflated(&a, "m/data/0", storage, sizeof storage);
    archive_finish(&a, 0);
    corpus_report(sink, "Z08 valid, deflated", NULL, &a.out);
    struct pickle_tensor empty = plain;
    empty.numel = 0;
    empty.sizes = (int64_t[]){0, 3};
    struct buffer q = pickle_of(&empty);
    a = (struct archive){0};
    archive_add_deflated(&a, "m/data.pkl", q.data, q.size);
    archive_add_deflated(&a, "m/data/0", "", 0);
    archive_finish(&a, 0);
    buffer_free(&q);
    corpus_report(sink, "Z08 valid, nothing deflated", NULL, &a.out);
    for (int more = -1; more <= 1; more += 2) {
        a = (struct archive){0};
        archive_add_deflated(&a, "m/data.pkl", p.data, p.size);
        archive_add_deflated(&a, "m/data/0", storage, sizeof storage);
        archive_finish(&a, 0);
        uint32_t size = (uint32_t)((int)p.size + more);
        set_u32(&a.out, a.entries[0].header + 22, size);
        set_u32(&a.out, a.entries[0].central + 24, size);
        corpus_report(sink, "Z08 deflated to another size", "do not give their size",
                      &a.out);
    }
    a = (struct archive){0};
    archive_add_deflated(&a, "m/data.pkl", p.data, p.size);
    memset(a.out.data + a.out.size - 20, 0xFF, 20);
    archive_finish(&a, 0);
    corpus_report(sink, "Z08 deflated data damaged", "", &a.out);
    a = (struct archive){0};
    archive_add_deflated(&a, "m/data.pkl", p.data, p.size);
    archive_add_deflated(&a, "m/data/0", storage, sizeof storage);
    archive_finish(&a, 0);
    set_u32(&a.out, a.entries[0].header + 22, 0x7FFFFFFF);
    set_u32(&a.out, a.entries[0].central + 24, 0x7FFFFFFF);
    corpus_report(sink, "Z08 promises 2 GiB", "more memory", &a.out);
    buffer_free(&p);
}

/* A quarter of a megabyte that inflates to a quarter of a gigabyte, and says so. */
static void bomb(const struct corpus_sink *sink)
{
    size_t size = (size_t)1 << 28;
    void *zeros = calloc(1, size);
    struct archive a = {0};
    archive_add_deflated(&a, "m/data.pkl", zeros, size);
    archive_finish(&a, 0);
    free(zeros);
    corpus_report(sink, "Z08 bomb", "more memory", &a.out);
}

static void overlapping(const struct corpus_sink *sink)
{
    struct archive a = parts();
    /* A second directory record for the header inside the data of the first. */
    struct archive inner = {0};
    archive_add(&inner, "m/data/1", storage, sizeof storage);
    archive_add(&a, "m/outer", inner.out.data, inner.out.size);
    struct archive_entry entry = inner.entries[0];
    entry.header = a.entries[4].header;
    while (memcmp(a.out.data + entry.header + 30, "m/data/1", 8) != 0)
        entry.header++;
    a.entries[a.count++] = entry;
    archive_finish(&a, 0);
    buffer_free(&inner.out);
    corpus_report(sink, "Z09 an entry inside another", "two entries overlap", &a.out);
}

static void names(const struct corpus_sink *sink)
{
    static char long_name[65536];
    memset(long_name, 'n', sizeof long_name);
    struct {
        const char *id, *name;
        size_t length;
        const char *phrase;
    } cases[] = {
        {"Z10 data.pkl twice", "m/data.pkl", 10, "occurs twice"},
        {"Z10 a storage twice", "m/data/0", 8, "occurs twice"},
        {"Z11 name ../x", "../x", 4, "unsafe"},
        {"Z11 name m/../x", "m/../x", 6, "unsafe"},
        {"Z11 name m/..", "m/..", 4, "unsafe"},
        {"Z11 absolute name", "/x", 2, "unsafe"},
        {"Z11 backslash", "m\\x", 3, "unsafe"},
        {"Z11 empty name", "", 0, "empty"},
        {"Z11 name of 65535 bytes", long_name, 65535, "too long"},
        {"Z11 NUL in a name", "m/\0x", 4, "unsafe"},
        {"Z11 newline in a name", "m/\nx", 4, "unsafe"},
        {"Z11 valid, dots in a name", "m/a..b/...c", 11, NULL},
        {"Z14 a second data.pkl", "other/data.pkl", 14, "more than one data.pkl"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct archive a = parts();
        struct archive_entry entry = {
            .name = cases[i].name, .name_length = cases[i].length, .flags = 0x0808};
        archive_add_entry(&a, &entry, "");
        archive_finish(&a, 1);
        corpus_report(sink, cases[i].id, cases[i].phrase, &a.out);
    }
    struct archive a = {0};
    add_storage(&a);
    archive_finish(&a, 0);
    corpus_report(sink, "Z14 no data.pkl", "without data.pkl", &a.out);
    a = (struct archive){0};
    archive_finish(&a, 0);
    corpus_report(sink, "Z14 empty archive", "without data.pkl", &a.out);
    a = (struct archive){0};
    add_pickle(&a);
    archive_finish(&a, 0);
    corpus_report(sink, "Z14 storage missing", "data/0 is missing", &a.out);
    a = parts();
    a.count = 1; /* drop the directory records of the rest */
    archive_finish(&a, 0);
    corpus_report(sink, "Z14 storage not in the directory", "data/0 is missing", &a.out);
    a = (struct archive){0};
    add_pickle(&a);
    archive_add(&a, "m/byteorder", "big", 3);
    add_storage(&a);
    archive_finish(&a, 0);
    corpus_report(sink, "Z14 big-endian", "byte order", &a.out);
}

/* --- pickles --- */

/* An archive around a pickle; frees the pickle. */
static void with_pickle(const struct corpus_sink *sink, const char *id, struct buffer *p,
                        const char *phrase)
{
    struct archive a = {0};
    archive_add(&a, "m/data.pkl", p->data, p->size);
    add_storage(&a);
    archive_finish(&a, 0);
    buffer_free(p);
    corpus_report(sink, id, phrase, &a.out);
}

static void raw_pickle(const struct corpus_sink *sink, const char *id, const char *text,
                       size_t length, const char *phrase)
{
    struct buffer p = {0};
    put_bytes(&p, text, length);
    with_pickle(sink, id, &p, phrase);
}

#define RAW(id, text, phrase)                                                            \
    {                                                                                    \
        id, text, sizeof(text) - 1, phrase                                               \
    }
#define HEAD "\x80\x02"
#define OD "ccollections\nOrderedDict\n"

static const struct {
    const char *id, *text;
    size_t length;
    const char *phrase;
} raw[] = {
    RAW("P01 empty pickle", "", "does not begin with its protocol"),
    RAW("P01 only STOP", ".", "does not begin with its protocol"),
    RAW("P01 no STOP", HEAD "}", "ends without STOP"),
    RAW("P01 nothing left at STOP", HEAD ".", "more or less than one"),
    RAW("P01 two values left", HEAD "NN.", "more or less than one"),
    RAW("P01 a mark left", HEAD "N(.", "more or less than one"),
    RAW("P01 bytes behind STOP", HEAD "}.}", "bytes behind STOP"),
    RAW("P01 not a dict", HEAD "N.", "no tensors"),
    RAW("P01 an empty dict", HEAD "}.", "no tensors"),
    RAW("P04 protocol 0", "(dp0\n.", "does not begin with its protocol"),
    RAW("P04 protocol 3", "\x80\x03}.", "protocol 3"),
    RAW("P04 protocol 4", "\x80\x04\x95\x02\0\0\0\0\0\0\0}.", "protocol 4"),
    RAW("P04 PROTO again", HEAD "\x80\x02}.", "opcode 80"),
    RAW("P04 FRAME", HEAD "\x95\0\0\0\0\0\0\0\0}.", "opcode 95"),
    RAW("P04 STACK_GLOBAL", HEAD "\x93.", "opcode 93"),
    RAW("P04 MEMOIZE", HEAD "}\x94.", "opcode 94"),
    RAW("P04 INST", HEAD "(ios\nsystem\n.", "opcode 69"),
    RAW("P04 OBJ", HEAD "(cos\nsystem\no.", "os system"),
    RAW("P04 OBJ of nothing", HEAD "(No.", "opcode 6f"),
    RAW("P04 NEWOBJ", HEAD OD ")\x81.", "opcode 81"),
    RAW("P04 EXT1", HEAD "\x82\x01.", "opcode 82"),
    RAW("P04 PERSID", HEAD "Pos\n.", "opcode 50"),
    RAW("P04 POP", HEAD "N0}.", "opcode 30"),
    RAW("P04 DUP", HEAD "}2.", "opcode 32"),
    RAW("P04 GET", HEAD "}g0\n.", "opcode 67"),
    RAW("P04 INT", HEAD "I1\n.", "opcode 49"),
    RAW("P04 LONG4", HEAD "\x8b\xff\xff\xff\x7f.", "opcode 8b"),
    RAW("P04 BUILD on a tuple", HEAD ")}b.", "not an OrderedDict"),
    RAW("P04 BUILD on a dict", HEAD "}}b.", "not an OrderedDict"),
    RAW("P04 BUILD on a global", HEAD OD "}b.", "not an OrderedDict"),
    RAW("P05 os system", HEAD "cos\nsystem\nX\2\0\0\0id\x85R.", "os system, which"),
    RAW("P05 posix system", HEAD "cposix\nsystem\n.", "posix system, which"),
    RAW("P05 builtins eval", HEAD "cbuiltins\neval\n.", "builtins eval, which"),
    RAW("P05 __builtin__ eval", HEAD "c__builtin__\neval\n.", "__builtin__ eval, which"),
    RAW("P05 builtins getattr", HEAD "cbuiltins\ngetattr\n.", "which is refused"),
    RAW("P05 torch load", HEAD "ctorch\nload\n.", "torch load, which"),
    RAW("P05 torch.hub load", HEAD "ctorch.hub\nload\n.", "which is refused"),
    RAW("P05 escape sequence in a name", HEAD "cos\n\033[2J\n.", "os ?[2J, which"),
    RAW("P05 name of many lines", HEAD "cos\n", "malformed GLOBAL"),
    RAW("P05 empty module", HEAD "c\nx\n.", "malformed GLOBAL"),
    RAW("P06 module with a dot more", HEAD "ctorch._utils.\n_rebuild_tensor_v2\n.",
        "which is refused"),
    RAW("P06 the name split elsewhere", HEAD "ctorch._utils _rebuild_tensor_v2\nx\n.",
        "which is refused"),
    RAW("P06 first version of the function", HEAD "ctorch._utils\n_rebuild_tensor\n.",
        "which is refused"),
    RAW("P06 third version of the function", HEAD "ctorch._utils\n_rebuild_tensor_v3\n.",
        "which is refused"),
    RAW("P06 blanks around", HEAD "c collections\nOrderedDict \n.", "which is refused"),
    RAW("P07 REDUCE of an int", HEAD "K\1)R.", "REDUCE of something"),
    RAW("P07 REDUCE with a list", HEAD OD "]R.", "REDUCE of something"),
    RAW("P07 OrderedDict with an argument", HEAD OD "N\x85R.",
        "OrderedDict with arguments"),
    RAW("P07 a storage class called", HEAD "ctorch\nFloatStorage\n)R.",
        "REDUCE of a storage"),
    RAW("P07 no arguments", HEAD "ctorch._utils\n_rebuild_tensor_v2\n)R.",
        "wrong arguments"),
    RAW("P07 six of the wrong kind", HEAD "ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR.",
        "wrong arguments"),
    RAW("P07 parameter of nothing",
        HEAD "ctorch._utils\n_rebuild_parameter\nN\x89" OD ")R\x87R.", "wrong arguments"),
    RAW("P08 SETITEM on a list", HEAD "]X\1\0\0\0aNs.", "not a dict"),
    RAW("P08 SETITEMS on a tuple", HEAD ")(X\1\0\0\0aNu.", "not a dict"),
    RAW("P08 SETITEM on None", HEAD "NX\1\0\0\0aNs.", "not a dict"),
    RAW("P08 SETITEMS, a key too many", HEAD "}(X\1\0\0\0aNNu.", "has no value"),
    RAW("P08 APPEND to a dict", HEAD "}Na.", "not a list"),
    RAW("P08 APPENDS to a tuple", HEAD ")(Ne.", "not a list"),
    RAW("P10 undefined memo", HEAD "h\0.", "never put"),
    RAW("P10 memo number skipped", HEAD "}q\2h\1.", "never put"),
    RAW("P10 LONG_BINGET beyond", HEAD "}q\0j\xff\xff\xff\xff.", "never put"),
    RAW("P10 LONG_BINPUT 2^32 - 1", HEAD "}r\xff\xff\xff\xff.", "beyond 2^24"),
    RAW("P10 LONG_BINPUT 2^24 - 1", HEAD "}r\xff\xff\xff\0.", "more memory"),
    RAW("P11 a list in itself", HEAD "]q\0h\0a.", "no tensors"),
    RAW("P11 a dict in itself", HEAD "}q\0X\5\0\0\0modelh\0s.", "no tensors"),
    RAW("P13 BINUNICODE of 2^32 - 1 bytes",
        HEAD "X\xff\xff\xff\xff"
             "a.",
        "ends too early"),
    RAW("P13 SHORT_BINSTRING too long",
        HEAD "U\xff"
             "a.",
        "ends too early"),
    RAW("P13 LONG1 too long", HEAD "\x8a\xff\1.", "ends too early"),
    RAW("P14 id not a tuple", HEAD "NQ.", "persistent id"),
    RAW("P14 id an empty tuple", HEAD ")Q.", "persistent id"),
    RAW("P14 id a text", HEAD "X\1\0\0\0aQ.", "persistent id"),
};

/* Stack underflow of every opcode that takes something, at the bottom of the stack and at
 * a mark. */
static void underflows(const struct corpus_sink *sink)
{
    static const struct {
        const char *opcode;
        int needs;
    } takers[] = {{"\x85", 1}, {"\x86", 2},  {"\x87", 3}, {"a", 2}, {"s", 3},
                  {"q0", 1},   {"r0000", 1}, {"Q", 1},    {"R", 2}, {"b", 2},
                  {"t", 0},    {"e", 0},     {"u", 0}};
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        for (int have = 0; have < (takers[i].needs ? takers[i].needs : 1); have++)
            for (int mark = 0; mark < (takers[i].needs ? 2 : 1); mark++) {
                char id[64];
                struct buffer p = {0};
                put_string(&p, HEAD);
                if (mark)
                    put_string(&p, "]]](");
                put_repeated(&p, ']', (size_t)have);
                put_string(&p, takers[i].opcode);
                put_string(&p, ".");
                snprintf(id, sizeof id, "P03 opcode %02x with %d values%s",
                         (unsigned char)takers[i].opcode[0], have,
                         mark ? " and mark" : "");
                with_pickle(sink, id, &p, "stack underflow");
            }
    raw_pickle(sink, "P03 APPENDS without a list", HEAD "(e.", 4, "stack underflow");
    raw_pickle(sink, "P03 SETITEMS without a dict", HEAD "(u.", 5, "stack underflow");
}

static void tensor_case(const struct corpus_sink *sink, const char *id,
                        struct pickle_tensor tensor, const char *phrase)
{
    struct buffer p = pickle_of(&tensor);
    with_pickle(sink, id, &p, phrase);
}

static void tensors(const struct corpus_sink *sink)
{
    static const int64_t ones[65] = {1};
    static const int64_t tall[] = {3, 2}, transposed[] = {1, 3}, wide[] = {4, 1},
                         negative[] = {-3, 1}, huge[] = {INT64_MAX, 1}, zeros[] = {0, 0},
                         big[] = {1 << 30, 1 << 30}, bigger[] = {INT64_MAX, 4},
                         none[] = {0, 3}, many[] = {1 << 28, 1};
    struct pickle_tensor t = plain;
    tensor_case(sink, "P00 valid", t, NULL);
    t.sizes = tall, t.strides = transposed;
    tensor_case(sink, "P00 valid, transposed", t, NULL);
    t = plain, t.strides = zeros;
    tensor_case(sink, "P00 valid, expanded", t, NULL);
    t = plain, t.sizes = none;
    tensor_case(sink, "P00 valid, empty", t, NULL);
    t = plain, t.n_dims = 0, t.offset = 5;
    tensor_case(sink, "P00 valid, scalar at the end", t, NULL);
    t = plain, t.device = "cuda:12";
    tensor_case(sink, "P00 valid, from a GPU", t, NULL);
    t = plain, t.numel = 7;
    tensor_case(sink, "P09 more elements than the storage has", t, "has 24 bytes, 7");
    t = plain, t.numel = 5;
    tensor_case(sink, "P09 fewer elements than the storage has", t, "has 24 bytes, 5");
    t = plain, t.numel = ((uint64_t)1 << 62) + 6;
    tensor_case(sink, "P09 elements times size wraps", t, "has 24 bytes");
    t = plain, t.class = "DoubleStorage";
    tensor_case(sink, "P09 another class", t, "has 24 bytes");
    t = plain, t.numel = (uint64_t)-6;
    tensor_case(sink, "P09 negative number of elements", t, "persistent id");
    t = plain, t.offset = 1;
    tensor_case(sink, "P09 offset beyond the storage", t, "reaches beyond");
    t = plain, t.offset = INT64_MAX;
    tensor_case(sink, "P09 huge offset", t, "reaches beyond");
    t = plain, t.offset = -1;
    tensor_case(sink, "P09 negative offset", t, "wrong arguments");
    t = plain, t.n_dims = 0, t.offset = 6;
    tensor_case(sink, "P09 scalar behind the storage", t, "reaches beyond");
    t = plain, t.strides = wide;
    tensor_case(sink, "P09 stride beyond the storage", t, "reaches beyond");
    t = plain, t.strides = negative;
    tensor_case(sink, "P09 negative stride", t, "wrong arguments");
    t = plain, t.sizes = negative;
    tensor_case(sink, "P09 negative size", t, "wrong arguments");
    t = plain, t.strides = huge;
    tensor_case(sink, "P09 stride times size overflows", t, "reaches beyond");
    t = plain, t.sizes = bigger;
    tensor_case(sink, "P09 sizes overflow", t, "too large");
    t = plain, t.sizes = big, t.strides = zeros;
    tensor_case(sink, "P09 one element expanded to 2^60", t, "more memory");
    t = plain, t.sizes = many, t.strides = zeros;
    tensor_case(sink, "P09 one element expanded to 2^28", t, "more memory");
    t = plain, t.n_dims = 9, t.sizes = t.strides = ones;
    tensor_case(sink, "P09 nine dimensions", t, "more than 8 dimensions");
    t.n_dims = 65;
    tensor_case(sink, "P09 65 dimensions", t, "more than 8 dimensions");
    t = plain, t.key = "../0";
    tensor_case(sink, "P14 key ../0", t, "persistent id");
    t.key = "";
    tensor_case(sink, "P14 empty key", t, "persistent id");
    t.key = "1";
    tensor_case(sink, "P14 key of no storage", t, "data/1 is missing");
    t = plain, t.device = "cpu; rm -rf /";
    tensor_case(sink, "P14 garbage as device", t, "persistent id");
    t.device = "";
    tensor_case(sink, "P14 no device", t, "persistent id");
    t = plain, t.class = "Tensor";
    tensor_case(sink, "P14 a class that is no storage", t, "torch Tensor, which");
    t.class = "Size";
    tensor_case(sink, "P14 a class that is opaque", t, "persistent id");
}

/* {name: tensor}, with whatever the opcodes of `tail` do to the dict afterwards. */
static struct buffer named(const char *name, const char *tail)
{
    struct buffer p = {0};
    put_string(&p, HEAD OD ")R(");
    pickle_text(&p, name);
    pickle_tensor(&p, &plain);
    put_string(&p, "u");
    put_string(&p, tail);
    put_string(&p, ".");
    return p;
}

static void dicts(const struct corpus_sink *sink)
{
    struct buffer p = named("w", "}b");
    with_pickle(sink, "P00 valid, an OrderedDict with its state", &p, NULL);
    p = named("", "");
    with_pickle(sink, "P14 empty name", &p, "control characters");
    p = named("a\n", "");
    with_pickle(sink, "P14 newline in a name", &p, "control characters");
    p = named("a\xff", "");
    with_pickle(sink, "P14 name not UTF-8", &p, "not UTF-8");
    p = (struct buffer){0};
    put_string(&p, HEAD "}(");
    for (int i = 0; i < 2; i++) {
        pickle_text(&p, "w");
        pickle_tensor(&p, &plain);
    }
    put_string(&p, "u.");
    with_pickle(sink, "P14 the same name twice", &p, "tensor w occurs twice");
    p = (struct buffer){0};
    put_string(&p, HEAD "}(");
    pickle_text(&p, "epoch");
    pickle_int(&p, 3);
    pickle_text(&p, "model");
    put_string(&p, "}");
    pickle_text(&p, "w");
    pickle_tensor(&p, &plain);
    put_string(&p, "su.");
    with_pickle(sink, "P00 valid, tensors one level down", &p, NULL);
    p = (struct buffer){0};
    put_string(&p, HEAD);
    pickle_tensor(&p, &plain);
    pickle_text(&p, "w");
    put_string(&p, "Ns.");
    with_pickle(sink, "P08 SETITEM on a tensor", &p, "not a dict");
    p = pickle_of(&plain);
    struct buffer whole = {0};
    put_bytes(&whole, p.data, p.size);
    for (size_t size = 0; size < whole.size; size++) {
        char id[64];
        struct buffer part = {0};
        put_bytes(&part, whole.data, size);
        snprintf(id, sizeof id, "P02 truncated to %zu", size);
        with_pickle(sink, id, &part, "pickle: ");
    }
    buffer_free(&whole);
    buffer_free(&p);
}

static void large_pickles(const struct corpus_sink *sink)
{
    struct buffer p = {0};
    put_string(&p, HEAD);
    put_repeated(&p, '(', 10000000);
    put_string(&p, ".");
    with_pickle(sink, "P12 ten million marks", &p, "more than 2^20 marks");
    put_string(&p, HEAD ")");
    put_repeated(&p, 0x85, 10000000);
    put_string(&p, ".");
    with_pickle(sink, "P12 a tuple ten million deep", &p, "more memory");
    put_string(&p, HEAD);
    put_repeated(&p, '}', 10000000);
    put_string(&p, ".");
    with_pickle(sink, "P12 ten million dicts", &p, "2^20 values on the stack");
    put_string(&p, HEAD "]");
    for (int i = 0; i < 10000000; i++)
        put_string(&p, ")a");
    put_string(&p, ".");
    with_pickle(sink, "P12 a list of ten million", &p, "no tensors");
}

static void legacy(const struct corpus_sink *sink)
{
    struct buffer b = {0};
    put_string(
        &b, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.");
    put_repeated(&b, 0, 100);
    corpus_report(sink, "P14 a file from before version 1.6", "before version 1.6", &b);
    struct corpus_sink bin = *sink;
    bin.name = "pytorch_model.bin";
    put_repeated(&b, 0, 100);
    corpus_report(&bin, "P14 zeros", "not a checkpoint in a known format", &b);
    put_string(&b, "");
    corpus_report(&bin, "P14 an empty file", "not a checkpoint in a known format", &b);
}

void corpus_torch(corpus_visit *visit, void *context, int large)
{
    struct corpus_sink sink = {visit, context, "model.pt"};
    ends(&sink);
    locators(&sink);
    counts(&sink);
    headers(&sink);
    wide_fields(&sink);
    deflated(&sink);
    overlapping(&sink);
    names(&sink);
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
        raw_pickle(&sink, raw[i].id, raw[i].text, raw[i].length, raw[i].phrase);
    underflows(&sink);
    tensors(&sink);
    dicts(&sink);
    legacy(&sink);
    if (large) {
        bomb(&sink);
        large_pickles(&sink);
    }
}
