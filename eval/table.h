/* A result (docs/RESULT_JSON.md) as a table for the terminal. */
#ifndef PARE_EVAL_TABLE_H
#define PARE_EVAL_TABLE_H

#include <cjson/cJSON.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One line a measure; with a baseline in the result its value and the ratio stand beside.
 * The stream is the caller's: a tool's standard output. */
void pare_result_print_table(FILE *stream, const cJSON *result);

#ifdef __cplusplus
}
#endif
#endif
