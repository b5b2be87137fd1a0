#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/names.h"

static struct pare_error err;

/* Name number n is its decimal digits. */
static const char *name_of(void *context, uint32_t number, size_t *length)
{
    char *text = context;
    *length = (size_t)snprintf(text, 16, "%u", number);
    return text;
}

Test(names, every_name_is_found_and_no_other, .timeout = 60)
{
    char scratch[16], text[16];
    struct pare_names names = {.name = name_of, .context = scratch};
    cr_assert_eq(pare_names_find(&names, "0", 1), PARE_NO_NAME);
    for (uint32_t n = 0; n < 3000; n++) {
        uint32_t other;
        size_t length = (size_t)snprintf(text, sizeof text, "%u", n);
        cr_assert_eq(pare_names_add(&names, text, length, n, &other, &err), PARE_OK);
        cr_assert_eq(other, PARE_NO_NAME);
        cr_assert_eq(pare_names_add(&names, text, length, 77777, &other, &err), PARE_OK);
        cr_assert_eq(other, n);
        cr_assert_eq(names.count, n + 1);
        /* At every number of names there is room to find out that one is missing. */
        cr_assert_eq(pare_names_find(&names, "none", 4), PARE_NO_NAME);
        cr_assert_eq(pare_names_find(&names, "", 0), PARE_NO_NAME);
        cr_assert_lt(names.count, names.capacity);
    }
    for (uint32_t n = 0; n < 3000; n++) {
        size_t length = (size_t)snprintf(text, sizeof text, "%u", n);
        cr_assert_eq(pare_names_find(&names, text, length), n);
        cr_assert_eq(pare_names_find(&names, text, length - 1),
                     n < 10 ? PARE_NO_NAME : n / 10);
    }
    pare_names_free(&names);
    cr_assert_eq(pare_names_find(&names, "0", 1), PARE_NO_NAME);
}

Test(names, two_tables_hash_differently)
{
    char scratch[16];
    struct pare_names a = {.name = name_of, .context = scratch}, b = a;
    uint32_t other;
    cr_assert_eq(pare_names_add(&a, "1", 1, 1, &other, &err), PARE_OK);
    cr_assert_eq(pare_names_add(&b, "1", 1, 1, &other, &err), PARE_OK);
    cr_assert(a.key[0] != b.key[0] || a.key[1] != b.key[1]);
    pare_names_free(&a);
    pare_names_free(&b);
}
