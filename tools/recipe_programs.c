#include "tools/recipe.h"

const struct recipe_program recipe_programs[] = {
    {.verb = "convert",
     .reads = RECIPE_ANY,
     .makes = RECIPE_MODEL,
     .inputs = "the checkpoint",
     .output_word = "-o",
     .suffix = ".gguf"},
    {.verb = "train",
     .reads = RECIPE_MODEL,
     .makes = RECIPE_MODEL,
     .inputs = "the model to begin with, or nothing",
     .output_word = "-o",
     .suffix = ".gguf",
     .extra = {"metrics", ".metrics.jsonl", RECIPE_METRICS},
     .resumes = 1,
     .format_option = "qat"},
    {.verb = "distill",
     .reads = RECIPE_MODEL,
     .makes = RECIPE_MODEL,
     .inputs = "the teacher",
     .output_word = "-o",
     .suffix = ".gguf",
     .extra = {"metrics", ".metrics.jsonl", RECIPE_METRICS},
     .resumes = 1,
     .format_option = "qat"},
    {.verb = "prune",
     .reads = RECIPE_MODEL,
     .makes = RECIPE_MODEL,
     .inputs = "the model",
     .output_word = "-o",
     .suffix = ".gguf",
     .extra = {"json", ".sizes.json", RECIPE_ANY},
     .format_option = "scheme"},
    {.verb = "quantize",
     .reads = RECIPE_MODEL,
     .makes = RECIPE_MODEL,
     .inputs = "the model",
     .output_word = "-o",
     .suffix = ".gguf",
     .extra = {"json", ".sizes.json", RECIPE_ANY},
     .format_option = "scheme",
     .format_always = 1},
    {.verb = "eval",
     .reads = RECIPE_MODEL,
     .makes = RECIPE_RESULT,
     .inputs = "the model to measure",
     .output_word = "--json",
     .suffix = ".json",
     .measures = 1},
    {.verb = "report",
     .reads = RECIPE_RESULT,
     .makes = RECIPE_REPORT,
     .inputs = "results of eval",
     .output_word = "-o",
     .suffix = ".md",
     .extra = {"html", ".html", RECIPE_REPORT}},
    {.verb = "sample",
     .reads = RECIPE_ANY,
     .makes = RECIPE_FOLDER,
     .output_word = "-o",
     .suffix = ""},
    {.verb = NULL},
};

const char *recipe_kind_name(enum recipe_kind kind)
{
    switch (kind) {
    case RECIPE_MODEL: return "a model";
    case RECIPE_RESULT: return "a result of eval";
    case RECIPE_REPORT: return "a report";
    case RECIPE_METRICS: return "metrics of a training run";
    case RECIPE_FOLDER: return "a folder";
    case RECIPE_ANY: break;
    }
    return "a file";
}
