/* Text files as token ids, for the programs that train. */
#ifndef PARE_TOOLS_TRAIN_DATA_H
#define PARE_TOOLS_TRAIN_DATA_H

#include "datasets/text.h"
#include "libdistill/examples.h"
#include "runtime/text/tokenizer.h"
#include "tools/cli.h"

struct train_data { /* all zero: none */
    struct pare_dataset text;
    struct pare_ids ids;
    uint64_t *starts;
    int32_t *labels;  /* of text that has none */
    size_t truncated; /* sentences that were longer than max_tokens */
    struct pare_examples examples;
};

/* Reads a labelled file; labels are below `labels` (0: any), and `names` (that many, or
 * NULL) may stand for them. Free with train_data_free. */
enum pare_status train_data_read(struct pare_cli *cli, const char *path, int labels,
                                 const char *const *names, struct train_data *data,
                                 struct pare_error *err) PARE_CHECKED;
/* Reads the text of a file in any form and leaves its labels, if it has some. */
enum pare_status train_data_read_unlabelled(const char *path, struct train_data *data,
                                            struct pare_error *err) PARE_CHECKED;

/* Makes data->examples, of at most max_tokens tokens each. */
enum pare_status train_data_tokenize(struct pare_cli *cli,
                                     const struct pare_tokenizer *tokenizer,
                                     size_t max_tokens, struct train_data *data,
                                     struct pare_error *err) PARE_CHECKED;
void train_data_free(struct train_data *data);

#endif
