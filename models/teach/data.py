"""Rows for training: documents packed into rows of equal length, with what loss and scaffold need to know.

A row is documents end to end, each beginning with the BOS token; attention does not cross documents.  Knows the
tokenizer and the corpus, not the network.
"""
import random

import numpy as np

import corpus
import words as W

SHARE_RANDOM = 0.13          # of the documents: repeated random tokens


class Doc:
    """ids with BOS in front; weight of predicting each of them; repeat[i]: the induction head should act at i;
    marks: tag -> token indices."""
    __slots__ = ("kind", "ids", "weight", "repeat", "marks")

    def __init__(self, kind, ids, weight=None, marks=None, repeat=None):
        self.kind, self.ids, self.marks = kind, ids, marks or {}
        self.weight = weight if weight is not None else np.ones(len(ids), np.float32)
        self.repeat = repeat if repeat is not None else np.zeros(len(ids), bool)


def tokenized(tokenizer, docs, ans_weight=3.0):
    out = []
    for (kind, _, marks), e in zip(docs, tokenizer.encode_batch([d[1] for d in docs])):
        at = {o[0]: i + 1 for i, o in enumerate(e.offsets)}
        d = Doc(kind, [0] + e.ids, marks={t: [at[p] for p in ps] for t, ps in marks.items()})
        d.weight[d.marks.get("ans", [])] = ans_weight
        if kind == "bracket":                                        # the words between are noise
            d.weight[:] = 0.3
            d.weight[d.marks.get("ans", [])] = ans_weight
        for i in d.marks.get("again", []):
            d.repeat[i:] = True
        out.append(d)
    return out


def random_repeat(r, words, vocab, context):
    """[filler] segment [filler] segment again, of distinct random tokens; only the copy counts in the loss."""
    n = r.choice((r.randint(4, 12), r.randint(8, 30), r.randint(20, 50)))
    front, gap = (r.choice((0, 0, r.randint(0, 15))) for _ in range(2))
    k = min(front + n + gap, context - n - 2)
    pool = r.sample(words, k) if r.random() < 0.6 else r.sample(range(1, vocab), k)
    front = min(front, k - n)
    ids = [0] + pool + pool[front:front + n]
    weight, repeat = np.zeros(len(ids), np.float32), np.zeros(len(ids), bool)
    weight[k + 2:] = 1.0
    repeat[k + 1:-1] = True
    return Doc("random", ids, weight, repeat=repeat)


def documents(tokenizer, seed, context=128):
    r = random.Random(seed)
    words = [tokenizer.token_to_id("Ġ" + w) for w in W.WORDS]
    stream, vocab = corpus.stream(r), tokenizer.get_vocab_size()
    while True:
        docs = tokenized(tokenizer, [next(stream) for _ in range(512)])
        for d in docs:
            if r.random() < SHARE_RANDOM / (1 - SHARE_RANDOM):
                yield random_repeat(r, words, vocab, context)
            yield d


def batches(tokenizer, seed, rows, context=128):
    """Dicts of arrays: ids [rows, context+1], doc and weight and repeat of the same shape, and io: a list of
    (row, end, io, s1, s2) token positions, `end` being the position that predicts the name."""
    source = documents(tokenizer, seed, context)
    while True:
        ids = np.zeros((rows, context + 1), np.int64)
        doc, weight, repeat = np.zeros_like(ids), np.zeros(ids.shape, np.float32), np.zeros(ids.shape, bool)
        io = []
        for b in range(rows):
            at, n = 0, 0
            while at <= context:
                d = next(source)
                k = min(len(d.ids), context + 1 - at)
                ids[b, at:at + k], weight[b, at:at + k], repeat[b, at:at + k] = d.ids[:k], d.weight[:k], d.repeat[:k]
                doc[b, at:at + k] = n
                if d.kind == "io" and d.marks["ans"][-1] < k:
                    io.append([b] + [at + d.marks[t][-1] - (t == "ans") for t in ("ans", "io", "s1", "s2")])
                at, n = at + k, n + 1
        weight[:, 0] = 0
        yield dict(ids=ids, doc=doc, weight=weight, repeat=repeat, io=np.array(io, np.int64).reshape(-1, 5))
