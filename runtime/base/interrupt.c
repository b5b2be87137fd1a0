#include "runtime/base/interrupt.h"

#include <signal.h>
#include <stdatomic.h>

/* Lock-free, so both a handler and other threads may touch it. */
static atomic_int stop_signal;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a signal handler needs a lock-free flag");

int pare_interrupted(void)
{
    return atomic_load_explicit(&stop_signal, memory_order_relaxed);
}

void pare_interrupt(int signal_number)
{
    atomic_store_explicit(&stop_signal, signal_number, memory_order_relaxed);
}

enum pare_status pare_check_interrupted(struct pare_error *err)
{
    int number = pare_interrupted();
    if (!number)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INTERRUPTED, "stopped by %s",
                     number == SIGTERM  ? "SIGTERM"
                     : number == SIGINT ? "SIGINT"
                                        : "a signal");
}
