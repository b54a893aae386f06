"""Questions after other turns: distractors, answers, scores; docs/protocol.md, "Questions after other turns"."""
