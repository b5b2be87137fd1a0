#!/usr/bin/env python3
"""Writes runtime/text/unicode_tables.c: what Hugging Face tokenizers does to each code point.

The library mixes Unicode versions (categories of Unicode 8, decompositions of 12, the
lower case of its Rust release), so no single UCD reproduces it. Each property below is
therefore asked of the library itself, one code point at a time; Python's unicodedata
only supplies the order of the combining classes and the two-step decompositions, and
both are checked against the library.

    python3 -m venv v && v/bin/pip install tokenizers==0.23.3
    v/bin/python scripts/gen_unicode.py runtime/text/unicode_tables.c
"""
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

SPACE, CONTROL, PUNCT, MARK, WORD, DECOMPOSES, LOWERS, COMBINES = (1 << b for b in range(8))
HANGUL = range(0xAC00, 0xD7A4)
COMPAT = (range(0xF900, 0xFADA), range(0x2F800, 0x2FA1E))  # CJK, decomposing to one
DOTTED_I = 0x130  # the only lower case of two characters


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)


def probe():
    def bert(**on):
        off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False,
                   lowercase=False)
        return normalizers.BertNormalizer(**{**off, **on})

    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    nfd, lower = normalizers.NFD(), normalizers.Lowercase()
    split = pre_tokenizers.BertPreTokenizer()
    single = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    single.add_tokens([AddedToken("Z", single_word=True, normalized=False)])

    flags, decomposed, lowered = {}, {}, {}
    for c in code_points():
        s = chr(c)
        f = 0
        words = len(split.pre_tokenize_str("a" + s + "a"))
        f |= SPACE if words == 2 else PUNCT if words == 3 else 0
        f |= CONTROL if clean.normalize_str(s) == "" else 0
        d = nfd.normalize_str(s)
        f |= MARK if d == s and strip.normalize_str(s) == "" else 0
        f |= WORD if 1 not in single.encode(s + "Z").ids else 0
        if d != s:
            f |= DECOMPOSES
            decomposed[c] = d
        low = lower.normalize_str(s)
        if low != s:
            f |= LOWERS
            lowered[c] = low
        # A class above zero: sorted before a mark of the last class that follows a letter.
        if unicodedata.combining(s) and (
                nfd.normalize_str("a\u0345" + s) != "a\u0345" + s or
                nfd.normalize_str("a" + s + "\u0334") == "a\u0334" + s):
            f |= COMBINES
        flags[c] = f
    check(flags, decomposed, nfd, strip)
    return flags, decomposed, lowered


def check(flags, decomposed, nfd, strip):
    """The composition of per-character answers is what the library does to a string."""
    marks = [c for c in flags if flags[c] & COMBINES]
    one_of_each = {unicodedata.combining(chr(c)): c for c in reversed(marks)}
    for c in marks:
        for k, other in one_of_each.items():
            mine = unicodedata.combining(chr(c))
            want = chr(other) + chr(c) if k <= mine else chr(c) + chr(other)
            assert nfd.normalize_str("a" + chr(other) + chr(c)) == "a" + "".join(
                nfd.normalize_str(x) for x in want) or flags[c] & DECOMPOSES or \
                flags[other] & DECOMPOSES, hex(c)
    for c, d in decomposed.items():
        kept = "".join(x for x in d if not flags[ord(x)] & MARK)
        assert strip.normalize_str(chr(c)) == kept, hex(c)
        assert all(not flags[ord(x)] & DECOMPOSES for x in d), hex(c)


def steps(decomposed):
    """Canonical decompositions in one or two parts, of which the first may go on."""
    out = {}
    for c, full in decomposed.items():
        if c in HANGUL:
            continue
        parts = [int(x, 16) for x in unicodedata.decomposition(chr(c)).split()]
        assert 1 <= len(parts) <= 2 and (len(parts) == 1 or parts[1] not in decomposed)
        first = decomposed.get(parts[0], chr(parts[0]))
        assert first + "".join(map(chr, parts[1:])) == full, hex(c)
        out[c] = parts
    return out


def lower_runs(lowered):
    """(first, last, step, delta): code points `step` apart that move by `delta`."""
    runs = []
    for c, low in sorted(lowered.items()):
        if c == DOTTED_I:
            assert low == "i\u0307"
            continue
        assert len(low) == 1
        delta = ord(low) - c
        if runs and runs[-1][3] == delta:
            gap = c - runs[-1][1]
            if gap in (1, 2) and (runs[-1][0] == runs[-1][1] or runs[-1][2] == gap):
                runs[-1][1:3] = [c, gap]
                continue
        runs.append([c, c, 1, delta])
    return runs


def fill(flags, bit, members):
    """Sets a "look it up" bit over short gaps too: fewer runs, the look-up says no."""
    for a, b in zip(members, members[1:]):
        if b - a <= 4:
            for c in range(a, b + 1):
                flags[c] |= bit


def flag_runs(flags):
    """Runs of equal flags, cut at every multiple of 256 below 0x20000."""
    low, high, pages = [], [], []
    for c in range(0x110000):
        f = flags.get(c, 0)
        if c < 0x20000:
            if c % 256 == 0:
                pages.append(len(low))
            if c % 256 == 0 or low[-1][1] != f:
                low.append((c % 256, f))
        elif not high or high[-1][1] != f:
            high.append((c, f))
    return pages + [len(low)], low, high


def table(out, declaration, values):
    out.append(f"{declaration} = {{")
    line = "   "
    for v in values:
        if len(line) + len(v) + 2 > 90:
            out.append(line)
            line = "   "
        line += " " + v + ","
    out += [line, "};", ""]


def main(path):
    flags, decomposed, lowered = probe()
    parts, runs = steps(decomposed), lower_runs(lowered)
    fill(flags, LOWERS, sorted(lowered))
    fill(flags, DECOMPOSES, sorted(decomposed))
    pages, low, high = flag_runs(flags)
    compat = [c for r in COMPAT for c in r]
    assert all(len(parts[c]) == 1 for c in compat if c in parts)
    rest = sorted(c for c in parts if c not in set(compat))
    order = [c for c in sorted(flags) if flags[c] & COMBINES and not flags[c] & MARK]
    out = ["/* Made by scripts/gen_unicode.py from Hugging Face tokenizers "
           f"{tokenizers.__version__}; do not edit.", " * Meaning of the tables: "
           "runtime/text/unicode_tables.h. */", "/* clang-format off */",
           '#include "runtime/text/unicode_tables.h"', ""]
    table(out, "const uint16_t pare_unicode_page[513]", map(str, pages))
    table(out, f"const uint8_t pare_unicode_run_start[{len(low)}]",
          (str(s) for s, _ in low))
    table(out, f"const uint8_t pare_unicode_run_flags[{len(low)}]",
          (str(f) for _, f in low))
    table(out, "const struct pare_unicode_high pare_unicode_high[]",
          (f"{{{s:#x}, {f}}}" for s, f in high))
    out.append(f"const size_t pare_unicode_high_count = {len(high)};\n")
    table(out, "const struct pare_unicode_lower pare_unicode_lower[]",
          (f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in runs))
    out.append(f"const size_t pare_unicode_lower_count = {len(runs)};\n")
    table(out, "const struct pare_unicode_class pare_unicode_class[]",
          (f"{{{c:#x}, {unicodedata.combining(chr(c))}}}" for c in order))
    out.append(f"const size_t pare_unicode_class_count = {len(order)};\n")
    for r, name in zip(COMPAT, ("bmp", "sip")):
        table(out, f"const uint32_t pare_unicode_compat_{name}[{len(r)}]",
              (f"{parts[c][0]:#x}" if c in parts else "0" for c in r))
    table(out, "const uint32_t pare_unicode_decomposed[]", (f"{c:#x}" for c in rest))
    table(out, "const uint32_t pare_unicode_first[]", (f"{parts[c][0]:#x}" for c in rest))
    table(out, "const uint32_t pare_unicode_second[]",
          (f"{parts[c][1]:#x}" if len(parts[c]) > 1 else "0" for c in rest))
    out.append(f"const size_t pare_unicode_decomposed_count = {len(rest)};")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")
    print(f"{path}: {len(low)} runs, {len(runs)} lower-case runs, {len(rest)} + "
          f"{sum(c in parts for c in compat)} decompositions, {len(order)} classes")


if __name__ == "__main__":
    main(sys.argv[1])
