"""What an edit is: an immutable artefact, and how each kind is applied to a model and taken back."""
