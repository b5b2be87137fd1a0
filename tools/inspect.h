/* What pare-inspect knows about a file, for its table and its JSON. */
#ifndef PARE_TOOLS_INSPECT_H
#define PARE_TOOLS_INSPECT_H

#include "runtime/model/sizes.h"
#include "runtime/tensor/stats.h"
#include "tools/cli.h"

struct inspect_options {
    int json, stats, matrices, memory, download;
    const char *glob, *config;
};

struct inspect_report { /* zeroed, with its options, before inspect_gather */
    const struct inspect_options *o;
    struct pare_ckpt *ckpt;
    char sha256[65];
    int runs; /* a model that these programs run; else `reason` says why not */
    struct pare_stored model;
    struct pare_error reason;
    uint64_t parameters, tensor_bytes;
    struct pare_size *sizes, blocks;       /* [plan.count] and their sum, if it runs */
    uint64_t memory_bytes, download_bytes; /* with --memory, --download */
    struct pare_stats *stats;              /* [n_tensors], NULL without --stats */
};

enum pare_status inspect_gather(struct pare_cli *cli, struct inspect_report *report,
                                struct pare_error *err) PARE_CHECKED;
void inspect_free(struct inspect_report *report); /* also after a failure */

/* Whether tensor i matches the options' glob. */
int inspect_wanted(const struct inspect_report *report, size_t i);
double inspect_bits_per_weight(const struct inspect_report *report);
/* The steps of a container's history; *steps NULL when there are none. */
enum pare_status inspect_history(const struct inspect_report *report,
                                 const struct pare_text **steps, size_t *count,
                                 struct pare_error *err) PARE_CHECKED;

/* What tensor i is stored as: its type, or for the codes of a model that runs their form
 * (pare_weight_form). */
const char *inspect_type(const struct inspect_report *report, size_t i,
                         char out[PARE_FORM_SIZE]);

/* Number and bytes of the tensors of each type, in the order of their first one. */
struct inspect_share {
    char type[PARE_FORM_SIZE];
    size_t count;
    uint64_t bytes;
};
#define INSPECT_MOST_TYPES 16
size_t inspect_types(const struct inspect_report *report,
                     struct inspect_share shares[INSPECT_MOST_TYPES]);

/* A matrix of a model that runs, as a whole. */
struct inspect_matrix {
    const char *name;
    char form[PARE_FORM_SIZE];
    int is_sparse;
    uint64_t shape[2];
    struct pare_size size;
};
/* The first from slot *at on that matches the options' glob, and *at behind it. 0: there
 * is none. */
int inspect_next_matrix(const struct inspect_report *report, size_t *at,
                        struct inspect_matrix *out);

/* At most `size` - 1 bytes of a text that anyone may have written, fit for a terminal and
 * for JSON: what is no printable UTF-8 becomes "?", what is too long ends in "...". */
const char *inspect_clean(const char *text, size_t length, char *out, size_t size);
const char *inspect_meta_type(enum pare_meta_type type);

/* Prints the report as one JSON object on standard output. */
enum pare_status inspect_print_json(const struct inspect_report *report,
                                    struct pare_error *err) PARE_CHECKED;

#endif
