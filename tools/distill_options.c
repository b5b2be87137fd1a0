#include "tools/distill_options.h"

#include <stdio.h>
#include <string.h>

#include "tools/number_list.h"

const char *const distill_family_words[] = {"distilbert", "bert", "teacher's", NULL};
static const enum pare_family families[] = {PARE_DISTILBERT, PARE_BERT};

struct distill_options distill_options_default(void)
{
    const struct pare_distill_options loss = pare_distill_options_default();
    return (struct distill_options){
        .family = -1,
        .init = "teacher",
        .hard = loss.hard,
        .soft = loss.soft,
        .cosine = loss.cosine,
        .temperature = loss.temperature,
    };
}

/* --- Lists ------------------------------------------------------------------------ */

static enum pare_status parse_pairs(const char *option, const char *text, size_t most,
                                    struct pare_layer_pair *out, size_t *n,
                                    struct pare_error *err)
{
    const char *at = text;
    *n = 0;
    for (;;) {
        const long student = number_list_next(&at);
        const int colon = *at == ':';
        at += colon;
        const long teacher = number_list_next(&at);
        if (student < 0 || !colon || teacher < 0 || *n == most || (*at && *at != ','))
            return pare_fail(
                err, PARE_ERR_USAGE, "--%s \"%.80s\": expected %s, at most %zu", option,
                text, most > 1 ? "pairs such as 0:0,1:3,2:6" : "a pair such as 1:5",
                most);
        out[(*n)++] = (struct pare_layer_pair){(uint32_t)student, (uint32_t)teacher};
        if (!*at++)
            return PARE_OK;
    }
}

/* --- Options ---------------------------------------------------------------------- */

static int looks_at_hidden(const struct distill_options *o)
{
    return o->cosine > 0 || o->mse > 0 || o->first > 0;
}

static int looks_at_relations(const struct distill_options *o)
{
    return o->relation > 0 || o->attention > 0;
}

int distill_options_ask(const struct distill_options *o)
{
    return o->soft > 0 || looks_at_hidden(o) || looks_at_relations(o);
}

enum pare_status distill_options_check(const struct distill_options *o,
                                       struct pare_error *err)
{
    const char *hidden = o->map ? "map" : o->project ? "project" : NULL;
    const char *relation = o->relation_blocks  ? "relation-blocks"
                           : o->relation_heads ? "relation-heads"
                                               : NULL;
    if (hidden && !looks_at_hidden(o))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--%s is for --cosine, --mse and --first: give one of them a "
                         "weight",
                         hidden);
    if (relation && !looks_at_relations(o))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--%s is for --relation and --attention: give one of them a "
                         "weight",
                         relation);
    if (o->from && !strcmp(o->init, "random"))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--from names the teacher's blocks to start from, --init random "
                         "starts from none: give --layers");
    return PARE_OK;
}

static enum pare_family family_of(const struct distill_options *o,
                                  const struct pare_config *teacher)
{
    return o->family < 0   ? PARE_DISTILBERT
           : o->family < 2 ? families[o->family]
                           : teacher->family;
}

enum pare_status distill_options_student(const struct distill_options *o,
                                         const struct pare_config *teacher,
                                         uint32_t *from,
                                         struct pare_student_options *options,
                                         struct pare_error *err)
{
    *options = (struct pare_student_options){
        .family = family_of(o, teacher),
        .layers = (uint32_t)o->layers,
        .hidden = (uint32_t)o->hidden,
        .heads = (uint32_t)o->heads,
        .ffn = (uint32_t)o->ffn,
        .draw = !strcmp(o->init, "random"),
    };
    if (o->from) {
        PARE_TRY(number_list_parse("from", o->from, PARE_MAX_PAIRS, from,
                                   &options->n_from, err));
        options->from = from;
    }
    if (!options->layers && !o->from)
        options->layers = (teacher->layers + 1) / 2;
    return PARE_OK;
}

enum pare_status distill_options_go_on(const struct distill_options *o,
                                       const struct pare_config *student,
                                       const struct pare_config *teacher,
                                       struct pare_error *err)
{
    const char *given = o->layers   ? "layers"
                        : o->from   ? "from"
                        : o->ffn    ? "ffn"
                        : o->hidden ? "hidden"
                        : o->heads  ? "heads"
                                    : NULL;
    if (o->family >= 0 && family_of(o, teacher) != student->family)
        return pare_fail(
            err, PARE_ERR_USAGE, "--family %s is for a new student; the one in %s is %s",
            distill_family_words[o->family], o->init, pare_family_name(student->family));
    if (!given)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE,
                     "--%s is for a new student; the one in %s has its shape", given,
                     o->init);
}

enum pare_status distill_options_loss(const struct distill_options *o,
                                      const struct pare_config *student,
                                      const struct pare_config *teacher,
                                      struct pare_distill_options *options,
                                      struct pare_error *err)
{
    *options = (struct pare_distill_options){
        .hard = o->hard,
        .soft = o->soft,
        .cosine = o->cosine,
        .mse = o->mse,
        .first = o->first,
        .relation = o->relation,
        .attention = o->attention,
        .temperature = o->temperature,
        .project = o->project || student->hidden != teacher->hidden,
        .relation_heads =
            o->relation_heads ? (uint32_t)o->relation_heads : teacher->heads,
    };
    pare_distill_map_evenly(options, student->layers, teacher->layers);
    if (o->map)
        PARE_TRY(parse_pairs("map", o->map, PARE_MAX_PAIRS, options->map, &options->n_map,
                             err));
    if (o->relation_blocks) {
        struct pare_layer_pair pair;
        size_t n;
        PARE_TRY(parse_pairs("relation-blocks", o->relation_blocks, 1, &pair, &n, err));
        options->relation_student = pair.student;
        options->relation_teacher = pair.teacher;
    }
    return pare_distill_check(options, student, teacher, err);
}

static int add_weight(cJSON *json, const char *name, double weight)
{
    return weight > 0 ? cJSON_AddNumberToObject(json, name, weight) != NULL : 1;
}

int distill_options_history(const struct distill_options *o,
                            const struct pare_distill_options *loss, cJSON *json)
{
    char map[PARE_MAX_PAIRS * 12] = "";
    for (size_t i = 0, used = 0; i < loss->n_map; i++)
        used += (size_t)snprintf(map + used, sizeof map - used, "%s%u:%u", i ? "," : "",
                                 loss->map[i].student, loss->map[i].teacher);
    int ok =
        add_weight(json, "hard", loss->hard) && add_weight(json, "soft", loss->soft) &&
        add_weight(json, "cosine", loss->cosine) && add_weight(json, "mse", loss->mse) &&
        add_weight(json, "first", loss->first) &&
        add_weight(json, "relation", loss->relation) &&
        add_weight(json, "attention", loss->attention);
    if (ok && loss->soft > 0)
        ok = cJSON_AddNumberToObject(json, "temperature", loss->temperature) != NULL;
    if (ok && looks_at_hidden(o))
        ok = cJSON_AddStringToObject(json, "map", map) &&
             cJSON_AddBoolToObject(json, "project", loss->project);
    if (ok && looks_at_relations(o)) {
        snprintf(map, sizeof map, "%u:%u", loss->relation_student,
                 loss->relation_teacher);
        ok = cJSON_AddStringToObject(json, "relation_blocks", map) &&
             cJSON_AddNumberToObject(json, "relation_heads", loss->relation_heads);
    }
    if (ok && (!strcmp(o->init, "teacher") || !strcmp(o->init, "random")))
        ok = cJSON_AddStringToObject(json, "init", o->init) != NULL;
    if (ok && o->from)
        ok = cJSON_AddStringToObject(json, "from", o->from) != NULL;
    return ok;
}
