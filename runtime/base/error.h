/* One way to report an error, for every library here.
 *
 * A function that can fail returns `enum pare_status` and takes a `struct pare_error *`
 * last. The status says what kind of failure it was and is, unchanged, the exit code of
 * the programs; the message says which file and tensor, what was expected, what was
 * found and what to do. Passing NULL for the error is allowed everywhere. Libraries
 * never print and never exit.
 */
#ifndef PARE_BASE_ERROR_H
#define PARE_BASE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

enum pare_status {
    PARE_OK = 0,
    PARE_ERR_INTERNAL = 1, /* a bug of ours: an invariant did not hold */
    PARE_ERR_USAGE = 2,    /* the caller asked for something that makes no sense */
    PARE_ERR_INPUT = 3,    /* a file is malformed, hostile or not supported */
    PARE_ERR_MEMORY = 4,   /* an allocation failed */
    PARE_ERR_IO = 5,       /* the operating system could not read or write */
    PARE_ERR_LOCKED = 6,   /* another process is writing the same output */
    PARE_ERR_GATE = 7,     /* a quality gate was not met */
    PARE_ERR_INTERRUPTED =
        8, /* SIGINT or SIGTERM; a checkpoint was kept if there is one */
};

#define PARE_ERROR_MESSAGE_SIZE 512

struct pare_error {
    char message[PARE_ERROR_MESSAGE_SIZE];
};

#define PARE_CHECKED __attribute__((warn_unused_result))
#define PARE_PRINTF(format_index, first_arg)                                             \
    __attribute__((format(printf, format_index, first_arg)))

/* Writes the message (cut at PARE_ERROR_MESSAGE_SIZE) and returns `status`, so that a
 * failure is one statement: `return pare_fail(err, PARE_ERR_INPUT, "%s: ...", path);` */
enum pare_status pare_fail(struct pare_error *err, enum pare_status status,
                           const char *format, ...) PARE_PRINTF(3, 4);

/* Puts "prefix: " before the message that is already there; returns `status`. */
enum pare_status pare_fail_in(struct pare_error *err, enum pare_status status,
                              const char *format, ...) PARE_PRINTF(3, 4);

/* The failure every failed allocation of `bytes` bytes reports. */
enum pare_status pare_fail_memory(struct pare_error *err, unsigned long long bytes);

/* "ok", "bad input", "out of memory" ... : a static string. */
const char *pare_status_name(enum pare_status status);

/* Returns from the enclosing function when `expression` is not PARE_OK. */
#define PARE_TRY(expression)                                                             \
    do {                                                                                 \
        enum pare_status pare_try_status = (expression);                                 \
        if (pare_try_status != PARE_OK)                                                  \
            return pare_try_status;                                                      \
    } while (0)

/* The same for functions that clean up: sets `status` and jumps to `out`. */
#define PARE_TRY_OUT(expression)                                                         \
    do {                                                                                 \
        status = (expression);                                                           \
        if (status != PARE_OK)                                                           \
            goto out;                                                                    \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
