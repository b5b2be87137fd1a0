/* PyTorch files: an input that begins with "PK" is an archive, any other a pickle, which
 * is put into an archive beside a storage of 24 bytes. Checksums of 0 count as not
 * computed, so mutations get past them. */
#include "tests/fuzz/checkpoint.h"
#include "tests/support/corpus_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
        check_checkpoint("fuzz.pt", data, size);
        return 0;
    }
    static const uint8_t storage[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct archive archive = {0};
    struct archive_entry pickle = {.name = "m/data.pkl",
                                   .name_length = 10,
                                   .flags = 8,
                                   .packed = size,
                                   .size = size};
    archive_add_entry(&archive, &pickle, data);
    archive_add(&archive, "m/data/0", storage, sizeof storage);
    archive_finish(&archive, 0);
    check_checkpoint("fuzz.pt", archive.out.data, archive.out.size);
    buffer_free(&archive.out);
    return 0;
}
