#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/sha256.h"
#include "runtime/base/sha256_blocks.h"

Test(sha256, agrees_with_the_examples_of_the_standard)
{
    char hex[65];
    pare_sha256_of("", 0, hex);
    cr_assert_str_eq(hex,
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    pare_sha256_of("abc", 3, hex);
    cr_assert_str_eq(hex,
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    pare_sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
    cr_assert_str_eq(hex,
                     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    pare_sha256_of(million, 1000000, hex);
    free(million);
    cr_assert_str_eq(hex,
                     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

Test(sha256, does_not_depend_on_how_the_data_are_cut)
{
    unsigned char data[400];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    for (size_t length = 0; length <= 200; length++)
        for (size_t piece = 1; piece <= 130; piece += 1 + piece / 3) {
            char whole[65], parts[65];
            struct pare_sha256 sha;
            pare_sha256_of(data, length, whole);
            pare_sha256_init(&sha);
            for (size_t at = 0; at < length; at += piece)
                pare_sha256_update(&sha, data + at,
                                   length - at < piece ? length - at : piece);
            pare_sha256_hex(&sha, parts);
            cr_assert_str_eq(whole, parts);
        }
}

Test(sha256, is_the_same_with_and_without_the_instructions_of_the_cpu)
{
#if defined(__x86_64__)
    if (!pare_sha256_has_x86())
        cr_skip_test("this CPU has no SHA instructions");
    uint8_t data[64 * 9 + 1];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i * 31 + 7);
    for (size_t count = 0; count <= 9; count++) {
        uint32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 0xffffffff}, b[8];
        memcpy(b, a, sizeof b);
        pare_sha256_blocks_portable(a, data + 1, count);
        pare_sha256_blocks_x86(b, data + 1, count);
        cr_assert_eq(memcmp(a, b, sizeof a), 0);
    }
#else
    cr_skip_test("no such instructions on this architecture");
#endif
}
