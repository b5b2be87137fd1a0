/* Shared by config.c, config_hf.c and config_meta.c and by nothing else. */
#ifndef PARE_MODEL_CONFIG_INTERNAL_H
#define PARE_MODEL_CONFIG_INTERNAL_H

#include "runtime/model/config.h"

/* PARE_ERR_INPUT, naming `name` of `what`, when value is not in [min, max]. */
enum pare_status pare_config_range(const char *what, const char *name, uint64_t value,
                                   uint64_t min, uint64_t max,
                                   struct pare_error *err) PARE_CHECKED;
enum pare_status pare_activation_parse(const char *name, size_t length, const char *what,
                                       enum pare_activation *act,
                                       struct pare_error *err) PARE_CHECKED;
/* The name a container stores. */
const char *pare_activation_name(enum pare_activation act);
enum pare_status pare_config_set_label(struct pare_config *config, uint32_t i,
                                       const char *text, size_t length, const char *what,
                                       struct pare_error *err) PARE_CHECKED;

#endif
