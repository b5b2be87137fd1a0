/* Recipes: any text. What is accepted becomes a plan, or is refused with a message; every
 * output of a plan is in the work folder, and what a step reads was made before. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static void check_job(const struct recipe_plan *plan, size_t i)
{
    const struct recipe_job *job = &plan->jobs[i];
    const char *const *argv;
    struct pare_error err;
    for (size_t k = 0; k < job->n_outputs; k++) {
        CHECK(!strncmp(job->outputs[k], "work/", 5));
        CHECK(!strchr(job->outputs[k] + 5, '/'));
        CHECK(job->outputs[k][5] && job->outputs[k][5] != '.');
    }
    for (size_t k = 0; k < job->n_words; k++) {
        const struct recipe_word *word = &job->words[k];
        CHECK(word->option || word->text);
        CHECK(word->from == RECIPE_NOWHERE || word->from < i);
        CHECK(word->from == RECIPE_NOWHERE || !strncmp(word->text, "work/", 5));
    }
    CHECK(recipe_command(plan, i, "program", NULL, &argv, &err) == PARE_OK);
    size_t count = 0;
    while (argv[count])
        count++;
    CHECK(count >= 3 && !strcmp(argv[count - 1], job->outputs[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe recipe;
    struct recipe_plan plan;
    struct pare_error err = {""};
    enum pare_status status =
        recipe_parse((const char *)data, size, "fuzz.json", &recipe, &err);
    if (status == PARE_OK) {
        CHECK(recipe.n_steps > 0);
        status = recipe_plan(&recipe, "work", &plan, &err);
        for (size_t i = 0; i < recipe.n_steps && status == PARE_OK; i++)
            check_job(&plan, i);
    }
    if (status != PARE_OK) {
        CHECK(status == PARE_ERR_INPUT || status == PARE_ERR_USAGE);
        CHECK(err.message[0]);
    }
    recipe_free(&recipe);
    return 0;
}
