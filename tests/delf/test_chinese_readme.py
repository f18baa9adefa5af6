"""README_CN.md says what README.md says: what no language changes is compared, section by section.

Headings, code without its comments, code spans, links, figures in digits, the number of lines, and
tables cell by cell. Numbers in words are no figures; `10,000` and `10000` are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SWITCH = {
    "README.md": "English | [简体中文](README_CN.md)",
    "README_CN.md": "[English](README.md) | 简体中文",
}

HEADING = re.compile(r"(#{1,6}) +(.*)")
COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
SPAN = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FIGURE = re.compile(r"[+−]?\d+(?:,\d{3}(?!\d))*(?:\.\d+)*")
PIPE = re.compile(r"(?<!\\)\|")  # `\|` is a pipe in a cell
CHINESE_SIGN = re.compile(r"[\u3001-\u303f\u4e00-\u9fff\uff00-\uffef]")  # punctuation as well


@dataclass
class Section:
    """A heading and what stands below it, up to the next; what is before the first has level 0."""

    level: int
    title: str
    code: list[str] = field(default_factory=list)  # of each block: its language and lines
    prose: list[str] = field(default_factory=list)  # lines, and the comments of the code
    tables: list[list[list[str]]] = field(default_factory=list)  # tables, rows, cells


def sections_of(text: str) -> list[Section]:
    """Return the sections of a page of Markdown, without the line that switches the language."""
    sections = [Section(0, "(top)")]
    in_code = in_table = False
    for line in text.splitlines():
        here = sections[-1]
        was_in_table, in_table = in_table, False
        if line.startswith("```"):
            in_code = not in_code
            if in_code:
                here.code.append(line)
        elif in_code:
            here.prose += COMMENT.findall(line)
            here.code[-1] += "\n" + COMMENT.sub("", line).rstrip()
        elif heading := HEADING.fullmatch(line):
            sections.append(Section(len(heading[1]), heading[2]))
        elif line.startswith("|"):
            if not was_in_table:
                here.tables.append([])
            here.tables[-1].append([cell.strip() for cell in PIPE.split(line)[1:-1]])
            in_table = True
        elif line.strip() and line not in SWITCH.values():
            here.prose.append(line)
    return sections


def anchors_of(sections: list[Section]) -> dict[str, str]:
    """Return of each heading's anchor, as GitHub makes it, what is the same in every language."""
    anchors = {}
    for number, section in enumerate(sections):
        words = re.sub(r"[^\w\- ]", "", section.title.lower()).replace(" ", "-")
        anchors.setdefault(f"#{words}", f"heading {number}")
    return anchors


@cache
def facts_of(text: str) -> dict[str, Counter[str]]:
    """Return the code spans, links and figures of a text, each with how often it is there."""
    spans = Counter(SPAN.findall(text))
    text = SPAN.sub(" ", text)
    links = Counter(picture + target for picture, _, target in LINK.findall(text))
    figures = Counter(word.replace(",", "") for word in FIGURE.findall(LINK.sub(r"\2", text)))
    return {"code spans": spans, "links": links, "figures": figures}


def untranslated(line: str) -> bool:
    """Return whether a line or cell is four English words or more, and no Chinese."""
    words = re.findall(r"[A-Za-z]{2,}", SPAN.sub(" ", LINK.sub(" ", line)))
    return len(words) >= 4 and not CHINESE_SIGN.search(line)


def told(english: Counter[str], chinese: Counter[str]) -> str:
    """Return what the Chinese page lacks of the English one and what it has beside it, in words."""
    both = (("missing", english - chinese), ("extra", chinese - english))
    return "; ".join(f"{word}: {', '.join(sorted(c.elements()))}" for word, c in both if c)


def code_differences(ours: Section, theirs: Section) -> list[str]:
    """Return what differs between the code blocks, comments aside."""
    wrong = []
    for number, blocks in enumerate(zip_longest(ours.code, theirs.code, fillvalue=""), 1):
        lines = [Counter(block.split("\n")) for block in blocks]
        if blocks[0] != blocks[1]:
            what = told(*lines) or "lines in another order"
            wrong.append(f"code block {number}: {what}")
    return wrong


def table_differences(ours: Section, theirs: Section, anchors: list[dict[str, str]]) -> list[str]:
    """Return what differs between the tables: their number, their shape, or else their cells."""
    if len(ours.tables) != len(theirs.tables):
        return [f"{len(theirs.tables)} tables instead of {len(ours.tables)}"]
    wrong = []
    for number, (table, other) in enumerate(zip(ours.tables, theirs.tables), 1):
        if len(table) != len(other):
            cells = [[cell for row in rows for cell in row] for rows in (table, other)]
            first = f"table {number}: {len(other)} rows instead of {len(table)}"
            wrong.append("; ".join([first, *text_differences(*cells, anchors)]))
            continue
        for at, (row, translated) in enumerate(zip(table, other), 1):
            place = f"table {number}, row {at} ({row[0]})"
            if len(row) != len(translated):
                wrong.append(f"{place}: {len(translated)} columns instead of {len(row)}")
                continue
            for column, (cell, said) in enumerate(zip(row, translated), 1):
                where = f"{place}, column {column}"
                wrong += [f"{where}: {w}" for w in text_differences([cell], [said], anchors)]
    return wrong


def resolved(links: Counter[str], anchors: dict[str, str]) -> Counter[str]:
    """Return links with those into their own page said by the number of the heading."""
    found: Counter[str] = Counter()
    for target, times in links.items():
        inside = target.startswith("#")
        nowhere = f"{target} (no such heading)"
        found[anchors.get(target, nowhere) if inside else target] += times
    return found


def text_differences(
    ours: list[str], theirs: list[str], anchors: list[dict[str, str]]
) -> list[str]:
    """Return what differs between the facts of lines, and which of theirs are English still."""
    facts, said = (dict(facts_of("\n".join(lines))) for lines in (ours, theirs))
    for those, its_anchors in zip((facts, said), anchors):
        those["links"] = resolved(those["links"], its_anchors)
    wrong = [
        f"{kind}: {told(facts[kind], said[kind])}" for kind in facts if facts[kind] != said[kind]
    ]
    return wrong + [f"not translated: {line}" for line in theirs if untranslated(line)]


def differences(english: str, chinese: str) -> list[str]:
    """Return a line for each difference of the pages, with its section."""
    pages = [sections_of(english), sections_of(chinese)]
    nothing = Section(-1, "nothing")
    for ours, theirs in zip_longest(*pages, fillvalue=nothing):
        if ours.level != theirs.level:
            names = [f"{'#' * section.level} {section.title}".strip() for section in (ours, theirs)]
            return [f"headings: '{names[1]}' where README.md has '{names[0]}'"]
    anchors = [anchors_of(page) for page in pages]
    wrong = []
    for ours, theirs in zip(*pages):
        lengths = [len(section.prose) for section in (ours, theirs)]
        told_lines = f"{lengths[1]} lines of text and comments instead of {lengths[0]}"
        found = [
            *([told_lines] if lengths[0] != lengths[1] else []),
            *code_differences(ours, theirs),
            *text_differences([ours.title, *ours.prose], [theirs.title, *theirs.prose], anchors),
            *table_differences(ours, theirs, anchors),
        ]
        wrong += [f"{ours.title}: {sentence}" for sentence in found]
    return wrong


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_both_readmes_say_the_same():
    if wrong := differences(page("README.md"), page("README_CN.md")):
        pytest.fail("\n".join(["README_CN.md differs from README.md:", *wrong]), pytrace=False)


@pytest.mark.parametrize("name", SWITCH)
def test_the_other_language_is_one_click_away(name):
    assert page(name).splitlines()[2] == SWITCH[name]


# -- each kind of difference, on small pages that were made up, and on the page itself -------------

ENGLISH = """# Pets

English | [简体中文](README_CN.md)

There are 10,000 cats and two dogs ([how](docs/pets.md#cats)), `--cat=N` chooses. See [Food](#food).
They are easy to keep.

![A cat](cat.jpg)

```shell
feed cat --much=3    # all 7 of them
wait
```

## Food

| Pet | Food |
| --- | --- |
| `cat` | 3.5 kg (−0.9 ± 1.2) |
| `dog\\|hound` | 4 kg |
"""
CHINESE = """# 宠物

[English](README.md) | 简体中文

共有 10000 只猫和两只狗（[方法](docs/pets.md#cats)），用 `--cat=N` 选择。参见[食物](#食物)。
它们很好养。

![一只猫](cat.jpg)

```shell
feed cat --much=3    # 全部 7 只
wait
```

## 食物

| 宠物 | 食物 |
| --- | --- |
| `cat` | 3.5 千克（−0.9 ± 1.2） |
| `dog\\|hound` | 4 千克 |
"""

MUTATIONS = [
    ("## 食物", "### 食物", "headings: '### 食物' where README.md has '## Food'"),
    ("\n## 食物\n", "", "headings: 'nothing' where README.md has '## Food'"),
    (
        "much=3 ",
        "much=4 ",
        "Pets: code block 1: missing: feed cat --much=3; extra: feed cat --much=4",
    ),
    ("wait\n", "", "Pets: code block 1: missing: wait"),
    ("wait\n", "wait\nwait\n", "Pets: code block 1: extra: wait"),
    ("```shell", "```python", "Pets: code block 1: missing: ```shell; extra: ```python"),
    ("全部 7 只", "全部 8 只", "Pets: figures: missing: 7; extra: 8"),
    ("`--cat=N`", "`--cats=N`", "Pets: code spans: missing: `--cat=N`; extra: `--cats=N`"),
    ("`--cat=N`", "`--cat=N` `--cat=N`", "Pets: code spans: extra: `--cat=N`"),
    ("10000 只", "1000 只", "Pets: figures: missing: 10000; extra: 1000"),
    ("10000 只", "1 万只", "Pets: figures: missing: 10000; extra: 1"),
    ("#cats", "#dogs", "Pets: links: missing: docs/pets.md#cats; extra: docs/pets.md#dogs"),
    ("#食物)", "#food)", "Pets: links: missing: heading 2; extra: #food (no such heading)"),
    ("#食物)", "#宠物)", "Pets: links: missing: heading 2; extra: heading 1"),
    ("![一只猫]", "[一只猫]", "Pets: links: missing: !cat.jpg; extra: cat.jpg"),
    ("全部 7 只", "all 7 of them at once", "Pets: not translated: # all 7 of them at once"),
    ("它们很好养。\n", "", "Pets: 3 lines of text and comments instead of 4"),
    (
        "| `cat` | 3.5 千克（−0.9 ± 1.2） |\n",
        "",
        "Food: table 1: 3 rows instead of 4; code spans: missing: `cat`; figures: missing: ",
    ),
    ("3.5 千克", "3.5 千克 | 有", "Food: table 1, row 3 (`cat`): 3 columns instead of 2"),
    (
        "（−0.9",
        "（0.9",
        "Food: table 1, row 3 (`cat`), column 2: figures: missing: −0.9; extra: 0.9",
    ),
    ("`cat` |", "`cow` |", "Food: table 1, row 3 (`cat`), column 1: code spans: missing: `cat`; "),
    ("\n| 宠物", "\n| 宠物 |\n\n| 宠物", "Food: 2 tables instead of 1"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), MUTATIONS)
def test_a_difference_is_named_with_its_section(old, new, sentence):
    assert CHINESE.count(old) == 1
    wrong = differences(ENGLISH, CHINESE.replace(old, new))
    assert len(wrong) == 1 and wrong[0].startswith(sentence)


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("10000", "10,000"), ("两只", "一对"), ("，", " ")]
)
def test_what_a_language_changes_is_no_difference(old, new):
    assert differences(ENGLISH, CHINESE.replace(old, new)) == []


def test_no_line_can_go_and_no_figure_change_unseen():
    english, lines = page("README.md"), page("README_CN.md").splitlines()
    for at, line in enumerate(lines):
        if not line or line in SWITCH.values():
            continue
        digit = re.search(r"\d", line)
        instead = []
        if digit:
            instead = [line[: digit.start()] + str(9 - int(digit[0])) + line[digit.end() :]]
        copy = "\n".join([*lines[:at], *instead, *lines[at + 1 :]])
        assert differences(english, copy), f"line {at + 1}: {line}"
