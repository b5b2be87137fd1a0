/* What the parts of pare-quantize share. */
#ifndef PARE_TOOLS_QUANTIZE_H
#define PARE_TOOLS_QUANTIZE_H

#include "libquant/fake.h"
#include "libquant/scheme.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/model/stored.h"
#include "tools/scheme_options.h"

struct quantize_options {
    struct scheme_options format;
    int dry_run;
    const char *json;
};

struct quantize_work {
    struct pare_cli *cli;
    const struct quantize_options *o; /* of pare-quantize */
    struct pare_stored stored;
    struct pare_scheme_item *items;  /* [plan.count] */
    const struct pare_fake *fake;    /* that the tensors were trained with, or NULL */
    struct pare_quant_error *errors; /* [plan.count], of the quantised ones */
    struct pare_error *err;
};

/* Plans and writes every tensor as its item says; fills `errors`. */
enum pare_status quantize_tensors(struct quantize_work *work,
                                  struct pare_gguf_writer *writer) PARE_CHECKED;

#endif
