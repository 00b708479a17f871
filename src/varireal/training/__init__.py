"""Fine-tuning of CLIP with LoRA on real photos, synthetic edits, or both."""
