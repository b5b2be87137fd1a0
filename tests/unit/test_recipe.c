/* tools/recipe: what is read from a recipe, what the programs are given, and on what the
 * keys of steps depend. Whole runs are tested by tests/cli/test_recipe.sh. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "tests/support/folder.h"
#include "tools/recipe_state.h"

struct planned {
    struct recipe recipe;
    struct recipe_plan plan;
    enum pare_status status;
    struct pare_error err;
};

/* A recipe of these steps, which are written with ' for ". */
static void make(struct planned *p, const char *steps)
{
    char text[4000];
    memset(p, 0, sizeof *p);
    snprintf(text, sizeof text,
             "{'recipe': 1, 'variables': {'a': 'A', 'b-c': 0.125}, "
             "'steps': [%s]}",
             steps);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    p->status = recipe_parse(text, strlen(text), "r.json", &p->recipe, &p->err);
    if (p->status == PARE_OK)
        p->status = recipe_plan(&p->recipe, "w", &p->plan, &p->err);
}

/* The command of a job, words separated by "|". */
static const char *command(const struct planned *p, size_t job)
{
    static char line[2000];
    const char *const *argv;
    cr_assert_eq(recipe_command(&p->plan, job, "P", NULL, &argv, NULL), PARE_OK);
    *line = '\0';
    for (size_t i = 0; argv[i]; i++) {
        const size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, "%s%s", i ? "|" : "", argv[i]);
    }
    return line;
}

Test(recipe, numbers_become_the_shortest_digits_that_are_the_same)
{
    struct planned p;
    make(&p, "{'name': 's', 'run': 'sample', 'options': {'a': 5e-4, 'b': 1.0, 'c': -3, "
             "'d': 0.1, 'e': 1e-7, 'f': 0.30000000000000004, 'g': 9007199254740991}}");
    cr_assert_eq(p.status, PARE_OK, "%s", p.err.message);
    cr_assert_str_eq(command(&p, 0), "P|--a|0.0005|--b|1|--c|-3|--d|0.1|--e|1e-07|--f|"
                                     "0.30000000000000004|--g|9007199254740991|-o|w/s");
    recipe_free(&p.recipe);
}

Test(recipe, variables_and_references_are_replaced)
{
    struct planned p;
    make(&p, "{'name': 's', 'run': 'sample'},"
             "{'name': 't', 'run': 'train', 'input': 'x/$a.gguf', 'options': {'metrics': "
             "true, 'label': ['$$a', '@@s', '${b-c}$a'], 'train': '@s/train.tsv'}},"
             "{'name': 'e', 'run': 'eval', 'input': '@t', 'output': 'r.json'},"
             "{'name': 'r', 'run': 'report', 'inputs': ['@e', 'x.json'], 'options': "
             "{'training': '@t.metrics', 'html': true}}");
    cr_assert_eq(p.status, PARE_OK, "%s", p.err.message);
    cr_assert_str_eq(command(&p, 1),
                     "P|x/A.gguf|--metrics|w/t.metrics.jsonl|--label|$a|--label|@s|"
                     "--label|0.125A|--train|w/s/train.tsv|-o|w/t.gguf");
    cr_assert_str_eq(command(&p, 2), "P|w/t.gguf|--json|w/r.json");
    cr_assert_str_eq(command(&p, 3), "P|w/r.json|x.json|--training|w/t.metrics.jsonl|"
                                     "--html|w/r.html|-o|w/r.md");
    cr_assert(p.plan.jobs[0].is_used && p.plan.jobs[1].is_used);
    cr_assert(!p.plan.jobs[3].is_used);
    recipe_free(&p.recipe);
}

Test(recipe, what_is_quantised_is_known)
{
    static const struct {
        const char *options;
        int has_codes;
    } cases[] = {{"'scheme': 'int8'", 1},    {"'scheme': 'f16'", 0},
                 {"'scheme': 'keep'", 0},    {"'target-ratio': 0.1", 1},
                 {"'embeddings': 'f16'", 1}, {"'scheme': 'bf16'", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct planned p;
        char steps[400];
        snprintf(steps, sizeof steps,
                 "{'name': 'q', 'run': 'quantize', 'input': 'x', 'options': {%s}},"
                 "{'name': 'k', 'run': 'quantize', 'input': '@q', 'options': {'scheme': "
                 "'keep'}}",
                 cases[i].options);
        make(&p, steps);
        cr_assert_eq(p.status, PARE_OK, "%s", p.err.message);
        cr_assert_eq(p.plan.jobs[0].has_codes, cases[i].has_codes, "%s", steps);
        cr_assert_eq(p.plan.jobs[1].has_codes, cases[i].has_codes, "%s", steps);
        recipe_free(&p.recipe);
    }
}

Test(recipe, steps_that_cannot_be_are_refused)
{
    static const struct {
        const char *steps, *phrase;
    } cases[] = {
        {"", "\"steps\": expected an array of at least one step"},
        {"3", "step 1: expected an object, found a number"},
        {"{'run': 'sample'}", "step 1: it has no \"name\""},
        {"{'name': 'a b', 'run': 'sample'}", "step 1: \"name\": \"a b\": expected up to"},
        {"{'name': 'recipe', 'run': 'sample', 'output': 'recipe.state'}",
         "names that begin with \"recipe.\""},
        {"{'name': 'a', 'run': 'sample', 'output': '.x'}", "expected the name of a file"},
        {"{'name': 'a', 'run': 'eval', 'input': 'x', 'inputs': ['x']}",
         "exclude each other"},
        {"{'name': 'a', 'run': 'eval', 'inputs': 'x'}", "expected an array of strings"},
        {"{'name': 'a', 'run': 'eval', 'input': ''}", "is empty"},
        {"{'name': 'a', 'run': 'eval', 'input': '--json'}", "like an option"},
        {"{'name': 'a', 'run': 'eval', 'input': 'x\\ny'}", "control character"},
        {"{'name': 'a', 'run': 'eval', 'options': []}",
         "\"options\": expected an object"},
        {"{'name': 'a', 'run': 'eval', 'options': {'x': {}}}", "found an object"},
        {"{'name': 'a', 'run': 'eval', 'options': {'x': ['y', 1]}}",
         "found a number in it"},
        {"{'name': 'a', 'run': 'eval', 'input': '$d'}", "no variable 'd'"},
        {"{'name': 'a', 'run': 'eval', 'input': '${a'}", "expected a variable"},
        {"{'name': 'a', 'run': 'sample'}, {'name': 'b', 'run': 'eval', 'input': "
         "'@a/x.gguf'}",
         "is a file; eval reads a model"},
        {"{'name': 'a', 'run': 'sample'}, {'name': 'b', 'run': 'convert', 'input': "
         "'@a/../x'}",
         "expected the name of a file in that folder"},
        {"{'name': 'a', 'run': 'sample'}, {'name': 'b', 'run': 'convert', 'input': "
         "'@a.metrics'}",
         "makes a folder and no \"metrics\""},
        {"{'name': 'a', 'run': 'train'}, {'name': 'b', 'run': 'convert', 'input': "
         "'@a.metrics'}",
         "add \"metrics\": true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct planned p;
        make(&p, cases[i].steps);
        cr_assert_eq(p.status, PARE_ERR_INPUT, "%s", cases[i].steps);
        cr_assert(!strncmp(p.err.message, "r.json: ", 8), "%s", p.err.message);
        cr_assert(strstr(p.err.message, cases[i].phrase), "%s: %s", cases[i].steps,
                  p.err.message);
        recipe_free(&p.recipe);
    }
}

/* The key of a step that reads m.gguf and perhaps t.tsv in the folder. */
static void key_of(const struct folder *folder, const char *run, const char *options,
                   const char *machine, char key[RECIPE_SUM_SIZE])
{
    struct planned p;
    struct recipe_sums sums = {0};
    struct pare_error err;
    char step[1000];
    snprintf(step, sizeof step,
             "{'name': 's', 'run': '%s', 'input': '%s', 'options': {'a': ['1', %s}}", run,
             folder_path(folder, "m.gguf"), options);
    make(&p, step);
    cr_assert_eq(p.status, PARE_OK, "%s", p.err.message);
    cr_assert_eq(recipe_key(&p.plan.jobs[0], machine, &sums, key, &err), PARE_OK, "%s",
                 err.message);
    recipe_sums_free(&sums);
    recipe_free(&p.recipe);
}

Test(recipe, keys_depend_on_contents_and_not_on_order)
{
    struct folder folder = folder_make();
    const char *text = folder_path(&folder, "t.tsv");
    char first[RECIPE_SUM_SIZE], key[RECIPE_SUM_SIZE], file[600];
    snprintf(file, sizeof file, "'2'], 'b': '%s'", text);
    cr_assert_eq(pare_write_file(folder_path(&folder, "m.gguf"), "one", 3, NULL),
                 PARE_OK);
    cr_assert_eq(pare_write_file(text, "text", 4, NULL), PARE_OK);
    key_of(&folder, "quantize", "'2'], 'c': 'x', 'b': ['y']", "M", first);
    key_of(&folder, "quantize", "'2'], 'b': ['y'], 'c': 'x'", "N", key);
    cr_assert_str_eq(key, first, "the order of options, or the machine");
    key_of(&folder, "quantize", "'2', '3'], 'b': ['y'], 'c': 'x'", "M", key);
    cr_assert_str_neq(key, first, "one value more");
    key_of(&folder, "quantize", "'2'], 'b': 'x', 'c': ['y']", "M", key);
    cr_assert_str_neq(key, first, "values of each other");
    key_of(&folder, "convert", "'2'], 'c': 'x', 'b': ['y']", "M", key);
    cr_assert_str_neq(key, first, "the program");
    key_of(&folder, "quantize", file, "M", first);
    cr_assert_eq(pare_write_file(text, "test", 4, NULL), PARE_OK);
    key_of(&folder, "quantize", file, "M", key);
    cr_assert_str_neq(key, first, "a file's content");
    key_of(&folder, "eval", "'2']", "M", first);
    key_of(&folder, "eval", "'2']", "N", key);
    cr_assert_str_neq(key, first, "the machine of what is measured");
    folder_remove(&folder);
}
