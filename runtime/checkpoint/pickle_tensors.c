/* Globals, storages and tensors of a pickle. Nothing is imported or called: a global is a
 * number in a list of the permitted ones, and REDUCE does one of three fixed things:
 *
 *     collections.OrderedDict()                        an empty dict
 *     torch._utils._rebuild_tensor_v2(storage, ...)    a tensor, if the arguments fit
 *     torch._utils._rebuild_parameter(tensor, ...)     that tensor
 *
 * Values that a mixed checkpoint may carry (a dtype, a device, a set) become opaque.
 */
#include <string.h>

#include "runtime/checkpoint/pickle_machine.h"

#define MAX_GLOBAL_LENGTH 256

enum global_role {
    ROLE_ORDERED_DICT,
    ROLE_TENSOR,
    ROLE_PARAMETER,
    ROLE_STORAGE,
    ROLE_OPAQUE
};

static const struct {
    const char *text; /* "module name" */
    enum global_role role;
    enum pare_dtype type; /* of a storage */
} globals[] = {
    {"collections OrderedDict", ROLE_ORDERED_DICT, 0},
    {"torch._utils _rebuild_tensor_v2", ROLE_TENSOR, 0},
    {"torch._utils _rebuild_parameter", ROLE_PARAMETER, 0},
    {"torch FloatStorage", ROLE_STORAGE, PARE_F32},
    {"torch HalfStorage", ROLE_STORAGE, PARE_F16},
    {"torch BFloat16Storage", ROLE_STORAGE, PARE_BF16},
    {"torch DoubleStorage", ROLE_STORAGE, PARE_F64},
    {"torch LongStorage", ROLE_STORAGE, PARE_I64},
    {"torch IntStorage", ROLE_STORAGE, PARE_I32},
    {"torch ShortStorage", ROLE_STORAGE, PARE_I16},
    {"torch CharStorage", ROLE_STORAGE, PARE_I8},
    {"torch ByteStorage", ROLE_STORAGE, PARE_U8},
    {"torch BoolStorage", ROLE_STORAGE, PARE_BOOL},
    {"torch Size", ROLE_OPAQUE, 0},
    {"torch device", ROLE_OPAQUE, 0},
    {"torch float64", ROLE_OPAQUE, 0},
    {"torch float32", ROLE_OPAQUE, 0},
    {"torch float16", ROLE_OPAQUE, 0},
    {"torch bfloat16", ROLE_OPAQUE, 0},
    {"torch int64", ROLE_OPAQUE, 0},
    {"torch int32", ROLE_OPAQUE, 0},
    {"torch int16", ROLE_OPAQUE, 0},
    {"torch int8", ROLE_OPAQUE, 0},
    {"torch uint8", ROLE_OPAQUE, 0},
    {"torch bool", ROLE_OPAQUE, 0},
    {"_codecs encode", ROLE_OPAQUE, 0},
    {"__builtin__ set", ROLE_OPAQUE, 0},
};

#define N_GLOBALS (sizeof globals / sizeof *globals)

/* --- globals --- */

/* One line of at most MAX_GLOBAL_LENGTH bytes, appended to `out`; 0 when there is none.
 */
static size_t take_line(struct pare_pickle *p, char *out)
{
    uint64_t left = p->size - p->at;
    size_t limit = left < MAX_GLOBAL_LENGTH ? (size_t)left : MAX_GLOBAL_LENGTH;
    const uint8_t *line = p->data + p->at;
    const uint8_t *end = limit ? memchr(line, '\n', limit) : NULL;
    if (!end || end == line)
        return 0;
    size_t length = (size_t)(end - line);
    for (size_t i = 0; i < length; i++) /* it may be shown: printable ASCII only */
        out[i] = line[i] > 0x20 && line[i] < 0x7F ? (char)line[i] : '?';
    p->at += length + 1;
    return length;
}

enum pare_status pare_pickle_global(struct pare_pickle *p, struct pare_error *err)
{
    char text[2 * MAX_GLOBAL_LENGTH + 2];
    size_t module = take_line(p, text);
    text[module] = ' ';
    size_t name = module ? take_line(p, text + module + 1) : 0;
    if (!name)
        return pare_pickle_fail(p, err, "a malformed GLOBAL");
    text[module + 1 + name] = '\0';
    for (size_t i = 0; i < N_GLOBALS; i++)
        if (strcmp(globals[i].text, text) == 0)
            return pare_pickle_push(p,
                                    (struct pare_pickle_value){.kind = PARE_PICKLE_GLOBAL,
                                                               .detail = (uint8_t)i},
                                    err);
    return pare_source_fail(p->source, p->shift + p->at, err,
                            "pickle: it asks for %.150s, which is refused: a checkpoint "
                            "may hold tensors and nothing else. Save a plain state dict",
                            text);
}

static int is_kind(const struct pare_pickle_value *value, enum pare_pickle_kind kind)
{
    return value->kind == kind;
}

/* The items of a tuple of exactly that many (at least one), else NULL. */
static const struct pare_pickle_value *items_of(const struct pare_pickle *p,
                                                const struct pare_pickle_value *tuple,
                                                uint32_t count)
{
    return is_kind(tuple, PARE_PICKLE_TUPLE) && tuple->count == count
               ? p->items + tuple->place
               : NULL;
}

static int is_storage_class(const struct pare_pickle_value *value)
{
    return is_kind(value, PARE_PICKLE_GLOBAL) &&
           globals[value->detail].role == ROLE_STORAGE;
}

/* "0", "12": what names an entry of the archive. */
static int is_key(const struct pare_pickle *p, const struct pare_pickle_value *value)
{
    if (!is_kind(value, PARE_PICKLE_TEXT) || !value->count || value->count > 64)
        return 0;
    for (uint32_t i = 0; i < value->count; i++) {
        uint8_t c = p->data[value->place + i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z') || c == '_'))
            return 0;
    }
    return 1;
}

/* "cpu", "cuda:0": letters, then perhaps a colon and a number. */
static int is_device(const struct pare_pickle *p, const struct pare_pickle_value *value)
{
    if (!is_kind(value, PARE_PICKLE_TEXT) || value->count > 32)
        return 0;
    uint32_t i = 0, letters;
    const uint8_t *text = p->data + value->place;
    while (i < value->count && ((text[i] >= 'a' && text[i] <= 'z') || text[i] == '_'))
        i++;
    letters = i;
    if (i < value->count && text[i] == ':')
        for (i++; i < value->count && text[i] >= '0' && text[i] <= '9'; i++)
            ;
    return letters && i == value->count;
}

/* --- storages --- */

/* ('storage', class, key, device, number of elements) becomes a storage. */
enum pare_status pare_pickle_binpersid(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 1, err));
    struct pare_pickle_value *id = pare_pickle_top(p, 0);
    const struct pare_pickle_value *item = items_of(p, id, 5);
    if (!item || !is_kind(&item[0], PARE_PICKLE_TEXT) || item[0].count != 7 ||
        memcmp(p->data + item[0].place, "storage", 7) != 0 ||
        !is_storage_class(&item[1]) || !is_key(p, &item[2]) || !is_device(p, &item[3]) ||
        !is_kind(&item[4], PARE_PICKLE_INT) || item[4].number < 0)
        return pare_pickle_fail(
            p, err, "a persistent id that is not ('storage', class, key, device, size)");
    id->kind = PARE_PICKLE_STORAGE;
    return PARE_OK;
}

/* --- tensors --- */

static int are_sizes(const struct pare_pickle *p, const struct pare_pickle_value *tuple)
{
    if (!is_kind(tuple, PARE_PICKLE_TUPLE))
        return 0;
    for (uint32_t i = 0; i < tuple->count; i++) {
        const struct pare_pickle_value *item = &p->items[tuple->place + i];
        if (!is_kind(item, PARE_PICKLE_INT) || item->number < 0)
            return 0;
    }
    return 1;
}

/* (storage, offset, sizes, strides, requires_grad, hooks[, None]). A seventh argument
 * that is not None marks conjugated or negated views, which are not read. */
static enum pare_status rebuild_tensor(struct pare_pickle *p,
                                       const struct pare_pickle_value *args,
                                       struct pare_error *err)
{
    const struct pare_pickle_value *item = items_of(p, args, 7);
    if (item && !is_kind(&item[6], PARE_PICKLE_NONE))
        return pare_pickle_fail(p, err,
                                "_rebuild_tensor_v2 of a conjugated or negated view");
    if (!item)
        item = items_of(p, args, 6);
    if (!item || !is_kind(&item[0], PARE_PICKLE_STORAGE) ||
        !is_kind(&item[1], PARE_PICKLE_INT) || item[1].number < 0 ||
        !are_sizes(p, &item[2]) || !are_sizes(p, &item[3]) ||
        item[2].count != item[3].count || !is_kind(&item[4], PARE_PICKLE_BOOL) ||
        !is_kind(&item[5], PARE_PICKLE_DICT))
        return pare_pickle_fail(p, err, "_rebuild_tensor_v2 with the wrong arguments");
    if (item[2].count > PARE_MAX_DIMS)
        return pare_pickle_fail(p, err, "a tensor with more than 8 dimensions");
    return pare_pickle_push(
        p, (struct pare_pickle_value){.kind = PARE_PICKLE_TENSOR, .place = args->place},
        err);
}

/* (tensor, requires_grad, hooks) */
static enum pare_status rebuild_parameter(struct pare_pickle *p,
                                          const struct pare_pickle_value *args,
                                          struct pare_error *err)
{
    const struct pare_pickle_value *item = items_of(p, args, 3);
    if (!item || !is_kind(&item[0], PARE_PICKLE_TENSOR) ||
        !is_kind(&item[1], PARE_PICKLE_BOOL) || !is_kind(&item[2], PARE_PICKLE_DICT))
        return pare_pickle_fail(p, err, "_rebuild_parameter with the wrong arguments");
    return pare_pickle_push(p, item[0], err);
}

enum pare_status pare_pickle_reduce(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 2, err));
    struct pare_pickle_value callee = *pare_pickle_top(p, 1),
                             args = *pare_pickle_top(p, 0);
    p->n_stack -= 2;
    if (!is_kind(&callee, PARE_PICKLE_GLOBAL) || !is_kind(&args, PARE_PICKLE_TUPLE))
        return pare_pickle_fail(p, err,
                                "REDUCE of something that is not a global and a tuple");
    switch (globals[callee.detail].role) {
    case ROLE_ORDERED_DICT:
        return args.count ? pare_pickle_fail(p, err, "OrderedDict with arguments")
                          : pare_pickle_push_dict(p, 1, err);
    case ROLE_TENSOR: return rebuild_tensor(p, &args, err);
    case ROLE_PARAMETER: return rebuild_parameter(p, &args, err);
    case ROLE_OPAQUE: return pare_pickle_push_kind(p, PARE_PICKLE_OPAQUE, 0, err);
    case ROLE_STORAGE: break;
    }
    return pare_pickle_fail(p, err, "REDUCE of a storage class");
}

/* --- what came out --- */

struct pare_pickle_tensor pare_pickle_describe(const struct pare_pickle *pickle,
                                               const struct pare_pickle_value *tensor)
{
    const struct pare_pickle_value *args = pickle->items + tensor->place;
    const struct pare_pickle_value *storage = pickle->items + args[0].place;
    struct pare_pickle_tensor out = {
        .key = (const char *)pickle->data + storage[2].place,
        .key_length = storage[2].count,
        .type = globals[storage[1].detail].type,
        .numel = (uint64_t)storage[4].number,
        .offset = (uint64_t)args[1].number,
        .n_dims = (int)args[2].count,
    };
    for (int i = 0; i < out.n_dims; i++) {
        out.sizes[i] = (uint64_t)pickle->items[args[2].place + (uint64_t)i].number;
        out.strides[i] = (uint64_t)pickle->items[args[3].place + (uint64_t)i].number;
    }
    return out;
}
