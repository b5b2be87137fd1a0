/* Options of pare-quantize that make no sense, alone or together, before anything is
 * read.
 */
#include "tools/quantize.h"
#include "tools/sizes.h"

static enum pare_status check_text(const struct quantize_options *o,
                                   struct pare_error *err)
{
    const struct calibration_options *text = &o->calibration;
    enum solver solver;
    PARE_TRY(input_options_check(&o->inputs, text->file != NULL, err));
    PARE_TRY(solver_options_check(&o->solver, text->file != NULL,
                                  input_options_any(&o->inputs), &solver, err));
    if ((text->samples || text->length) && !text->file)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--samples and --length are for --calibration");
    return PARE_OK;
}

static enum pare_status check_budget(const struct quantize_options *o,
                                     struct pare_error *err)
{
    const int kinds =
        (o->target_size != NULL) + (o->target_ratio >= 0) + quantize_has_search(o);
    if (o->target_ratio >= 0 && !(o->target_ratio > 0))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--target-ratio 0: no file is that small; expected a number "
                         "above 0, to 1");
    if (kinds && o->format.scheme >= 0)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--target-size, --target-ratio, --max-drop and --max-kl choose "
                         "the scheme: --scheme and they exclude each other");
    if (kinds > 1)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--target-size, --target-ratio, and --max-drop or --max-kl "
                         "exclude each other");
    if (quantize_has_search(o) != (o->search_on != NULL))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--max-drop and --max-kl go with --max-drop-on FILE");
    if (o->candidates && !kinds)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--candidates is for --target-size, --target-ratio, --max-drop "
                         "and --max-kl");
    if (kinds && !o->calibration.file)
        return pare_fail(err, PARE_ERR_USAGE,
                         "formats are chosen by what they cost on text: --calibration "
                         "FILE is needed");
    uint64_t size;
    if (o->target_size)
        PARE_TRY(parse_size("target-size", o->target_size, &size, err));
    if (kinds && o->max_ram)
        return pare_fail(
            err, PARE_ERR_USAGE,
            "choosing formats takes the whole model in F32: --max-ram is for "
            "runs with a --scheme");
    if (o->dry_run && quantize_has_search(o))
        return pare_fail(
            err, PARE_ERR_USAGE,
            "--max-drop and --max-kl make files: there is no --plan of them");
    return PARE_OK;
}

enum pare_status quantize_options_check(const struct quantize_options *o,
                                        struct pare_error *err)
{
    uint64_t size;
    PARE_TRY(check_budget(o, err));
    if (o->format.scheme < 0 && !quantize_has_budget(o))
        return pare_fail(
            err, PARE_ERR_USAGE,
            "--scheme is needed: int8, int8g, int2 to int7, ternary, q8_0, q4_0, "
            "q4_1, q2_k to q6_k, tq1_0, tq2_0, f16 or bf16; or --target-size, "
            "--target-ratio, --max-drop or --max-kl, which choose");
    PARE_TRY(scheme_options_check(&o->format, err));
    PARE_TRY(check_text(o, err));
    return o->max_ram ? parse_size("max-ram", o->max_ram, &size, err) : PARE_OK;
}
