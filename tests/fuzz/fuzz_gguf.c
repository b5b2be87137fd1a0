/* GGUF: any file; one that does not begin with the magic gets it, and version 3. */
#include "tests/fuzz/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_checkpoint("fuzz.gguf", data, size);
    if (size >= 24 && memcmp(data, "GGUF", 4) != 0) {
        uint8_t *copy = malloc(size);
        CHECK(copy);
        memcpy(copy, data, size);
        memcpy(copy, "GGUF\3\0\0\0", 8);
        for (int i = 9; i < 24; i++) /* counts below 256 */
            if (i != 16)
                copy[i] = 0;
        check_checkpoint("fuzz.gguf", copy, size);
        free(copy);
    }
    return 0;
}
