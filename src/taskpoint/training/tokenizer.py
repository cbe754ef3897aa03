"""A small byte-level tokenizer, trained on the text that the prompts of a recipe make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.template import template
from taskpoint.tasks.mapping import Subtask

BOS, EOS, PAD = "<s>", "</s>", "<pad>"

SMALLEST_VOCABULARY = 256 + 3
"""The bytes and the special tokens."""

# What is never merged across: a newline stands alone, the speaker marks of template "qa" are one piece, a word takes
# the space before it along, and digits are read one at a time so that numbers share their pieces.
_PIECES = r"\n|[QA]:| ?[\p{L}\p{M}]+| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|[^\S\n]+"


def train_tokenizer(texts: Iterable[str], vocab: int, positions: int) -> PreTrainedTokenizerFast:
    """Trains byte-level BPE (Sennrich et al. 2016, section 3.2; bytes as in Radford et al. 2019).

    Of `vocab` tokens 256 are the bytes and 3 are special; the tokenizer warns beyond `positions`.
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    trained.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=[BOS, EOS, PAD],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    trained.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, trained.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )


def suite_texts(subtasks: Mapping[str, Subtask], templates: Sequence[str]) -> Iterator[str]:
    """Each sub-task with its instruction and all its pairs as examples, in the first template.

    A few of the pairs are written in the other templates too.
    """
    for subtask in subtasks.values():
        examples = [Example(text, answer) for text, answers in subtask.pairs for answer in answers]
        for number, name in enumerate(templates):
            shown = examples if number == 0 else examples[:10]
            yield template(name).write(Content(subtask.instruction, tuple(shown), shown[0].input)).text
