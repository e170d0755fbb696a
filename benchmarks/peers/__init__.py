"""The scripts that a user would write instead of the pipeline, well; each file runs by itself."""
