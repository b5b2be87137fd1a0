#include "tools/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/interrupt.h"

#define ECHO_MS 100
#define CAPTURE_LIMIT ((size_t)1 << 20)

enum pare_status program_folder(char folder[PROGRAM_FOLDER_SIZE], struct pare_error *err)
{
    ssize_t length = readlink("/proc/self/exe", folder, PROGRAM_FOLDER_SIZE);
    if (length <= 0 || length == PROGRAM_FOLDER_SIZE)
        return pare_fail(err, PARE_ERR_IO, "cannot find the folder of this program");
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    return PARE_OK;
}

enum pare_status program_path(const char *verb, char path[PROGRAM_PATH_SIZE],
                              struct pare_error *err)
{
    char folder[PROGRAM_FOLDER_SIZE], name[64];
    snprintf(name, sizeof name, PROGRAM_PREFIX "%.50s", verb);
    PARE_TRY(program_folder(folder, err));
    PARE_TRY(pare_path_join(path, PROGRAM_PATH_SIZE, folder, name, err));
    if (access(path, X_OK) != 0)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot be started: %s", path,
                         strerror(errno));
    return PARE_OK;
}

/* --- Signals ------------------------------------------------------------------------ */

static atomic_int running; /* the child's process group, 0 for none */

/* timeout(1) signals a process and then its whole group: two within a moment are one. */
static int is_echo(void)
{
    static atomic_llong last;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const long long ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    const long long before = atomic_exchange(&last, ms);
    return before && ms - before < ECHO_MS;
}

static void on_stop(int number)
{
    const int saved = errno, group = atomic_load(&running);
    if (is_echo())
        return;
    if (group)
        kill(-group, number); /* a second one makes it end at once, and us after it */
    else if (pare_interrupted())
        _exit(128 + number);
    pare_interrupt(number);
    errno = saved;
}

static void handle_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* --- Processes ---------------------------------------------------------------------- */

/* The errors are those of the system's numbers, as posix_spawn returns them. */
static int set_files(posix_spawn_file_actions_t *files, int output)
{
    int error = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
    if (!error && output >= 0)
        error = posix_spawn_file_actions_adddup2(files, output, 1);
    if (!error && output >= 0)
        error = posix_spawn_file_actions_adddup2(files, output, 2);
    return error;
}

static int spawn(const char *const *argv, int output, const sigset_t *mask, pid_t *child)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&files);
    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = set_files(&files, output);
        if (!error)
            error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                                              POSIX_SPAWN_SETSIGMASK);
        if (!error)
            error = posix_spawnattr_setsigmask(&attributes, mask);
        if (!error)
            error = posix_spawn(child, argv[0], &files, &attributes,
                                (char *const *)(uintptr_t)argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* No signal comes between the start and the place where its handler looks. */
static enum pare_status start(const char *const *argv, int output, struct pare_error *err)
{
    sigset_t stops, before;
    pid_t child = 0;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    handle_signals();
    sigprocmask(SIG_BLOCK, &stops, &before);
    enum pare_status status = pare_check_interrupted(err);
    if (status == PARE_OK) {
        int error = spawn(argv, output, &before, &child);
        if (error)
            status = pare_fail(err, PARE_ERR_IO, "%s: cannot start: %s", argv[0],
                               strerror(error));
    }
    atomic_store(&running, (int)child);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

static enum pare_status finish(int *code, struct pare_error *err)
{
    const pid_t child = atomic_load(&running);
    int state = 0;
    pid_t ended;
    do
        ended = waitpid(child, &state, 0);
    while (ended < 0 && errno == EINTR);
    atomic_store(&running, 0);
    if (ended < 0)
        return pare_fail(err, PARE_ERR_IO, "cannot wait for a program: %s",
                         strerror(errno));
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return PARE_OK;
}

enum pare_status program_run(const char *const *argv, int *code, struct pare_error *err)
{
    PARE_TRY(start(argv, -1, err));
    return finish(code, err);
}

/* What is beyond the limit is read and forgotten, so that the writer can end. */
static enum pare_status read_all(int fd, char **text, size_t *length,
                                 struct pare_error *err)
{
    size_t capacity = 0;
    char beyond[4096];
    for (;;) {
        PARE_TRY(pare_grow(text, &capacity, *length + sizeof beyond + 1, 1, err));
        ssize_t got = read(fd, beyond, sizeof beyond);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pare_fail(err, PARE_ERR_IO, "cannot read what a program prints: %s",
                             strerror(errno));
        if (got == 0)
            break;
        if (*length + (size_t)got <= CAPTURE_LIMIT) {
            memcpy(*text + *length, beyond, (size_t)got);
            *length += (size_t)got;
        }
    }
    (*text)[*length] = '\0';
    return PARE_OK;
}

enum pare_status program_capture(const char *const *argv, int *code, char **text,
                                 size_t *length, struct pare_error *err)
{
    int ends[2];
    *text = NULL;
    *length = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pare_fail(err, PARE_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    enum pare_status status = start(argv, ends[1], err);
    close(ends[1]);
    if (status == PARE_OK) {
        struct pare_error late;
        status = read_all(ends[0], text, length, err);
        enum pare_status ended = finish(code, status == PARE_OK ? err : &late);
        status = status == PARE_OK ? ended : status;
    }
    if (status == PARE_OK) /* it ended because it was told to, perhaps */
        status = pare_check_interrupted(err);
    close(ends[0]);
    if (status != PARE_OK) {
        pare_free(*text);
        *text = NULL;
    }
    return status;
}
