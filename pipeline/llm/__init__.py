"""Language models by role: one client for any OpenAI-compatible endpoint, with cache, budget and prompts."""
