"""From triplets to a model worth shipping: losses, sparsity, the trainer, mining, distilling."""
