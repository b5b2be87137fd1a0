/* A folder of its own for a test, and plain file helpers that do not use the library. */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static inline struct folder folder_make(void)
{
    struct folder folder;
    snprintf(folder.path, sizeof folder.path, "/tmp/pare-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder.path));
    return folder;
}

/* Removes the files in it (no sub-folders) and the folder. */
static inline void folder_remove(const struct folder *folder)
{
    char path[512];
    DIR *listing = opendir(folder->path);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        snprintf(path, sizeof path, "%s/%s", folder->path, entry->d_name);
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            unlink(path);
    }
    if (listing)
        closedir(listing);
    rmdir(folder->path);
}

/* Entries without "." and "..". */
static inline int folder_count(const struct folder *folder)
{
    int count = -2;
    DIR *listing = opendir(folder->path);
    cr_assert_not_null(listing);
    while (readdir(listing))
        count++;
    closedir(listing);
    return count;
}

/* A path inside the folder; good for the next 63 calls. */
static inline const char *folder_path(const struct folder *folder, const char *name)
{
    static char paths[64][512];
    static unsigned turn;
    char *path = paths[turn++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

static inline void put_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    if (bytes)
        cr_assert_eq(fwrite(data, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
}

static inline int file_is(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    char *found = malloc(bytes + 1);
    size_t n = fread(found, 1, bytes + 1, file);
    int same = n == bytes && (!bytes || memcmp(found, data, bytes) == 0);
    free(found);
    fclose(file);
    return same;
}

#endif
