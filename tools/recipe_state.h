/* What is remembered of the runs in a work folder, and the keys that tell whether a step
 * is as it was.
 *
 * FOLDER/recipe.state is JSON: for each step the key that it was last finished with and
 * the SHA-256 of what it wrote, and the key that it was last started with. A step needs
 * not be run when its key is that, and the files still have these sums.
 */
#ifndef PARE_TOOLS_RECIPE_STATE_H
#define PARE_TOOLS_RECIPE_STATE_H

#include "runtime/base/json.h"
#include "tools/recipe.h"

#define RECIPE_SUM_SIZE 65 /* a SHA-256 in hexadecimal, with the NUL */

/* --- Sums -----------------------------------------------------------------------------
 */

struct recipe_sum {
    const char *path;
    char hex[RECIPE_SUM_SIZE];
};

struct recipe_sums { /* of the files read so far; all zero: none */
    struct recipe_sum *items;
    size_t count, capacity;
};

/* That of a file, or of the files in a folder with their names. *hex lasts until the next
 * call; `path` must last as long as the sums. */
enum pare_status recipe_sums_get(struct recipe_sums *sums, const char *path,
                                 const char **hex, struct pare_error *err) PARE_CHECKED;
/* The file is about to change. */
void recipe_sums_forget(struct recipe_sums *sums, const char *path);
void recipe_sums_free(struct recipe_sums *sums);

/* The key of a job: over the version, the program, its options and the contents of all it
 * reads; with `machine`, over that too, when the program measures. Its inputs are there.
 */
enum pare_status recipe_key(const struct recipe_job *job, const char *machine,
                            struct recipe_sums *sums, char key[RECIPE_SUM_SIZE],
                            struct pare_error *err) PARE_CHECKED;

/* --- The state ------------------------------------------------------------------------
 */

struct recipe_state {
    char path[4096];
    cJSON *json;
};

/* Reads the state of a folder, which need not be there. One that is damaged is as none,
 * with a warning: everything is made again. */
enum pare_status recipe_state_open(struct recipe_state *state, struct pare_cli *cli,
                                   const char *folder,
                                   struct pare_error *err) PARE_CHECKED;
void recipe_state_close(struct recipe_state *state);

enum recipe_change { /* why a step is to be run */
                     RECIPE_UNCHANGED,
                     RECIPE_NEW,
                     RECIPE_STOPPED, /* it was started with this key and did not end */
                     RECIPE_CHANGED, /* the key is another */
                     RECIPE_MISSING, /* an output is not there */
                     RECIPE_DAMAGED, /* an output is not what the step wrote */
};
enum pare_status recipe_state_compare(const struct recipe_state *state,
                                      const struct recipe_job *job, const char *key,
                                      struct recipe_sums *sums,
                                      enum recipe_change *change,
                                      struct pare_error *err) PARE_CHECKED;
/* Whether the step's last start was with this key and did not end. */
int recipe_state_is_stopped(const struct recipe_state *state, const char *name,
                            const char *key);

/* Both write the state. */
enum pare_status recipe_state_start(struct recipe_state *state, const char *name,
                                    const char *key, struct pare_error *err) PARE_CHECKED;
enum pare_status recipe_state_finish(struct recipe_state *state,
                                     const struct recipe_job *job, const char *key,
                                     struct recipe_sums *sums,
                                     struct pare_error *err) PARE_CHECKED;

#endif
