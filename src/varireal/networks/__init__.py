"""Networks as they come: CLIP, checkpoints of diffusers and transformers, and fitting them into memory."""
