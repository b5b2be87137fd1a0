/* How the programs show progress: a bar on a terminal; elsewhere a line each 10 % or
 * 60 seconds, so that a log stays short but never silent; JSON lines for other programs.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tools/cli_internal.h"

#define BAR_WIDTH 24

static double now(void)
{
    return pare_clock_ms() / 1e3;
}

/* "1:02:03" or "2:03" */
static void format_seconds(double seconds, char *out, size_t size)
{
    unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%lu:%02lu", s / 60, s % 60);
}

static void draw_bar(struct pare_cli_drawing *d, double time, uint64_t done,
                     uint64_t total, const char *note)
{
    int finished = total > 0 && done >= total;
    if (!finished && d->bar_visible && time - d->last_time < 0.1)
        return;
    char bar[BAR_WIDTH + 1], left[40] = "";
    double share = total ? (double)done / (double)total : 0;
    int filled = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    double used = time - d->phase_start;
    char clock[24];
    if (finished) {
        format_seconds(used, clock, sizeof clock);
        snprintf(left, sizeof left, "  in %s", clock);
    } else if (done > 0 && used > 1) {
        format_seconds(used / (double)done * (double)(total - done), clock, sizeof clock);
        snprintf(left, sizeof left, "  %s left", clock);
    }
    fprintf(stderr, "\r\033[K%s [%s] %3.0f %%%s%s%.60s", d->phase, bar, share * 100, left,
            note ? "  " : "", note ? note : "");
    if (finished)
        fputc('\n', stderr);
    fflush(stderr);
    d->bar_visible = !finished;
    d->last_time = time;
}

static void print_line(struct pare_cli_drawing *d, double time, uint64_t done,
                       uint64_t total, const char *note)
{
    int step = total ? (int)((double)done / (double)total * 10) : 0;
    if (step <= d->last_step && time - d->last_time < 60)
        return;
    fprintf(stderr, "%s: %s %3.0f %%%s%s\n", d->program, d->phase,
            total ? (double)done / (double)total * 100 : 0.0, note ? "  " : "",
            note ? note : "");
    d->last_step = step > d->last_step ? step : d->last_step;
    d->last_time = time;
}

static void print_json(struct pare_cli_drawing *d, double time, uint64_t done,
                       uint64_t total, const char *note)
{
    int step = total ? (int)((double)done / (double)total * 100) : 0;
    if (step <= d->last_step && time - d->last_time < 1)
        return;
    d->last_step = step > d->last_step ? step : d->last_step;
    d->last_time = time;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "phase", d->phase);
    cJSON_AddNumberToObject(object, "done", (double)done);
    cJSON_AddNumberToObject(object, "total", (double)total);
    cJSON_AddNumberToObject(object, "seconds",
                            round((time - d->phase_start) * 1e3) / 1e3);
    if (note)
        cJSON_AddStringToObject(object, "note", note);
    char *text = object ? cJSON_PrintUnformatted(object) : NULL;
    if (text)
        fprintf(stderr, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void report(void *context, const char *phase, uint64_t done, uint64_t total,
                   const char *note)
{
    struct pare_cli_drawing *d = context;
    double time = now();
    if (done > total)
        done = total;
    if (strncmp(phase, d->phase, sizeof d->phase - 1) != 0) {
        if (d->bar_visible)
            fputc('\n', stderr);
        d->bar_visible = 0;
        snprintf(d->phase, sizeof d->phase, "%s", phase);
        d->phase_start = d->last_time = time;
        d->last_step = 0;
    }
    switch (d->mode) {
    case PARE_CLI_PROGRESS_BAR: draw_bar(d, time, done, total, note); break;
    case PARE_CLI_PROGRESS_LINES: print_line(d, time, done, total, note); break;
    case PARE_CLI_PROGRESS_JSON: print_json(d, time, done, total, note); break;
    default: break;
    }
}

void pare_cli_progress_start(struct pare_cli *cli)
{
    struct pare_cli_drawing *d = &cli->state->drawing;
    d->program = cli->program->name;
    d->mode = (enum pare_cli_progress_mode)cli->state->progress_mode;
    if (d->mode == PARE_CLI_PROGRESS_AUTO) {
        if (cli->quiet)
            d->mode = PARE_CLI_PROGRESS_NONE;
        else
            d->mode =
                isatty(STDERR_FILENO) ? PARE_CLI_PROGRESS_BAR : PARE_CLI_PROGRESS_LINES;
    }
    if (d->mode != PARE_CLI_PROGRESS_NONE)
        cli->progress = (struct pare_progress){.report = report, .context = d};
}

void pare_cli_progress_hide(struct pare_cli *cli)
{
    if (!cli->state || !cli->state->drawing.bar_visible)
        return;
    fputs("\r\033[K", stderr);
    cli->state->drawing.bar_visible = 0;
}
