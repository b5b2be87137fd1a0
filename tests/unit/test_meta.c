#include <criterion/criterion.h>
#include <string.h>

#include "runtime/checkpoint/meta.h"

static struct pare_error err;
static struct pare_meta meta;

static void tear_down(void)
{
    pare_meta_free(&meta);
}

TestSuite(meta, .fini = tear_down);

static struct pare_text text(const char *s)
{
    return (struct pare_text){s, strlen(s)};
}

Test(meta, what_is_set_is_found_in_order)
{
    cr_assert_eq(pare_meta_set_u32(&meta, "a", 1, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_f32(&meta, "b", 0.5f, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_bool(&meta, "c", 7, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_string(&meta, "d", "x\0y", 3, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_u64(&meta, "e", UINT64_MAX, &err), PARE_OK);
    cr_assert_eq(meta.count, 5);
    for (size_t i = 0; i < meta.count; i++)
        cr_assert_eq(meta.values[i].key[0], 'a' + (char)i);
    uint32_t u = 9;
    float f = 9;
    int b = 9;
    struct pare_text s = {0};
    cr_assert_eq(pare_meta_get_u32(&meta, "a", 0, 5, &u, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_f32(&meta, "b", &f, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_bool(&meta, "c", &b, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_string(&meta, "d", &s, &err), PARE_OK);
    cr_assert(u == 1 && f == 0.5f && b == 1 && s.length == 3);
    cr_assert_eq(memcmp(s.data, "x\0y", 3), 0);
    cr_assert_eq(pare_meta_find(&meta, "e")->u, UINT64_MAX);
    cr_assert_null(pare_meta_find(&meta, "f"));
}

Test(meta, a_replaced_value_keeps_its_place_and_a_removed_one_is_gone)
{
    cr_assert_eq(pare_meta_set_u32(&meta, "a", 1, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_u32(&meta, "b", 2, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_u32(&meta, "c", 3, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_string(&meta, "a", "new", 3, &err), PARE_OK);
    cr_assert_eq(meta.count, 3);
    cr_assert_eq(meta.values[0].type, PARE_META_STRING);
    cr_assert_str_eq(meta.values[0].key, "a");
    pare_meta_remove(&meta, "b");
    pare_meta_remove(&meta, "none");
    cr_assert_eq(meta.count, 2);
    cr_assert_str_eq(meta.values[1].key, "c");
}

Test(meta, wrong_types_and_ranges_are_named)
{
    uint32_t u = 9;
    float f;
    int b;
    struct pare_text s;
    const struct pare_text *list;
    size_t n;
    cr_assert_eq(pare_meta_set_u32(&meta, "n", 7, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "none", 0, 1, &u, &err), PARE_OK);
    cr_assert_eq(u, 9);
    cr_assert_eq(pare_meta_get_u32(&meta, "n", 8, 9, &u, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "key n: expected an integer of 8 to 9, found 7");
    cr_assert_eq(pare_meta_get_f32(&meta, "n", &f, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "key n: expected a floating-point number, found U32");
    cr_assert_eq(pare_meta_get_bool(&meta, "n", &b, &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_meta_get_string(&meta, "n", &s, &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_meta_get_strings(&meta, "n", &list, &n, &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_meta_get_strings(&meta, "none", &list, &n, &err), PARE_OK);
    cr_assert_null(list);
    struct pare_meta_value value = {.key = "i", .type = PARE_META_I32, .i = -1};
    cr_assert_eq(pare_meta_copy_value(&meta, &value, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "i", 0, 9, &u, &err), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "found -1"));
    value.i = 4;
    cr_assert_eq(pare_meta_copy_value(&meta, &value, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "i", 0, 9, &u, &err), PARE_OK);
    cr_assert_eq(u, 4);
    value.type = PARE_META_U64;
    value.u = (uint64_t)1 << 32;
    cr_assert_eq(pare_meta_copy_value(&meta, &value, &err), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "i", 0, UINT32_MAX, &u, &err), PARE_ERR_INPUT);
}

Test(meta, arrays_are_copied_deeply)
{
    struct pare_text words[3] = {text("one"), text(""), text("three")};
    int32_t ints[2] = {-5, 7};
    float floats[2] = {0.25f, -1e30f};
    cr_assert_eq(pare_meta_set_strings(&meta, "s", words, 3, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_numbers(&meta, "i", PARE_META_I32, ints, 2, &err),
                 PARE_OK);
    cr_assert_eq(pare_meta_set_numbers(&meta, "f", PARE_META_F32, floats, 2, &err),
                 PARE_OK);
    cr_assert_eq(pare_meta_set_numbers(&meta, "x", PARE_META_F64, floats, 1, &err),
                 PARE_ERR_INTERNAL);
    ints[0] = 0;
    struct pare_meta copy = {0};
    for (size_t i = 0; i < meta.count; i++)
        cr_assert_eq(pare_meta_copy_value(&copy, &meta.values[i], &err), PARE_OK);
    pare_meta_free(&meta);
    const struct pare_text *list;
    size_t n;
    cr_assert_eq(pare_meta_get_strings(&copy, "s", &list, &n, &err), PARE_OK);
    cr_assert_eq(n, 3);
    cr_assert(list[1].length == 0 && memcmp(list[2].data, "three", 5) == 0);
    cr_assert_eq(pare_meta_number(pare_meta_find(&copy, "i"), 0), -5);
    cr_assert_eq(pare_meta_number(pare_meta_find(&copy, "i"), 1), 7);
    cr_assert_eq(pare_meta_number(pare_meta_find(&copy, "f"), 1), (double)-1e30f);
    pare_meta_free(&copy);
}

Test(meta, numbers_of_every_type_are_read)
{
    static const unsigned char bytes[16] = {
        0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0xF0, 0x3F};
    struct {
        enum pare_meta_type type;
        double first;
    } cases[] = {{PARE_META_U8, 254},           {PARE_META_I8, -2},
                 {PARE_META_U16, 65534},        {PARE_META_I16, -2},
                 {PARE_META_U32, 4294967294.0}, {PARE_META_I32, -2},
                 {PARE_META_U64, 0x1p64},       {PARE_META_I64, -2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_meta_value value = {.type = PARE_META_ARRAY,
                                        .element = cases[i].type,
                                        .count = 1,
                                        .elements = bytes};
        cr_expect_eq(pare_meta_number(&value, 0), cases[i].first, "%zu", i);
    }
    struct pare_meta_value doubles = {
        .type = PARE_META_ARRAY, .element = PARE_META_F64, .count = 2, .elements = bytes};
    cr_assert_eq(pare_meta_number(&doubles, 1), 1.0 + 0x1p-52);
}
