"""The recipe of the bundled model: a small transformer that learns the word tasks of the lexicon in context."""

from __future__ import annotations

import torch
from dataclasses import dataclass
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from taskpoint.pretrain.data import Mixture
from taskpoint.pretrain.tokenizer import train_tokenizer
from taskpoint.pretrain.trainer import TrainingSettings, train
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
import sys, time
def build(tok, layers=12, width=128, heads=4, mlp=320, positions=1024, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        m = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads, tie_word_embeddings=True, max_position_embeddings=positions,bos_token_id=tok.bos_token_id,eos_token_id=tok.eos_token_id,pad_token_id=tok.pad_token_id))
    m.set_attn_implementation("eager")
    return m
if __name__=="__main__":
    out=Path(sys.argv[1]); steps=int(sys.argv[2]); batch=int(sys.argv[3]); lr=float(sys.argv[4]); out.mkdir(parents=True,exist_ok=True)
    S=subtasks(); names=("qa","arrow","colon")
    tok=train_tokenizer(S,names,2800,1024)
    m=Mixture(tuple(S.values()),tuple(template(n) for n in names),8,.5,.1)
    model=build(tok)
    t=[time.time()]
    def prog(s,n,l,a):
        if s%10==0 or s<6: print(s,n,f"{l:.3f} {a:.3f} {time.time()-t[0]:.1f}",flush=True)
    train(model,lambda s:m.draw(tok,batch,0,s),TrainingSettings(steps,lr,100,0.05,0.98,1.0,True,50),out/"checkpoint.pt",prog)
