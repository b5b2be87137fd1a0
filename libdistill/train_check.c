/* What a run would be refused for: see train_check.h. */
#include "libdistill/train_check.h"

#include "libdistill/state.h"
#include "libdistill/trainer_internal.h"

/* The arrays of the file are not asked for: only its identity counts. */
static enum pare_status check_resume(const struct pare_trainer *t)
{
    struct pare_error found = {0};
    cJSON *progress;
    int fell_back;
    if (!t->options->resume || !t->identity)
        return PARE_OK;
    const enum pare_status status = pare_state_read(
        t->options->state_path, t->identity, &progress, NULL, 0, &fell_back, &found);
    cJSON_Delete(progress);
    return status == PARE_ERR_USAGE ? pare_fail(t->err, status, "%s", found.message)
                                    : PARE_OK;
}

enum pare_status pare_train_check(struct pare_params *params,
                                  const struct pare_examples *train,
                                  const struct pare_examples *dev,
                                  const struct pare_train_options *options,
                                  struct pare_error *err)
{
    struct pare_trainer trainer = {
        .params = params, .train = train, .dev = dev, .options = options, .err = err};
    enum pare_status status = pare_trainer_open(&trainer);
    if (status == PARE_OK)
        status = check_resume(&trainer);
    pare_trainer_close(&trainer);
    return status;
}
