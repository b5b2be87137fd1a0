/* PyTorch's .bin, .pt and .pth since version 1.6: a zip archive with
 *
 *     NAME/data.pkl      a pickle of the state dict: names to descriptions of tensors
 *     NAME/data/KEY      the storages, raw and little-endian
 *     NAME/byteorder     "little", in files of newer versions
 *
 * A tensor is a view into a storage by offset, sizes and strides. Views that are rows in
 * memory stay in the mapped file; others are copied into order.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/reader.h"
#include "runtime/checkpoint/zip.h"

struct reading {
    struct pare_source *source;
    struct pare_ckpt *ckpt;
    struct pare_zip zip;
    struct pare_pickle pickle;
    struct pare_text folder; /* "NAME/" */
    char *pool;              /* the tensors' names, each with a NUL */
};

/* --- the archive --- */

static enum pare_status find_pickle(struct reading *r, struct pare_zip_entry **out,
                                    struct pare_error *err)
{
    static const char ending[] = "/data.pkl";
    const size_t length = sizeof ending - 1;
    *out = NULL;
    for (uint32_t i = 0; i < r->zip.count; i++) {
        struct pare_zip_entry *entry = &r->zip.entries[i];
        if (entry->name_length <= length ||
            memcmp(entry->name + entry->name_length - length, ending, length) != 0)
            continue;
        if (*out)
            return pare_source_fail(r->source, entry->header, err,
                                    "more than one data.pkl in the archive");
        *out = entry;
    }
    if (!*out)
        return pare_source_fail(r->source, 0, err,
                                "a zip archive without data.pkl: not from torch.save");
    r->folder = (struct pare_text){(*out)->name, (*out)->name_length - length + 1};
    return PARE_OK;
}

/* The entry NAME/`prefix``key`, NULL when there is none. */
static struct pare_zip_entry *find_entry(const struct reading *r, const char *prefix,
                                         const char *key, uint32_t key_length)
{
    char name[1200];
    int n = snprintf(name, sizeof name, "%.*s%s%.*s", (int)r->folder.length,
                     r->folder.data, prefix, (int)key_length, key);
    return n < 0 || (size_t)n >= sizeof name ? NULL
                                             : pare_zip_find(&r->zip, name, (size_t)n);
}

static enum pare_status check_byte_order(struct reading *r, struct pare_error *err)
{
    struct pare_zip_entry *entry = find_entry(r, "byteorder", "", 0);
    if (!entry)
        return PARE_OK;
    PARE_TRY(pare_zip_data(&r->zip, entry, &r->ckpt->arena, err));
    if (entry->size == 6 && memcmp(entry->data, "little", 6) == 0)
        return PARE_OK;
    return pare_source_fail(r->source, entry->place, err,
                            "the byte order is not \"little\": save the file on a "
                            "little-endian machine");
}

/* --- tensors --- */

/* Whether row-major order is also the order in memory. */
static int is_dense(const struct pare_pickle_tensor *view)
{
    uint64_t expected = 1;
    for (int i = view->n_dims; i-- > 0;) {
        if (view->sizes[i] != 1 && view->strides[i] != expected)
            return 0;
        expected *= view->sizes[i];
    }
    return 1;
}

/* The last element must be inside the storage; nothing here can overflow 128 bits. */
static int is_inside(const struct pare_pickle_tensor *view)
{
    unsigned __int128 last = view->offset;
    for (int i = 0; i < view->n_dims; i++)
        last += (unsigned __int128)(view->sizes[i] - 1) * view->strides[i];
    return last < view->numel;
}

/* Copies the view into row-major order: an odometer over all dimensions but the last. */
static void gather(const struct pare_pickle_tensor *view, const uint8_t *storage,
                   uint8_t *out, size_t size)
{
    uint64_t index[PARE_MAX_DIMS] = {0}, at = view->offset;
    int last = view->n_dims - 1;
    for (;;) {
        for (uint64_t i = 0; i < view->sizes[last]; i++, out += size)
            memcpy(out, storage + (at + i * view->strides[last]) * size, size);
        int d = last - 1;
        for (; d >= 0; d--) {
            at += view->strides[d];
            if (++index[d] < view->sizes[d])
                break;
            at -= view->strides[d] * view->sizes[d];
            index[d] = 0;
        }
        if (d < 0)
            return;
    }
}

static enum pare_status place_data(struct reading *r, struct pare_tensor *tensor,
                                   const struct pare_pickle_tensor *view,
                                   const uint8_t *storage, struct pare_error *err)
{
    size_t size = pare_dtype_info(view->type)->block_bytes;
    if (!tensor->bytes) {
        tensor->data = storage;
        return PARE_OK;
    }
    if (!is_inside(view))
        return pare_source_fail(r->source, 0, err,
                                "tensor %.100s reaches beyond its storage of %llu "
                                "elements",
                                tensor->name, (unsigned long long)view->numel);
    if (is_dense(view)) {
        tensor->data = storage + view->offset * size;
        return PARE_OK;
    }
    uint8_t *copy;
    PARE_TRY(pare_source_take(r->source, tensor->bytes, 1, err));
    PARE_TRY(pare_arena_alloc(&r->ckpt->arena, &copy, (size_t)tensor->bytes, 1, err));
    gather(view, storage, copy, size);
    tensor->data = copy;
    return PARE_OK;
}

static enum pare_status find_storage(struct reading *r, const char *name,
                                     const struct pare_pickle_tensor *view,
                                     const uint8_t **data, struct pare_error *err)
{
    struct pare_zip_entry *entry = find_entry(r, "data/", view->key, view->key_length);
    uint64_t size = pare_dtype_info(view->type)->block_bytes, bytes;
    *data = NULL;
    if (!entry)
        return pare_source_fail(r->source, 0, err,
                                "tensor %.100s: its storage data/%.*s is missing", name,
                                (int)view->key_length, view->key);
    if (__builtin_mul_overflow(view->numel, size, &bytes) || bytes != entry->size)
        return pare_source_fail(
            r->source, entry->header, err,
            "tensor %.100s: its storage has %llu bytes, %llu elements "
            "of %s were promised",
            name, (unsigned long long)entry->size, (unsigned long long)view->numel,
            pare_dtype_name(view->type));
    PARE_TRY(pare_zip_data(&r->zip, entry, &r->ckpt->arena, err));
    *data = entry->data;
    return PARE_OK;
}

static enum pare_status add_tensor(struct reading *r, const struct pare_pickle_pair *pair,
                                   struct pare_error *err)
{
    struct pare_pickle_tensor view = pare_pickle_describe(&r->pickle, &pair->value);
    struct pare_text name = pare_pickle_key(&r->pickle, pair);
    struct pare_tensor tensor = {
        .name = r->pool, .type = view.type, .n_dims = view.n_dims};
    struct pare_error reason;
    const uint8_t *storage;
    if (!name.length || !pare_is_clean_name(name.data, name.length))
        return pare_source_fail(r->source, r->pickle.shift + pair->key, err,
                                "a tensor's name is empty, not UTF-8 or has control "
                                "characters");
    memcpy(r->pool, name.data, name.length);
    r->pool[name.length] = '\0';
    r->pool += name.length + 1;
    memcpy(tensor.shape, view.sizes, sizeof tensor.shape);
    if (pare_tensor_size(view.type, view.n_dims, view.sizes, &tensor.bytes, &reason) !=
        PARE_OK)
        return pare_source_fail(r->source, r->pickle.shift + pair->key, err,
                                "tensor %.100s: %.200s", tensor.name, reason.message);
    PARE_TRY(find_storage(r, tensor.name, &view, &storage, err));
    PARE_TRY(place_data(r, &tensor, &view, storage, err));
    *pare_ckpt_add(r->ckpt) = tensor;
    return PARE_OK;
}

/* --- the state dict --- */

static uint64_t count_tensors(const struct reading *r,
                              const struct pare_pickle_value *dict, uint64_t *name_bytes)
{
    uint64_t count = 0;
    for (const struct pare_pickle_pair *pair = pare_pickle_first(&r->pickle, dict); pair;
         pair = pare_pickle_next(&r->pickle, pair))
        if (pair->value.kind == PARE_PICKLE_TENSOR) {
            count++;
            *name_bytes += (uint64_t)pair->key_length + 1;
        }
    return count;
}

static const struct pare_pickle_value *find_dict(const struct reading *r,
                                                 const char *wanted)
{
    const struct pare_pickle_pair *pair = pare_pickle_first(&r->pickle, &r->pickle.root);
    for (; pair; pair = pare_pickle_next(&r->pickle, pair)) {
        struct pare_text key = pare_pickle_key(&r->pickle, pair);
        if (pair->value.kind == PARE_PICKLE_DICT && key.length == strlen(wanted) &&
            memcmp(key.data, wanted, key.length) == 0)
            return &pair->value;
    }
    return NULL;
}

/* The root if it has tensors, else the dict that training scripts commonly put them in.
 */
static enum pare_status find_state_dict(const struct reading *r,
                                        const struct pare_pickle_value **out,
                                        struct pare_error *err)
{
    static const char *const names[] = {"state_dict", "model_state_dict", "model",
                                        "module"};
    const size_t n_names = sizeof names / sizeof *names;
    uint64_t ignored = 0;
    for (size_t i = 0; r->pickle.root.kind == PARE_PICKLE_DICT && i <= n_names; i++) {
        const struct pare_pickle_value *dict =
            i ? find_dict(r, names[i - 1]) : &r->pickle.root;
        if (dict && count_tensors(r, dict, &ignored)) {
            *out = dict;
            return PARE_OK;
        }
    }
    return pare_source_fail(r->source, r->pickle.shift, err,
                            "no tensors at the top of the pickle nor under "
                            "\"state_dict\", \"model_state_dict\", \"model\" or "
                            "\"module\"");
}

static enum pare_status add_tensors(struct reading *r, struct pare_error *err)
{
    const struct pare_pickle_value *dict = NULL;
    uint64_t name_bytes = 0;
    PARE_TRY(find_state_dict(r, &dict, err));
    uint64_t count = count_tensors(r, dict, &name_bytes);
    PARE_TRY(pare_ckpt_reserve(r->ckpt, r->source, count, err));
    PARE_TRY(pare_source_take(r->source, name_bytes, 1, err));
    PARE_TRY(pare_arena_alloc(&r->ckpt->arena, &r->pool, (size_t)name_bytes, 1, err));
    for (const struct pare_pickle_pair *pair = pare_pickle_first(&r->pickle, dict); pair;
         pair = pare_pickle_next(&r->pickle, pair))
        if (pair->value.kind == PARE_PICKLE_TENSOR)
            PARE_TRY(add_tensor(r, pair, err));
    return PARE_OK;
}

static enum pare_status read_archive(struct reading *r, struct pare_error *err)
{
    struct pare_zip_entry *pickle;
    PARE_TRY(pare_zip_open(r->source, &r->ckpt->arena, &r->zip, err));
    PARE_TRY(find_pickle(r, &pickle, err));
    PARE_TRY(check_byte_order(r, err));
    PARE_TRY(pare_zip_data(&r->zip, pickle, &r->ckpt->arena, err));
    PARE_TRY(pare_pickle_run(r->source, pickle->data, pickle->size, pickle->place,
                             &r->pickle, err));
    return add_tensors(r, err);
}

enum pare_status pare_torch_read(struct pare_source *source, struct pare_ckpt *ckpt,
                                 struct pare_error *err)
{
    struct reading r = {.source = source, .ckpt = ckpt};
    enum pare_status status = read_archive(&r, err);
    pare_pickle_free(&r.pickle);
    pare_zip_close(&r.zip);
    return status;
}
