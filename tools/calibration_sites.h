/* How much calibration text the layers need that a solver is for. */
#ifndef PARE_TOOLS_CALIBRATION_SITES_H
#define PARE_TOOLS_CALIBRATION_SITES_H

#include "runtime/model/stored.h"
#include "runtime/model/walk.h"
#include "tools/calibration.h"

struct calibration_sites { /* that a solver needs, in the order of the model */
    struct pare_walk_site *sites;
    size_t count;
};

/* Those with a matrix that `wants`; memory from the arena. */
enum pare_status calibration_sites_list(const struct pare_stored *stored,
                                        int (*wants)(const void *context, size_t slot),
                                        const void *context, struct pare_arena *arena,
                                        struct calibration_sites *list,
                                        struct pare_error *err) PARE_CHECKED;
/* Reads the text (calibration_read), enough of it for them, and tells how much. */
enum pare_status calibration_sites_read(struct pare_cli *cli,
                                        const struct calibration_options *o,
                                        const struct pare_stored *stored,
                                        const struct calibration_sites *list,
                                        struct calibration *c,
                                        struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_INPUT when a matrix sees fewer rows than it has inputs. */
enum pare_status calibration_sites_check(const struct pare_stored *stored,
                                         const struct calibration_sites *list,
                                         const struct calibration *c,
                                         struct pare_error *err) PARE_CHECKED;

#endif
