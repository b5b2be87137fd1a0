"""Makes tests/data/wordpiece.json: what Hugging Face tokenizers (0.23.3) make of texts of
our own with a small vocabulary of our own, for tests/unit/test_wordpiece.c.

    python tests/golden/wordpiece.py tests/data/wordpiece.json [tokenizer.json SST-2]

"vocab": the pieces. "configs": for each a name, the tokenizer.json without its vocabulary,
and the ids of every text. "texts": the texts. "digests": SHA-256 over the normalised form
of every code point (see `digest`), so that all of Unicode is compared in a few lines. With
a tokenizer.json and a folder of GLUE SST-2 it prints the digest of all ids of the set.
"""
import copy
import hashlib
import json
import random
import struct
import sys

from tokenizers import AddedToken, Tokenizer, models, normalizers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the a of and un aff able want wanted runn ing film good bad not never very
hello world cafe naive resume uber strasse dz ii is in it i e 2024 12 3 hi ok emoji fi
Hello World The Cafe""".split()
PIECES = ["ing", "aff", "able", "ed", "s", "ly", "ness", "er", "ll", "o", "ld"]
SIGNS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("¿«»…—“”、。！～§")
LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
OTHERS = list("éèüñøßıσςΣЖжйи野口里中文あ゙がアㅏ한국말عربहिंदी\u0e01\u0301\u0307\u0327\u302e") + [
    "i\u0307", "é", "\u1112", "\u1161", "\u11ab", "가", "𝔸", "👨", "👩", "👧", "\u200d",
    "\ufe0f", "\U0001d165", "\U0001e000", "ǆ", "ﬁ", "½", "Ⅳ", "\x01", "\ufffd", "\u00ad"]


def vocabulary():
    pieces = SPECIAL + ["[unused0]"] + WORDS + SIGNS + LETTERS + OTHERS
    pieces += ["##" + p for p in PIECES + LETTERS + OTHERS] + ["#", "##", "x##y"]
    return {p: i for i, p in enumerate(dict.fromkeys(pieces))}


TEXTS = [
    "", " ", "   \t\r\n ", "the film", "The Film is NOT good!", "unwanted running",
    "unaffable", "hello,world", "don't", "it's 12.3%", "a--b__c", "#hashtag ##ing",
    "[CLS] the [SEP] [PAD] [UNK] [MASK]", "the[MASK]film", "[mask] [ CLS ] [[SEP]]",
    "[SEP][SEP]the[SE P]", "[unused0] the", "caf\u00e9 CAF\u00c9 cafe\u0301 na\u00efve",
    "\u00dcber Stra\u00dfe STRASSE \u1e9e", "\u0130stanbul \u0131i\u0130I", "I\u0307i\u0307",
    "\u03a3\u03c3\u03c2 \u039f\u03a3 \u039f\u03a3!", "\u01c4\u01c5\u01c6 \ufb01 \u00bd \u2163",
    "\u0416\u0436\u0419\u0439 \u0418\u0306", "\u91ce\u53e3\u91cc the\u4e2d\u6587film",
    "\u304c\u304b\u3099\u30a2 \u3042", "\uf900\uf9ff\U0002f800\U0002fa1d", "\uac00\u1112\u1161\u11ab\ud55c\uad6d\ub9d0",
    "\u0639\u0631\u0628\u064a\u0651 \u0627\u0644", "\u0939\u093f\u0902\u0926\u0940 \u0e01\u0e34",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f", "a\u200bb\u00adc\ufeffd\u2060e", "a\x00b\x01c\x0bd\x0ce\x1cf\x7fg\x85h",
    "a\u00a0b\u2028c\u3000d\u1680e\u180ef\u202fg", "\ufffd a\ufffdb", "\u037e\u1fef\u212a\u2126\u2000",
    "a\u0323\u0307 a\u0307\u0323", "a\u302e\u302f\u0301 \U0001d165\U0001d16d\u0334", "\u0301the \u0301",
    "\U0001e000\U0001e008a", "\u08d4a \u0898b", "a" * 100, "a" * 101, "\u00e9" * 100, "\u00e9" * 101,
    "\u4e2d" * 120, "ab" * 49 + "cde", "a" + "\u0301" * 300 + "b", "a" + "\u302e" * 120 + "b", "!" * 150,
    "\u2014the\u2026\u201cfilm\u201d\u00bf", "$^`+<=>|~ \u00a7 \u20ac \u00b1", "\u0964\u0965 \u060c\u061b \u3001\u3002\uff01\uff5e",
    "\U00020000\U0002a6e0\U0002b820\U0002b920\U00030000 \u9fff\ua000 \u4dbf\u4dc0", "\ue000\U000f0000\U0010ffff\u0378 x",
    "Hello World, the Cafe", "cafe  cafe", "  CAF\u00c9  the  ", "un aff unaff", "x##y ###",
    "a b a  b", "good very_good goodness good.good", "goodgood \u00e9good good\u00e9 good\u0301 good-good",
    "\u1f82\u1fb7 \u0390 \u1e69\u1e9b\u0323", "\u0f43\u0f71\u0f72 \u0958", "\U0001109a\U00011938", "\u1c89\ua7cb\U00010d50",
    "\ua64a\U00010400\U0001e900 \u10a0\u1c90 \u13a0", "[E1]the[E1] [e1]", "E1 xE1 E1x", "[E1] film x film[E1]  film", "\u2581the ##\u2581",
]


def random_texts(count):
    r = random.Random(20250601)
    pools = [(0x20, 0x7E), (0, 0x9F), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF),
             (0x600, 0xDFF), (0x1100, 0x11FF), (0x1E00, 0x206F), (0x3000, 0x30FF),
             (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFFF), (0x10000, 0x1FFFF),
             (0x20000, 0x2FFFF), (0xE0000, 0x10FFFF)]
    known = SPECIAL + WORDS + SIGNS + OTHERS + ["E1", "[E1]", " ", "  "]
    out = []
    for _ in range(count):
        text = ""
        for _ in range(r.choice((3, 6, 12))):
            if r.random() < 0.7:
                text += r.choice(known) + r.choice(("", "", " "))
            else:
                low, high = r.choice(pools)
                text += chr(r.randint(low, high))
        out.append("".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF))
    return out


def added(content, **flags):
    return dict(content=content, single_word=False, lstrip=False, rstrip=False,
                normalized=False, special=False) | flags


def configs(vocab):
    base = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(added(t, special=True), id=vocab[t]) for t in SPECIAL],
        "normalizer": {"type": "BertNormalizer", "clean_text": True,
                       "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]",
                  "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    }

    def make(name, normalizer=None, model=None, more=(), **root):
        t = copy.deepcopy(base)
        t["normalizer"].update(normalizer or {})
        t["model"].update(model or {})
        t.update(root)
        free = len(vocab)
        for a in more:
            t["added_tokens"] = [x for x in t["added_tokens"] if x["content"] != a["content"]]
            t["added_tokens"].append(dict(a, id=vocab.get(a["content"], free)))
            free += a["content"] not in vocab
        return name, t

    template = {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}}
    none = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return [
        make("uncased", post_processor=template),
        make("cased", dict(lowercase=False)),
        make("cased without accents", dict(lowercase=False, strip_accents=True)),
        make("uncased with accents", dict(strip_accents=False)),
        make("no clean-up", dict(clean_text=False)),
        make("no spaces around CJK", dict(handle_chinese_chars=False)),
        make("no normalizer", none, post_processor=None),
        make("short words, another prefix", model=dict(max_input_chars_per_word=5,
                                                       continuing_subword_prefix="a")),
        make("added tokens", more=[
            added("[MASK]", lstrip=True, special=True), added("[E1]", lstrip=True, rstrip=True),
            added("Caf\u00e9", normalized=True), added("[E1"), added(" film", normalized=True), added("\u0301"),
            added("good", single_word=True), added("E1", single_word=True, normalized=True)]),
        make("added white space, cased", dict(lowercase=False), more=[
            added(" ", lstrip=True), added("  "), added("a b", normalized=True, lstrip=True),
            added("film", normalized=True)]),
    ]


def digest(normalize, before="", after=""):
    """SHA-256 over u16 length and bytes of the normalised before + c + after, for all c."""
    h = hashlib.sha256()
    for c in range(0x110000):
        if not 0xD800 <= c <= 0xDFFF:
            b = normalize(before + chr(c) + after).encode()
            h.update(struct.pack("<H", len(b)) + b)
    return h.hexdigest()


def digests():
    def bert(*on):
        names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        return normalizers.BertNormalizer(*(n in on for n in names)).normalize_str

    single = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    single.add_tokens([AddedToken("Z", single_word=True, normalized=False)])
    marks = "\U0001d165\u302f\u302e"
    return {
        "clean_text": digest(bert("clean_text")),
        "chinese_chars": digest(bert("handle_chinese_chars")),
        "strip_accents": digest(bert("strip_accents")),
        "order_of_marks": digest(bert("strip_accents"), "a" + marks, marks + "b"),
        "lowercase": digest(bert("lowercase")),
        "all": digest(bert("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")),
        "single_word": digest(lambda s: "1" if 1 in single.encode(s + "Z").ids else "0"),
    }


def sst2(tokenizer_json, folder):
    """SHA-256 over u32 count and i32 ids of every sentence of train, dev and test."""
    t = Tokenizer.from_file(tokenizer_json)
    t.no_padding()
    t.no_truncation()
    h, n = hashlib.sha256(), 0
    for name, column in (("train", 0), ("dev", 0), ("test", 1)):
        for line in open(f"{folder}/{name}.tsv", encoding="utf-8").read().split("\n")[1:]:
            if line:
                ids = t.encode(line.split("\t")[column]).ids
                h.update(struct.pack(f"<I{len(ids)}i", len(ids), *ids))
                n += 1
    print(n, "sentences:", h.hexdigest())


def main():
    vocab = vocabulary()
    texts = [t.replace("\0", "") for t in TEXTS + random_texts(80)]  # NUL: not in JSON
    out = {"vocab": list(vocab), "texts": texts, "digests": digests(), "configs": []}
    for name, t in configs(vocab):
        full = copy.deepcopy(t)
        full["model"]["vocab"] = vocab
        hf = Tokenizer.from_str(json.dumps(full))
        out["configs"].append({"name": name, "tokenizer": t,
                               "ids": [hf.encode(x).ids for x in texts]})
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(
            f'"{k}": ' + ("[\n" + ",\n".join(json.dumps(x, separators=(",", ":"))
                                           for x in out[k]) + "]"
                          if k in ("configs", "texts") else json.dumps(out[k]))
            for k in out) + "\n}\n")
    if len(sys.argv) > 3:
        sst2(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
