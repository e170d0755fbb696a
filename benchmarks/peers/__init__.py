"""What a user would write instead of the pipeline, by hand and well; each file runs by itself."""
