"""The second round: kinds of cases that the first did not think of."""

from __future__ import annotations

from dataclasses import replace

from arena import Case
from further_calls import CALLS
from further_models import models
from further_places import places
from further_runs import compiled, runs
from further_texts import TEXTS

# What cases of this round copy beside the materials of the first.
MORE_MATERIALS: dict[str, Case] = {
    "wide": Case(
        "wide",
        ("locate", "--task", "lexicon:plural", "--seeds", "2", "--items", "6", "--cuts", "6", "--no-controls",
         "--out", "wide"),
        exit=0,
    ),
}  # fmt: skip

# What other libraries decide, or what does no harm; the first judgement of these cases was another.
FINE = {
    "a part with a score of -5, report",
    "a part with rows of another condition, report",
    "a compiled prompt with shots of -5",
    "a compiled prompt with shots of 3",
    "a model whose eos_token_id is -1",
    "a model whose eos_token_id is 99999",
    "a model whose eos_token_id is [1, 99999]",
    "a model whose pad_token_id is -5",
    "a model whose num_hidden_layers is 6",
    "a model whose quantization_config is {'quant_method': 'evil'}",
    "a model whose architectures is 'x'",
    "a model whose architectures is [5]",
    "a model whose architectures is ['BertModel']",
    "a model whose architectures is ['EvilForCausalLM']",
    "a model's generation_config.json that is empty",
    "a model's generation_config.json that is cut",
    "a model's generation_config.json that is no UTF-8",
    "a weight as whole numbers",
    "a generation config whose eos_token_id is -1",
    "cut_context with after = torch.tensor(4)",
    "sweep_generate with the end -1",
    "sweep_generate with the end 99999",
    "a call in the block with a mask of other length",
    "a call in the block with a mask of zeros",
    "a call in the block with a mask padded on the right",
    "prompts whose answers are a text",
    "a process with a result with a name of a device's",
}
REFUSED = {
    "a report.html that is a loop, report",
    "a report.html that is a fifo, report",
    "a figure.pdf that is a loop, report",
    "a figure.pdf that is a fifo, report",
    "a part with a score of infinity, report",
    "a part with a score of minus infinity, report",
    "a part missing in the middle, report",
    "a compiled prompt with a revision",
    "a model whose max_position_embeddings is None, fine",
    "a weight of another shape",
    "a tokenizer_class of 'BertTokenizer'",
    "a process with no output at all",
    "a process with no output for a report",
    "a process with no output for an answer",
    "a generation config whose max_new_tokens is -5",
}


def _judged(case: Case) -> Case:
    if case.name in FINE:
        return replace(case, exit=0, says="", look=None)
    return replace(case, exit=2, says="", look=None) if case.name in REFUSED else case


FURTHER: tuple[Case, ...] = tuple(map(_judged, (*places(), *runs(), *compiled(), *models(), *CALLS, *TEXTS)))
