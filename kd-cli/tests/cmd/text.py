#!/usr/bin/env python3
"""Makes the reviews of text.md: sentences of a small grammar, good or bad by their adjectives, with "not" before some.

    python3 kd-cli/tests/cmd/text.py
"""
import pathlib
import random

HERE = pathlib.Path(__file__).parent / "text.in" / "reviews"
GOOD = ["fine", "great", "moving", "funny", "bright", "warm", "clever", "rich"]
BAD = ["dull", "poor", "flat", "sad", "loud", "cold", "silly", "thin"]
THINGS = ["film", "plot", "cast", "music", "scene", "end", "hero", "camera"]
FILLING = ["we", "saw", "it", "at", "night", "with", "friends", "in", "town", "and", "then", "went", "home"]


def sentence(draw: random.Random, good: bool) -> str:
    negated = draw.random() < 0.25
    word = draw.choice(GOOD if good != negated else BAD)
    return f"The {draw.choice(THINGS)} is {'not ' if negated else ''}{word}."


def review(draw: random.Random, good: bool) -> str:
    parts = [sentence(draw, good) for _ in range(draw.randint(1, 3))]
    filling = " ".join(draw.choice(FILLING) for _ in range(draw.randint(2, 12)))
    parts.insert(draw.randint(0, len(parts)), filling.capitalize() + ".")
    return " ".join(parts)


def main() -> None:
    draw = random.Random(0)
    HERE.mkdir(parents=True, exist_ok=True)
    for split, count in [("train", 300), ("test", 100)]:
        rows = ["label\ttext"]
        for index in range(count):
            good = index % 2 == 0
            rows.append(f"{'good' if good else 'bad'}\t{review(draw, good)}")
        (HERE / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
