"""From conversations to the UPQA dataset: mine, generate, validate, release."""
