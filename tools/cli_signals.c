/* Signals of the programs (docs/RELIABILITY.md).
 *
 * SIGINT and SIGTERM ask long jobs to stop where they can save what they have; the second
 * one ends the process at once. SIGPIPE and SIGXFSZ are ignored, so that the write itself
 * fails and is reported. SIGBUS means that a mapped input was cut short or its disk is
 * gone: nothing can be saved, the exit code says input/output error.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/interrupt.h"
#include "tools/cli_internal.h"

static char bus_message[160];

static void on_stop(int number)
{
    if (pare_interrupted())
        _exit(128 + number);
    pare_interrupt(number);
}

static void on_bus(int number)
{
    (void)number;
    ssize_t written = write(STDERR_FILENO, bus_message, strlen(bus_message));
    (void)written;
    _exit(PARE_ERR_IO);
}

void pare_cli_install_signals(const char *program)
{
    snprintf(bus_message, sizeof bus_message,
             "%s: error: input changed or unreadable while it was being read\n", program);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = on_bus;
    sigaction(SIGBUS, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}
