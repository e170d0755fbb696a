"""Programs that `pipeline.device.proof` runs in processes of their own."""
