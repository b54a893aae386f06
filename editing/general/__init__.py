"""What personalization costs elsewhere: perplexity and general tasks; docs/protocol.md, "General ability"."""
