"""Why did it say that: the training pairs that speak most for an answer, by their texts and by gradients."""
