"""All evidence about the GPU, in resumable steps: ``python -m benchmarks.gpu_proof --help``."""
