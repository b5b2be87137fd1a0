#include "runtime/base/parallel.h"

#include <omp.h>
#include <sched.h>

static int thread_count; /* 0: not set yet */

void pare_set_threads(int n)
{
    thread_count = n < 1 ? 1 : n > 256 ? 256 : n;
}

int pare_threads(void)
{
    if (!thread_count)
        pare_set_threads(omp_get_num_procs());
    return thread_count;
}

void pare_parallel_for_worker(size_t n, size_t tile, pare_worker_fn *fn, void *context)
{
    if (!tile)
        tile = 1;
    size_t tiles = n / tile + (n % tile != 0);
    int threads = pare_threads();
    if ((size_t)threads > tiles)
        threads = (int)tiles;
    if (threads <= 1 || omp_in_parallel()) {
        for (size_t begin = 0; begin < n; begin += tile)
            fn(context, 0, begin, n - begin < tile ? n : begin + tile);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t t = 0; t < tiles; t++) {
        size_t begin = t * tile;
        fn(context, omp_get_thread_num(), begin, n - begin < tile ? n : begin + tile);
    }
}

struct plain_call {
    pare_tile_fn *fn;
    void *context;
};

static void call_plain(void *context, int worker, size_t begin, size_t end)
{
    (void)worker;
    const struct plain_call *call = context;
    call->fn(call->context, begin, end);
}

void pare_parallel_for(size_t n, size_t tile, pare_tile_fn *fn, void *context)
{
    struct plain_call call = {fn, context};
    pare_parallel_for_worker(n, tile, call_plain, &call);
}

/* The n-th processor of the set, -1 when there are fewer. */
static int nth_processor(const cpu_set_t *set, int n)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, set) && n-- == 0)
            return cpu;
    return -1;
}

void pare_pin_threads(void)
{
    static cpu_set_t allowed; /* as it was before anything was bound */
    static int known;
    if (!known)
        known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    int threads = pare_threads();
    if (!known || CPU_COUNT(&allowed) < threads)
        return;
#pragma omp parallel num_threads(threads)
    {
        cpu_set_t own;
        CPU_ZERO(&own);
        CPU_SET(nth_processor(&allowed, omp_get_thread_num()), &own);
        sched_setaffinity(0, sizeof own, &own);
    }
}
