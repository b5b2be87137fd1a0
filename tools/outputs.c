#include "tools/outputs.h"

#include "runtime/base/file.h"

enum pare_status outputs_refuse(const struct pare_ckpt *ckpt, const char *const *inputs,
                                size_t n_inputs, const char *container,
                                const char *report, struct pare_error *err)
{
    const char *const outputs[] = {container, report};
    for (size_t o = 0; o < 2; o++) {
        if (!outputs[o])
            continue;
        PARE_TRY(pare_ckpt_refuse_output(ckpt, outputs[o], err));
        for (size_t i = 0; i < n_inputs; i++)
            if (inputs[i])
                PARE_TRY(pare_refuse_same_file(inputs[i], outputs[o], err));
    }
    if (container && report && pare_path_is_same(container, report))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s: the container and its report need files of their own",
                         report);
    return PARE_OK;
}

enum pare_status outputs_check(const char *container, const char *report,
                               struct pare_error *err)
{
    const char *const outputs[] = {container, report};
    for (size_t i = 0; i < 2; i++) {
        struct pare_output *out;
        if (!outputs[i])
            continue;
        PARE_TRY(pare_output_open(outputs[i], &out, err));
        pare_output_abort(out);
    }
    return PARE_OK;
}
