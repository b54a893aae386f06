"""Stage `exchanges`: short message-and-reply pairs that real people had, for what stands around a question."""
