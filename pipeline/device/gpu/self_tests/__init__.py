"""Programs that `pipeline.device.self_test` runs in processes of their own."""
