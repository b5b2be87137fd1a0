/* Time that passes. */
#ifndef PARE_BASE_CLOCK_H
#define PARE_BASE_CLOCK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Milliseconds of the monotonic clock. */
double pare_clock_ms(void);

#ifdef __cplusplus
}
#endif
#endif
