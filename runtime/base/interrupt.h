/* Being asked to stop. Long jobs poll, at a point where they can save what they have; the
 * programs set the flag from SIGINT and SIGTERM (tools/cli_signals.c).
 */
#ifndef PARE_BASE_INTERRUPT_H
#define PARE_BASE_INTERRUPT_H

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The number of the signal that asked this process to stop, 0 as long as none has. */
int pare_interrupted(void);

/* Asks for a stop, as a signal would; 0 takes it back. Safe in a signal handler. */
void pare_interrupt(int signal_number);

/* PARE_ERR_INTERRUPTED with a message when a stop was asked for, else PARE_OK: one
 * statement in a loop, `PARE_TRY_OUT(pare_check_interrupted(err));` */
enum pare_status pare_check_interrupted(struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
