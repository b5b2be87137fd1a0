/* Protocol 2 of Python's pickle (pickletools.py documents the opcodes), cut down to what
 * torch.save writes for a state dict: the stack, the memo, constants and containers. What
 * refers to Python's world (globals, calls, storages) is in pickle_tensors.c.
 *
 * The machine never recurses and never follows references, so cycles do not matter; its
 * memory is taken from the file's budget. */
#include "runtime/checkpoint/pickle_machine.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

#define MAX_STACK ((size_t)1 << 20)
#define MAX_MEMO ((uint32_t)1 << 24)
#define MAX_POOL ((size_t)1 << 31)

enum pare_status pare_pickle_fail(const struct pare_pickle *p, struct pare_error *err,
                                  const char *reason)
{
    return pare_source_fail(p->source, p->shift + p->at, err, "pickle: %s", reason);
}

/* --- memory --- */

/* Room for one more element of a pool, paid from the budget. */
static enum pare_status grow(struct pare_pickle *p, void *pool, size_t *capacity,
                             size_t needed, size_t size, struct pare_error *err)
{
    if (needed <= *capacity)
        return PARE_OK;
    if (needed > MAX_POOL)
        return pare_pickle_fail(p, err, "too many values");
    size_t before = *capacity;
    PARE_TRY(pare_source_take(p->source, needed + needed / 2 - before, size, err));
    return pare_grow(pool, capacity, needed, size, err);
}

enum pare_status pare_pickle_push(struct pare_pickle *p, struct pare_pickle_value value,
                                  struct pare_error *err)
{
    if (p->n_stack == MAX_STACK)
        return pare_pickle_fail(p, err, "more than 2^20 values on the stack");
    PARE_TRY(
        grow(p, &p->stack, &p->stack_capacity, p->n_stack + 1, sizeof *p->stack, err));
    p->stack[p->n_stack++] = value;
    return PARE_OK;
}

enum pare_status pare_pickle_push_kind(struct pare_pickle *p, enum pare_pickle_kind kind,
                                       int64_t number, struct pare_error *err)
{
    return pare_pickle_push(
        p, (struct pare_pickle_value){.kind = (uint8_t)kind, .number = number}, err);
}

enum pare_status pare_pickle_need(const struct pare_pickle *p, size_t count,
                                  struct pare_error *err)
{
    size_t floor = p->n_marks ? p->marks[p->n_marks - 1] : 0;
    return p->n_stack - floor >= count ? PARE_OK
                                       : pare_pickle_fail(p, err, "stack underflow");
}

static enum pare_status pop_mark(struct pare_pickle *p, size_t *above,
                                 struct pare_error *err)
{
    *above = 0;
    if (!p->n_marks)
        return pare_pickle_fail(p, err, "stack underflow: no mark");
    *above = p->n_stack - p->marks[--p->n_marks];
    return PARE_OK;
}

/* Bytes of the pickle itself. */
static enum pare_status take(struct pare_pickle *p, uint64_t bytes, const uint8_t **out,
                             struct pare_error *err)
{
    *out = p->data;
    if (bytes > p->size - p->at)
        return pare_pickle_fail(p, err, "it ends too early");
    *out = p->data + p->at;
    p->at += bytes;
    return PARE_OK;
}

/* --- constants --- */

static enum pare_status op_none(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_kind(p, PARE_PICKLE_NONE, 0, err);
}

static enum pare_status op_true(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_kind(p, PARE_PICKLE_BOOL, 1, err);
}

static enum pare_status op_false(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_kind(p, PARE_PICKLE_BOOL, 0, err);
}

static enum pare_status op_binint(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 4, &at, err));
    return pare_pickle_push_kind(p, PARE_PICKLE_INT, (int32_t)pare_load_u32(at), err);
}

static enum pare_status op_binint1(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 1, &at, err));
    return pare_pickle_push_kind(p, PARE_PICKLE_INT, *at, err);
}

static enum pare_status op_binint2(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 2, &at, err));
    return pare_pickle_push_kind(p, PARE_PICKLE_INT, pare_load_u16(at), err);
}

/* Two's complement of any length; beyond 64 bits nobody needs the value. */
static enum pare_status op_long1(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 1, &at, err));
    unsigned length = *at;
    PARE_TRY(take(p, length, &at, err));
    if (length > 8)
        return pare_pickle_push_kind(p, PARE_PICKLE_OPAQUE, 0, err);
    uint64_t bits = length && at[length - 1] & 0x80 ? UINT64_MAX : 0;
    for (unsigned i = length; i-- > 0;)
        bits = bits << 8 | at[i];
    return pare_pickle_push_kind(p, PARE_PICKLE_INT, (int64_t)bits, err);
}

static enum pare_status op_binfloat(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 8, &at, err));
    return pare_pickle_push_kind(p, PARE_PICKLE_OPAQUE, 0, err);
}

static enum pare_status push_text(struct pare_pickle *p, uint32_t length,
                                  struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, length, &at, err));
    return pare_pickle_push(p,
                            (struct pare_pickle_value){.kind = PARE_PICKLE_TEXT,
                                                       .count = length,
                                                       .place = (uint64_t)(at - p->data)},
                            err);
}

static enum pare_status op_binunicode(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 4, &at, err));
    return push_text(p, pare_load_u32(at), err);
}

static enum pare_status op_short_binstring(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 1, &at, err));
    return push_text(p, *at, err);
}

/* --- tuples, lists, dicts --- */

static enum pare_status op_mark(struct pare_pickle *p, struct pare_error *err)
{
    if (p->n_marks == MAX_STACK)
        return pare_pickle_fail(p, err, "more than 2^20 marks");
    PARE_TRY(
        grow(p, &p->marks, &p->marks_capacity, p->n_marks + 1, sizeof *p->marks, err));
    p->marks[p->n_marks++] = (uint32_t)p->n_stack;
    return PARE_OK;
}

/* Replaces the topmost `count` values by a tuple of them. */
static enum pare_status make_tuple(struct pare_pickle *p, size_t count,
                                   struct pare_error *err)
{
    PARE_TRY(grow(p, &p->items, &p->items_capacity, p->n_items + count, sizeof *p->items,
                  err));
    struct pare_pickle_value tuple = {
        .kind = PARE_PICKLE_TUPLE, .count = (uint32_t)count, .place = p->n_items};
    p->n_stack -= count;
    if (count)
        memcpy(p->items + p->n_items, p->stack + p->n_stack, count * sizeof *p->items);
    p->n_items += count;
    return pare_pickle_push(p, tuple, err);
}

static enum pare_status op_tuple(struct pare_pickle *p, struct pare_error *err)
{
    size_t count;
    PARE_TRY(pop_mark(p, &count, err));
    return make_tuple(p, count, err);
}

static enum pare_status op_empty_tuple(struct pare_pickle *p, struct pare_error *err)
{
    return make_tuple(p, 0, err);
}

static enum pare_status op_tuple1(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 1, err));
    return make_tuple(p, 1, err);
}

static enum pare_status op_tuple2(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 2, err));
    return make_tuple(p, 2, err);
}

static enum pare_status op_tuple3(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 3, err));
    return make_tuple(p, 3, err);
}

static enum pare_status op_empty_list(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_kind(p, PARE_PICKLE_LIST, 0, err);
}

static enum pare_status op_empty_set(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_kind(p, PARE_PICKLE_OPAQUE, 0, err);
}

/* Drops `count` values that go into the list below them. */
static enum pare_status append(struct pare_pickle *p, size_t count,
                               struct pare_error *err)
{
    p->n_stack -= count;
    PARE_TRY(pare_pickle_need(p, 1, err));
    if (pare_pickle_top(p, 0)->kind != PARE_PICKLE_LIST)
        return pare_pickle_fail(p, err, "APPEND to something that is not a list");
    return PARE_OK;
}

static enum pare_status op_append(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 2, err));
    return append(p, 1, err);
}

static enum pare_status op_appends(struct pare_pickle *p, struct pare_error *err)
{
    size_t count;
    PARE_TRY(pop_mark(p, &count, err));
    return append(p, count, err);
}

enum pare_status pare_pickle_push_dict(struct pare_pickle *p, int ordered,
                                       struct pare_error *err)
{
    PARE_TRY(
        grow(p, &p->dicts, &p->dicts_capacity, p->n_dicts + 1, sizeof *p->dicts, err));
    p->dicts[p->n_dicts] = (struct pare_pickle_dict){0, 0};
    return pare_pickle_push(p,
                            (struct pare_pickle_value){.kind = PARE_PICKLE_DICT,
                                                       .detail = (uint8_t)ordered,
                                                       .place = p->n_dicts++},
                            err);
}

static enum pare_status op_empty_dict(struct pare_pickle *p, struct pare_error *err)
{
    return pare_pickle_push_dict(p, 0, err);
}

static enum pare_status add_pair(struct pare_pickle *p, uint64_t dict_number,
                                 const struct pare_pickle_value *key,
                                 const struct pare_pickle_value *value,
                                 struct pare_error *err)
{
    if (key->kind != PARE_PICKLE_TEXT ||
        (value->kind != PARE_PICKLE_TENSOR && value->kind != PARE_PICKLE_DICT))
        return PARE_OK;
    struct pare_pickle_pair pair = {key->place, key->count, 0, *value};
    PARE_TRY(
        grow(p, &p->pairs, &p->pairs_capacity, p->n_pairs + 1, sizeof *p->pairs, err));
    p->pairs[p->n_pairs++] = pair;
    struct pare_pickle_dict *dict = &p->dicts[dict_number];
    if (dict->last)
        p->pairs[dict->last - 1].next = (uint32_t)p->n_pairs;
    else
        dict->first = (uint32_t)p->n_pairs;
    dict->last = (uint32_t)p->n_pairs;
    return PARE_OK;
}

/* Moves the topmost `count` values, keys and values in turn, into the dict below. */
static enum pare_status set_items(struct pare_pickle *p, size_t count,
                                  struct pare_error *err)
{
    if (count % 2)
        return pare_pickle_fail(p, err, "SETITEMS with a key that has no value");
    p->n_stack -= count;
    PARE_TRY(pare_pickle_need(p, 1, err));
    if (pare_pickle_top(p, 0)->kind != PARE_PICKLE_DICT)
        return pare_pickle_fail(p, err, "SETITEM on something that is not a dict");
    for (size_t i = 0; i < count; i += 2)
        PARE_TRY(add_pair(p, pare_pickle_top(p, 0)->place, &p->stack[p->n_stack + i],
                          &p->stack[p->n_stack + i + 1], err));
    return PARE_OK;
}

static enum pare_status op_setitem(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 3, err));
    return set_items(p, 2, err);
}

static enum pare_status op_setitems(struct pare_pickle *p, struct pare_error *err)
{
    size_t count;
    PARE_TRY(pop_mark(p, &count, err));
    return set_items(p, count, err);
}

/* State of an OrderedDict (its _metadata) is dropped. */
static enum pare_status op_build(struct pare_pickle *p, struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 2, err));
    if (pare_pickle_top(p, 1)->kind != PARE_PICKLE_DICT || !pare_pickle_top(p, 1)->detail)
        return pare_pickle_fail(p, err, "BUILD on something that is not an OrderedDict");
    p->n_stack--;
    return PARE_OK;
}

/* --- the memo --- */

static enum pare_status put_memo(struct pare_pickle *p, uint32_t number,
                                 struct pare_error *err)
{
    PARE_TRY(pare_pickle_need(p, 1, err));
    if (number >= MAX_MEMO)
        return pare_pickle_fail(p, err, "a memo number beyond 2^24");
    PARE_TRY(
        grow(p, &p->memo, &p->memo_capacity, (size_t)number + 1, sizeof *p->memo, err));
    for (; p->n_memo <= number; p->n_memo++) /* 255: nothing was put here */
        p->memo[p->n_memo] = (struct pare_pickle_value){.kind = UINT8_MAX};
    p->memo[number] = *pare_pickle_top(p, 0);
    return PARE_OK;
}

static enum pare_status get_memo(struct pare_pickle *p, uint32_t number,
                                 struct pare_error *err)
{
    if (number >= p->n_memo || p->memo[number].kind == UINT8_MAX)
        return pare_pickle_fail(p, err, "a memo number that was never put");
    return pare_pickle_push(p, p->memo[number], err);
}

static enum pare_status op_binput(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 1, &at, err));
    return put_memo(p, *at, err);
}

static enum pare_status op_long_binput(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 4, &at, err));
    return put_memo(p, pare_load_u32(at), err);
}

static enum pare_status op_binget(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 1, &at, err));
    return get_memo(p, *at, err);
}

static enum pare_status op_long_binget(struct pare_pickle *p, struct pare_error *err)
{
    const uint8_t *at;
    PARE_TRY(take(p, 4, &at, err));
    return get_memo(p, pare_load_u32(at), err);
}

/* --- the machine --- */

static pare_pickle_operation *const operations[256] = {
    ['('] = op_mark,
    ['N'] = op_none,
    [0x88] = op_true,
    [0x89] = op_false,
    ['J'] = op_binint,
    ['K'] = op_binint1,
    ['M'] = op_binint2,
    [0x8A] = op_long1,
    ['G'] = op_binfloat,
    ['X'] = op_binunicode,
    ['U'] = op_short_binstring,
    [')'] = op_empty_tuple,
    ['t'] = op_tuple,
    [0x85] = op_tuple1,
    [0x86] = op_tuple2,
    [0x87] = op_tuple3,
    [']'] = op_empty_list,
    ['a'] = op_append,
    ['e'] = op_appends,
    ['}'] = op_empty_dict,
    ['s'] = op_setitem,
    ['u'] = op_setitems,
    [0x8F] = op_empty_set,
    ['q'] = op_binput,
    ['r'] = op_long_binput,
    ['h'] = op_binget,
    ['j'] = op_long_binget,
    ['c'] = pare_pickle_global,
    ['Q'] = pare_pickle_binpersid,
    ['R'] = pare_pickle_reduce,
    ['b'] = op_build,
};

static enum pare_status stop(struct pare_pickle *p, struct pare_error *err)
{
    if (p->n_stack != 1 || p->n_marks)
        return pare_pickle_fail(p, err, "STOP with more or less than one value left");
    if (p->at != p->size)
        return pare_pickle_fail(p, err, "bytes behind STOP");
    p->root = p->stack[0];
    return PARE_OK;
}

static enum pare_status run(struct pare_pickle *p, struct pare_error *err)
{
    if (p->size < 2 || p->data[0] != 0x80)
        return pare_pickle_fail(p, err, "it does not begin with its protocol");
    if (p->data[1] != 2)
        return pare_source_fail(p->source, p->shift + 1, err,
                                "pickle: protocol %d; torch.save writes 2, which is the "
                                "one supported",
                                p->data[1]);
    for (p->at = 2;;) {
        if (p->at == p->size)
            return pare_pickle_fail(p, err, "it ends without STOP");
        uint8_t opcode = p->data[p->at++];
        if (opcode == '.')
            return stop(p, err);
        if (!operations[opcode])
            return pare_source_fail(p->source, p->shift + p->at - 1, err,
                                    "pickle: the opcode %02x does not occur in a plain "
                                    "state dict and is refused",
                                    opcode);
        PARE_TRY(operations[opcode](p, err));
    }
}

enum pare_status pare_pickle_run(struct pare_source *source, const uint8_t *data,
                                 uint64_t size, uint64_t shift,
                                 struct pare_pickle *pickle, struct pare_error *err)
{
    *pickle = (struct pare_pickle){
        .source = source, .data = data, .size = size, .shift = shift};
    return run(pickle, err);
}

void pare_pickle_free(struct pare_pickle *pickle)
{
    pare_free(pickle->stack);
    pare_free(pickle->memo);
    pare_free(pickle->items);
    pare_free(pickle->marks);
    pare_free(pickle->dicts);
    pare_free(pickle->pairs);
    *pickle = (struct pare_pickle){0};
}

/* --- what came out --- */

const struct pare_pickle_pair *pare_pickle_first(const struct pare_pickle *pickle,
                                                 const struct pare_pickle_value *dict)
{
    uint32_t number = pickle->dicts[dict->place].first;
    return number ? &pickle->pairs[number - 1] : NULL;
}

const struct pare_pickle_pair *pare_pickle_next(const struct pare_pickle *pickle,
                                                const struct pare_pickle_pair *pair)
{
    return pair->next ? &pickle->pairs[pair->next - 1] : NULL;
}

struct pare_text pare_pickle_key(const struct pare_pickle *pickle,
                                 const struct pare_pickle_pair *pair)
{
    return (struct pare_text){(const char *)pickle->data + pair->key, pair->key_length};
}
