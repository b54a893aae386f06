"""A decoder language model: loading, structure, prompts, generation, and passes that skip what cannot change."""
