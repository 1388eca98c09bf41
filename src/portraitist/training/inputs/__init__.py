"""What a training step is fed: photos as views and latents, prompts as conditions, class images; kept on disk."""
