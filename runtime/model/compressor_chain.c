/* Two compressors as one: see compressor_chain.h. */
#include "runtime/model/compressor_chain.h"

#include <string.h>

static enum pare_status begin_one(struct pare_compressor *c, const float *values,
                                  const size_t *start, uint64_t update, uint64_t updates,
                                  struct pare_error *err)
{
    return c->begin ? c->begin(c->context, values, start, update, updates, err) : PARE_OK;
}

static enum pare_status begin(void *context, const float *values, const size_t *start,
                              uint64_t update, uint64_t updates, struct pare_error *err)
{
    struct pare_compressor_chain *chain = context;
    PARE_TRY(begin_one(chain->first, values, start, update, updates, err));
    return begin_one(chain->second, values, start, update, updates, err);
}

/* The second reads what the first has not touched: it may measure only what the first
 * does not cover. */
static void measure(void *context, const float *values, const size_t *start)
{
    const struct pare_compressor_chain *chain = context;
    if (chain->first->measure)
        chain->first->measure(chain->first->context, values, start);
    if (chain->second->measure)
        chain->second->measure(chain->second->context, values, start);
}

static enum pare_status apply(void *context, size_t slot, size_t first, size_t n,
                              const float *v, float *w, struct pare_error *err)
{
    const struct pare_compressor_chain *chain = context;
    struct pare_compressor *a = chain->first, *b = chain->second;
    if (a->covers[slot])
        PARE_TRY(a->apply(a->context, slot, first, n, v, w, err));
    if (!b->covers[slot])
        return PARE_OK;
    return b->apply(b->context, slot, first, n, a->covers[slot] ? w : v, w, err);
}

/* dL/dw through the second, which saw first(v), then through the first. */
static enum pare_status backward(void *context, size_t slot, size_t first, size_t n,
                                 const float *v, float *grad, struct pare_error *err)
{
    struct pare_compressor_chain *chain = context;
    struct pare_compressor *a = chain->first, *b = chain->second;
    if (b->covers[slot] && b->backward) {
        const float *seen = v;
        if (a->covers[slot]) {
            PARE_TRY(a->apply(a->context, slot, first, n, v, chain->between, err));
            seen = chain->between;
        }
        PARE_TRY(b->backward(b->context, slot, first, n, seen, grad, err));
    }
    if (a->covers[slot] && a->backward)
        return a->backward(a->context, slot, first, n, v, grad, err);
    return PARE_OK;
}

static void placed(void *context)
{
    struct pare_compressor_chain *chain = context;
    struct pare_compressor *second = chain->second;
    if (second->placed)
        second->placed(second->context);
}

static enum pare_status set_up(struct pare_compressor_chain *chain,
                               struct pare_error *err)
{
    const size_t count = chain->plan->count;
    uint8_t *covers;
    size_t largest = 0;
    PARE_TRY(pare_arena_alloc(&chain->arena, &covers, count, 1, err));
    for (size_t i = 0; i < count; i++) {
        const size_t n = (size_t)pare_slot_elements(&chain->plan->slots[i]);
        covers[i] = chain->first->covers[i] || chain->second->covers[i];
        if (chain->first->covers[i] && chain->second->covers[i] && n > largest)
            largest = n;
    }
    chain->both.covers = covers;
    return pare_arena_alloc(&chain->arena, &chain->between, largest, sizeof(float), err);
}

enum pare_status pare_compressor_chain_init(struct pare_compressor_chain *chain,
                                            const struct pare_plan *plan,
                                            struct pare_compressor *first,
                                            struct pare_compressor *second,
                                            struct pare_error *err)
{
    *chain =
        (struct pare_compressor_chain){.first = first, .second = second, .plan = plan};
    if (first->n_extras || second->state)
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "these compressors cannot stand behind each other");
    chain->both = (struct pare_compressor){
        .context = chain,
        .input_group = second->input_group,
        .begin = begin,
        .measure = measure,
        .measures_tokens = first->measures_tokens || second->measures_tokens,
        .apply = apply,
        .backward = backward,
        .placed = placed,
        .extras = second->extras,
        .n_extras = second->n_extras,
        .settled = first->settled > second->settled ? first->settled : second->settled,
        .state = first->state,
        .state_count = first->state_count,
    };
    return set_up(chain, err);
}

void pare_compressor_chain_free(struct pare_compressor_chain *chain)
{
    pare_arena_free(&chain->arena);
    memset(chain, 0, sizeof *chain);
}
