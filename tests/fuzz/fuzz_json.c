/* JSON: any text. What the strict parser accepts, cJSON must have understood the same
 * way: the printed tree is accepted again and equals the first. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pare_error err;
    cJSON *tree, *again;
    enum pare_status status =
        pare_json_parse((const char *)data, size, "fuzz.json", &tree, &err);
    if (status != PARE_OK) {
        CHECK(status == PARE_ERR_INPUT && !tree);
        CHECK(strncmp(err.message, "fuzz.json: ", 11) == 0);
        return 0;
    }
    char *text = cJSON_PrintUnformatted(tree);
    CHECK(text);
    status = pare_json_parse(text, strlen(text), "again.json", &again, &err);
    CHECK(status == PARE_OK);
    CHECK(cJSON_Compare(tree, again, 1));
    cJSON_free(text);
    cJSON_Delete(tree);
    cJSON_Delete(again);
    return 0;
}
