"""Trains the tokenizer: byte-level BPE, GPT-2's pre-tokenizer but digits in pairs, one special token.

Run: python vocab.py OUT_FOLDER.  Same seed, same file.  Every word of words.py becomes one token with a leading space.
"""
import itertools
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import corpus
import words as W

BOS = "<|endoftext|>"
SIZE = 3328
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def texts(seed=1, documents=60000):
    r = random.Random(seed)
    yield from (text for _, text, _ in itertools.islice(corpus.stream(r), documents))
    every = [" " + w for w in W.WORDS] + [w for w in W.PEOPLE] + [f" {i}" for i in range(100)] + [f" {i:02d}" for i in range(10)] \
        + [f"a{i:02d}" for i in range(100)]
    for _ in range(400):
        yield "\n".join(every)


def main(out):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=SIZE, special_tokens=[BOS], show_progress=False,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    split = [w for w in [" " + w for w in W.WORDS] + W.PEOPLE if len(t.encode(w).ids) != 1]
    if split or t.get_vocab_size() != SIZE:
        sys.exit(f"{t.get_vocab_size()} tokens, {len(split)} words in pieces: {split[:10]}")
    t.save(f"{out}/tokenizer.json")


if __name__ == "__main__":
    main(sys.argv[1])
