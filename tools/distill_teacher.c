#include "tools/distill_teacher.h"

struct asking {
    struct pare_cli *cli;
    const char *path;
};

/* NULL: nothing is lost. */
static const char *what_is_replaced(enum pare_teacher_file what)
{
    switch (what) {
    case PARE_TEACHER_OTHER_TEACHER: return "are of another teacher";
    case PARE_TEACHER_OTHER_TEXTS: return "are about other texts";
    case PARE_TEACHER_OTHER_VERSION: return "are in the format of another version";
    default: return NULL;
    }
}

static void tell_found(void *context, const struct pare_teacher_found *found)
{
    const struct asking *a = context;
    const char *replaced = what_is_replaced(found->what);
    if (replaced)
        pare_cli_warn(a->cli, "%s: the answers there %s; they are replaced", a->path,
                      replaced);
    if (found->what == PARE_TEACHER_DAMAGED)
        pare_cli_warn(a->cli,
                      "%s: %zu of %zu parts of the teacher's answers are damaged; they "
                      "are computed again",
                      a->path, found->damaged, found->chunks);
}

enum pare_status distill_teacher_ask(struct pare_cli *cli, struct pare_teacher_call call,
                                     struct pare_teacher **out, struct pare_error *err)
{
    struct asking asking = {cli, call.path};
    call.tell = tell_found;
    call.context = &asking;
    call.progress = &cli->progress;
    PARE_TRY(pare_teacher_open(&call, out, err));
    if ((*out)->found.resumed)
        pare_cli_info(cli, "%s: %zu of %zu parts were there from a stopped run",
                      call.path, (*out)->found.resumed, (*out)->found.chunks);
    pare_cli_info(cli, "%s: the teacher's answers to %zu texts, %s", call.path,
                  call.examples->count,
                  (*out)->found.what == PARE_TEACHER_FITS ? "as found" : "computed");
    return PARE_OK;
}

int distill_teacher_is_new(const struct pare_teacher *teacher)
{
    return teacher->found.what == PARE_TEACHER_NO_FILE ||
           what_is_replaced(teacher->found.what) != NULL;
}
