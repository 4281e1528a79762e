/* limit.h - every bound of the engine in one place; each is tested at the bound. */
#ifndef LIMIT_H
#define LIMIT_H

enum {
    LIMIT_LAYERS = 512,
    LIMIT_HEADS = 1024,
    LIMIT_EXPERTS = 1024, /* of one layer */
    LIMIT_TYPES = 64,     /* token types */
    LIMIT_D_HEAD = 4096,
    LIMIT_ROPE_FACTORS = 256, /* rotated pairs of a head that have factors of their own */
    LIMIT_D_MODEL = 1 << 18,
    LIMIT_D_MLP = 1 << 20,
    LIMIT_VOCAB = 1 << 22,
    LIMIT_CHANNELS = 16,          /* of a pixel */
    LIMIT_IMAGE_SIDE = 1 << 14,   /* pixels */
    LIMIT_IMAGE_PIXELS = 1 << 26, /* of an image before it is resized */
    LIMIT_IMAGE_CUT = 1 << 24,    /* of one whose middle is cut out */
    LIMIT_IMAGE_BYTES = 1 << 28,  /* of its file */
    LIMIT_TOKENS = 1 << 17,       /* positions of one run */
    LIMIT_NAME = 128,             /* bytes of a hook name with its NUL */
    LIMIT_PATTERN = 1024,         /* bytes of a pattern of hook names with its NUL */
    LIMIT_EDITS = 1 << 16,        /* edits of one run */
    LIMIT_EDIT_TEXT = 4096, /* bytes of one edit's text, as typed and as printed, with its NUL */
    LIMIT_SOURCES = 4,      /* runs of other prompts that a pair keeps beside those it reads now */
    LIMIT_INSTRS = 1 << 20, /* edits times the hooks that their patterns match */
    LIMIT_JSON_DEPTH = 64,
    LIMIT_JSON_BYTES = 1 << 28,
    LIMIT_JSON_VALUES = 1 << 22, /* values of one document: bounds the memory of its tree */
    LIMIT_TOKEN_BYTES = 1 << 12, /* bytes of one added token */
    LIMIT_TRIE_NODES = 1 << 24,  /* different beginnings of all tokens together */
    LIMIT_SAFETENSORS_HEADER = 100 << 20, /* the format's own limit: 100 MB */
    LIMIT_TENSORS = 1 << 18,
    LIMIT_GGUF_KEYS = 1 << 16,
    LIMIT_PIECE_BYTES = 512,         /* of one token of a SentencePiece vocabulary */
    LIMIT_REFERENCE_BYTES = 1 << 27, /* of the file of a reference set */
    LIMIT_REFERENCE_PROMPTS = 1 << 18,
    LIMIT_REFERENCE_TOKENS = 1 << 24, /* of all its prompts */
    LIMIT_TEXT_BYTES = 1 << 27,       /* of one text of a set */
    LIMIT_TEXT_FILES = 1 << 20,       /* of a folder of texts */
    LIMIT_MEAN_BYTES = 1 << 28,       /* of one hook's mean over a reference set */
    LIMIT_CAPTURE_BYTES = 1 << 28,    /* of values, such as captured tensors, read together */
    LIMIT_STACK_BYTES = 1 << 30,      /* of one stack of residual components */
    LIMIT_FIGURES = 1 << 28,          /* bytes of what an interface asks for at once, per face */
    LIMIT_FRAME_BYTES = 1 << 27,      /* of the values that one pass through a stage holds */
    LIMIT_SHARDS = 4096,
    LIMIT_CATALOG = 1 << 16,       /* models of the local cache that are listed */
    LIMIT_SNAPSHOTS = 1024,        /* of one model that are listed */
    LIMIT_LISTING_BYTES = 1 << 24, /* of a hub's list of files, and of an index of shards fetched */
    LIMIT_LISTING_FILES = 1 << 16
};

#endif
