/* The part of Criterion's interface that the tests use, in one process.
 *
 * Criterion runs each test in a process of its own by means that neither ThreadSanitizer
 * nor qemu's user mode survives. Built with -DPARE_TEST_SHIM=ON, the tests include this
 * header instead: no isolation and no parallel tests, but the same assertions.
 */
#ifndef TESTS_SHIM_CRITERION_H
#define TESTS_SHIM_CRITERION_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shim_options { /* those of Criterion that are used; timeout means nothing here */
    void (*init)(void), (*fini)(void);
    double timeout;
    int disabled;
};

struct shim_test {
    const char *suite, *name;
    void (*run)(void); /* NULL: the options are for every test of the suite */
    struct shim_options options;
    struct shim_test *next;
};

extern jmp_buf shim_leave; /* out of the running test: 1 it failed, 2 it was skipped */

void shim_register(struct shim_test *test);
/* Notes a failure with its place and text; leaves the test when `fatal`. */
void shim_failed(int fatal, const char *file, int line, const char *what,
                 const char *format, ...);
void shim_skip(const char *format, ...) __attribute__((noreturn));
void shim_log(const char *format, ...);

#define Test(suite_, name_, ...)                                                         \
    static void shim_##suite_##_##name_(void);                                           \
    __attribute__((constructor)) static void shim_add_##suite_##_##name_(void)           \
    {                                                                                    \
        static struct shim_test test = {                                                 \
            #suite_, #name_, shim_##suite_##_##name_, {__VA_ARGS__}, NULL};              \
        shim_register(&test);                                                            \
    }                                                                                    \
    static void shim_##suite_##_##name_(void)
#define TestSuite(suite_, ...)                                                           \
    __attribute__((constructor)) static void shim_suite_##suite_(void)                   \
    {                                                                                    \
        static struct shim_test suite = {#suite_, NULL, NULL, {__VA_ARGS__}, NULL};      \
        shim_register(&suite);                                                           \
    }                                                                                    \
    struct shim_suite_##suite_

/* "" before the caller's format keeps a call without one valid. */
#define SHIM_CHECK(fatal, condition, what, ...)                                          \
    ((condition) ? (void)0 : shim_failed(fatal, __FILE__, __LINE__, what, "" __VA_ARGS__))

#define cr_assert(c, ...) SHIM_CHECK(1, c, #c, __VA_ARGS__)
#define cr_expect(c, ...) SHIM_CHECK(0, c, #c, __VA_ARGS__)
#define cr_assert_fail(...) SHIM_CHECK(1, 0, "fail", __VA_ARGS__)
#define cr_assert_not(c, ...) SHIM_CHECK(1, !(c), "not " #c, __VA_ARGS__)
#define cr_assert_null(p, ...) SHIM_CHECK(1, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_expect_null(p, ...) SHIM_CHECK(0, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) SHIM_CHECK(1, (p) != NULL, #p, __VA_ARGS__)
#define cr_expect_not_null(p, ...) SHIM_CHECK(0, (p) != NULL, #p, __VA_ARGS__)

#define cr_assert_eq(a, b, ...) SHIM_CHECK(1, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) SHIM_CHECK(0, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) SHIM_CHECK(1, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) SHIM_CHECK(0, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) SHIM_CHECK(1, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) SHIM_CHECK(0, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) SHIM_CHECK(1, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) SHIM_CHECK(0, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) SHIM_CHECK(1, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) SHIM_CHECK(0, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) SHIM_CHECK(1, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) SHIM_CHECK(0, (a) >= (b), #a " >= " #b, __VA_ARGS__)

#define SHIM_NEAR(a, b, eps) (fabs((double)(a) - (double)(b)) <= (double)(eps))
#define cr_assert_float_eq(a, b, eps, ...)                                               \
    SHIM_CHECK(1, SHIM_NEAR(a, b, eps), #a " is near " #b, __VA_ARGS__)
#define cr_expect_float_eq(a, b, eps, ...)                                               \
    SHIM_CHECK(0, SHIM_NEAR(a, b, eps), #a " is near " #b, __VA_ARGS__)

#define cr_assert_str_eq(a, b, ...)                                                      \
    SHIM_CHECK(1, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                                      \
    SHIM_CHECK(0, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)                                                     \
    SHIM_CHECK(1, strcmp(a, b) != 0, #a " is not " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)                                                   \
    SHIM_CHECK(1, memcmp(a, b, n) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...)                                                   \
    SHIM_CHECK(0, memcmp(a, b, n) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...)                                                  \
    SHIM_CHECK(1, memcmp(a, b, n) != 0, #a " is not " #b, __VA_ARGS__)

#define cr_skip_test(...) shim_skip("" __VA_ARGS__)
#define cr_log_info(...) shim_log("" __VA_ARGS__)

#endif
