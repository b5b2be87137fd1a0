/* Recipes: the steps from a checkpoint to a report in one file (docs/RECIPE.md).
 *
 *     recipe_parse    text -> struct recipe: the words as they stand there
 * (recipe_parse.c) recipe_plan     -> struct recipe_plan: variables filled in, references
 * followed, the order checked, all paths known; no file is looked at (recipe_plan.c)
 *     recipe_check    asks each step's program whether its options make sense, and
 * whether the inputs are there (recipe_check.c) recipe_run      runs what is not as it
 * was (recipe_run.c, recipe_state.c)
 *
 * Every step is a program beside this one; which there are, and what they make, is the
 * table in recipe_programs.c.
 */
#ifndef PARE_TOOLS_RECIPE_H
#define PARE_TOOLS_RECIPE_H

#include <stdint.h>
#include <stdio.h>

#include "runtime/base/arena.h"
#include "tools/cli.h"

#define RECIPE_MAX_STEPS 1000
#define RECIPE_NAME_SIZE 65 /* of steps and variables, with the NUL */
#define RECIPE_MAX_BYTES ((uint64_t)1 << 20)

/* --- What can be a step ------------------------------------------------------------- */

enum recipe_kind { /* of a file */
                   RECIPE_ANY,
                   RECIPE_MODEL,
                   RECIPE_RESULT, /* of pare-eval */
                   RECIPE_REPORT,
                   RECIPE_METRICS, /* of a training run */
                   RECIPE_FOLDER,
};

struct recipe_extra { /* one more file that a program can write */
    const char *option, *suffix;
    enum recipe_kind kind;
};

struct recipe_program {
    const char *verb;
    enum recipe_kind reads, makes;
    const char *inputs;      /* what its inputs are, for messages; NULL: it has none */
    const char *output_word; /* "-o" or another option that says where the output goes */
    const char *suffix;      /* of the output's name */
    struct recipe_extra extra; /* option NULL: none */
    int resumes;               /* goes on with --resume where it was stopped */
    int measures;              /* the result depends on threads and CPU */
    const char *format_option; /* says in which number format it stores; NULL: none */
    int format_always;         /* codes also when that is not given */
};

/* NULL-terminated by .verb. */
extern const struct recipe_program recipe_programs[];
const char *recipe_kind_name(enum recipe_kind kind); /* "a model", ... */

/* --- The recipe as it was written ----------------------------------------------------
 */

enum recipe_type { RECIPE_TRUE, RECIPE_STRING, RECIPE_NUMBER };

struct recipe_value {
    enum recipe_type type;
    const char *text; /* of a number: as an option is given it; NULL for true */
};

struct recipe_option {
    const char *name;
    int is_list;
    size_t count;
    struct recipe_value *values;
};

struct recipe_step {
    const char *name, *output; /* output: NULL when not given */
    const struct recipe_program *program;
    size_t n_inputs, n_options;
    const char **inputs;
    struct recipe_option *options;
};

struct recipe_variable {
    const char *name, *value; /* value: NULL when there is none yet */
};

struct recipe {                             /* all zero: empty */
    const char *path, *title, *description; /* path is borrowed; the others may be NULL */
    size_t n_variables, n_steps;
    struct recipe_variable *variables;
    struct recipe_step *steps;
    struct pare_arena arena; /* of all of this, and of the plan */
};

/* `path` names the text in messages. PARE_ERR_INPUT for anything that docs/RECIPE.md does
 * not know. Free with recipe_free, also after a failure. */
enum pare_status recipe_parse(const char *text, size_t length, const char *path,
                              struct recipe *recipe, struct pare_error *err) PARE_CHECKED;
void recipe_free(struct recipe *recipe);

/* "NAME=VALUE" from the command line. PARE_ERR_USAGE when there is no such variable. */
enum pare_status recipe_set(struct recipe *recipe, const char *text,
                            struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_USAGE naming the first variable without a value. */
enum pare_status recipe_set_all(const struct recipe *recipe,
                                struct pare_error *err) PARE_CHECKED;
/* The number of a step; PARE_ERR_USAGE with the nearest name when there is none. */
enum pare_status recipe_find_step(const struct recipe *recipe, const char *option,
                                  const char *name, size_t *step,
                                  struct pare_error *err) PARE_CHECKED;

/* "PATH: step 'NAME': " before a message of this status; without a step its number. */
enum pare_status recipe_fail(const struct recipe *recipe, const struct recipe_step *step,
                             struct pare_error *err, const char *format, ...)
    PARE_PRINTF(4, 5);

/* --- The plan ------------------------------------------------------------------------
 */

#define RECIPE_NOWHERE SIZE_MAX

struct recipe_word {       /* an input or an option of a step */
    const char *option;    /* NULL: an input */
    const char *text;      /* what the program is given; NULL: a flag */
    enum recipe_type type; /* as it was written */
    int is_list;           /* one of several values, or the one of a list */
    int has_variable;      /* so what it is has been decided outside */
    size_t from;           /* the step whose output it is, or RECIPE_NOWHERE */
    enum recipe_kind kind; /* of that output */
    int is_made;           /* a file that this step writes */
};

struct recipe_job { /* a step with all its paths */
    const struct recipe_step *step;
    size_t n_words, n_outputs;
    struct recipe_word *words;
    const char *outputs[2]; /* the main one first */
    enum recipe_kind kinds[2];
    int has_codes; /* it makes a container of quantised weights */
    int is_used;   /* by a later step */
};

struct recipe_plan {
    struct recipe *recipe; /* whose arena grows with the commands */
    const char *folder;
    struct recipe_job *jobs; /* [recipe->n_steps] */
};

/* Outputs will be in `folder`. Everything is owned by the recipe's arena. */
enum pare_status recipe_plan(struct recipe *recipe, const char *folder,
                             struct recipe_plan *plan,
                             struct pare_error *err) PARE_CHECKED;

/* The words of a job's command: inputs, options, output, then `more`. argv[0] is
 * `program`, the last NULL. */
enum pare_status recipe_command(const struct recipe_plan *plan, size_t job,
                                const char *program, const struct pare_cli_list *more,
                                const char *const **argv,
                                struct pare_error *err) PARE_CHECKED;
/* The same on one line, as a shell wants it. */
void recipe_print_command(const char *const *argv, FILE *out);

/* --- Checks ---------------------------------------------------------------------------
 */

enum pare_status recipe_check(const struct recipe_plan *plan,
                              struct pare_error *err) PARE_CHECKED;

/* --- Running --------------------------------------------------------------------------
 */

struct recipe_run_options {
    const struct pare_cli_list *again; /* steps to run whatever was */
    size_t last;                       /* the last step to run */
    int dry_run;
    const char *json; /* where to tell what was done, or NULL */
};

enum pare_status recipe_run(struct pare_cli *cli, const struct recipe_plan *plan,
                            const struct recipe_run_options *options,
                            struct pare_error *err) PARE_CHECKED;

#endif
