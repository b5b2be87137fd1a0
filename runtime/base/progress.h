/* How long work tells how far it is. Libraries call, tools draw (tools/cli.h). */
#ifndef PARE_BASE_PROGRESS_H
#define PARE_BASE_PROGRESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pare_progress {
    /* phase: what is being done ("quantise", "epoch 2 of 3"); done of total units;
     * note: a short text beside it ("loss 0.312", a tensor's name) or NULL. */
    void (*report)(void *context, const char *phase, uint64_t done, uint64_t total,
                   const char *note);
    void *context;
};

/* Does nothing when progress or its report is NULL. */
static inline void pare_progress_report(const struct pare_progress *progress,
                                        const char *phase, uint64_t done, uint64_t total,
                                        const char *note)
{
    if (progress && progress->report)
        progress->report(progress->context, phase, done, total, note);
}

#ifdef __cplusplus
}
#endif
#endif
