/* Options of pare-quantize that do not go together, before anything is read. */
#include "tools/quantize.h"
#include "tools/sizes.h"

enum pare_status quantize_options_check(const struct quantize_options *o,
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
