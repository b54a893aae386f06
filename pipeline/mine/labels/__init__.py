"""Labels given by reading real conversations: places and judgements, never the text; see README.md in this folder."""
