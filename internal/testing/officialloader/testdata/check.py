"""Reads a dataset with numpy by the rules of the official implementation's loader, and says what breaks them.

usage: check.py DIR
Prints {"train": {"groups": …, "puzzles": …, "examples": …}, "test": …}; exits with 1 and a message if a rule is broken.
"""

import json
import os
import sys

import numpy as np

IGNORE_LABEL = -100
INTEGERS = ("pad_id", "blank_identifier_id", "vocab_size", "seq_len", "num_puzzle_identifiers", "total_groups", "total_puzzles")
# As the loader opens them: boards are mapped, the rest is read.
FIELDS = {"inputs": "r", "labels": "r", "puzzle_identifiers": None, "puzzle_indices": None, "group_indices": None}
BATCH = 64


class Broken(Exception):
    pass


def want(condition, *message):
    if not condition:
        raise Broken(" ".join(map(str, message)))


def metadata(path):
    with open(path) as f:
        m = json.load(f)
    for key in INTEGERS:
        want(type(m.get(key)) is int, key, "is", m.get(key), "instead of an integer")
    want("ignore_label_id" in m, "ignore_label_id is missing")
    want(m["ignore_label_id"] is None or type(m["ignore_label_id"]) is int, "ignore_label_id is", m["ignore_label_id"])
    want(type(m.get("mean_puzzle_examples")) in (int, float), "mean_puzzle_examples is", m.get("mean_puzzle_examples"))
    want(m.get("sets") == ["all"], "sets is", m.get("sets"), "instead of ['all']")
    return m


def arrays(folder, name):
    return {field: np.load(os.path.join(folder, f"{name}__{field}.npy"), mmap_mode=mode) for field, mode in FIELDS.items()}


def offsets(name, v, end):
    want(v.size > 0 and v[0] == 0, name, "does not begin with 0")
    want((np.diff(v) > 0).all(), name, "does not increase")
    want(v[-1] == end, name, "ends with", v[-1], "instead of", end)


def check_shapes(m, a):
    for field in ("inputs", "labels"):
        want(a[field].dtype.kind in "iu", field, "has type", a[field].dtype)
        want(a[field].ndim == 2 and a[field].shape[1] == m["seq_len"], field, "has shape", a[field].shape)
    want(a["inputs"].shape == a["labels"].shape, "inputs", a["inputs"].shape, "and labels", a["labels"].shape, "differ in shape")
    for field in ("puzzle_identifiers", "puzzle_indices", "group_indices"):
        want(a[field].dtype == np.dtype("<i4") and a[field].ndim == 1, field, "is", a[field].dtype, a[field].shape)


def check_offsets(m, a):
    puzzles = a["puzzle_identifiers"].size
    offsets("puzzle_indices", a["puzzle_indices"], len(a["inputs"]))
    offsets("group_indices", a["group_indices"], puzzles)
    want(a["puzzle_indices"].size == puzzles + 1, a["puzzle_indices"].size, "puzzle_indices for", puzzles, "puzzle_identifiers")
    want(m["total_groups"] == a["group_indices"].size - 1, "total_groups is", m["total_groups"], "of", a["group_indices"].size - 1)
    want(m["total_puzzles"] == puzzles, "total_puzzles is", m["total_puzzles"], "of", puzzles)
    mean = len(a["inputs"]) / max(puzzles, 1)
    want(puzzles == 0 or abs(m["mean_puzzle_examples"] - mean) < 1e-6 * mean, "mean_puzzle_examples is", m["mean_puzzle_examples"], "of", mean)


def check_batch(m, inputs, labels, identifiers):
    """Turns rows into what the model gets."""
    inputs, labels, identifiers = (x.astype(np.int32) for x in (inputs, labels, identifiers))
    if m["ignore_label_id"] is not None:
        labels[labels == m["ignore_label_id"]] = IGNORE_LABEL
    want(((inputs >= 0) & (inputs < m["vocab_size"])).all(), "inputs leave the vocabulary")
    known = labels[labels != IGNORE_LABEL]
    want(((known >= 0) & (known < m["vocab_size"])).all(), "labels leave the vocabulary")
    want(known.size > 0, "a batch has no labels")
    want(((identifiers >= 0) & (identifiers < m["num_puzzle_identifiers"])).all(), "puzzle_identifiers leave their range")


def test_batches(a):
    """All examples in order, each with its puzzle."""
    for start in range(0, len(a["inputs"]), BATCH):
        rows = np.arange(start, min(start + BATCH, len(a["inputs"])))
        yield rows, np.searchsorted(a["puzzle_indices"], rows, side="right") - 1


def train_batches(a):
    """An epoch: of each group, in random order, the examples of one puzzle."""
    rng = np.random.default_rng(0)
    rows, puzzles = [], []
    for group in rng.permutation(a["group_indices"].size - 1):
        puzzle = rng.integers(a["group_indices"][group], a["group_indices"][group + 1])
        start, end = a["puzzle_indices"][puzzle], a["puzzle_indices"][puzzle + 1]
        take = min(int(end - start), BATCH - len(rows))
        rows.extend(start + rng.choice(int(end - start), take, replace=False))
        puzzles.extend([puzzle] * take)
        if len(rows) == BATCH:
            yield np.array(rows), np.array(puzzles)
            rows, puzzles = [], []


def check_split(directory, split, batches):
    folder = os.path.join(directory, split)
    m = metadata(os.path.join(folder, "dataset.json"))
    a = arrays(folder, m["sets"][0])
    check_shapes(m, a)
    check_offsets(m, a)
    for rows, puzzles in batches(a):
        check_batch(m, a["inputs"][rows], a["labels"][rows], a["puzzle_identifiers"][puzzles])
    return m, {"groups": m["total_groups"], "puzzles": m["total_puzzles"], "examples": len(a["inputs"])}


def check(directory):
    counts, names = {}, None
    with open(os.path.join(directory, "identifiers.json")) as f:
        names = json.load(f)
    for split, batches in (("train", train_batches), ("test", test_batches)):
        try:
            m, counts[split] = check_split(directory, split, batches)
            want(len(names) == m["num_puzzle_identifiers"], len(names), "identifiers, but num_puzzle_identifiers is", m["num_puzzle_identifiers"])
        except (Broken, OSError, ValueError) as error:
            raise Broken(f"{split}: {error}")
    return counts


if __name__ == "__main__":
    try:
        print(json.dumps(check(sys.argv[1])))
    except Broken as error:
        sys.exit(str(error))
