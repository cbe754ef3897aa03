"""Tokenizers of every kind, trained here on a few lines so that no file is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "Translate English to French:\nQ: dog\nA: chien\nQ: cat\nA: chat\nQ: the house\nA: la maison\n",
    "Q:one A:un \nQ:two\nA:deux \nInput: été\nOutput: summer\n\ndog -> chien\ncat: chat\n",
    "A:dog A:chien A: the A:chat e\u0301 :un :deux  two  spaces   three\n\n\n",
] * 8


def pytest_configure(config: pytest.Config) -> None:
    # beartype checks one random entry of a tuple, also where hypothesis is building one.
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


BYTES = pre_tokenizers.ByteLevel.alphabet()
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _bos(tokenizer: Tokenizer, text: str = "<s>") -> processors.PostProcessor:
    return processors.TemplateProcessing(single=f"{text} $A", special_tokens=[(text, tokenizer.token_to_id(text))])


def _bpe(tokenizer: Tokenizer, size: int, alphabet: list[str], special: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=special, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def gpt2() -> PreTrainedTokenizerFast:
    """Byte-level, no BOS; reported offsets leave out spaces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    _bpe(tokenizer, 420, BYTES, ["<|endoftext|>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def llama3() -> PreTrainedTokenizerFast:
    """Byte-level with BOS and Llama-3's split, and whole words taken from the vocabulary before merging."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    _bpe(tokenizer, 420, BYTES, ["<s>", "</s>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), _bos(tokenizer)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def greedy() -> PreTrainedTokenizerFast:
    """Byte-level without any split: merges run across every border; offsets leave out spaces on both sides."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    _bpe(tokenizer, 330, BYTES, ["<|endoftext|>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def llama2() -> PreTrainedTokenizerFast:
    """SentencePiece BPE as Llama-2 has it: a space put in front, bytes for unknown characters, BOS and EOS added."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    _bpe(tokenizer, 400, [], special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def unigram() -> PreTrainedTokenizerFast:
    """Unigram over Metaspace with NFKC, as T5 and XGLM have it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = _bos(tokenizer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def nfc() -> PreTrainedTokenizerFast:
    """Byte-level after NFC, as Qwen has it: a letter and its combining mark become one character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    _bpe(tokenizer, 350, BYTES, ["<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")


def wordpiece() -> PreTrainedTokenizerFast:
    """WordPiece with [CLS] and [SEP]: no token for white space, accents and capitals lost."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    kind.__name__: kind for kind in (gpt2, llama3, greedy, llama2, unigram, nfc, wordpiece)
}


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {name: kind() for name, kind in KINDS.items()}


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(
    request: pytest.FixtureRequest, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> PreTrainedTokenizerFast:
    return tokenizers[request.param]


@pytest.fixture(scope="session", params=["gpt2", "llama3", "greedy", "llama2"])
def lossless(request: pytest.FixtureRequest, tokenizers: dict[str, PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """The kinds whose token strings spell every byte of the text, so that they can be counted without offsets."""
    return tokenizers[request.param]
