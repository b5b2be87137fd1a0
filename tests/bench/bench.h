/* What benchmarks share: a clock, and giving up. */
#ifndef PARE_TESTS_BENCH_BENCH_H
#define PARE_TESTS_BENCH_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/base/error.h"
#include "runtime/base/parallel.h"

/* Seconds. One thread: processor time, which other work on the machine does not enter. */
static double now(void)
{
    struct timespec t;
    clock_gettime(pare_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum pare_status status, const struct pare_error *err)
{
    if (status) {
        fprintf(stderr, "%s\n", err->message);
        exit((int)status);
    }
}

#endif
