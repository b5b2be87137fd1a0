/* A step as the words that start its program, and as a line for a shell. */
#include <string.h>

#include "tools/recipe.h"

enum pare_status recipe_command(const struct recipe_plan *plan, size_t job,
                                const char *program, const struct pare_cli_list *more,
                                const char *const **argv, struct pare_error *err)
{
    const struct recipe_job *j = &plan->jobs[job];
    const char **out;
    struct pare_arena *arena = &plan->recipe->arena;
    size_t n = 0, room = 4 + 2 * j->n_words + (more ? more->count : 0);
    PARE_TRY(pare_arena_alloc(arena, &out, room, sizeof *out, err));
    out[n++] = program;
    for (size_t i = 0; i < j->n_words; i++) {
        const struct recipe_word *word = &j->words[i];
        char *dashed;
        if (word->option) {
            const size_t length = strlen(word->option);
            PARE_TRY(pare_arena_alloc(arena, &dashed, length + 3, 1, err));
            memcpy(dashed, "--", 2);
            memcpy(dashed + 2, word->option, length + 1);
            out[n++] = dashed;
        }
        if (word->text)
            out[n++] = word->text;
    }
    out[n++] = j->step->program->output_word;
    out[n++] = j->outputs[0];
    for (size_t i = 0; more && i < more->count; i++)
        out[n++] = more->items[i];
    out[n] = NULL;
    *argv = out;
    return PARE_OK;
}

static void print_word(const char *word, FILE *out)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789_-+=:,./@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    putc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            putc(*word, out);
    putc('\'', out);
}

void recipe_print_command(const char *const *argv, FILE *out)
{
    for (size_t i = 0; argv[i]; i++) {
        if (i)
            putc(' ', out);
        print_word(argv[i], out);
    }
    putc('\n', out);
}
