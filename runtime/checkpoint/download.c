/* How many bytes of a checkpoint are sent when its files are compressed on the way. */
#include "runtime/base/interrupt.h"
#include "runtime/checkpoint/gzip.h"
#include "runtime/checkpoint/reader.h"

#define PIECE ((uint64_t)1 << 20) /* compressed at a time; a multiple of every page */

struct job {
    const struct pare_progress *progress;
    uint64_t done, total;
};

static enum pare_status compress(const struct pare_map *map, struct job *job,
                                 struct pare_gzip *gzip, struct pare_error *err)
{
    for (uint64_t at = 0, n; at < map->size; at += n) {
        n = map->size - at < PIECE ? map->size - at : PIECE;
        PARE_TRY(pare_check_interrupted(err));
        pare_progress_report(job->progress, "compress", job->done, job->total, NULL);
        PARE_TRY(pare_gzip_write(gzip, map->data + at, (size_t)n, err));
        pare_map_release(map, map->data + at, n);
        job->done += n;
    }
    return pare_gzip_end(gzip, err);
}

static enum pare_status add_file(const struct pare_ckpt *ckpt, const struct pare_map *map,
                                 struct job *job, uint64_t *bytes, struct pare_error *err)
{
    const struct pare_source source = pare_source_of(ckpt->path, map->data, map->size);
    struct pare_gzip *gzip;
    if (pare_is_gzip(&source)) {
        job->done += map->size;
        *bytes += map->size;
        return PARE_OK;
    }
    PARE_TRY(pare_gzip_new(NULL, &gzip, err));
    enum pare_status status = compress(map, job, gzip, err);
    *bytes += pare_gzip_bytes(gzip);
    pare_gzip_free(gzip);
    return status;
}

enum pare_status pare_ckpt_download(const struct pare_ckpt *ckpt,
                                    const struct pare_progress *progress, uint64_t *bytes,
                                    struct pare_error *err)
{
    const struct pare_ckpt_files *files = ckpt->files;
    struct job job = {.progress = progress, .total = 0};
    *bytes = 0;
    for (size_t i = 0; i < files->n_maps; i++)
        job.total += files->maps[i].size;
    for (size_t i = 0; i < files->n_maps; i++)
        PARE_TRY(add_file(ckpt, &files->maps[i], &job, bytes, err));
    pare_progress_report(progress, "compress", job.total, job.total, NULL);
    return PARE_OK;
}
