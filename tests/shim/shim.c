/* The runner behind tests/shim/criterion/criterion.h. */
#include <criterion/criterion.h>
#include <stdarg.h>

jmp_buf shim_leave;

static struct shim_test *first, **last = &first;
static int failed; /* checks of the running test */

void shim_register(struct shim_test *test)
{
    *last = test;
    last = &test->next;
}

static void print(const char *format, va_list args)
{
    if (*format) {
        fputs(": ", stdout);
        vprintf(format, args);
    }
    fputc('\n', stdout);
    fflush(stdout);
}

void shim_failed(int fatal, const char *file, int line, const char *what,
                 const char *format, ...)
{
    va_list args;
    printf("%s:%d: %s", file, line, what);
    va_start(args, format);
    print(format, args);
    va_end(args);
    failed++;
    if (fatal)
        longjmp(shim_leave, 1);
}

void shim_skip(const char *format, ...)
{
    va_list args;
    printf("skipped");
    va_start(args, format);
    print(format, args);
    va_end(args);
    longjmp(shim_leave, 2);
}

void shim_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* 0: it ran to its end, 1: it left after a failure, 2: it was skipped. */
static int run_one(const struct shim_test *test, const struct shim_options *suite)
{
    int left = setjmp(shim_leave);
    if (left)
        return left;
    if (suite && suite->init)
        suite->init();
    if (test->options.init)
        test->options.init();
    test->run();
    return 0;
}

static const struct shim_options *suite_options(const char *name)
{
    for (const struct shim_test *test = first; test; test = test->next)
        if (!test->run && !strcmp(test->suite, name))
            return &test->options;
    return NULL;
}

int main(void)
{
    int tests = 0, bad = 0, skipped = 0;
    for (const struct shim_test *test = first; test; test = test->next) {
        const struct shim_options *suite = suite_options(test->suite);
        if (!test->run || test->options.disabled || (suite && suite->disabled))
            continue;
        failed = 0;
        skipped += run_one(test, suite) == 2;
        if (test->options.fini)
            test->options.fini();
        if (suite && suite->fini)
            suite->fini();
        tests++;
        bad += failed > 0;
        if (failed)
            printf("FAILED: %s::%s\n", test->suite, test->name);
    }
    printf("%d tests, %d failed, %d skipped\n", tests, bad, skipped);
    return bad > 0;
}
