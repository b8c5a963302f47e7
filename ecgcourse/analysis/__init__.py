"""What a network's answers are worth and what they rest on: evaluation, explanation, figures, stacking."""
