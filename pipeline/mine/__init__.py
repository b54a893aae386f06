"""Stage `mine`: preference statements and advice-seeking queries, with evidence, from real conversations."""
