/* The grammar of the sample as data: word lists and templates. Included by sample.c only.
 *
 * A template is words and {slots}. A slot that ends in + has the polarity of the sentence
 * under construction, one that ends in - the opposite, one in ? a random one:
 *   {a+} adjective   {v+} verb, past   {b+} verb, base form   {n+} noun phrase with "a"
 *   {C+} a plain clause   {S+} a clause in strong words   {W+} one in weak words
 * and without polarity:
 *   {noun} something the domain's reviews speak of   {thing} the thing reviewed
 *   {name} {place} {time} {desc} {job}   {very} {bit} degree   {was} a linking verb
 */
#ifndef PARE_DATASETS_SAMPLE_GRAMMAR_H
#define PARE_DATASETS_SAMPLE_GRAMMAR_H

/* Words are drawn with a probability falling with their place, as in real text: the
 * last ones of a list are rare. */

static const char *const general_adjectives[2][64] = {
    {"bad",          "awful",      "terrible",    "disappointing", "poor",
     "dreadful",     "horrible",   "mediocre",    "annoying",      "weak",
     "sloppy",       "ugly",       "lousy",       "pathetic",      "careless",
     "painful",      "unpleasant", "forgettable", "pointless",     "ridiculous",
     "lame",         "shoddy",     "miserable",   "tiresome",      "clumsy",
     "hopeless",     "inferior",   "irritating",  "depressing",    "appalling",
     "abysmal",      "atrocious",  "worthless",   "frustrating",   "tacky",
     "unbearable",   "hideous",    "dismal",      "feeble",        "repulsive",
     "insufferable", "wretched",   "laughable",   "vile",          "ghastly",
     "woeful",       NULL},
    {"good",         "great",       "wonderful",  "excellent",  "lovely",
     "fantastic",    "superb",      "charming",   "delightful", "brilliant",
     "impressive",   "beautiful",   "amazing",    "pleasant",   "splendid",
     "elegant",      "memorable",   "clever",     "enjoyable",  "marvelous",
     "satisfying",   "fine",        "perfect",    "terrific",   "graceful",
     "refreshing",   "outstanding", "thoughtful", "uplifting",  "magnificent",
     "exquisite",    "stunning",    "priceless",  "rewarding",  "stylish",
     "remarkable",   "glorious",    "radiant",    "masterful",  "captivating",
     "irresistible", "sublime",     "admirable",  "divine",     "dazzling",
     "stellar",      NULL},
};

static const char *const verbs_past[2][20] = {
    {"hated", "disliked", "regretted", "despised", "loathed", "detested", "resented",
     "deplored", "dreaded", "abhorred", NULL},
    {"loved", "enjoyed", "liked", "adored", "admired", "appreciated", "treasured",
     "relished", "cherished", "savored", NULL},
};

static const char *const verbs_base[2][20] = {
    {"hate", "dislike", "regret", "despise", "loathe", "detest", "resent", "deplore",
     "dread", "abhor", NULL},
    {"love", "enjoy", "like", "adore", "admire", "appreciate", "treasure", "relish",
     "cherish", "savor", NULL},
};

static const char *const opinion_nouns[2][24] = {
    {"disappointment", "mess", "disaster", "failure", "letdown", "nightmare", "bore",
     "blunder", "fiasco", "flop", "insult", "catastrophe", "chore", "dud", "travesty",
     "embarrassment", NULL},
    {"delight", "joy", "masterpiece", "treat", "triumph", "pleasure", "success", "gem",
     "marvel", "wonder", "winner", "treasure", "blessing", "revelation", "jewel",
     "bargain", NULL},
};

struct domain {
    const char *things[8];
    const char *nouns[24];
    const char *adjectives[2][20];
};

static const struct domain domains[] = {
    {{"film", "movie", "sequel", "comedy", "thriller", "documentary", NULL},
     {"plot", "acting", "script", "ending", "dialogue", "story", "soundtrack", "cast",
      "pacing", "camera work", "humor", "opening", "villain", "director", "editing",
      "lead", "costume design", "final scene", NULL},
     {{"boring", "dull", "predictable", "slow", "silly", "shallow", "tedious", "lifeless",
       "confusing", "stale", "contrived", "wooden", "bland", "incoherent", "derivative",
       "plodding", NULL},
      {"funny", "moving", "gripping", "touching", "witty", "thrilling", "original",
       "hilarious", "inspired", "suspenseful", "tender", "compelling", "poignant",
       "riveting", "inventive", "spellbinding", NULL}}},
    {{"restaurant", "cafe", "bistro", "diner", "bakery", "dinner", NULL},
     {"soup", "service", "waiter", "dessert", "bread", "fish", "salad", "menu", "sauce",
      "coffee", "pasta", "steak", "kitchen", "breakfast", "wine list", "cake", "chef",
      "rice", NULL},
     {{"cold", "bland", "greasy", "stale", "rude", "overpriced", "burnt", "soggy",
       "tasteless", "dirty", "salty", "rancid", "chewy", "inedible", "watery", "sour",
       NULL},
      {"delicious", "tasty", "fresh", "friendly", "crisp", "warm", "generous", "tender",
       "attentive", "flavorful", "welcoming", "juicy", "fragrant", "mouthwatering",
       "scrumptious", "creamy", NULL}}},
    {{"book", "novel", "biography", "collection", "memoir", "guide", NULL},
     {"prose", "chapter", "narrator", "style", "hero", "argument", "ending", "plot",
      "author", "writing", "translation", "preface", "cover", "poem", "essay",
      "illustration", "research", "language", NULL},
     {{"dull", "wordy", "shallow", "confusing", "tedious", "preachy", "dry", "repetitive",
       "muddled", "pompous", "bloated", "pretentious", "vague", "soulless", "turgid",
       "unreadable", NULL},
      {"gripping", "insightful", "lucid", "moving", "witty", "vivid", "wise", "profound",
       "honest", "poetic", "absorbing", "subtle", "enlightening", "lyrical", "erudite",
       "unputdownable", NULL}}},
    {{"phone", "laptop", "camera", "speaker", "tablet", "watch", NULL},
     {"battery", "screen", "keyboard", "software", "sound", "design", "update", "button",
      "manual", "charger", "lens", "setup", "case", "app", "microphone", "price",
      "interface", "touchpad", NULL},
     {{"slow", "flimsy", "buggy", "unreliable", "noisy", "fragile", "useless",
       "defective", "sluggish", "clunky", "faulty", "outdated", "laggy", "unusable",
       "glitchy", "brittle", NULL},
      {"fast", "reliable", "sturdy", "bright", "handy", "responsive", "smooth", "sharp",
       "sleek", "durable", "accurate", "intuitive", "snappy", "flawless", "robust",
       "seamless", NULL}}},
    {{"hotel", "hostel", "guesthouse", "cabin", "resort", "inn", NULL},
     {"room", "bed", "view", "shower", "pool", "staff", "lobby", "breakfast", "garden",
      "balcony", "location", "carpet", "pillow", "garage", "elevator", "terrace",
      "reception", "bathroom", NULL},
     {{"dirty", "noisy", "cramped", "rude", "shabby", "smelly", "damp", "gloomy",
       "overpriced", "moldy", "filthy", "dingy", "unhelpful", "drafty", "squalid",
       "grimy", NULL},
      {"clean", "cozy", "quiet", "spacious", "comfortable", "friendly", "sunny",
       "helpful", "peaceful", "luxurious", "spotless", "inviting", "airy", "tranquil",
       "immaculate", "idyllic", NULL}}},
};
#define DOMAIN_COUNT (sizeof domains / sizeof *domains)

static const char *const names[] = {
    "anna",  "peter", "maria",  "john",  "lucy",   "omar",  "nina",  "david", "elena",
    "tom",   "sara",  "victor", "julia", "amir",   "clara", "henry", "rosa",  "felix",
    "priya", "simon", "greta",  "leo",   "yuki",   "oscar", "irene", "hugo",  "wanda",
    "ravi",  "edith", "boris",  "mei",   "walter", NULL};

static const char *const jobs[] = {
    "my brother",    "my sister",    "the critics", "my neighbor", "our guide",
    "my friends",    "a colleague",  "my aunt",     "the papers",  "my teacher",
    "the reviewers", "our daughter", "my cousin",   "everyone",    NULL};

static const char *const places[] = {
    "the old harbor", "the train station", "the river",
    "the market",     "our school",        "the city center",
    "the museum",     "the lake",          "the airport",
    "the north gate", "the white bridge",  "main street",
    "the forest",     "the theater",       NULL};

static const char *const times[] = {
    "last tuesday",     "on friday night", "in the summer",
    "after work",       "this morning",    "last winter",
    "on our trip",      "a week ago",      "on my birthday",
    "yesterday",        "last month",      "on a rainy sunday",
    "during the break", "in september",    NULL};

/* Words with a feeling in them that say nothing about the thing reviewed. */
static const char *const descriptions[] = {"a sad clown",
                                           "a cruel king",
                                           "a happy child",
                                           "a lonely sailor",
                                           "the cheerful crowd",
                                           "an angry customer",
                                           "a lucky thief",
                                           "a tragic queen",
                                           "a brave soldier",
                                           "a wicked uncle",
                                           "a smiling stranger",
                                           "a broken promise",
                                           "a lost war",
                                           "a sweet song",
                                           "a bitter quarrel",
                                           "a golden wedding",
                                           "a grim murder",
                                           "a kind doctor",
                                           NULL};

static const char *const intensifiers[] = {
    "absolutely", "extremely", "incredibly", "truly",          "utterly", "thoroughly",
    "remarkably", "hugely",    "intensely",  "overwhelmingly", NULL};

static const char *const downtoners[] = {"slightly", "a bit",  "somewhat",
                                         "a little", "rather", "mildly",
                                         "a touch",  "fairly", NULL};

static const char *const adverbs[] = {"really", "very",   "so", "quite",
                                      "just",   "simply", NULL};

static const char *const linking_verbs[] = {"was",    "is",         "felt",     "seemed",
                                            "looked", "turned out", "remained", NULL};

struct template
{
    int weight;
    const char *text;
};

/* Clauses of plain degree. Two in five turn the word's polarity round. */
static const struct template plain_clauses[] = {
    {44, "the {noun} {was} {a+}"},
    {24, "the {noun} {was} {adv} {a+}"},
    {20, "i {v+} the {noun}"},
    {14, "the {noun} was {n+}"},
    {14, "it is a {a+} {thing}"},
    {14, "we found the {noun} {a+}"},
    {8, "there is something {a+} about the {noun}"},
    {2, "the {noun} never failed to be {a+}"},
    {2, "i can not deny that the {noun} was {a+}"},
    {1, "nobody would say that the {noun} was not {a+}"},
    {7, "the {noun} was not {a-}"},
    {3, "the {noun} was never {a-}"},
    {2, "the {noun} was hardly {a-}"},
    {2, "the {noun} was not {adv} {a-}"},
    {2, "the {noun} was anything but {a-}"},
    {2, "the {noun} was far from {a-}"},
    {2, "the {noun} was by no means {a-}"},
    {4, "i did not {b-} the {noun}"},
    {2, "i could never {b-} the {noun}"},
    {2, "nobody would call the {noun} {a-}"},
    {2, "i would not call this {n-}"},
    {2, "the {noun} was no {m-}"},
    {2, "there is nothing {a-} about the {noun}"},
    {2, "the {noun} failed to be {a-}"},
    {2, "it is not the {a-} {thing} i expected"},
    {1, "i do not think that the {noun} was {a-}"},
    {0, NULL},
};

static const struct template strong_clauses[] = {
    {4, "the {noun} {was} {very} {a+}"},
    {2, "i {very} {v+} the {noun}"},
    {2, "i must say i {very} {v+} the {noun}"},
    {2, "we found the {noun} {very} {a+}"},
    {0, NULL},
};

static const struct template weak_clauses[] = {
    {4, "the {noun} {was} {bit} {a+}"},
    {2, "we found the {noun} {bit} {a+}"},
    {2, "there is something {bit} {a+} about the {noun}"},
    {0, NULL},
};

/* Whole sentences: what they say is the last word on the matter. */
static const struct template sentences[] = {
    {44, "{C+} ."},
    {20, "{C+} and {C+} ."},
    {12, "{C+} . {C+} ."},
    {9, "{S+} ."},
    {6, "{W+} ."},
    /* contrast: the main clause counts */
    {9, "{C-} , but {C+} ."},
    {3, "{C?} , yet {C+} ."},
    {4, "although {C-} , {C+} ."},
    {3, "even though {C?} , {C+} ."},
    {4, "{C+} , although {C-} ."},
    {3, "{C+} , even though {C?} ."},
    {3, "despite the {a-} {noun} , {C+} ."},
    {2, "{C+} despite the {a?} {noun} ."},
    {3, "{C-} . still , {C+} ."},
    {2, "while {C-} , {C+} ."},
    /* degree: the stronger side counts */
    {4, "{W-} and {S+} ."},
    {4, "{S+} and {W-} ."},
    {3, "{S+} . {W-} ."},
    {3, "{W-} . {S+} ."},
    /* expectation and other people's opinions */
    {3, "{job} called the {noun} {a-} , but {C+} ."},
    {3, "{name} thinks the {noun} is {a-} . i do not ."},
    {3, "{name} thinks the {noun} is {a+} . i agree ."},
    {2, "{job} {v-} it , but i did not ."},
    {2, "{job} {v+} it , and so did i ."},
    {2, "i expected {n-} and got {n+} ."},
    {2, "i was told to expect a {a-} {thing} and found a {a+} one ."},
    {2, "{name} said it would be {n-} , which it was not ."},
    {2, "{name} said it would be {n+} , which it was ."},
    /* comparison */
    {3, "the {noun} was far more {a+} than the {a?} {thing} near {place} ."},
    {3, "the {noun} was far less {a-} than the {a?} {thing} near {place} ."},
    {0, NULL},
};

/* Neutral text before and behind. */
static const struct template openings[] = {
    {6, "{time} , "},
    {3, "we went there with {name} . "},
    {3, "{name} showed me this {thing} {time} . "},
    {2, "this {thing} is near {place} . "},
    {3, "the story begins with {desc} . "},
    {2, "at the next table sat {desc} . "},
    {2, "i read about {desc} {time} . "},
    {2, "to be honest , "},
    {2, "for the record , "},
    {0, NULL},
};

static const struct template closings[] = {
    {3, " {name} was with me ."},       {3, " we left for {place} ."},
    {2, " it reminded me of {desc} ."}, {2, " that was {time} ."},
    {2, " i paid with my card ."},      {0, NULL},
};

#endif
