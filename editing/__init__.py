"""From UPQA and a checkpoint to a leaderboard: personalise, ask, judge, compare."""
