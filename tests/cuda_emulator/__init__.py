"""A device of the tests: the CUDA kernels of kernels/cuda, built by g++ and run on the CPU, thread by thread."""
