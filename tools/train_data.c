#include "tools/train_data.h"

#include <string.h>

#include "runtime/base/alloc.h"

enum pare_status train_data_read(struct pare_cli *cli, const char *path, int labels,
                                 const char *const *names, struct train_data *data,
                                 struct pare_error *err)
{
    *data = (struct train_data){0};
    const struct pare_text_options options = {
        .need_labels = 1, .label_count = labels, .label_names = names};
    PARE_TRY(pare_dataset_load(path, &options, &data->text, err));
    if (data->text.one_class)
        pare_cli_warn(cli, "%s: all sentences have the label %d", path,
                      data->text.labels[0]);
    return PARE_OK;
}

enum pare_status train_data_read_unlabelled(const char *path, struct train_data *data,
                                            struct pare_error *err)
{
    static const struct pare_text_options options = {.text_alone = 1};
    *data = (struct train_data){0};
    return pare_dataset_load(path, &options, &data->text, err);
}

static enum pare_status find_labels(struct train_data *data, const int32_t **labels,
                                    struct pare_error *err)
{
    *labels = data->text.labels;
    if (*labels)
        return PARE_OK;
    PARE_TRY(pare_alloc_raw(&data->labels, data->text.count, sizeof(int32_t), err));
    for (size_t i = 0; i < data->text.count; i++)
        data->labels[i] = PARE_NO_LABEL;
    *labels = data->labels;
    return PARE_OK;
}

enum pare_status train_data_tokenize(struct pare_cli *cli,
                                     const struct pare_tokenizer *tokenizer,
                                     size_t max_tokens, struct train_data *data,
                                     struct pare_error *err)
{
    const size_t count = data->text.count;
    const int32_t *labels;
    PARE_TRY(find_labels(data, &labels, err));
    PARE_TRY(pare_alloc(&data->starts, count + 1, sizeof *data->starts, err));
    for (size_t i = 0; i < count; i++) {
        const struct pare_text *text = &data->text.texts[i];
        if (i % 4096 == 0)
            pare_progress_report(&cli->progress, "tokenise", i, count, NULL);
        PARE_TRY(pare_tokenizer_encode(tokenizer, text->data, text->length, max_tokens,
                                       &data->ids, err));
        data->starts[i + 1] = data->ids.count;
        data->truncated += data->ids.count - data->starts[i] == max_tokens;
    }
    pare_progress_report(&cli->progress, "tokenise", count, count, NULL);
    data->examples = (struct pare_examples){count, data->starts, data->ids.ids, labels};
    return PARE_OK;
}

void train_data_free(struct train_data *data)
{
    pare_dataset_free(&data->text);
    pare_ids_free(&data->ids);
    pare_free(data->starts);
    pare_free(data->labels);
    *data = (struct train_data){0};
}
