/* Threads. Work is cut into tiles whose bounds depend on the problem alone, never on the
 * number of threads, and a tile's outputs are written by one thread: results do not
 * depend on how many threads there are (docs/ARCHITECTURE.md, decision 4).
 */
#ifndef PARE_BASE_PARALLEL_H
#define PARE_BASE_PARALLEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Process-wide number of threads, 1 to 256 (clamped). The default is the number of
 * processors this process may run on. */
void pare_set_threads(int n);
int pare_threads(void);

/* Calls fn(context, begin, end) for the tiles [0, tile), [tile, 2 tile) ... of [0, n), in
 * any order and on any thread. Runs on the calling thread when there is one tile, one
 * thread, or when called from inside another parallel region. fn must not fail. */
typedef void pare_tile_fn(void *context, size_t begin, size_t end);
void pare_parallel_for(size_t n, size_t tile, pare_tile_fn *fn, void *context);

/* As pare_parallel_for; fn also learns which worker (0 .. pare_threads() - 1) runs it, to
 * find that worker's scratch memory. */
typedef void pare_worker_fn(void *context, int worker, size_t begin, size_t end);
void pare_parallel_for_worker(size_t n, size_t tile, pare_worker_fn *fn, void *context);

/* Binds each worker to one processor of those the process may run on, as long as there
 * are enough of them; for timings, where a moving thread costs its caches. Results never
 * depend on it. */
void pare_pin_threads(void);

#ifdef __cplusplus
}
#endif
#endif
