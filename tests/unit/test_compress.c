/* Compression-aware training (libdistill/compress.h): what the forward sees, where the
 * gradient goes, and that nothing changes where nothing is compressed. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libdistill/compress.h"
#include "tests/support/toy_training.h"

#define STEP 0.125f

/* A grid of multiples of STEP, and a count of the rows it was asked for. */
struct coarse {
    size_t rows;
    const struct pare_plan *plan;
    uint8_t covers[64];
};

static enum pare_status round_rows(void *context, size_t slot, size_t first, size_t n,
                                   const float *v, float *w, struct pare_error *err)
{
    struct coarse *coarse = context;
    const size_t K = (size_t)coarse->plan->slots[slot].shape[1];
    (void)first, (void)err;
    coarse->rows += n;
    for (size_t k = 0; k < n * K; k++)
        w[k] = rintf(v[k] / STEP) * STEP;
    return PARE_OK;
}

static struct pare_compressor compressor_of(struct coarse *coarse,
                                            const struct pare_params *params)
{
    cr_assert(params->plan.count <= sizeof coarse->covers);
    coarse->plan = &params->plan;
    for (size_t i = 0; i < params->plan.count; i++)
        coarse->covers[i] = (uint8_t)pare_slot_is_matrix(&params->plan.slots[i]);
    return (struct pare_compressor){
        .context = coarse, .covers = coarse->covers, .apply = round_rows};
}

/* Binds the toy's model anew, to what params->weights is by now. */
static void bind_again(struct toy *toy)
{
    struct pare_weight_source source = pare_params_source(toy->params);
    pare_model_free(toy->model);
    TOY_OK(pare_model_bind(&toy->params->config, &source, &toy->model, err));
}

static void gradient_of(struct toy *toy, double *loss)
{
    struct pare_loss cross_entropy = pare_loss_cross_entropy();
    struct pare_loss_grads grads = {.logits = toy->dlogits};
    double sum = 0;
    TOY_OK(pare_forward(toy->model, &toy->batch, NULL, &toy->acts, err));
    struct pare_loss_input input = {
        .config = &toy->params->config,
        .batch = &toy->batch,
        .acts = &toy->acts,
        .labels = toy_labels,
        .example = toy_examples,
        .scale = 1.0f / (float)toy->batch.n_seq,
    };
    TOY_OK(cross_entropy.run(cross_entropy.context, &input, &grads, &sum, err));
    TOY_OK(pare_backward(toy->params, toy->params->weights, &toy->batch, NULL, &toy->acts,
                         &grads, 0, &toy->backward, err));
    *loss = sum;
}

Test(compress, the_forward_and_the_gradient_are_those_of_the_compressed_weights)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct toy latent, rounded;
    struct coarse coarse = {0};
    struct pare_compressed compressed;
    double loss[2];
    toy_open(&latent, &config, NULL);
    toy_open(&rounded, &config, NULL);
    struct pare_compressor compressor = compressor_of(&coarse, latent.params);
    TOY_OK(pare_compressed_init(&compressed, latent.params, &compressor, err));
    TOY_OK(pare_compressed_refresh(&compressed, err));
    TOY_OK(pare_compressed_tokens(&compressed, toy_ids, TOY_TOKENS, err));
    bind_again(&latent);
    for (size_t i = 0; i < rounded.params->plan.count; i++)
        for (size_t k = rounded.params->start[i];
             coarse.covers[i] && k < rounded.params->start[i + 1]; k++)
            rounded.params->value[k] = rintf(rounded.params->value[k] / STEP) * STEP;
    gradient_of(&latent, &loss[0]);
    gradient_of(&rounded, &loss[1]);
    cr_assert_eq(loss[0], loss[1]);
    cr_assert_eq(memcmp(latent.params->grad, rounded.params->grad,
                        latent.params->total * sizeof(float)),
                 0);
    cr_assert_neq(memcmp(latent.params->value, rounded.params->value,
                         latent.params->total * sizeof(float)),
                  0, "the values themselves must stay");
    pare_compressed_free(&compressed);
    cr_assert_eq(latent.params->weights, latent.params->value);
    toy_close(&latent);
    toy_close(&rounded);
}

Test(compress, tokens_of_a_batch_cost_their_own_rows_only)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    struct toy toy;
    struct coarse coarse = {0};
    struct pare_compressed compressed;
    toy_open(&toy, &config, NULL);
    struct pare_compressor compressor = compressor_of(&coarse, toy.params);
    TOY_OK(pare_compressed_init(&compressed, toy.params, &compressor, err));
    TOY_OK(pare_compressed_tokens(&compressed, toy_ids, 5, err));
    cr_assert_eq(coarse.rows, 5);
    coarse.rows = 0;
    TOY_OK(pare_compressed_refresh(&compressed, err));
    const size_t others = coarse.rows;
    TOY_OK(pare_compressed_all(&compressed, err));
    cr_assert_eq(coarse.rows, 2 * others + config.vocab);
    pare_compressed_free(&compressed);
    toy_close(&toy);
}

/* Inputs of 12 values: codes 0 to 255 over the row's range widened to hold 0, written
 * out. */
Test(compress, rounded_inputs_lie_on_the_grid_of_the_integer_kernels)
{
    enum { ROWS = 3, K = 12, GROUP = 4 };
    float x[ROWS * K], out[ROWS * K];
    struct pare_rng rng = {.seed = 5};
    for (size_t i = 0; i < ROWS * K; i++)
        x[i] = pare_rng_normal(&rng) * (i < K ? 100.0f : 1.0f);
    memset(x + 2 * K, 0, GROUP * sizeof *x);
    pare_round_inputs(x, ROWS, K, GROUP, out);
    for (size_t first = 0; first < ROWS * K; first += GROUP) {
        float low = 0, high = 0;
        for (size_t k = first; k < first + GROUP; k++) {
            low = fminf(low, x[k]);
            high = fmaxf(high, x[k]);
        }
        const float step = (high - low) / 255;
        for (size_t k = first; k < first + GROUP; k++) {
            cr_expect(fabsf(out[k] - x[k]) <= 0.501f * step, "%g became %g", (double)x[k],
                      (double)out[k]);
            const float code = step > 0 ? out[k] / step : 0;
            cr_expect(fabsf(code - rintf(code)) < 1e-3f, "%g is between two codes",
                      (double)out[k]);
        }
    }
}

/* A layer of training weights that lie on the grid of I8, with rounded inputs, against
 * the integer kernels. */
Test(compress, rounded_inputs_give_what_the_integer_kernels_give)
{
    enum { M = 5, N = 7, K = 40 };
    int8_t codes[N * K];
    float scale[N], weights[N * K], x[M * K], y[M * N], exact[M * N];
    struct pare_rng rng = {.seed = 9};
    for (size_t n = 0; n < N; n++) {
        scale[n] = 0.01f * (float)(n + 1);
        for (size_t k = 0; k < K; k++) {
            codes[n * K + k] = (int8_t)((int)pare_rng_below(&rng, 255) - 127);
            weights[n * K + k] = scale[n] * (float)codes[n * K + k];
        }
    }
    for (size_t i = 0; i < M * K; i++)
        x[i] = pare_rng_normal(&rng);
    struct pare_arena arena = {0};
    struct pare_linear live, packed;
    const struct pare_weight float_weight = {
        .type = PARE_F32, .N = N, .K = K, .data = weights, .input_group = K};
    const struct pare_weight int_weight = {
        .type = PARE_I8, .N = N, .K = K, .data = codes, .scale = scale};
    TOY_OK(pare_linear_init(&live, &float_weight, 1, NULL, 1, &arena, err));
    TOY_OK(pare_linear_init(&packed, &int_weight, 1, NULL, 0, &arena, err));
    TOY_OK(pare_linear_forward(&live, x, M, y, PARE_ACT_NONE, NULL, &arena, err));
    TOY_OK(pare_linear_forward(&packed, x, M, exact, PARE_ACT_NONE, NULL, &arena, err));
    for (size_t i = 0; i < M * N; i++)
        cr_expect(fabsf(y[i] - exact[i]) <= 2e-5f * (1 + fabsf(exact[i])), "%zu: %g, %g",
                  i, (double)y[i], (double)exact[i]);
    pare_arena_free(&arena);
}

/* dW of a layer with rounded inputs is dy^T x^, and dx = dy W: finite differences cannot
 * see through a rounding, so the gradient is compared with that of exact inputs. */
Test(compress, rounded_inputs_pass_the_gradient_straight_through)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    struct toy exact, rounded;
    double loss[2], distance = 0, length = 0;
    toy_open(&exact, &config, NULL);
    toy_open(&rounded, &config, NULL);
    for (size_t i = 0; i < rounded.params->plan.count; i++)
        if (rounded.params->plan.slots[i].role == PARE_ROLE_LINEAR)
            rounded.params->input_group[i] = rounded.params->plan.slots[i].shape[1];
    bind_again(&rounded);
    gradient_of(&exact, &loss[0]);
    gradient_of(&rounded, &loss[1]);
    cr_assert_neq(loss[0], loss[1]);
    for (size_t k = 0; k < exact.params->total; k++) {
        const double a = (double)exact.params->grad[k],
                     b = (double)rounded.params->grad[k];
        distance += (a - b) * (a - b);
        length += a * a;
    }
    cr_assert(distance > 0 && distance < 1e-3 * length, "%g of %g", distance, length);
    toy_close(&exact);
    toy_close(&rounded);
}
