"""The leaderboard: results collected, compared, and shown as JSON, Markdown, plots and one HTML page."""
