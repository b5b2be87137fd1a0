/* safetensors: any file. When it opens, its tensors cover the data to the last byte. */
#include "tests/fuzz/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_checkpoint("fuzz.safetensors", data, size);
    /* Most random lengths are beyond the file: the same header with its true length. */
    if (size >= 8 && size < 4096) {
        uint8_t copy[4096];
        uint64_t data_bytes = data[6] % 32, header = size - 8;
        memcpy(copy, data, size);
        memset(copy, 0, 8);
        header -= data_bytes < header ? data_bytes : 0;
        copy[0] = (uint8_t)header;
        copy[1] = (uint8_t)(header >> 8);
        check_checkpoint("fuzz.safetensors", copy, size);
    }
    return 0;
}
