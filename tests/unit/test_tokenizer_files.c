/* vocab.txt and tokenizer.json, whole and broken: cases T01 to T08 of RELIABILITY.md. */
#include <criterion/criterion.h>

#include "runtime/text/wordpiece.h"
#include "tests/support/tokenizers.h"

static struct pare_error err;

#define LINES                                                                            \
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nThe\ncaf\u00e9\ncafe\n##s\n\u91ce\n"

/* A tokenizer.json in its parts. */
#define ADDED                                                                            \
    "\"added_tokens\":[{\"id\":1,\"content\":\"[CLS]\",\"single_word\":false,"           \
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}]"
#define NORMALIZER                                                                       \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"                   \
    "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true}"
#define PRE "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define POST                                                                             \
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],"             \
    "\"cls\":[\"[CLS]\",1]}"
#define VOCAB "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"the\":3,\"##s\":4}"
#define MODEL_OF(vocab)                                                                  \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","                         \
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100," vocab "}"
#define JSON(added, normalizer, pre, post, model)                                        \
    "{\"version\":\"1.0\",\"truncation\":{\"max_length\":8},\"padding\":{\"x\":1}"       \
    "," added "," normalizer "," pre "," post                                            \
    ",\"decoder\":{\"type\":\"WordPiece\"}," model "}"
#define WHOLE JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF(VOCAB))

static struct folder folder;

static void open_folder(void)
{
    folder = folder_make();
}

static void close_folder(void)
{
    folder_remove(&folder);
}

TestSuite(tokenizer_files, .init = open_folder, .fini = close_folder);

static void put(const char *name, const char *text)
{
    put_file(folder_path(&folder, name), text, strlen(text));
}

/* Loads `name` of the folder (or the folder: "."); expects a failure whose message says
 * `phrase`, or success when `phrase` is NULL. */
static struct pare_tokenizer *load(const char *name, enum pare_status status,
                                   const char *phrase, const char *label)
{
    struct pare_tokenizer *t = (void *)1;
    err.message[0] = '\0';
    const char *path = strcmp(name, ".") ? folder_path(&folder, name) : folder.path;
    enum pare_status found = pare_tokenizer_load(path, &t, &err);
    cr_expect_eq(found, status, "%s: %s (%s)", label, pare_status_name(found),
                 err.message);
    cr_expect(!phrase || strstr(err.message, phrase), "%s: \"%s\" is not in \"%s\"",
              label, phrase, err.message);
    cr_expect_eq(t != NULL, found == PARE_OK, "%s", label);
    return t;
}

static void refused(const char *name, const char *phrase, const char *label)
{
    pare_tokenizer_free(load(name, PARE_ERR_INPUT, phrase, label));
}

static void gives(const char *name, const char *text, const char *ids, const char *label)
{
    struct pare_tokenizer *t = load(name, PARE_OK, NULL, label);
    if (t)
        cr_expect_str_eq(ids_of(t, text, strlen(text), 0), ids, "%s: %s", label,
                         ids_of(t, text, strlen(text), 0));
    pare_tokenizer_free(t);
}

/* ---- vocab.txt ---- */

Test(tokenizer_files, t08_harmless_differences_of_vocab_txt_do_not_matter)
{
    struct {
        const char *label, *text;
    } cases[] = {
        {"plain", LINES},
        {"no final newline", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nThe\ncaf\u00e9\n"
                             "cafe\n##s\n\u91ce"},
        {"CRLF",
         "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nthe\r\nThe\r\ncaf\u00e9\r\n"
         "cafe\r\n##s\r\n\u91ce\r\n"},
        {"byte order mark", "\xEF\xBB\xBF" LINES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("vocab.txt", cases[i].text);
        gives("vocab.txt", "The caf\u00e9s [MASK]", "2 5 8 9 4 3", cases[i].label);
        struct pare_tokenizer *t = load("vocab.txt", PARE_OK, NULL, cases[i].label);
        cr_expect_eq(pare_tokenizer_vocab_size(t), 11, "%s", cases[i].label);
        pare_tokenizer_free(t);
    }
}

Test(tokenizer_files, t08_a_broken_vocab_txt_is_refused)
{
    struct {
        const char *label, *text, *phrase;
    } cases[] = {
        {"duplicate", LINES "the\n", "\"the\" is there twice: lines 6 and 12"},
        {"duplicate across line ends", LINES "the\r\n", "lines 6 and 12"},
        {"empty line", "[PAD]\n\n" LINES, "line 2: empty piece"},
        {"two newlines at the end", LINES "\n", "line 12: empty piece"},
        {"empty CRLF line", LINES "\r\n", "line 12: empty piece"},
        {"no [UNK]", "[PAD]\n[CLS]\n[SEP]\nthe\n", "no line is the unk_token \"[UNK]\""},
        {"no [CLS]", "[PAD]\n[UNK]\n[SEP]\nthe\n", "no line is the cls_token \"[CLS]\""},
        {"no [SEP]", "[PAD]\n[UNK]\n[CLS]\nthe\n", "no line is the sep_token \"[SEP]\""},
        {"invalid UTF-8", LINES "ab\xC3(\n", "line 12: invalid UTF-8 at byte 2"},
        {"UTF-16", "\xFF\xFE[\n", "line 1: invalid UTF-8 at byte 0"},
        {"carriage return inside", LINES "a\rb\n", "line 12: carriage return"},
        {"empty file", "", "no piece in the file"},
        {"only a byte order mark", "\xEF\xBB\xBF", "no piece in the file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("vocab.txt", cases[i].text);
        refused("vocab.txt", cases[i].phrase, cases[i].label);
        cr_expect(strstr(err.message, "/vocab.txt: "), "%s", err.message);
    }
    put_file(folder_path(&folder, "vocab.txt"), LINES "a\0b\n", sizeof LINES - 1 + 4);
    refused("vocab.txt", "line 12: NUL byte", "NUL");
}

Test(tokenizer_files, t08_long_lines_and_files_are_refused)
{
    size_t size = (size_t)100 << 20;
    char *text = malloc(size);
    memset(text, 'a', size);
    memcpy(text, LINES, sizeof LINES - 1);
    put_file(folder_path(&folder, "vocab.txt"), text, sizeof LINES - 1 + 65537);
    refused("vocab.txt", "line 12: piece \"aaaa", "65,537 bytes");
    put_file(folder_path(&folder, "vocab.txt"), text, sizeof LINES - 1 + 65536);
    pare_tokenizer_free(load("vocab.txt", PARE_OK, NULL, "65,536 bytes"));
    put_file(folder_path(&folder, "vocab.txt"), text, size);
    refused("vocab.txt", "vocab.txt", "100 MB");
    free(text);
}

Test(tokenizer_files, a_missing_file_says_its_name)
{
    pare_tokenizer_free(load("vocab.txt", PARE_ERR_IO, "vocab.txt", "no file"));
    pare_tokenizer_free(
        load(".", PARE_ERR_IO, "neither tokenizer.json nor vocab.txt", "empty folder"));
    cr_expect_eq(pare_tokenizer_exists(folder.path), 0);
    put("vocab.txt", LINES);
    cr_expect_eq(pare_tokenizer_exists(folder.path), 1);
    pare_tokenizer_free(load(".", PARE_OK, NULL, "folder with vocab.txt"));
}

/* ---- tokenizer_config.json beside it ---- */

Test(tokenizer_files, settings_of_tokenizer_config_json_hold)
{
    struct {
        const char *config, *text, *ids;
    } cases[] = {
        {"{}", "The caf\u00e9 a\u91ce", "2 5 8 1 10 3"},
        {"{\"do_lower_case\":false}", "The the caf\u00e9", "2 6 5 7 3"},
        {"{\"do_lower_case\":false,\"strip_accents\":true}", "The caf\u00e9", "2 6 8 3"},
        {"{\"do_lower_case\":true,\"strip_accents\":false}", "The caf\u00e9", "2 5 7 3"},
        {"{\"strip_accents\":null,\"do_lower_case\":null}", "The caf\u00e9", "2 5 8 3"},
        {"{\"tokenize_chinese_chars\":false}", "\u91ce the\u91ce", "2 10 1 3"},
        {"{\"tokenizer_class\":\"BertTokenizerFast\",\"do_lower_case\":false}", "The",
         "2 6 3"},
        {"{\"tokenizer_class\":\"DistilBertTokenizer\"}", "The", "2 5 3"},
        {"{\"unk_token\":\"the\",\"cls_token\":{\"content\":\"[MASK]\"},\"sep_token\":"
         "\"The\"}",
         "zz", "4 5 6"},
        {"{\"mask_token\":{\"content\":\"[MASK]\",\"lstrip\":true,\"single_word\":true}}",
         "[MASK] the[MASK]", "2 4 5 1 1 1 3"},
        {"{\"additional_special_tokens\":[\"cafe\",\"[E1]\"]}", "cafes [E1]",
         "2 8 1 11 3"},
        {"{\"added_tokens_decoder\":{\"11\":{\"content\":\"[E1]\",\"lstrip\":false,"
         "\"normalized\":false,\"rstrip\":false,\"single_word\":false,\"special\":false}}"
         "}",
         "[E1]the", "2 11 5 3"},
    };
    put("vocab.txt", LINES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("tokenizer_config.json", cases[i].config);
        gives("vocab.txt", cases[i].text, cases[i].ids, cases[i].config);
        gives(".", cases[i].text, cases[i].ids, cases[i].config);
    }
}

Test(tokenizer_files, a_tokenizer_config_json_that_cannot_be_followed_is_refused)
{
    struct {
        const char *config, *phrase;
    } cases[] = {
        {"{\"tokenizer_class\":\"BertJapaneseTokenizer\"}",
         "\"BertJapaneseTokenizer\" is not supported"},
        {"{\"tokenizer_class\":\"BertTokenizerSlow\"}", "\"BertTokenizerSlow\""},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}",
         "save it as tokenizer.json"},
        {"{\"do_lower_case\":\"yes\"}", "do_lower_case"},
        {"{\"cls_token\":\"<s>\"}", "cls_token \"<s>\""},
        {"{\"cls_token\":7}", "neither a string nor an object"},
        {"{\"cls_token\":\"\"}", "is empty"},
        {"{\"added_tokens_decoder\":{\"13\":{\"content\":\"[E1]\"}}}",
         "has id 13; with this vocabulary it is 11"},
        {"{\"added_tokens_decoder\":{\"4\":{\"content\":\"the\"}}}", "it is 5"},
        {"{\"added_tokens_decoder\":{\"-1\":{\"content\":\"the\"}}}", "not an id"},
        {"{\"added_tokens_decoder\":[]}", "not an object"},
        {"{\"additional_special_tokens\":\"x\"}", "not a list"},
        {"[]", "not a JSON object"},
        {"{\"a\":1,\"a\":2}", "tokenizer_config.json"},
    };
    put("vocab.txt", LINES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("tokenizer_config.json", cases[i].config);
        refused(".", cases[i].phrase, cases[i].config);
    }
}

Test(tokenizer_files, the_other_files_of_a_folder_are_read)
{
    put("vocab.txt", LINES);
    put("special_tokens_map.json", "{\"unk_token\":\"the\",\"cls_token\":\"[CLS]\"}");
    gives(".", "zz", "2 5 3", "special_tokens_map.json");
    put("tokenizer_config.json", "{\"unk_token\":\"[UNK]\"}");
    gives(".", "zz", "2 1 3", "tokenizer_config.json goes before it");
    put("added_tokens.json", "{\"[MASK]\":4}");
    gives(".", "zz", "2 1 3", "added_tokens.json without news");
    put("added_tokens.json", "{\"[E1]\":11}");
    refused(".", "added_tokens.json: \"[E1]\" is not in the vocabulary", "news");
}

/* ---- tokenizer.json ---- */

Test(tokenizer_files, a_whole_tokenizer_json_is_read)
{
    put("tokenizer.json", WHOLE);
    gives("tokenizer.json", "The thes [CLS] [SEP]", "1 3 3 4 1 0 0 0 2", "whole");
    put("vocab.txt", "not read");
    gives(".", "thes", "1 3 4 2", "folder");
}

#define TEMPLATE(cls, text, sep, ids)                                                    \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" cls text sep      \
    "],\"pair\":[],\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[" ids        \
    "],\"tokens\":[\"[CLS]\"]},\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[2],\"tokens\":"      \
    "[\"[SEP]\"]}}}"
#define SPECIAL(name, type)                                                              \
    "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":" type "}}"
#define TEXT_A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"

Test(tokenizer_files, equivalent_forms_of_tokenizer_json_are_read)
{
    struct {
        const char *json, *text, *ids;
    } cases[] = {
        {JSON(ADDED, NORMALIZER, PRE,
              TEMPLATE(SPECIAL("[CLS]", "0") ",", TEXT_A, "," SPECIAL("[SEP]", "0"), "1"),
              MODEL_OF(VOCAB)),
         "The", "1 3 2"},
        {JSON(ADDED, NORMALIZER, PRE, TEMPLATE("", TEXT_A, "", "1"), MODEL_OF(VOCAB)),
         "The", "3"},
        {JSON(ADDED, NORMALIZER, PRE, "\"post_processor\":null", MODEL_OF(VOCAB)), "The",
         "3"},
        {JSON(ADDED, "\"normalizer\":null", PRE, POST, MODEL_OF(VOCAB)), "The the",
         "1 0 3 2"},
        {JSON("\"added_tokens\":[]", NORMALIZER, PRE, POST, MODEL_OF(VOCAB)), "[CLS]",
         "1 0 0 0 2"},
        {JSON("\"added_tokens\":[{\"id\":5,\"content\":\"the the\",\"normalized\":true}]",
              NORMALIZER, PRE, POST, MODEL_OF(VOCAB)),
         "THE THE the", "1 5 3 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("tokenizer.json", cases[i].json);
        gives("tokenizer.json", cases[i].text, cases[i].ids, cases[i].json);
    }
}

Test(tokenizer_files, t02_t05_t06_what_is_wrong_or_not_supported_is_refused_by_name)
{
    struct {
        const char *json, *phrase;
    } cases[] = {
        /* T02: ids */
        {JSON(ADDED, NORMALIZER, PRE, POST,
              MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":1}")),
         "id 1 belongs to \"a\" and to \"b\""},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":-1}")),
         "the id of \"a\" is not an integer"},
        {JSON(ADDED, NORMALIZER, PRE, POST,
              MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":2147483648}")),
         "the id of \"a\" is not an integer"},
        {JSON(ADDED, NORMALIZER, PRE, POST,
              MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":0.5}")),
         "the id of \"a\" is not an integer"},
        {JSON(ADDED, NORMALIZER, PRE, POST,
              MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":\"1\"}")),
         "the id of \"a\" is not an integer"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{\"[UNK]\":0,\"a\":2}")),
         "id 2 of \"a\" leaves a gap"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{\"a\":0,\"a\":1}")),
         "tokenizer.json"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{\"[UNK]\":0,\"\":1}")),
         "empty piece"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":[]")), "not an object"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{}")), "not an object"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF("\"vocab\":{\"a\":0}")),
         "unk_token \"[UNK]\" is not in vocab"},
        /* T05: added tokens */
        {JSON("\"added_tokens\":[{\"id\":1,\"content\":\"\"}]", NORMALIZER, PRE, POST,
              MODEL_OF(VOCAB)),
         "an added token is empty"},
        {JSON("\"added_tokens\":[{\"id\":6,\"content\":\"x\"}]", NORMALIZER, PRE, POST,
              MODEL_OF(VOCAB)),
         "has id 6; with this vocabulary it is 5"},
        {JSON("\"added_tokens\":[{\"id\":2,\"content\":\"[CLS]\"}]", NORMALIZER, PRE,
              POST, MODEL_OF(VOCAB)),
         "has id 2; with this vocabulary it is 1"},
        {JSON("\"added_tokens\":[{\"content\":\"[CLS]\"}]", NORMALIZER, PRE, POST,
              MODEL_OF(VOCAB)),
         "\"[CLS]\" has no id"},
        {JSON("\"added_tokens\":[{\"id\":-1,\"content\":\"[CLS]\"}]", NORMALIZER, PRE,
              POST, MODEL_OF(VOCAB)),
         "\"id\""},
        {JSON("\"added_tokens\":[{\"id\":5,\"content\":\"X\",\"normalized\":true},"
              "{\"id\":6,\"content\":\"x\",\"normalized\":true}]",
              NORMALIZER, PRE, POST, MODEL_OF(VOCAB)),
         "added tokens 5 and 6 are both found as \"x\""},
        {JSON("\"added_tokens\":[{\"id\":5,\"content\":\"\u200b\",\"normalized\":true}]",
              NORMALIZER, PRE, POST, MODEL_OF(VOCAB)),
         "added token 5 is empty once normalised"},
        {JSON("\"added_tokens\":{}", NORMALIZER, PRE, POST, MODEL_OF(VOCAB)),
         "not a list"},
        /* T06: other kinds */
        {JSON(ADDED, NORMALIZER, PRE, POST, "\"model\":{\"type\":\"BPE\",\"vocab\":{}}"),
         "model \"BPE\" is not supported; only WordPiece is"},
        {JSON(ADDED, NORMALIZER, PRE, POST, "\"model\":{\"type\":\"Unigram\"}"),
         "model \"Unigram\""},
        {JSON(ADDED, NORMALIZER, PRE, POST, "\"model\":null"), "model: missing"},
        {JSON(ADDED, NORMALIZER, PRE, POST, MODEL_OF(VOCAB ",\"dropout\":0.1")),
         "model: \"dropout\" is not supported"},
        {JSON(ADDED, NORMALIZER, PRE, POST,
              "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\"," VOCAB "}"),
         "\"continuing_subword_prefix\" is missing"},
        {JSON(ADDED, NORMALIZER, PRE, POST,
              "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
              "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":"
              "1001," VOCAB "}"),
         "max_input_chars_per_word"},
        {JSON(ADDED, "\"normalizer\":{\"type\":\"NFC\"}", PRE, POST, MODEL_OF(VOCAB)),
         "normalizer \"NFC\" is not supported"},
        {JSON(ADDED, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}", PRE,
              POST, MODEL_OF(VOCAB)),
         "normalizer \"Sequence\""},
        {JSON(ADDED,
              "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,"
              "\"unaccent\":1}",
              PRE, POST, MODEL_OF(VOCAB)),
         "normalizer: \"unaccent\" is not supported"},
        {JSON(ADDED, NORMALIZER, "\"pre_tokenizer\":{\"type\":\"Whitespace\"}", POST,
              MODEL_OF(VOCAB)),
         "pre_tokenizer \"Whitespace\" is not supported"},
        {JSON(ADDED, NORMALIZER, "\"pre_tokenizer\":null", POST, MODEL_OF(VOCAB)),
         "pre_tokenizer: missing"},
        {JSON(ADDED, NORMALIZER, PRE,
              "\"post_processor\":{\"type\":\"RobertaProcessing\"}", MODEL_OF(VOCAB)),
         "post_processor \"RobertaProcessing\" is not supported"},
        {JSON(ADDED, NORMALIZER, PRE,
              "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],"
              "\"cls\":[\"[CLS]\",1]}",
              MODEL_OF(VOCAB)),
         "\"[SEP]\" does not have the id 3"},
        {JSON(ADDED, NORMALIZER, PRE,
              "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",1]}",
              MODEL_OF(VOCAB)),
         "expected a token and its id"},
        {JSON(ADDED, NORMALIZER, PRE,
              TEMPLATE(TEXT_A ",", SPECIAL("[CLS]", "0"), "," SPECIAL("[SEP]", "0"), "1"),
              MODEL_OF(VOCAB)),
         "not [CLS] text [SEP]"},
        {JSON(ADDED, NORMALIZER, PRE,
              TEMPLATE(SPECIAL("[CLS]", "1") ",", TEXT_A, "," SPECIAL("[SEP]", "0"), "1"),
              MODEL_OF(VOCAB)),
         "all of type 0"},
        {JSON(ADDED, NORMALIZER, PRE,
              TEMPLATE(SPECIAL("[CLS]", "0") ",", TEXT_A, "," SPECIAL("[SEP]", "0"),
                       "1,2"),
              MODEL_OF(VOCAB)),
         "only a template of one token"},
        {JSON(ADDED, NORMALIZER, PRE,
              TEMPLATE(SPECIAL("[CLS]", "0") ",", TEXT_A, "," SPECIAL("[SEP]", "0"), "3"),
              MODEL_OF(VOCAB)),
         "\"[CLS]\" does not have the id 3"},
        {"[1]", "model: missing"},
        {"7", "model: missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("tokenizer.json", cases[i].json);
        refused("tokenizer.json", cases[i].phrase, cases[i].json);
        cr_expect(strstr(err.message, "tokenizer.json: "), "%s", err.message);
    }
}

Test(tokenizer_files, t01_deep_and_cut_json_is_refused)
{
    size_t deep = 100000;
    char *text = malloc(deep + 1);
    memset(text, '[', deep);
    text[deep] = '\0';
    put("tokenizer.json", text);
    refused("tokenizer.json", "tokenizer.json", "depth 100,000");
    free(text);
    const char *whole = WHOLE;
    for (size_t n = 0; n < strlen(whole); n++) {
        put_file(folder_path(&folder, "tokenizer.json"), whole, n);
        refused("tokenizer.json", "tokenizer.json", "cut");
    }
}

Test(tokenizer_files, too_many_or_too_long_added_tokens_are_refused)
{
    size_t size = 4 << 20, used = 0;
    char *added = malloc(size), *json = malloc(size);
    used += (size_t)snprintf(added, size, "\"added_tokens\":[");
    for (int i = 0; i <= PARE_ADDED_MAX; i++)
        used += (size_t)snprintf(added + used, size - used,
                                 "%s{\"id\":%d,\"content\":\"<%d>\"}", i ? "," : "",
                                 5 + i, i);
    snprintf(added + used, size - used, "]");
    snprintf(json, size, "{%s," NORMALIZER "," PRE "," POST "," MODEL_OF(VOCAB) "}",
             added);
    put("tokenizer.json", json);
    refused("tokenizer.json", "more than the 20000 added tokens", "many");
    char longest[PARE_ADDED_MAX_BYTES + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    snprintf(json, size,
             "{\"added_tokens\":[{\"id\":5,\"content\":\"%s\"}]," NORMALIZER "," PRE
             "," POST "," MODEL_OF(VOCAB) "}",
             longest);
    put("tokenizer.json", json);
    refused("tokenizer.json", "at most 512", "long");
    free(added);
    free(json);
}

/* tokenizer_config.json beside tokenizer.json: as transformers does for its BERT classes.
 */
Test(tokenizer_files, tokenizer_config_json_goes_before_tokenizer_json)
{
    struct {
        const char *config, *ids;
    } cases[] = {
        {"{\"do_lower_case\":false}", "1 0 0 2 2"},
        {"{\"do_lower_case\":true}", "1 3 3 2 2"},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"do_lower_case\":false}",
         "1 3 3 0 0 0 2"},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"sep_token\":\"[SEP]\"}",
         "1 3 3 2 2"},
        {"{\"tokenizer_class\":\"MPNetTokenizer\"}", "1 3 3 0 0 0 2"},
        {"{\"tokenizer_class\":\"BertTokenizer\"}", "1 3 3 2 2"},
        {"{\"tokenizer_class\":\"BertTokenizer\",\"strip_accents\":false}", "1 3 0 2 2"},
    };
    put("tokenizer.json", WHOLE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("tokenizer_config.json", cases[i].config);
        gives(".", "The th\u00e9 [SEP]", cases[i].ids, cases[i].config);
    }
    put("tokenizer.json", JSON(ADDED, "\"normalizer\":null", PRE, POST, MODEL_OF(VOCAB)));
    put("tokenizer_config.json", "{\"tokenizer_class\":\"BertTokenizer\"}");
    refused(".", "BertTokenizer without \"do_lower_case\" means true", "hidden default");
}
