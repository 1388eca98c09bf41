"""DiffLoRA: a diffusion model that draws the weights of LoRAs from photos (arXiv 2408.06740), and its rivals."""
