/* Numbers in an option's word: "0,3,5". */
#ifndef PARE_TOOLS_NUMBER_LIST_H
#define PARE_TOOLS_NUMBER_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* A number of at most four digits at *text, which moves behind it; -1 for none. */
long number_list_next(const char **text);

/* out[*n], at most `most` of them. PARE_ERR_USAGE says what --option should have been. */
enum pare_status number_list_parse(const char *option, const char *text, size_t most,
                                   uint32_t *out, size_t *n,
                                   struct pare_error *err) PARE_CHECKED;

#endif
