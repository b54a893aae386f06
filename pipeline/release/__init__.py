"""The validated dataset as a folder for the Hugging Face Hub."""
