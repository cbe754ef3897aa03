"""How far down can the cut go once the model is healed? (LoRA under the cut, taught by the uncut model)."""
